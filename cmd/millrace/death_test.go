package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// withGrave declares a queue whose dead messages go to a second one.
func (c *channel) withGrave(args amqp.Table) (q, grave string) {
	c.t.Helper()
	dlx := c.exchange("dlx", "fanout", exchangeSpec{durable: true})
	grave = c.queue("grave", queueSpec{durable: true})
	c.bind(grave, "", dlx, nil)
	all := amqp.Table{"x-dead-letter-exchange": dlx}
	for key, value := range args {
		all[key] = value
	}
	return c.queue("q", queueSpec{durable: true, args: all}), grave
}

// buried waits for the next dead message.
func (c *channel) buried(grave string) amqp.Delivery {
	c.t.Helper()
	var got amqp.Delivery
	eventually(c.t, "dead message", func() bool {
		d, ok, err := c.Get(grave, true)
		if err != nil {
			c.t.Fatal(err)
		}
		got = d
		return ok
	})
	return got
}

// wantDeath checks the newest entry of x-death (DLX-05, DLX-06).
func wantDeath(t testing.TB, d amqp.Delivery, reason, queue string, count int64) amqp.Table {
	t.Helper()
	deaths, _ := d.Headers["x-death"].([]any)
	if len(deaths) == 0 {
		t.Fatalf("no x-death in %v", d.Headers)
	}
	death, _ := deaths[0].(amqp.Table)
	if death["reason"] != reason || death["queue"] != queue || death["count"] != count {
		t.Errorf("x-death %v, want reason %s, queue %s, count %d", death, reason, queue, count)
	}
	return death
}

// DLX-01, DLX-02, DLX-06, DLX-07: a rejected message.
func TestRejectedMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, grave := c.withGrave(nil)
	c.sendMessage("", q, amqp.Publishing{Body: []byte("m"), MessageId: "id", Headers: amqp.Table{"k": "v"}})
	c.must(c.fetch(q).Reject(false))
	got := c.buried(grave)
	death := wantDeath(t, got, "rejected", q, 1)
	if death["exchange"] != "" || got.MessageId != "id" || string(got.Body) != "m" || got.Headers["k"] != "v" {
		t.Errorf("dead letter %+v, death %v", got, death)
	}
	if keys, _ := death["routing-keys"].([]any); len(keys) != 1 || keys[0] != q {
		t.Errorf("routing keys %v", death["routing-keys"])
	}
	if got.Headers["x-first-death-reason"] != "rejected" || got.Headers["x-first-death-queue"] != q {
		t.Errorf("first death %v", got.Headers)
	}
	if got.RoutingKey != q || got.Exchange != c.name("dlx") {
		t.Errorf("published to %q with key %q", got.Exchange, got.RoutingKey)
	}
	c.wantReady(q, 0)
}

// DLX-07, DLX-09: what a publisher says of deaths means nothing.
func TestDeathsThatAPublisherMadeUpAreNotTold(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, grave := c.withGrave(nil)
	c.sendMessage("", q, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{
		"x-first-death-queue": "made up", "x-first-death-reason": "expired", "x-first-death-exchange": "made up",
	}})
	c.must(c.fetch(q).Reject(false))
	got := c.buried(grave)
	wantDeath(t, got, "rejected", q, 1)
	for what, want := range map[string]string{"queue": q, "reason": "rejected", "exchange": ""} {
		if first := got.Headers["x-first-death-"+what]; first != want {
			t.Errorf("first death's %s is %v, want %q", what, first, want)
		}
	}
}

// TTL-01, DLX-03: what the queue and the message say; the expiration goes, and is remembered.
func TestExpiredMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, grave := c.withGrave(amqp.Table{"x-message-ttl": int32(50)})
	c.sendMessage("", q, amqp.Publishing{Body: []byte("queue's")})
	wantDeath(t, c.buried(grave), "expired", q, 1)
	c.sendMessage("", q, amqp.Publishing{Body: []byte("its own"), Expiration: "20"})
	got := c.buried(grave)
	if death := wantDeath(t, got, "expired", q, 1); death["original-expiration"] != "20" || got.Expiration != "" {
		t.Errorf("expiration %q, death %v", got.Expiration, death)
	}
	c.wantReady(q, 0)
}

// TTL-02, ours: a message expires when its time is over, also behind one that stays (RabbitMQ waits for the head).
func TestMessageExpiresBehindOthers(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.send("", q, "stays")
	c.sendMessage("", q, amqp.Publishing{Body: []byte("goes"), Expiration: "20"})
	c.send("", q, "stays too")
	eventually(t, "expiry", func() bool { return c.ready(q) == 2 })
	c.wantBodies(q, "stays", "stays too")
}

// TTL-04: delivered only to who can take it at once.
func TestMessageWithoutTimeIsDeliveredAtOnceOrNever(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-message-ttl": int32(0)}})
	c.send("", q, "nobody is there")
	eventually(t, "expiry", func() bool { return c.ready(q) == 0 })
	consumer := c.consumer(q, consumerSpec{noAck: true})
	c.send("", q, "somebody is")
	consumer.wantBodies("somebody is")
}

