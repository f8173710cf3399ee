package history

import (
	"fmt"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// fields reads a table's fields; the first that is missing or of another type sticks as the error.
type fields struct {
	table amqp.Table
	err   error
}

func field[T any](f *fields, key string) T {
	v, ok := f.table[key].(T)
	if !ok {
		f.missing(key)
	}
	return v
}

func (f *fields) missing(key string) {
	if f.err == nil {
		f.err = fmt.Errorf("topology record: field %q is missing or of a wrong type: %w", key, segment.ErrCorrupt)
	}
}

func (f *fields) text(key string) string { return field[string](f, key) }
func (f *fields) flag(key string) bool   { return field[bool](f, key) }

func (f *fields) arguments() map[string]any { return field[amqp.Table](f, "arguments") }

func (f *fields) number(key string) int64 {
	n, ok := amqp.Int(f.table[key])
	if !ok {
		f.missing(key)
	}
	return n
}

// id is the queue's, which its own declaration leaves to the number of the record.
func (f *fields) id(lsn segment.LSN) segment.QueueID {
	if _, ok := f.table["id"]; ok {
		return segment.QueueID(f.number("id"))
	}
	if lsn == 0 {
		f.missing("id")
	}
	return segment.QueueID(lsn)
}

// consumer reads what is there: the record is for people.
func (f *fields) consumer(at Moment) *Consumer {
	c := &Consumer{Started: at, Fields: f.table}
	id, _ := amqp.Int(f.table["queue"])
	channel, _ := amqp.Int(f.table["channel"])
	c.Queue, c.Channel = segment.QueueID(id), uint16(channel)
	c.Tag, _ = f.table["tag"].(string)
	c.User, _ = f.table["user"].(string)
	c.Connection, _ = f.table["connection"].(string)
	c.NoAck, _ = f.table["no_ack"].(bool)
	c.Exclusive, _ = f.table["exclusive"].(bool)
	return c
}
