package broker_test

import (
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestOutletThatDoesNotDrainGetsNoMoreThanItsLimit(t *testing.T) { // FLOW-03
	t.Parallel()
	const more = 1000
	small, large := "", strings.Repeat("x", 512<<10)
	for _, test := range []struct {
		name            string
		body            string
		limit, messages int
	}{
		{"messages", small, broker.MaxOutletMessages, broker.MaxOutletMessages + more},
		{"bytes", large, broker.MaxOutletBytes / len(large), 2 * broker.MaxOutletBytes / len(large)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := openWith(t, broker.Config{SegmentSize: 4 << 20})
			c := f.client()
			q := c.queue(broker.QueueDeclaration{Name: "q"})
			c.consume(q, queue.Consumer{Tag: "c", NoAck: true})
			for range test.messages {
				c.stage(c.ch, "", q, persistent, test.body)
				if c.Full() {
					c.flush()
				}
			}
			c.flush()
			got := c.sink.take()
			want(t, "delivered to a sink that does not drain", len(got), test.limit)
			want(t, "left in the queue", c.ready(q), test.messages-test.limit)

			size := int64(len(test.body))
			half := test.limit / 2
			c.Sent(half-1, size*int64(half-1))
			want(t, "delivered when less than half is free", len(c.sink.take()), 0)
			c.Sent(1, size)
			want(t, "delivered when half is free", len(c.sink.take()), min(half, test.messages-test.limit))
			if left := test.messages - test.limit - half; left > 0 {
				want(t, "left in the queue", c.ready(q), left)
				c.Sent(half, size*int64(half))
				want(t, "the rest", len(c.sink.take()), left)
			}
			want(t, "left at the end", c.ready(q), 0)
		})
	}
}

func TestFullOutletLeavesTheMessagesToOthers(t *testing.T) { // FLOW-03
	t.Parallel()
	f := open(t)
	stuck, lively := f.client(), f.client()
	q := stuck.queue(broker.QueueDeclaration{Name: "q"})
	stuck.consume(q, queue.Consumer{Tag: "stuck", NoAck: true})
	for range broker.MaxOutletMessages {
		lively.stage(lively.ch, "", q, persistent, "m")
	}
	lively.flush()
	want(t, "stuck has", len(stuck.sink.take()), broker.MaxOutletMessages)
	lively.consume(q, queue.Consumer{Tag: "lively", NoAck: true})
	lively.send(q, "a", "b", "c")
	want(t, "lively has", lively.received(3), "a b c")
	want(t, "stuck has more", len(stuck.sink.take()), 0)
}

func TestOutletThatDrainsInTimeIsNeverPassedOver(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.queue(broker.QueueDeclaration{Name: "q"})
	c.consume(q, queue.Consumer{Tag: "c", NoAck: true})
	for range 3 * broker.MaxOutletMessages / 1000 {
		for range 1000 {
			c.stage(c.ch, "", q, persistent, "m")
		}
		c.flush()
		got := c.sink.take()
		want(t, "delivered", len(got), 1000)
		c.Sent(len(got), int64(len(got)))
	}
}
