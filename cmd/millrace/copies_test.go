package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// CC-01, CC-02, ROUTE-01: further keys reach further queues, each queue once; the blind ones are not shown.
func TestSenderSelectedDistribution(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	e := c.exchange("e", "direct", exchangeSpec{})
	to, copied, blind := c.queue("to", queueSpec{}), c.queue("cc", queueSpec{}), c.queue("bcc", queueSpec{})
	c.bind(to, "to", e, nil)
	c.bind(to, "cc", e, nil)
	c.bind(copied, "cc", e, nil)
	c.bind(blind, "bcc", e, nil)
	c.sendMessage(e, "to", amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{
		"CC": []any{"cc", int32(7)}, "BCC": []any{"bcc"}, "other": "kept",
	}})
	for _, q := range []string{to, copied, blind} {
		got := c.wantBodies(q, "m")[0]
		if got.RoutingKey != "to" || got.Headers["other"] != "kept" || got.Headers["CC"] == nil {
			t.Errorf("%s: key %q, headers %v", q, got.RoutingKey, got.Headers)
		}
		if _, shown := got.Headers["BCC"]; shown {
			t.Errorf("%s: the blind copies are shown: %v", q, got.Headers)
		}
		c.wantReady(q, 0)
	}
}

// CC-01: also through the default exchange; a header of another type is refused.
func TestCopiesMustBeAList(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	a, b := c.queue("a", queueSpec{}), c.queue("b", queueSpec{})
	c.sendMessage("", a, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"CC": []any{b}}})
	c.wantBodies(a, "m")
	c.wantBodies(b, "m")
	for _, header := range []string{"CC", "BCC"} {
		failing := c.newChannel()
		failing.sendMessage("", a, amqp.Publishing{Headers: amqp.Table{header: b}})
		failing.wantClosed(406, `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"`+header+`",longstr}`)
	}
}

// REPLY-01, REPLY-02, REPLY-05: what the pseudo queue refuses.
func TestDirectReplyToRefusals(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	const pseudo = "amq.rabbitmq.reply-to"
	_, err := c.newChannel().Consume(pseudo, "", false, false, false, false, nil)
	wantError(t, err, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")

	twice := c.newChannel()
	if _, err := twice.Consume(pseudo, "", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	_, err = twice.Consume(pseudo, "", true, false, false, false, nil)
	wantError(t, err, 406, "PRECONDITION_FAILED - reply consumer already set")

	without := c.newChannel()
	without.sendMessage("", "nowhere", amqp.Publishing{ReplyTo: pseudo})
	without.wantClosed(406, "PRECONDITION_FAILED - fast reply consumer does not exist")

	if _, err := c.QueueDeclarePassive(pseudo, false, false, false, false, nil); err != nil {
		t.Errorf("declaring the pseudo queue: %v", err)
	}
	_, _, err = c.newChannel().Get(pseudo, true)
	wantError(t, err, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'")
}

// REPLY-04, REPLY-05: a requester that has gone cannot be reached, and one can ask whether it is there.
func TestRepliesToAGoneRequesterAreUnroutable(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	server := b.connect(t)
	requests := server.queue("requests", queueSpec{})
	caller := b.connect(t)
	answers, err := caller.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	caller.sendMessage("", requests, amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to"})
	to := server.fetch(requests).ReplyTo
	if _, err := server.QueueDeclarePassive(to, false, false, false, false, nil); err != nil {
		t.Fatalf("the requester is not there: %v", err)
	}
	server.send("", to, "answer")
	if got := await(t, "the answer", answers); string(got.value.Body) != "answer" || got.value.RoutingKey != to || got.value.Exchange != "" {
		t.Errorf("answer %+v", got.value)
	}
	caller.close()

	returns := server.NotifyReturn(make(chan amqp.Return, 1))
	if err := server.Publish("", to, true, false, amqp.Publishing{Body: []byte("late")}); err != nil {
		t.Fatal(err)
	}
	await(t, "basic.return", returns)
	_, err = server.QueueDeclarePassive(to, false, false, false, false, nil)
	wantError(t, err, 404, "NOT_FOUND - no queue '"+to+"' in vhost '/'")
}

// DLX-02, DLX-03, DLX-06: a dead letter goes to the blind copies' keys too, which nobody is shown.
func TestDeadLetterGoesToAllKeys(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	dlx := c.exchange("dlx", "direct", exchangeSpec{})
	graves := []string{c.queue("to.grave", queueSpec{}), c.queue("cc.grave", queueSpec{}), c.queue("bcc.grave", queueSpec{})}
	q := c.queue("q", queueSpec{args: amqp.Table{"x-dead-letter-exchange": dlx}})
	for i, key := range []string{q, "cc", "bcc"} {
		c.bind(graves[i], key, dlx, nil)
	}
	c.sendMessage("", q, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"CC": []any{"cc"}, "BCC": []any{"bcc"}}})
	c.must(c.fetch(q).Reject(false))
	for _, grave := range graves {
		got := c.buried(grave)
		death := wantDeath(t, got, "rejected", q, 1)
		if keys, _ := death["routing-keys"].([]any); len(keys) != 2 || keys[0] != q || keys[1] != "cc" {
			t.Errorf("%s: routing keys %v", grave, death["routing-keys"])
		}
		if _, shown := got.Headers["BCC"]; shown || got.Headers["CC"] == nil {
			t.Errorf("%s: headers %v", grave, got.Headers)
		}
	}

	// With a key of its own, a queue forgets the copies.
	plain := c.queue("plain", queueSpec{args: amqp.Table{"x-dead-letter-exchange": dlx, "x-dead-letter-routing-key": "bcc"}})
	c.sendMessage("", plain, amqp.Publishing{Body: []byte("n"), Headers: amqp.Table{"CC": []any{"cc"}, "BCC": []any{q}}})
	c.must(c.fetch(plain).Reject(false))
	c.buried(graves[2])
	c.wantReady(graves[0], 0)
	c.wantReady(graves[1], 0)
}
