package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestMessagesArriveWithTheFlushAndInOrder(t *testing.T) { // ORD-01
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	for i := range 5 {
		c.stage(c.ch, "", q, persistent, fmt.Sprint(i))
	}
	want(t, "ready before the flush", c.ready(q), 0)
	c.flush()
	want(t, "ready after it", c.ready(q), 5)
	want(t, "order", c.drain(q), "0 1 2 3 4")
	c.flush() // nothing staged
	want(t, "ready after another", c.ready(q), 0)
}

func TestMessageIsStoredAsItCame(t *testing.T) { // WIRE-11, PUB-11
	t.Parallel()
	f := open(t)
	c := f.client()
	c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "fanout"})
	q := c.durable("q")
	c.bind("x", q, "")
	p := publication("x", "a.key", amqp.Properties{
		ContentType: "text/plain", DeliveryMode: amqp.Persistent, Priority: 3, Timestamp: 7, AppID: "app",
		Headers: amqp.Table{"zebra": int32(1), "apple": "pie", "nested": amqp.Table{"v": nil}},
	}, "in ", "", "three pieces")
	if routed, err := c.ch.Publish(p); !routed || err != nil {
		t.Fatalf("publish: %v, %v", routed, err)
	}
	c.flush()
	if found, err := c.Take(q, c.ch, true); !found || err != nil {
		t.Fatalf("get: %v, %v", found, err)
	}
	d := c.sink.take()[0]
	record, err := c.view.Record(d.LSN)
	if err != nil {
		t.Fatal(err)
	}
	got, err := record.Publish()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "body", string(got.Body), "in three pieces")
	want(t, "size", d.Size, uint32(len(got.Body)))
	want(t, "keys", string(got.Keys), string(p.Keys))
	want(t, "header", string(got.Header), string(p.Header.Raw))
}

func TestRouting(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	a, b := c.durable("a"), c.durable("b")
	c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "topic"})
	c.exchange(broker.ExchangeDeclaration{Name: "inner", Type: "fanout", Internal: true})
	c.bind("x", a, "k.#")
	c.bind("x", a, "k.*") // twice is once (ROUTE-01)
	c.bind("x", b, "k.1")
	for _, test := range []struct {
		exchange, key string
		a, b          int
	}{
		{"", "a", 1, 0},
		{"", "nobody", 0, 0},
		{"x", "k.1", 1, 1},
		{"x", "k.1.2", 1, 0},
		{"x", "other", 0, 0},
	} {
		before := [2]int{c.ready(a), c.ready(b)}
		routed := c.stage(c.ch, test.exchange, test.key, persistent, "m")
		c.flush()
		what := test.exchange + "/" + test.key
		want(t, what+" routed", routed, test.a+test.b > 0)
		want(t, what, [2]int{c.ready(a) - before[0], c.ready(b) - before[1]}, [2]int{test.a, test.b})
	}

	_, err := c.ch.Publish(publication("nox", "k", persistent, "m"))
	wantError(t, err, amqp.NotFound, amqp.BasicPublishID, "no exchange 'nox' in vhost '/'") // PUB-01
	_, err = c.ch.Publish(publication("inner", "k", persistent, "m"))
	wantError(t, err, amqp.AccessRefused, amqp.BasicPublishID, "cannot publish to internal exchange 'inner' in vhost '/'") // EXCH-09
}

func TestRouteOfAMessageFollowsTheTopology(t *testing.T) { // ROUTE-04
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "direct"})
	publish := func(want bool, when string) {
		t.Helper()
		if routed := c.stage(c.ch, "x", "k", persistent, "m"); routed != want {
			t.Errorf("%s: routed %v", when, routed)
		}
	}
	publish(false, "unbound")
	c.bind("x", q, "k")
	publish(true, "bound")
	if err := c.UnbindQueue("x", q, "k", nil); err != nil {
		t.Fatal(err)
	}
	publish(false, "unbound again")
	c.bind("x", q, "k")
	publish(true, "bound again")
	if _, err := c.DeleteQueue(q, false, false); err != nil {
		t.Fatal(err)
	}
	publish(false, "queue deleted")
	c.durable("q")
	publish(false, "queue made anew, without its bindings")
	c.flush() // two of them were routed to the queue that is gone (CONF-06)
	want(t, "ready in the new queue", c.ready(q), 0)
	if err := c.DeleteExchange("x", false); err != nil {
		t.Fatal(err)
	}
	_, err := c.ch.Publish(publication("x", "k", persistent, "m"))
	wantError(t, err, amqp.NotFound, amqp.BasicPublishID, "no exchange 'x' in vhost '/'")
}

func TestMessageToManyQueuesIsOneRecord(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	const queues = 40 // more than are written with each message
	for i := range queues {
		c.bind("amq.fanout", c.durable(fmt.Sprintf("q%d", i)), "")
	}
	for i := range 3 {
		c.stage(c.ch, "amq.fanout", "", persistent, fmt.Sprint(i))
	}
	c.flush()
	f.crash(loseIndex) // now from the log alone, where the queues are named once
	c = f.client()
	for i := range queues {
		want(t, "after a crash", c.ready(fmt.Sprintf("q%d", i)), 3)
	}
	want(t, "messages of one", c.drain("q7"), "0 1 2")
}

func TestFullAsksForAFlush(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	body := strings.Repeat("x", 100_000)
	n := 0
	for !c.Full() {
		c.stage(c.ch, "", q, persistent, body)
		n++
	}
	if n < 5 || n > 20 {
		t.Errorf("full after %d messages of 100 kB", n)
	}
	c.flush()
	if c.Full() {
		t.Error("full right after a flush")
	}
	want(t, "ready", c.ready(q), n)
}

func TestMessageLargerThanASegment(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 16 << 10})
	c := f.client()
	q := c.durable("q")
	body := strings.Repeat("large ", 20_000)
	c.sendConfirmed(q, "small", body, "small")
	want(t, "messages", c.drain(q) == "small "+body+" small", true)
}

func TestHeadersThatCannotBeDecodedAreTheConnectionsFault(t *testing.T) { // WIRE-14
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.bind("amq.headers", q, "")
	p := publication("amq.headers", "", amqp.Properties{Headers: amqp.Table{"k": "v"}}, "m")
	raw := append([]byte(nil), p.Header.Raw...)
	raw[len(raw)-6] = '?' // the value's type
	header, err := amqp.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	p.Header = header
	for _, keys := range []amqp.Keys{amqp.MakeKeys("amq.headers", ""), amqp.MakeKeys("", q)} { // CC could be anywhere
		p.Keys = keys
		_, err = c.ch.Publish(p)
		if e, ok := err.(*amqp.Error); !ok || !e.Code.Connection() {
			t.Errorf("%q: error %v, want one that ends the connection", keys, err)
		}
	}
	c.flush()
}

func TestDeliveriesOfOneFlushKeepTheirOrder(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	a, b := c.queue(broker.QueueDeclaration{Name: "a"}), c.queue(broker.QueueDeclaration{Name: "b"})
	c.consume(a, queue.Consumer{Tag: "a", NoAck: true})
	c.consume(b, queue.Consumer{Tag: "b", NoAck: true})
	for i := range 6 {
		c.stage(c.ch, "", []string{"a", "b"}[i%2], persistent, fmt.Sprint(i))
	}
	c.flush()
	c.sink.await(t, "deliveries", func() bool { return len(c.sink.mu.deliveries) == 6 })
	for i, d := range c.sink.take() {
		want(t, "tag", d.Tag, queue.Tag(i+1))
	}
}
