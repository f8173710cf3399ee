package broker_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// TTL-04: a message that must not wait reaches the consumer of a durable queue, the first one too.
func TestMessageThatMustNotWaitReachesAWaitingConsumer(t *testing.T) {
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-message-ttl": int32(0)}})
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	f.broker.FlushJournal()
	c.send("q", "m")
	want(t, "delivered", c.received(1), "m")
}
