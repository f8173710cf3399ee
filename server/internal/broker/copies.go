package broker

import (
	"errors"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// The headers that name further routing keys.
const (
	headerCopies      = "CC"
	headerBlindCopies = "BCC"
)

// carbonCopies finds the further routing keys of a message, its CC and BCC headers (CC-01). The log keeps
// both, for the message may have to be routed again; consumers do not see the second (CC-02). Errors are
// *amqp.Error.
func (c *Client) carbonCopies(p *Publication) ([][]byte, error) {
	table, ok := p.Header.Headers()
	if !ok {
		return nil, nil
	}
	keys, _, err := appendCopies(c.copies[:0], table, headerCopies)
	if err != nil {
		return nil, err
	}
	keys, blind, err := appendCopies(keys, table, headerBlindCopies)
	c.copies = keys[:0]
	if blind {
		p.flags |= segment.FlagBlindCopies
	}
	return keys, err
}

// VisibleHeader is the header as clients may see it: without the blind copies (CC-02).
func (p *Publication) VisibleHeader() []byte {
	if p.flags&segment.FlagBlindCopies == 0 {
		return p.Header.Raw
	}
	return WithoutBlindCopies(p.Header.Raw)
}

// WithoutBlindCopies returns the payload of a content header without BCC; headers that have nothing else
// stay, empty. What cannot be decoded is returned as it is.
func WithoutBlindCopies(raw []byte) []byte {
	header, err := amqp.ParseHeader(raw)
	if err != nil {
		return raw
	}
	table, _ := header.Headers()
	rest, err := table.AppendWithout(nil, headerBlindCopies)
	if err != nil {
		return raw
	}
	return header.AppendWithHeaders(nil, rest)
}

// copiesOf returns the further routing keys of a message that was checked before, first those of its CC
// header, which are so many. A header of another type names no queue.
func copiesOf(h *amqp.Header) (keys [][]byte, visible int, err error) {
	table, ok := h.Headers()
	if !ok {
		return nil, 0, nil
	}
	keys, _, err = appendCopies(nil, table, headerCopies)
	visible = len(keys)
	if err == nil {
		keys, _, err = appendCopies(keys, table, headerBlindCopies)
	}
	return keys, visible, err
}

// appendCopies appends the keys that a header names, borrowed from the table. found says that it is there.
func appendCopies(keys [][]byte, table amqp.RawTable, name string) (_ [][]byte, found bool, err error) {
	value, found, err := table.Lookup(name)
	if err != nil {
		return keys, false, undecodable(err)
	}
	if !found {
		return keys, false, nil
	}
	array, ok := value.Array()
	if !ok {
		return keys, true, amqp.Errorf(amqp.PreconditionFailed, amqp.BasicPublishID,
			"invalid message: {unacceptable_type_in_header,%q,%s}", name, value.TypeName())
	}
	for array.Next() {
		if key, ok := array.Value().Longstr(); ok { // all else is ignored
			keys = append(keys, key)
		}
	}
	if err := array.Err(); err != nil {
		return keys, true, undecodable(err)
	}
	return keys, true, nil
}

// undecodable is the error of headers that the broker must read and cannot (WIRE-14).
func undecodable(err error) *amqp.Error {
	text := err.Error()
	if protocol, ok := errors.AsType[*amqp.Error](err); ok {
		text = protocol.Text
	}
	return amqp.Errorf(amqp.SyntaxError, amqp.BasicPublishID, "headers of the message cannot be decoded: %s", text)
}
