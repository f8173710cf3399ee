package broker

import (
	"errors"

	"github.com/millrace-mq/millrace/server/amqp"
)

// The headers that name further routing keys.
const (
	headerCopies      = "CC"
	headerBlindCopies = "BCC"
)

// carbonCopies finds the further routing keys of a message, its CC and BCC headers (CC-01), and takes
// the BCC header out of it (CC-02). Errors are *amqp.Error.
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
	if err != nil || !blind {
		return keys, err
	}
	whole := p.Header
	p.whole = &whole
	rest, err := table.AppendWithout(nil, headerBlindCopies)
	if err != nil {
		return nil, undecodable(err)
	}
	p.Header, err = amqp.ParseHeader(p.Header.AppendWithHeaders(nil, rest))
	return keys, err
}

// copiesOf returns the further routing keys of a message from the log; blind says that it still has a BCC
// header. A header of another type names no queue.
func copiesOf(h *amqp.Header) (keys [][]byte, blind bool, err error) {
	table, ok := h.Headers()
	if !ok {
		return nil, false, nil
	}
	keys, _, err = appendCopies(nil, table, headerCopies)
	if err == nil {
		keys, blind, err = appendCopies(keys, table, headerBlindCopies)
	}
	return keys, blind, err
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
