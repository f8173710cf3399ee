package broker_test

import (
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
)

func TestPrioritiesReturnAfterTheEnd(t *testing.T) { // PRIO-01, DUR-01
	prioritized := func(priority uint8) amqp.Properties {
		return amqp.Properties{DeliveryMode: amqp.Persistent, Priority: priority}
	}
	afterEach(t, func(f *fixture, c *client) {
		c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-max-priority": int64(9)}})
		for i, priority := range []uint8{1, 5, 1, 9, 5} {
			c.stage(c.ch, "", "q", prioritized(priority), string(rune('a'+i)))
		}
		c.flush()
		want(t, "order", c.drain("q"), "d b e a c")
		c.ack(1, false) // d
		c.ack(4, false) // a
		if err := f.broker.Checkpoint(); err != nil {
			f.Fatal(err)
		}
		c.stage(c.ch, "", "q", prioritized(7), "f") // a lane that the index does not have
		c.ack(2, false)                             // b
		c.flush()
		f.broker.FlushJournal()
	}, func(f *fixture, c *client) {
		order := strings.Replace(c.drain("q"), "f+", "f", 1) // nobody has seen it, but a crash cannot tell
		want(f, "order", order, "f e+ c+")
	})
}

func TestQuorumQueuesKeepTransientMessages(t *testing.T) { // QQ-09, PUB-10
	afterEach(t, func(f *fixture, c *client) {
		c.queue(broker.QueueDeclaration{Name: "quorum", Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum"}})
		c.durable("classic")
		for _, name := range []string{"quorum", "classic"} {
			c.bind("amq.fanout", name, "")
		}
		c.stage(c.ch, "amq.fanout", "", amqp.Properties{}, "transient")
		c.stage(c.ch, "amq.fanout", "", persistent, "kept")
		c.flush()
	}, func(f *fixture, c *client) {
		want(f, "quorum queue", c.drain("quorum"), "transient kept")
		want(f, "classic queue", c.drain("classic"), "kept")
	})
}

// ACK-07: each priority knows what of it was handed out, also after a clean end.
func TestPriorityThatNobodyReachedIsNotRedelivered(t *testing.T) {
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-max-priority": int64(9)}})
	for i, priority := range []uint8{1, 2, 3, 4, 0, 9, 3} {
		c.stage(c.ch, "", "q", amqp.Properties{DeliveryMode: amqp.Persistent, Priority: priority}, string(rune('a'+i)))
	}
	c.flush()
	if _, err := c.Take("q", c.ch, false); err != nil {
		t.Fatal(err)
	}
	want(t, "the first", c.received(1), "f")
	f.restart()
	c = f.client()
	want(t, "after the restart", c.drain("q"), "f+ d c g b a e")
}
