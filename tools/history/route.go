package history

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Route explains where a message goes as of now that is published in a virtual host: the bindings that match, the
// exchanges on its way. The record of a publish says where it went; the two differ where chance decides, where queues
// were full, and where a dead letter would have gone round in a circle. An error is router.NoExchange, or says what of
// the header cannot be decoded.
func (t *Topology) Route(host uint32, exchange, key []byte, header *amqp.Header) (router.Explanation[*Queue], error) {
	v := t.hosts[host]
	if v == nil {
		return router.Explanation[*Queue]{}, fmt.Errorf("no virtual host of number %d", host)
	}
	table, _ := header.Headers()
	m := router.Message{Exchange: exchange, Key: key}
	for _, name := range []string{"CC", "BCC"} { // CC-01
		value, _, err := table.Lookup(name)
		if err != nil {
			return router.Explanation[*Queue]{}, err
		}
		array, _ := value.Array()
		for array.Next() {
			if key, ok := array.Value().Longstr(); ok {
				m.ExtraKeys = append(m.ExtraKeys, key)
			}
		}
	}
	m.Headers = func() (map[string]any, error) {
		headers, err := table.Decode()
		return headers.Normal(), err
	}
	m.Header = func(name string) ([]byte, bool, error) {
		value, ok, err := table.Lookup(name)
		return value.Data, ok, err
	}
	m.Property = func(name string) ([]byte, bool) { return property(header, name) }
	m.Delayed = func() (bool, error) {
		value, _, err := table.Lookup("x-delay")
		if number, ok := value.Int(); ok && err == nil {
			_, delayed := router.Delay(number)
			return delayed, nil
		}
		return false, err
	}
	return v.router.Explain(&m)
}

// Explain is Route for a record of the log.
func (t *Topology) Explain(r segment.Record) (router.Explanation[*Queue], error) {
	p, err := r.Publish()
	if err != nil {
		return router.Explanation[*Queue]{}, err
	}
	header, err := amqp.ParseHeader(p.Header)
	if err != nil {
		return router.Explanation[*Queue]{}, err
	}
	exchange, key := amqp.Keys(p.Keys).Split()
	return t.Route(r.VHost(), exchange, key, &header)
}

// property finds one for an exchange that hashes it.
func property(h *amqp.Header, name string) ([]byte, bool) {
	switch name {
	case "correlation_id":
		return h.Shortstr(amqp.PropertyCorrelationID), h.Has(amqp.PropertyCorrelationID)
	case "message_id":
		return h.Shortstr(amqp.PropertyMessageID), h.Has(amqp.PropertyMessageID)
	case "timestamp":
		t, ok := h.Timestamp()
		return binary.BigEndian.AppendUint64(nil, uint64(t)), ok
	}
	return nil, false
}
