package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

type consumerSpec struct {
	tag              string
	noAck, exclusive bool
	args             amqp.Table
}

// consumer is a basic.consume that a test reads message by message.
type consumer struct {
	t          testing.TB
	deliveries <-chan amqp.Delivery
}

func (c *channel) consumer(queue string, spec consumerSpec) *consumer {
	c.t.Helper()
	deliveries, err := c.Consume(queue, spec.tag, spec.noAck, spec.exclusive, false, false, spec.args)
	if err != nil {
		c.t.Fatalf("basic.consume %q: %v", queue, err)
	}
	return &consumer{t: c.t, deliveries: deliveries}
}

// next waits for the next delivery.
func (c *consumer) next() amqp.Delivery {
	c.t.Helper()
	event := await(c.t, "delivery", c.deliveries)
	if event.closed {
		c.t.Fatal("the consumer ended before its next delivery")
	}
	return event.value
}

// wantBodies takes as many deliveries as there are texts and compares.
func (c *consumer) wantBodies(want ...string) []amqp.Delivery {
	c.t.Helper()
	var got []amqp.Delivery
	for i, text := range want {
		message := c.next()
		if string(message.Body) != text {
			c.t.Fatalf("delivery %d is %q, want %q", i, message.Body, text)
		}
		got = append(got, message)
	}
	return got
}

// wantNothing checks that nothing was delivered so far. The caller has
// first made sure of an event that would have come after the delivery.
func (c *consumer) wantNothing() {
	c.t.Helper()
	select {
	case message, ok := <-c.deliveries:
		if ok {
			c.t.Fatalf("unexpected delivery %q", message.Body)
		}
		c.t.Fatal("the consumer ended")
	default:
	}
}

// wantEnded waits until the client library ended the consumer.
func (c *consumer) wantEnded() {
	c.t.Helper()
	if event := await(c.t, "end of the consumer", c.deliveries); !event.closed {
		c.t.Fatalf("got delivery %q, want the end of the consumer", event.value.Body)
	}
}
