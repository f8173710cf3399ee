package main_test

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// quorum declares a quorum queue.
func (c *channel) quorum(word string, args amqp.Table) string {
	c.t.Helper()
	all := amqp.Table{"x-queue-type": "quorum"}
	for key, value := range args {
		all[key] = value
	}
	return c.queue(word, queueSpec{durable: true, args: all})
}

// QQ-01, QQ-08, QUEUE-04, QARG-01, QARG-02
func TestWhatAQuorumQueueCannotBe(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for name, test := range map[string]struct {
		queue string
		spec  queueSpec
		text  string
	}{
		"transient":    {"q", queueSpec{}, "invalid property 'non-durable' for queue '%s' in vhost '/'"},
		"auto-delete":  {"q", queueSpec{durable: true, autoDelete: true}, "invalid property 'auto-delete' for queue '%s' in vhost '/'"},
		"exclusive":    {"q", queueSpec{durable: true, exclusive: true}, "invalid property 'exclusive-owner' for queue '%s' in vhost '/'"},
		"server-named": {"", queueSpec{durable: true}, "Cannot declare a server-named queue for type rabbit_quorum_queue"},
		"priorities": {
			"q",
			queueSpec{durable: true, args: amqp.Table{"x-max-priority": int32(5)}},
			"invalid arg 'x-max-priority' for queue '%s' in vhost '/' of queue type rabbit_quorum_queue",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.connect(t)
			args := amqp.Table{"x-queue-type": "quorum"}
			for key, value := range test.spec.args {
				args[key] = value
			}
			queue, text := test.queue, test.text
			if queue != "" {
				queue = c.name(queue)
				text = fmt.Sprintf(text, queue)
			}
			_, err := c.QueueDeclare(queue, test.spec.durable, test.spec.autoDelete, test.spec.exclusive, false, args)
			wantError(t, err, 406, "PRECONDITION_FAILED - "+text)
		})
	}
}

// QUEUE-08: the type is compared like every other argument.
func TestQueueTypeIsComparedAtRedeclaration(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.quorum("q", nil)
	c.declare(q, queueSpec{durable: true, args: amqp.Table{"x-queue-type": "quorum"}})
	_, err := b.connect(t).QueueDeclare(q, true, false, false, false, amqp.Table{"x-queue-type": "classic"})
	wantError(t, err, 406, fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '%s' in vhost '/': "+
		"received 'classic' but current is 'quorum'", q))
}

// count is what a delivery says of the deliveries before it; -1 is nothing.
func count(message amqp.Delivery, header string) int64 {
	value, ok := message.Headers[header]
	if !ok {
		return -1
	}
	return value.(int64)
}

// QQ-02, QQ-04
func TestQuorumQueueCountsFailedDeliveries(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.quorum("q", nil)
	c.sendMessage("", q, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"own": "kept"}, MessageId: "id"})
	for round := range int64(4) {
		message := c.wantBodies(q, "m")[0]
		failures := count(message, "x-delivery-count")
		if round == 0 && b.External() {
			failures = max(failures, 0) - 1 // RabbitMQ 3.10 says 0 the first time
		}
		want := round
		if round == 0 {
			want = -1
		}
		if failures != want || message.Redelivered != (round > 0) || message.Headers["own"] != "kept" || message.MessageId != "id" {
			t.Errorf("delivery %d: %+v", round+1, message)
		}
		if !b.External() && round > 0 && count(message, "x-acquired-count") != round { // of RabbitMQ 4
			t.Errorf("delivery %d: %v", round+1, message.Headers)
		}
		switch round {
		case 0, 1:
			c.must(message.Reject(true))
		default: // the end of the channel counts too
			ch := c.newChannel()
			c.must(c.Close())
			c.channel = ch
		}
		c.wantReady(q, 1)
	}
}

// QQ-04: a nack does not count, as in RabbitMQ 4.3.
func TestNackIsNoFailedDelivery(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	if b.External() {
		t.Skip("RabbitMQ 3.10 counts it")
	}
	c := b.connect(t)
	q := c.quorum("q", amqp.Table{"x-delivery-limit": int32(0)})
	c.send("", q, "m")
	for round := range int64(3) {
		message := c.wantBodies(q, "m")[0]
		acquired := round
		if round == 0 {
			acquired = -1
		}
		if count(message, "x-delivery-count") != -1 || count(message, "x-acquired-count") != acquired {
			t.Errorf("delivery %d: %v", round+1, message.Headers)
		}
		c.must(message.Nack(false, true))
	}
}

