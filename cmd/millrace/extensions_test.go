package main_test

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// SAC-01, SAC-02: one consumer gets everything; when it goes, the next one does.
func TestSingleActiveConsumer(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-single-active-consumer": true}})
	first, second := c.newChannel(), c.newChannel()
	one := first.consumer(q, consumerSpec{noAck: true})
	two := second.consumer(q, consumerSpec{noAck: true, args: amqp.Table{"x-priority": int32(5)}}) // does not push in
	c.sendAll("", q, "1", "2", "3")
	one.wantBodies("1", "2", "3")
	c.must(first.Close())
	c.sendAll("", q, "4", "5")
	two.wantBodies("4", "5")
}

// SAC-03
func TestExclusiveConsumerOfASingleActiveQueueIsRefused(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-single-active-consumer": true}})
	_, err := c.Consume(q, "", true, true, false, false, nil)
	wantError(t, err, 403, fmt.Sprintf("ACCESS_REFUSED - queue '%s' in vhost '/' in exclusive use", q))
}

// 7.6: a consistent hash of a property sends equal ones to one queue, whatever the routing key.
func TestConsistentHashOfAProperty(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	e := c.exchange("e", "x-consistent-hash", exchangeSpec{args: amqp.Table{"hash-property": "message_id"}})
	queues := []string{c.queue("a", queueSpec{}), c.queue("b", queueSpec{}), c.queue("c", queueSpec{})}
	for _, q := range queues {
		c.bind(q, "1", e, nil)
	}
	const ids, each = 30, 4
	c.confirmMode()
	for i := range ids * each {
		c.sendConfirmed(e, fmt.Sprint("key", i), amqp.Publishing{MessageId: fmt.Sprint("id", i%ids)})
	}
	used := 0
	for _, q := range queues {
		n := c.ready(q)
		if n%each != 0 {
			t.Errorf("%s has %d messages: equal ids were parted", q, n)
		}
		if n > 0 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("all %d ids went to %d queue", ids, used)
	}
}
