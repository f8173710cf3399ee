package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const timeoutText = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 300 ms. " +
	"This timeout value can be configured, see consumers doc guide to learn more"

// CONS-12: RabbitMQ looks once a minute, and 3.10 knows no timeout of a queue's own.
func TestConsumerThatSettlesTooLate(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	for name, test := range map[string]struct {
		flags []string
		args  amqp.Table
	}{
		"flag":  {[]string{"--consumer-timeout", "300ms"}, nil},
		"queue": {nil, amqp.Table{"x-consumer-timeout": int32(300)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, test.flags...)
			c := b.connect(t)
			q := c.queue("q", queueSpec{args: test.args})
			c.sendAll("", q, "1", "2")
			other := c.newChannel()
			c.consumer(q, consumerSpec{}).wantBodies("1", "2")
			c.wantClosed(406, timeoutText)
			for _, message := range other.wantBodies(q, "1", "2") { // the connection goes on
				if !message.Redelivered {
					t.Errorf("%s is not marked as redelivered", message.Body)
				}
				other.must(message.Ack(false))
			}
		})
	}
}

// CONS-12, chapter 26: of a quorum queue only the consumer ends.
func TestConsumerOfAQuorumQueueThatSettlesTooLate(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.quorum("q", amqp.Table{"x-consumer-timeout": int32(300)})
	cancels := c.NotifyCancel(make(chan string, 1))
	c.send("", q, "m")
	late := c.consumer(q, consumerSpec{tag: "late"})
	held := late.wantBodies("m")[0]
	if cancelled := await(t, "basic.cancel", cancels); cancelled.value != "late" {
		t.Errorf("%q is cancelled", cancelled.value)
	}
	again := c.wantBodies(q, "m")[0]
	if !again.Redelivered || count(again, "x-delivery-count") != 1 {
		t.Errorf("%+v", again)
	}
	c.must(held.Ack(false)) // late, and without effect
	c.must(again.Reject(true))
	c.wantBodies(q, "m")
}

// QQ-07
func TestDelayedRetry(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.quorum("q", amqp.Table{"x-delayed-retry-type": "failed", "x-delayed-retry-min": int32(3_600_000)})
	soon := c.quorum("soon", amqp.Table{"x-delayed-retry-type": "all", "x-delayed-retry-min": int32(50), "x-delayed-retry-max": int32(60)})
	for _, name := range []string{q, soon} {
		c.send("", name, "m")
		c.must(c.wantBodies(name, "m")[0].Reject(true))
	}
	if n := c.ready(q); n != 0 {
		t.Errorf("%d messages are ready at once", n)
	}
	c.wantBodies(soon, "m")
	c.close()
	b = b.restart(t)
	b.connect(t).wantBodies(q, "m") // ready when the broker comes back
}
