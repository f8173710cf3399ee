package broker

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestChangesAreEncodedAsTheirTables(t *testing.T) {
	arguments := rapid.SampledFrom([]map[string]any{nil, {}, {"x-max-length": int32(5), "deep": amqp.Table{"a": []any{"b", true}}}})
	operations := []operation{
		declareExchange, deleteExchange, declareQueue, deleteQueue, bind, unbind, putPolicy, deletePolicy, declareKeeper,
	}
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return rapid.StringN(0, 20, 200).Draw(t, label) }
		flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
		number := func(label string) uint64 {
			return rapid.SampledFrom([]uint64{0, 1, 1 << 40, ^uint64(0)}).Draw(t, label)
		}
		c := change{
			op:    rapid.SampledFrom(operations).Draw(t, "operation"),
			vhost: rapid.Uint32().Draw(t, "vhost"),
			exchange: router.Exchange{
				Name: text("exchange"), Type: text("type"), Durable: flag("durable"), AutoDelete: flag("auto-delete"),
				Internal: flag("internal"), Arguments: arguments.Draw(t, "exchange arguments"),
			},
			queue: queue.Declaration{
				ID: segment.QueueID(number("id")), Name: text("queue"), Durable: flag("queue durable"),
				AutoDelete: flag("queue auto-delete"), Exclusive: flag("exclusive"), ServerNamed: flag("server-named"),
				Arguments: arguments.Draw(t, "queue arguments"),
			},
			binding: router.Binding{
				Source: text("source"), Destination: text("destination"), Key: text("key"),
				Arguments: arguments.Draw(t, "binding arguments"),
			},
			policy:  policy.Policy{Name: text("policy"), Pattern: text("pattern"), Operator: flag("operator")},
			keeps:   queue.ForHistory,
			horizon: segment.LSN(number("horizon")),
			untimed: flag("untimed"),
		}
		if flag("to exchange") {
			c.binding.DestinationKind = router.ToExchange
		}
		if got, want := c.appendTo(nil), c.table().Raw(); !bytes.Equal(got, want) {
			t.Fatalf("%+v:\ngot  %q\nwant %q", c, got, want)
		}
	})
}

// table is the simple twin of appendTo.
func (c *change) table() amqp.Table {
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
	return t
}
