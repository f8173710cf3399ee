package broker

import (
	"fmt"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// change is a change of a virtual host's topology, as a record of the log holds it; virtual hosts themselves
// are access.Changes, beside users and permissions. On disk it is an AMQP field
// table, which tells its own names and types: fields can be added, and any tool can print it.
//
// A queue's id is the number of the record that declared it, so it needs no counter and is never used
// twice. That record does not carry it; a catalogue, which repeats what was declared before, and the
// record that deletes the queue do.
type change struct {
	op       operation
	vhost    uint32
	exchange router.Exchange
	queue    queue.Declaration
	binding  router.Binding
	policy   policy.Policy
	keeps    queue.Keeping // what an exchange's own queue, named as the exchange, is for
	// horizon is the queue's (see package queue); in a catalogue only, for its own record may be gone.
	horizon segment.LSN
	// untimed: the queue has deadlines of an earlier TTL (see package queue); in a catalogue only.
	untimed bool
}

type operation string

const (
	declareExchange operation = "exchange.declare"
	deleteExchange  operation = "exchange.delete"
	declareQueue    operation = "queue.declare"
	deleteQueue     operation = "queue.delete"
	bind            operation = "bind"
	unbind          operation = "unbind"
	putPolicy       operation = "policy.put"
	deletePolicy    operation = "policy.delete"
	declareKeeper   operation = "keeper.declare"
)

// appendTo appends the payload of a KindTopology record: an AMQP table, its fields in the order of their names.
// The virtual host's id travels in the record itself and here too, because catalogue entries have no record of their
// own. A catalogue has one for each queue and binding, so no table is made on the way.
func (c *change) appendTo(dst []byte) []byte {
	switch c.op {
	case declareExchange:
		dst = amqp.AppendTableField(dst, "arguments", c.exchange.Arguments)
		dst = amqp.AppendFlagField(dst, "auto_delete", c.exchange.AutoDelete)
		dst = amqp.AppendFlagField(dst, "durable", c.exchange.Durable)
		dst = amqp.AppendFlagField(dst, "internal", c.exchange.Internal)
		dst = amqp.AppendTextField(dst, "name", c.exchange.Name)
		dst = c.appendOperation(dst)
		dst = amqp.AppendTextField(dst, "type", c.exchange.Type)
	case deleteExchange:
		dst = amqp.AppendTextField(dst, "name", c.exchange.Name)
		dst = c.appendOperation(dst)
	case declareQueue:
		return c.appendQueue(dst)
	case deleteQueue:
		dst = c.appendID(dst)
		dst = amqp.AppendTextField(dst, "name", c.queue.Name)
		dst = c.appendOperation(dst)
	case declareKeeper:
		dst = amqp.AppendTextField(dst, "exchange", c.queue.Name)
		dst = c.appendID(dst)
		dst = amqp.AppendTextField(dst, "keeps", c.keeps.String())
		dst = c.appendOperation(dst)
	case bind, unbind:
		dst = amqp.AppendTableField(dst, "arguments", c.binding.Arguments)
		dst = amqp.AppendTextField(dst, "destination", c.binding.Destination)
		dst = amqp.AppendTextField(dst, "destination_type", c.binding.DestinationKind.String())
		dst = c.appendOperation(dst)
		dst = amqp.AppendTextField(dst, "routing_key", c.binding.Key)
		dst = amqp.AppendTextField(dst, "source", c.binding.Source)
	case putPolicy:
		dst = c.appendOperation(dst)
		dst = amqp.AppendTableField(dst, "policy", c.policy.Table())
	case deletePolicy:
		dst = amqp.AppendTextField(dst, "name", c.policy.Name)
		dst = c.appendOperation(dst)
		dst = amqp.AppendFlagField(dst, "operator", c.policy.Operator)
	}
	return c.appendHost(dst)
}

func (c *change) appendQueue(dst []byte) []byte {
	dst = amqp.AppendTableField(dst, "arguments", c.queue.Arguments)
	dst = amqp.AppendFlagField(dst, "auto_delete", c.queue.AutoDelete)
	dst = amqp.AppendFlagField(dst, "durable", c.queue.Durable)
	dst = amqp.AppendFlagField(dst, "exclusive", c.queue.Exclusive)
	if c.horizon != 0 {
		dst = amqp.AppendInt64Field(dst, "horizon", int64(c.horizon))
	}
	dst = c.appendID(dst)
	dst = amqp.AppendTextField(dst, "name", c.queue.Name)
	dst = c.appendOperation(dst)
	if c.queue.ServerNamed {
		dst = amqp.AppendFlagField(dst, "server_named", true)
	}
	if c.untimed {
		dst = amqp.AppendFlagField(dst, "untimed", true)
	}
	return c.appendHost(dst)
}

func (c *change) appendID(dst []byte) []byte {
	if c.queue.ID == 0 {
		return dst
	}
	return amqp.AppendInt64Field(dst, "id", int64(c.queue.ID))
}

func (c *change) appendOperation(dst []byte) []byte {
	return amqp.AppendTextField(dst, "op", string(c.op))
}

func (c *change) appendHost(dst []byte) []byte { return amqp.AppendUint32Field(dst, "vhost", c.vhost) }

// decodeRecord reads the payload of a KindTopology record, or an entry of a catalogue. Its operation is one
// of change's, or package access owns it.
func decodeRecord(payload []byte) (t amqp.Table, op string, err error) {
	t, err = amqp.RawTable(payload).Decode()
	if err != nil {
		return nil, "", fmt.Errorf("topology record: %w", err)
	}
	f := fields{table: t}
	return t, f.text("op"), f.err
}

// decodeChange reads a change back.
func decodeChange(t amqp.Table) (c change, err error) {
	f := fields{table: t}
	c.op = operation(f.text("op"))
	c.vhost = uint32(f.number("vhost"))
	switch c.op {
	case declareExchange, deleteExchange:
		c.exchange.Name = f.text("name")
		if c.op == declareExchange {
			c.exchange = router.Exchange{
				Name: c.exchange.Name, Type: f.text("type"), Durable: f.flag("durable"),
				AutoDelete: f.flag("auto_delete"), Internal: f.flag("internal"), Arguments: f.arguments(),
			}
		}
	case declareQueue, deleteQueue:
		c.queue.Name = f.text("name")
		if _, ok := t["id"]; ok {
			c.queue.ID = segment.QueueID(f.number("id"))
		}
		if c.op == declareQueue {
			c.queue.Durable = f.flag("durable")
			c.queue.Exclusive = f.flag("exclusive")
			c.queue.AutoDelete = f.flag("auto_delete")
			c.queue.Arguments = f.arguments()
			c.queue.ServerNamed, _ = t["server_named"].(bool)
			if _, ok := t["horizon"]; ok {
				c.horizon = segment.LSN(f.number("horizon"))
			}
			c.untimed, _ = t["untimed"].(bool)
		}
	case declareKeeper:
		c.queue.Name = f.text("exchange")
		purpose, ok := f.text("keeps"), false
		if c.keeps, ok = queue.ParseKeeping(purpose); !ok && f.err == nil {
			f.err = fmt.Errorf("exchange %q keeps messages for %q; a newer millrace wrote that", c.queue.Name, purpose)
		}
		if _, ok := t["id"]; ok {
			c.queue.ID = segment.QueueID(f.number("id"))
		}
	case bind, unbind:
		c.binding = router.Binding{
			Source: f.text("source"), Destination: f.text("destination"), Key: f.text("routing_key"), Arguments: f.arguments(),
		}
		if f.text("destination_type") == router.ToExchange.String() {
			c.binding.DestinationKind = router.ToExchange
		}
	case putPolicy:
		var err error
		if c.policy, err = policy.FromTable("", field[amqp.Table](&f, "policy")); err != nil && f.err == nil {
			f.err = fmt.Errorf("topology record: %w", err)
		}
	case deletePolicy:
		c.policy.Name, c.policy.Operator = f.text("name"), f.flag("operator")
	default:
		return change{}, fmt.Errorf("topology record: unknown operation %q; a newer millrace wrote it", c.op)
	}
	return c, f.err
}

// fields reads a table's fields; the first that is missing or of another type sticks as the error.
type fields struct {
	table amqp.Table
	err   error
}

func field[T any](f *fields, key string) T {
	v, ok := f.table[key].(T)
	if !ok && f.err == nil {
		f.err = fmt.Errorf("topology record: field %q is missing or of a wrong type", key)
	}
	return v
}

func (f *fields) text(key string) string { return field[string](f, key) }
func (f *fields) flag(key string) bool   { return field[bool](f, key) }

func (f *fields) number(key string) int64 {
	n, ok := amqp.Int(f.table[key])
	if !ok && f.err == nil {
		f.err = fmt.Errorf("topology record: field %q is missing or of a wrong type", key)
	}
	return n
}

func (f *fields) arguments() map[string]any {
	return field[amqp.Table](f, "arguments")
}