// QQ-03, DLX-01
func TestDeliveryLimit(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	dead := c.queue("dead", queueSpec{})
	q := c.quorum("q", amqp.Table{"x-delivery-limit": int32(2), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	c.send("", q, "poison")
	for range 3 {
		c.must(c.wantBodies(q, "poison")[0].Reject(true))
	}
	letter := c.wantBodies(dead, "poison")[0]
	if letter.Headers["x-first-death-reason"] != "delivery_limit" || count(letter, "x-delivery-count") != -1 {
		t.Errorf("dead letter: %v", letter.Headers)
	}
	c.wantReady(q, 0)
}

// QOS-03
func TestQuorumQueueRefusesASharedLimit(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	text := "NOT_IMPLEMENTED - queue '%s' in vhost '/' does not support global qos"
	t.Run("before", func(t *testing.T) {
		c := b.connect(t)
		q := c.quorum("q", nil)
		c.must(c.Qos(5, 0, true))
		_, err := c.Consume(q, "", false, false, false, false, nil)
		wantError(t, err, 540, fmt.Sprintf(text, q))
	})
	t.Run("after", func(t *testing.T) {
		c := b.connect(t)
		q := c.quorum("q", nil)
		consumer := c.consumer(q, consumerSpec{})
		c.must(c.Qos(1, 0, true)) // means nothing to it
		c.sendAll("", q, "1", "2", "3")
		consumer.wantBodies("1", "2", "3")
	})
}

// CONS-04: the flag means nothing there.
func TestExclusiveConsumersOfAQuorumQueue(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.quorum("q", nil)
	c.consumer(q, consumerSpec{exclusive: true})
	c.newChannel().consumer(q, consumerSpec{exclusive: true})
}

// SAC-04
func TestGetFromAQuorumQueueWithASingleActiveConsumer(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.quorum("q", amqp.Table{"x-single-active-consumer": true})
	_, _, err := c.Get(q, false)
	wantError(t, err, 405, fmt.Sprintf("RESOURCE_LOCKED - cannot obtain access to locked queue '%s' in vhost '/'. "+
		"basic.get operations are not supported by quorum queues with single active consumer", q))
}

// SAC-02: with a quorum queue a newcomer of a higher priority takes over.
func TestSingleActiveConsumerOfAQuorumQueueGivesWay(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	if b.External() {
		t.Skip("of RabbitMQ 4")
	}
	c := b.connect(t)
	q := c.quorum("q", amqp.Table{"x-single-active-consumer": true})
	first, second := c.newChannel(), c.newChannel()
	one := first.consumer(q, consumerSpec{})
	c.sendAll("", q, "1", "2")
	held := one.wantBodies("1", "2")
	two := second.consumer(q, consumerSpec{args: amqp.Table{"x-priority": int32(5)}})
	c.send("", q, "3")
	c.wantReady(q, 1)
	c.must(held[0].Ack(false))
	c.wantReady(q, 1) // not before it has settled everything
	one.wantNothing()
	c.must(held[1].Ack(false))
	two.wantBodies("3")
}

// CONS-05
func TestConsumerArguments(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for name, test := range map[string]struct {
		args amqp.Table
		text string
	}{
		"priority":       {amqp.Table{"x-priority": "5"}, "invalid arg 'x-priority' for queue '%s' in vhost '/': \"expected integer, got longstr\""},
		"failover":       {amqp.Table{"x-cancel-on-ha-failover": "yes"}, "invalid arg 'x-cancel-on-ha-failover' for queue '%s' in vhost '/': {unacceptable_type,longstr}"},
		"of a stream":    {amqp.Table{"x-stream-offset": "first"}, "invalid arg 'x-stream-offset' for queue '%s' in vhost '/' of queue type rabbit_classic_queue"},
		"priority first": {amqp.Table{"x-stream-offset": "first", "x-priority": "5"}, "invalid arg 'x-priority' for queue '%s' in vhost '/': \"expected integer, got longstr\""},
		"unknown":        {amqp.Table{"x-unknown": int32(1), "x-priority": int32(-5)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.connect(t)
			q := c.queue("q", queueSpec{})
			_, err := c.Consume(q, "", false, false, false, false, test.args)
			if test.text == "" {
				c.must(err)
				return
			}
			wantError(t, err, 406, "PRECONDITION_FAILED - "+fmt.Sprintf(test.text, q))
		})
	}
	// The queue is found before its arguments are looked at.
	_, err := b.connect(t).Consume("missing", "", false, false, false, false, amqp.Table{"x-priority": "5"})
	wantError(t, err, 404, "NOT_FOUND - no queue 'missing' in vhost '/'")
}

// QQ-05, QUEUE-12
func TestConditionsOfADeletion(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			if b.External() && kind == "quorum" {
				t.Skip("540 there")
			}
			c := b.connect(t)
			q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-queue-type": kind}})
			for _, test := range []struct {
				consumed, ifUnused, ifEmpty bool
				text                        string
			}{
				{true, true, false, "in use"},
				{false, true, true, "not empty"},
				{false, false, true, "not empty"},
			} {
				other := b.connect(t)
				if test.consumed {
					other.qos(1)
					other.sendAll("", q, "held", "ready")
					other.consumer(q, consumerSpec{}).wantBodies("held")
				}
				_, err := c.newChannel().QueueDelete(q, test.ifUnused, test.ifEmpty, false)
				wantError(t, err, 406, fmt.Sprintf("PRECONDITION_FAILED - queue '%s' in vhost '/' %s", q, test.text))
				other.close()
				c.wantReady(q, max(c.ready(q), 2))
				if test.consumed {
					_, err := c.QueuePurge(q, false)
					c.must(err)
					c.sendAll("", q, "ready", "ready")
				}
			}
			if !b.External() { // of both RabbitMQ 3.10 names the other
				other := b.connect(t)
				other.qos(1)
				other.consumer(q, consumerSpec{}).wantBodies("ready")
				_, err := other.newChannel().QueueDelete(q, true, true, false)
				wantError(t, err, 406, fmt.Sprintf("PRECONDITION_FAILED - queue '%s' in vhost '/' in use", q))
				other.close()
			}
			_, err := c.QueuePurge(q, false)
			c.must(err)
			if _, err := c.QueueDelete(q, true, true, false); err != nil {
				t.Error(err)
			}
		})
	}
}
