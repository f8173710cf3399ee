package main_test

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QUEUE-01, QUEUE-02
func TestServerNamesAQueueWithoutAName(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	one, two := c.declare("", queueSpec{exclusive: true}), c.declare("", queueSpec{exclusive: true})
	for _, name := range []string{one, two} {
		if rest, ok := strings.CutPrefix(name, "amq.gen-"); !ok || len(rest) != 22 {
			t.Errorf("server-named queue is called %q", name)
		}
	}
	if one == two {
		t.Error("two queues of one name")
	}
}

// QUEUE-02
func TestEmptyNameMeansTheLastDeclaredQueue(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.bind("", "", "amq.direct", nil) // key and queue are the last declared queue's name
	c.send("amq.direct", q, "found")
	got, ok, err := c.Get("", true)
	if err != nil || !ok || string(got.Body) != "found" {
		t.Fatalf("got %q, %v, %v", got.Body, ok, err)
	}
	_, _, err = c.newChannel().Get("", true)
	wantError(t, err, 404, "NOT_FOUND - no previously declared queue")
}

// QUEUE-09: every use of somebody else's exclusive queue is refused,
// publishing to it is not.
func TestExclusiveQueueIsLockedForOtherConnections(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	owner, stranger := b.connect(t), b.connect(t)
	q := owner.declare("mine405", queueSpec{exclusive: true}) // short: a longer text is cut
	owner.bind(q, "bound", "amq.direct", nil)
	locked := "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + q + "' in vhost '/'. " +
		"It could be originally declared on another connection or the exclusive property value " +
		"does not match that of the original declaration."
	for name, use := range map[string]func(*channel) error{
		"declare": func(ch *channel) error {
			_, err := ch.QueueDeclare(q, false, false, true, false, nil)
			return err
		},
		"passive declare": func(ch *channel) error {
			_, err := ch.QueueDeclarePassive(q, false, false, true, false, nil)
			return err
		},
		"bind":   func(ch *channel) error { return ch.QueueBind(q, "key", "amq.direct", false, nil) },
		"unbind": func(ch *channel) error { return ch.QueueUnbind(q, "bound", "amq.direct", nil) },
		"consume": func(ch *channel) error {
			_, err := ch.Consume(q, "", false, false, false, false, nil)
			return err
		},
		"get":    func(ch *channel) error { _, _, err := ch.Get(q, false); return err },
		"purge":  func(ch *channel) error { _, err := ch.QueuePurge(q, false); return err },
		"delete": func(ch *channel) error { _, err := ch.QueueDelete(q, false, false, false); return err },
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, use(stranger.newChannel()), 405, locked)
		})
	}
	stranger.send("", q, "but this arrives")
	owner.newChannel().wantBodies(q, "but this arrives")
}

// QUEUE-09
func TestSharedQueueCannotBecomeExclusive(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.declare("shared405", queueSpec{})
	_, err := c.QueueDeclare(q, false, false, true, false, nil)
	wantError(t, err, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '"+q+"' in vhost '/'. "+
		"It could be originally declared on another connection or the exclusive property value "+
		"does not match that of the original declaration.")
}

// QUEUE-10, ERR-08, ERR-09
func TestExclusiveQueueGoesWithItsConnection(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	watcher := b.connect(t)
	for name, end := range map[string]func(*client, *tap){
		"closed": func(c *client, _ *tap) { c.close() },
		"lost":   func(_ *client, tapped *tap) { _ = tapped.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, tapped := b.connectTapped(t, amqp.Config{})
			q := c.queue("mine", queueSpec{exclusive: true})
			bound := watcher.newChannel()
			confirmations := watchRoute(t, bound, q)
			if !confirmations() {
				t.Fatal("the queue is not reached while its connection lives")
			}
			end(c, tapped)
			for confirmations() { // until the broker noticed
			}
		})
	}
}

// watchRoute returns a function that tells whether a mandatory publish
// still reaches the queue.
func watchRoute(t *testing.T, ch *channel, queue string) func() bool {
	t.Helper()
	ch.confirmMode()
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	return func() bool {
		t.Helper()
		confirmation, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{})
		if err != nil {
			t.Fatal(err)
		}
		ch.wantConfirmed(confirmation)
		select {
		case <-returns: // comes before the confirm: PUB-05
			return false
		default:
			return true
		}
	}
}

