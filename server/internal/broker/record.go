package broker

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
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

// encode returns the payload of a KindTopology record. The virtual host's id travels in the record itself
// and here too, because catalogue entries have no record of their own.
func (c *change) encode() []byte {
	t := amqp.Table{"op": string(c.op), "vhost": c.vhost}
	switch c.op {
	case declareExchange, deleteExchange:
		t["name"] = c.exchange.Name
		if c.op == declareExchange {
			t["type"] = c.exchange.Type
			t["durable"] = c.exchange.Durable
			t["auto_delete"] = c.exchange.AutoDelete
			t["internal"] = c.exchange.Internal
			t["arguments"] = amqp.Table(c.exchange.Arguments)
		}
	case declareQueue, deleteQueue:
		t["name"] = c.queue.Name
		if c.queue.ID != 0 {
			t["id"] = int64(c.queue.ID)
		}
		if c.op == declareQueue {
			t["durable"] = c.queue.Durable
			t["exclusive"] = c.queue.Exclusive
			t["auto_delete"] = c.queue.AutoDelete
			t["arguments"] = amqp.Table(c.queue.Arguments)
			if c.queue.ServerNamed {
				t["server_named"] = true
			}
			if c.horizon != 0 {
				t["horizon"] = int64(c.horizon)
			}
			if c.untimed {
				t["untimed"] = true
			}
		}
	case declareKeeper:
		t["exchange"] = c.queue.Name
		t["keeps"] = c.keeps.String()
		if c.queue.ID != 0 {
			t["id"] = int64(c.queue.ID)
		}
	case bind, unbind:
		t["source"] = c.binding.Source
		t["destination"] = c.binding.Destination
		t["destination_type"] = c.binding.DestinationKind.String()
		t["routing_key"] = c.binding.Key
		t["arguments"] = amqp.Table(c.binding.Arguments)
	case putPolicy:
		t["policy"] = c.policy.Table()
	case deletePolicy:
		t["name"] = c.policy.Name
		t["operator"] = c.policy.Operator
	}
	return t.Raw()
}

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

// catalogueChunk is about how much one catalogue record holds.
const catalogueChunk = 64 << 10

// catalogue calls yield with the payloads of the records that state the whole topology: entries, each a
// change behind its length as u32. Called with the append lock or all topology locks held.
func (b *Broker) catalogue(yield func(payload []byte)) {
	var chunk []byte
	add := func(entry []byte) {
		chunk = binary.LittleEndian.AppendUint32(chunk, uint32(len(entry)))
		chunk = append(chunk, entry...)
		if len(chunk) >= catalogueChunk {
			yield(chunk)
			chunk = nil
		}
	}
	for c := range b.access.State().Changes() { // the virtual hosts come first
		add(access.Encode(c).Raw())
	}
	put := func(c change) { add(c.encode()) }
	for _, vh := range b.hosts() {
		for _, operator := range []bool{false, true} { // before what they apply to: see applyPolicy
			for _, p := range vh.topology.policies.List(operator) {
				put(change{op: putPolicy, vhost: vh.ID, policy: p})
			}
		}
		for x := range vh.topology.router.Exchanges() {
			if !predeclared(x.Name) {
				put(change{op: declareExchange, vhost: vh.ID, exchange: x})
			}
		}
		for key, q := range vh.topology.keepers {
			put(change{op: declareKeeper, vhost: vh.ID, keeps: key.purpose, queue: q.Declaration})
		}
		for _, q := range vh.topology.router.Queues() {
			put(change{op: declareQueue, vhost: vh.ID, queue: q.Declaration, horizon: q.LoggedHorizon(), untimed: q.Untimed()})
		}
		for b := range vh.topology.router.Bindings() {
			put(change{op: bind, vhost: vh.ID, binding: b})
		}
	}
	if len(chunk) > 0 {
		yield(chunk)
	}
}

// eachInCatalogue takes a catalogue record apart.
func eachInCatalogue(payload []byte, yield func(entry []byte) error) error {
	for len(payload) > 0 {
		if len(payload) < 4 {
			return fmt.Errorf("catalogue record: %w", segment.ErrCorrupt)
		}
		n := binary.LittleEndian.Uint32(payload)
		if payload = payload[4:]; uint64(n) > uint64(len(payload)) {
			return fmt.Errorf("catalogue record: %w", segment.ErrCorrupt)
		}
		if err := yield(payload[:n]); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return nil
}
