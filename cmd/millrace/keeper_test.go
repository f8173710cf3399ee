package main_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// plugin declares an exchange of a type that other brokers have as a plug-in, or skips the test.
func (b *Broker) plugin(t testing.TB, kind string) {
	t.Helper()
	if !b.External() {
		return
	}
	c := b.connect(t)
	if err := c.ExchangeDeclare(c.name("probe"), kind, false, true, false, false, amqp.Table{"x-delayed-type": "direct"}); err != nil {
		t.Skipf("that broker has no exchanges of type %s: %v", kind, err)
	}
	c.must(c.ExchangeDelete(c.name("probe"), false, false))
}

// Chapter 7.6, x-delayed-message: not before its time, in the order in which they are due, and marked so.
func TestDelayedMessages(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.plugin(t, "x-delayed-message")
	c := b.connect(t)
	e := c.exchange("e", "x-delayed-message", exchangeSpec{durable: true, args: amqp.Table{"x-delayed-type": "topic"}})
	q := c.queue("q", queueSpec{durable: true})
	c.bind(q, "a.*", e, nil)
	c.confirmMode()
	start := time.Now()
	for body, delay := range map[string]any{
		"second": int32(400), "first": int64(200), "at once": int32(0), "negative": int32(-5), "text": "400",
	} {
		c.sendConfirmed(e, "a.b", amqp.Publishing{Body: []byte(body), Headers: amqp.Table{"x-delay": delay}})
	}
	for range 3 {
		if got := c.fetch(q); string(got.Body) == "first" || string(got.Body) == "second" {
			t.Errorf("%s was not delayed", got.Body)
		}
	}
	for _, want := range []struct {
		body    string
		delay   any
		atLeast time.Duration
	}{{"first", int64(-200), 200 * time.Millisecond}, {"second", int64(-400), 400 * time.Millisecond}} {
		got := c.fetch(q)
		if string(got.Body) != want.body || time.Since(start) < want.atLeast {
			t.Errorf("%q after %v, want %q after %v", got.Body, time.Since(start), want.body, want.atLeast)
		}
		if delay := got.Headers["x-delay"]; delay != want.delay {
			t.Errorf("x-delay of %q is %v (%[2]T), want %v", got.Body, delay, want.delay)
		}
		if got.Exchange != e || got.RoutingKey != "a.b" {
			t.Errorf("published to %q with %q", got.Exchange, got.RoutingKey)
		}
	}
}

// CONF-09, chapter 7.6: a delay survives a restart, confirmed is stored.
func TestDelayedMessagesSurviveARestart(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := newBroker(t)
	c := b.connect(t)
	e := c.exchange("e", "x-delayed-message", exchangeSpec{durable: true, args: amqp.Table{"x-delayed-type": "direct"}})
	q := c.queue("q", queueSpec{durable: true})
	c.bind(q, "k", e, nil)
	c.confirmMode()
	c.sendConfirmed(e, "k", amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("m"), Headers: amqp.Table{"x-delay": int32(1000)}})
	b.Kill()
	b = startBroker(t, b.Dir)
	c = b.connect(t)
	c.wantBodies(q, "m")
}

// Chapter 7.6: the declaration says what it delays.
func TestDelayedTypeMustExist(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.plugin(t, "x-delayed-message")
	c := b.connect(t)
	for _, wrong := range []struct {
		args amqp.Table
		text string
	}{
		{nil, "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{amqp.Table{"x-delayed-type": "nope"}, "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{amqp.Table{"x-delayed-type": "x-delayed-message"}, "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"},
	} {
		err := c.newChannel().ExchangeDeclare(c.name("e"), "x-delayed-message", true, false, false, false, wrong.args)
		wantError(t, err, 406, wrong.text)
	}
}

// Chapter 7.6, x-recent-history: a new binding is told the last messages, the oldest first.
func TestRecentHistory(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	b.plugin(t, "x-recent-history")
	c := b.connect(t)
	e := c.exchange("e", "x-recent-history", exchangeSpec{args: amqp.Table{"x-recent-history-length": int32(2)}})
	c.sendAll(e, "some.key", "1", "2", "3")
	c.sendMessage(e, "some.key", amqp.Publishing{Body: []byte("untold"), Headers: amqp.Table{"x-recent-history-no-store": true}})
	q := c.queue("q", queueSpec{})
	c.bind(q, "", e, nil)
	for _, got := range c.wantBodies(q, "2", "3") {
		if got.Exchange != e || got.RoutingKey != "some.key" {
			t.Errorf("told with exchange %q and key %q", got.Exchange, got.RoutingKey)
		}
	}
	c.send(e, "k", "4")
	c.wantBodies(q, "4")

	next := c.exchange("next", "fanout", exchangeSpec{})
	second := c.queue("second", queueSpec{})
	c.bind(second, "", next, nil)
	c.must(c.ExchangeBind(next, "", e, false, nil))
	c.wantBodies(second, "3", "4")

	err := c.newChannel().ExchangeDeclare(c.name("wrong"), "x-recent-history", false, false, false, false, amqp.Table{"x-recent-history-length": int32(0)})
	wantError(t, err, 406, "PRECONDITION_FAILED - Invalid argument 0, 'x-recent-history-length' must be a positive integer")
}

// LEN-04: what a full queue does not take is a dead letter, and the publisher is told no.
func TestRejectedPublishGoesToTheDeadLetterExchange(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, grave := c.withGrave(amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish-dlx"})
	c.confirmMode()
	c.sendConfirmed("", q, amqp.Publishing{Body: []byte("kept")})
	refused, err := c.PublishWithDeferredConfirmWithContext(t.Context(), "", q, false, false, amqp.Publishing{Body: []byte("refused")})
	c.must(err)
	await(t, "answer", refused.Done())
	if refused.Acked() {
		t.Error("a full queue took a message")
	}
	got := c.buried(grave)
	wantDeath(t, got, "maxlen", q, 1)
	if string(got.Body) != "refused" {
		t.Errorf("dead letter %q", got.Body)
	}
	c.wantBodies(q, "kept")
}