// QUEUE-08
func TestQueueRedeclaredOtherwise(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-message-ttl": int32(60000)}})
	mismatch := func(arg, received, current string) string {
		return "PRECONDITION_FAILED - inequivalent arg '" + arg + "' for queue '" + q +
			"' in vhost '/': received " + received + " but current is " + current
	}
	sameArgs := amqp.Table{"x-message-ttl": int64(60000), "unknown": "ignored"}
	cases := map[string]struct {
		spec queueSpec
		text string
	}{
		"durable":     {queueSpec{args: sameArgs}, mismatch("durable", "'false'", "'true'")},
		"auto-delete": {queueSpec{durable: true, autoDelete: true, args: sameArgs}, mismatch("auto_delete", "'true'", "'false'")},
		"argument": {
			queueSpec{durable: true, args: amqp.Table{"x-message-ttl": int32(5)}},
			mismatch("x-message-ttl", "'5'", "'60000'"),
		},
		"argument missing": {
			queueSpec{durable: true},
			mismatch("x-message-ttl", "none", "the value '60000' of type 'signedint'"),
		},
		"argument added": {
			queueSpec{durable: true, args: amqp.Table{"x-message-ttl": int32(60000), "x-max-length": int64(5)}},
			mismatch("x-max-length", "the value '5' of type 'long'", "none"),
		},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := c.newChannel().QueueDeclare(q, row.spec.durable, row.spec.autoDelete, false, false, row.spec.args)
			wantError(t, err, 406, row.text)
		})
	}
	same := c.newChannel()
	if _, err := same.QueueDeclare(q, true, false, false, false, sameArgs); err != nil {
		t.Errorf("the same declaration again: %v", err)
	}
	if _, err := same.QueueDeclarePassive(q, false, true, false, false, nil); err != nil {
		t.Errorf("passive: %v", err)
	}
}

// QUEUE-05, QUEUE-07, QUEUE-14, CONS-10
func TestQueueRefusals(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	const missing = "NOT_FOUND - no queue 'noq' in vhost '/'"
	cases := map[string]struct {
		code int
		text string
		do   func(*channel) error
	}{
		"reserved name": {
			403, "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'",
			func(ch *channel) error {
				_, err := ch.QueueDeclare("amq.foo", false, false, false, false, nil)
				return err
			},
		},
		"passive declare": {404, missing, func(ch *channel) error {
			_, err := ch.QueueDeclarePassive("noq", false, false, false, false, nil)
			return err
		}},
		"consume": {404, missing, func(ch *channel) error {
			_, err := ch.Consume("noq", "", false, false, false, false, nil)
			return err
		}},
		"get":   {404, missing, func(ch *channel) error { _, _, err := ch.Get("noq", false); return err }},
		"purge": {404, missing, func(ch *channel) error { _, err := ch.QueuePurge("noq", false); return err }},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			wantError(t, row.do(c.newChannel()), row.code, row.text)
		})
	}
}

// QUEUE-11
func TestAutoDeleteQueueGoesWithItsLastConsumer(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{autoDelete: true})
	c.send("", q, "waits for a consumer")
	c.wantBodies(q, "waits for a consumer") // a get is no consumer
	second := c.newChannel()
	c.consumer(q, consumerSpec{tag: "one"})
	second.consumer(q, consumerSpec{tag: "two"})
	if err := c.Cancel("one", false); err != nil {
		t.Fatal(err)
	}
	c.ready(q) // exists: there is another consumer
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := c.QueueDeclarePassive(q, false, true, false, false, nil)
	wantError(t, err, 404, "NOT_FOUND - no queue '"+q+"' in vhost '/'")
}

// QUEUE-14
func TestPurgeRemovesOnlyReadyMessages(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.sendAll("", q, "one", "two", "three")
	held := c.wantBodies(q, "one")[0]
	n, err := c.QueuePurge(q, false)
	if err != nil || n != 2 {
		t.Fatalf("purged %d, %v", n, err)
	}
	c.wantReady(q, 0)
	if err := held.Nack(false, true); err != nil {
		t.Fatal(err)
	}
	c.wantReady(q, 1)
	c.wantBodies(q, "one")
}

