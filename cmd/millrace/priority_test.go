package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func (c *channel) sendPriority(queue, body string, priority uint8) {
	c.t.Helper()
	c.sendMessage("", queue, amqp.Publishing{Body: []byte(body), Priority: priority, DeliveryMode: amqp.Persistent})
}

// PRIO-01, PRIO-02
func TestHigherPrioritiesAreDeliveredFirst(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-max-priority": int32(5)}})
	for i, priority := range []uint8{0, 5, 3, 200, 0, 3} {
		c.sendPriority(q, string(rune('a'+i)), priority)
	}
	c.wantReady(q, 6)
	held := c.wantBodies(q, "b", "d", "c", "f", "a", "e")
	for i, priority := range []uint8{5, 200, 3, 3, 0, 0} {
		if held[i].Priority != priority {
			t.Errorf("%s is delivered with priority %d, want %d", held[i].Body, held[i].Priority, priority)
		}
	}
	c.must(held[3].Reject(true)) // f
	c.must(held[2].Reject(true)) // c
	c.must(held[0].Nack(false, true))
	c.sendPriority(q, "g", 3)
	c.wantReady(q, 4)
	for i, message := range c.wantBodies(q, "b", "c", "f", "g") {
		if message.Redelivered != (i < 3) {
			t.Errorf("%s: redelivered is %v", message.Body, message.Redelivered)
		}
	}
}

// LEN-02: what would be delivered next goes.
func TestFullPriorityQueueDropsItsHighest(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-max-priority": int32(5), "x-max-length": int32(2)}})
	c.sendPriority(q, "three", 3)
	c.sendPriority(q, "zero", 0)
	c.sendPriority(q, "two", 2)
	c.wantReady(q, 2)
	c.wantBodies(q, "two", "zero")
}

// PRIO-01: purge, counts and a consumer with a prefetch.
func TestConsumerOfAPriorityQueue(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-max-priority": int32(9)}})
	c.sendPriority(q, "gone", 1)
	c.sendPriority(q, "gone too", 8)
	c.wantReady(q, 2)
	if n, err := c.QueuePurge(q, false); n != 2 || err != nil {
		t.Fatalf("purged %d, %v", n, err)
	}
	c.qos(1)
	consumer := c.consumer(q, consumerSpec{})
	c.sendPriority(q, "low", 0)
	first := consumer.wantBodies("low")[0]
	c.sendPriority(q, "middle", 4)
	c.sendPriority(q, "high", 9)
	c.wantReady(q, 2)
	c.must(first.Ack(false))
	c.must(consumer.wantBodies("high")[0].Ack(false))
	c.must(consumer.wantBodies("middle")[0].Ack(false))
}

// DUR-01, PRIO-01: through a crash and a clean stop.
func TestPrioritiesSurviveARestart(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	for _, clean := range []bool{true, false} {
		b := newBroker(t)
		c := b.connect(t)
		c.confirmMode()
		q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-max-priority": int32(9)}})
		for i, priority := range []uint8{0, 9, 4, 0} {
			c.sendConfirmed("", q, amqp.Publishing{Body: []byte{'a' + byte(i)}, Priority: priority, DeliveryMode: amqp.Persistent})
		}
		c.wantBodies(q, "b")
		if clean {
			c.close()
			b = b.restart(t)
		} else {
			b.Kill()
			b = startBroker(t, b.Dir)
		}
		c = b.connect(t)
		for i, message := range c.wantBodies(q, "b", "c", "a", "d") {
			if i == 0 && !message.Redelivered || clean && i > 0 && message.Redelivered {
				t.Errorf("clean stop %v: %s redelivered %v", clean, message.Body, message.Redelivered)
			}
		}
	}
}