// TTL-05: a message that comes back goes on waiting from when it first entered.
func TestReturnedMessageExpiresFromItsFirstEntry(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, grave := c.withGrave(nil)
	c.sendMessage("", q, amqp.Publishing{Body: []byte("m"), Expiration: "100"})
	c.must(c.fetch(q).Nack(false, true))
	wantDeath(t, c.buried(grave), "expired", q, 1)
}

// LEN-01, LEN-02: the oldest go.
func TestQueueThatIsTooLongGivesUpItsOldest(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q, grave := c.withGrave(amqp.Table{"x-max-length": int32(2)})
	c.sendAll("", q, "1", "2", "3", "4")
	for _, body := range []string{"1", "2"} {
		got := c.buried(grave)
		wantDeath(t, got, "maxlen", q, 1)
		if string(got.Body) != body {
			t.Errorf("gave up %q, want %q", got.Body, body)
		}
	}
	c.wantBodies(q, "3", "4")

	bytes := c.queue("bytes", queueSpec{args: amqp.Table{"x-max-length-bytes": int32(10)}})
	c.sendAll("", bytes, "123456", "abc", "defg")
	c.wantBodies(bytes, "abc", "defg")
	c.send("", bytes, "more than fits") // empties the queue and itself
	c.wantReady(bytes, 0)
}

// LEN-03, CONF-05: a queue that rejects; the others keep their copy.
func TestFullQueueRefusesAndThePublisherLearnsIt(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	args := amqp.Table{"x-max-length": int32(2), "x-overflow": "reject-publish"}
	full, other := c.queue("full", queueSpec{durable: true, args: args}), c.queue("other", queueSpec{durable: true})
	e := c.exchange("e", "fanout", exchangeSpec{})
	c.bind(full, "", e, nil)
	c.bind(other, "", e, nil)
	c.confirmMode()
	confirms := c.NotifyPublish(make(chan amqp.Confirmation, 8))
	for _, body := range []string{"1", "2", "3", "4"} {
		c.sendMessage(e, "", persistent(body))
	}
	for i := range 4 {
		got := await(t, "confirm", confirms).value
		if want := got.DeliveryTag <= 2; got.Ack != want {
			t.Errorf("confirm %d of %d: ack %v", i, got.DeliveryTag, got.Ack)
		}
	}
	c.wantBodies(full, "1", "2")
	c.wantBodies(other, "1", "2", "3", "4")
}

// DLX-08: a circle that nobody drives is cut, one with a rejection in it is not.
func TestDeathCircles(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	self := c.queue("self", queueSpec{args: amqp.Table{
		"x-dead-letter-exchange": "", "x-message-ttl": int32(20),
	}})
	c.send("", self, "m")
	eventually(t, "the end of the circle", func() bool { return c.ready(self) == 0 })

	again := c.queue("again", queueSpec{args: amqp.Table{"x-dead-letter-exchange": ""}})
	c.send("", again, "m")
	for count := range int64(3) {
		d := c.buriedHeld(again)
		if count > 0 {
			wantDeath(t, d, "rejected", again, count)
		}
		c.must(d.Reject(false))
	}
}

// buriedHeld waits for a message and holds it.
func (c *channel) buriedHeld(q string) amqp.Delivery {
	c.t.Helper()
	var got amqp.Delivery
	eventually(c.t, "message", func() bool {
		d, ok, err := c.Get(q, false)
		if err != nil {
			c.t.Fatal(err)
		}
		got = d
		return ok
	})
	return got
}

// DLX-04, Ours: dead messages are in the one queue or in the other, also after a crash.
func TestDeadMessagesSurviveACrash(t *testing.T) {
	needsProcess(t)
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q, grave := c.withGrave(amqp.Table{"x-message-ttl": int32(30)})
	c.confirmMode()
	for _, body := range []string{"1", "2", "3"} {
		c.sendConfirmed("", q, persistent(body))
	}
	b.Kill()
	b = startBroker(t, b.Dir)
	c = b.connect(t)
	for _, body := range []string{"1", "2", "3"} {
		if got := c.buried(grave); string(got.Body) != body {
			t.Errorf("found %q, want %q", got.Body, body)
		}
	}
	c.wantReady(q, 0)
}

// TTL-06: a queue that nobody uses.
func TestUnusedQueueExpires(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-expires": int32(200)}})
	consumer := c.consumer(q, consumerSpec{tag: "c", noAck: true})
	c.send("", q, "m")
	consumer.wantBodies("m")
	c.must(c.Cancel("c", false))
	returns := c.NotifyReturn(make(chan amqp.Return, 1000))
	eventually(t, "the queue's end", func() bool { // declaring it to see would keep it alive, publishing does not
		if err := c.Publish("", q, true, false, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		return len(returns) > 0
	})
}

// TTL-06: also a queue that never had a consumer.
func TestQueueThatNobodyEverUsedExpires(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-expires": int32(150)}})
	returns := c.NotifyReturn(make(chan amqp.Return, 1000))
	eventually(t, "the queue's end", func() bool {
		if err := c.Publish("", q, true, false, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		return len(returns) > 0
	})
}
