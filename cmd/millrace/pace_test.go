package main_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// CONF-08: a lone publisher does not wait for others. The best of many counts,
// for the machine may be busy.
func TestLonePublishIsConfirmedSoon(t *testing.T) {
	t.Parallel()
	needsProcess(t) // others gather for longer
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{durable: true})
	c.confirmMode()
	best := time.Hour
	for range 100 {
		start := time.Now()
		c.sendConfirmed("", q, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("lone")})
		best = min(best, time.Since(start))
	}
	if best > 10*time.Millisecond {
		t.Errorf("the quickest of 100 lone publishes was confirmed after %v", best)
	}
}

// FLOW-01: a publisher that is faster than the broker waits in TCP. It is told
// nothing, and nothing of its messages is lost.
func TestFastPublisherIsHeldUpWithoutAWord(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	flow, blocked := c.NotifyFlow(make(chan bool, 1)), c.conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	const messages = 2000
	body := make([]byte, 16<<10)
	for range messages {
		c.sendMessage("", q, amqp.Publishing{Body: body})
	}
	c.wantReady(q, messages)
	if len(flow)+len(blocked) > 0 {
		t.Error("the publisher was told to wait")
	}
}