// QUEUE-12
func TestDeleteIfUnusedAndIfEmpty(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.sendAll("", q, "one", "two")
	c.qos(1)
	consumer := c.consumer(q, consumerSpec{tag: "tag"})
	held := consumer.wantBodies("one")[0]
	c.wantReady(q, 1)

	_, err := c.newChannel().QueueDelete(q, true, false, false)
	wantError(t, err, 406, "PRECONDITION_FAILED - queue '"+q+"' in vhost '/' in use")
	_, err = c.newChannel().QueueDelete(q, false, true, false)
	wantError(t, err, 406, "PRECONDITION_FAILED - queue '"+q+"' in vhost '/' not empty")
	if err := c.Cancel("tag", false); err != nil {
		t.Fatal(err)
	}
	if n, err := c.newChannel().QueueDelete(q, true, false, false); err != nil || n != 1 {
		t.Fatalf("deleted with %d messages, %v", n, err)
	}
	if err := held.Ack(false); err != nil {
		t.Fatal(err)
	}
	// Neither that ack (ACK-09) nor a second delete is an error.
	if n, err := c.QueueDelete(q, true, true, false); err != nil || n != 0 {
		t.Fatalf("deleted again with %d messages, %v", n, err)
	}
}

// QUEUE-12: what a consumer holds does not make a queue non-empty.
func TestDeleteIfEmptyIgnoresUnsettledMessages(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.send("", q, "held")
	c.wantBodies(q, "held")
	if n, err := c.QueueDelete(q, false, true, false); err != nil || n != 0 {
		t.Fatalf("deleted with %d messages, %v", n, err)
	}
}

// QUEUE-06
func TestDeclareTellsMessagesAndConsumers(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.sendAll("", q, "one", "two", "three")
	c.wantBodies(q, "one")
	c.qos(1)
	c.consumer(q, consumerSpec{}).wantBodies("two")
	state, err := c.QueueDeclare(q, false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.Messages != 1 || state.Consumers != 1 {
		t.Errorf("declare-ok tells %d messages and %d consumers", state.Messages, state.Consumers)
	}
}

// A queue of the same name is another queue.
func TestRecreatedQueueStartsEmpty(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.bind(q, "key", "amq.direct", nil)
	c.sendAll("", q, "one", "two")
	if n, err := c.QueueDelete(q, false, false, false); err != nil || n != 2 {
		t.Fatalf("deleted with %d messages, %v", n, err)
	}
	c.queue("q", queueSpec{})
	c.send("amq.direct", "key", "the binding went along")
	c.wantReady(q, 0)
}

// ERR-11: no answer to what succeeds, the usual close for what fails.
func TestNoWaitMethods(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, e, hub := c.name("q"), c.name("e"), c.name("hub")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.confirmMode() // the library waits for an answer to a confirm.select without one
	must(c.ExchangeDeclare(e, "fanout", false, false, false, true, nil))
	must(c.ExchangeDeclare(hub, "fanout", false, false, false, true, nil))
	_, err := c.QueueDeclare(q, false, false, false, true, nil)
	must(err)
	must(c.QueueBind(q, "", e, true, nil))
	must(c.ExchangeBind(e, "", hub, true, nil))
	c.sendConfirmed(hub, "", amqp.Publishing{Body: []byte("purged")})
	_, err = c.QueuePurge(q, true)
	must(err)
	c.sendConfirmed(hub, "", amqp.Publishing{Body: []byte("kept")})
	deliveries, err := c.Consume(q, "tag", true, false, false, true, nil)
	must(err)
	(&consumer{t, deliveries}).wantBodies("kept")
	must(c.Cancel("tag", true))
	must(c.ExchangeUnbind(e, "", hub, true, nil))
	must(c.ExchangeDelete(e, false, true))
	must(c.ExchangeDelete(hub, false, true))
	_, err = c.QueueDelete(q, false, false, true)
	must(err)
	_, err = c.QueueDeclarePassive(q, false, false, false, false, nil)
	wantError(t, err, 404, "NOT_FOUND - no queue '"+q+"' in vhost '/'")

	failing := c.newChannel()
	must(failing.QueueBind("noq", "", "amq.direct", true, nil))
	failing.wantClosed(404, "NOT_FOUND - no queue 'noq' in vhost '/'")
}
