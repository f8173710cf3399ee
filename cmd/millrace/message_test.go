package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// WIRE-02, WIRE-04: bodies around the borders of frames, and far past them.
func TestBodiesOfEverySize(t *testing.T) {
	t.Parallel()
	const frame = 131072 - 8 // the body bytes of one frame
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	c.confirmMode()
	c.qos(1)
	pushed := c.consumer(q, consumerSpec{})
	random := rand.NewChaCha8([32]byte{})
	for _, size := range []int{
		0, 1, 7, 4095, 4096, 4097, frame - 1, frame, frame + 1, 2 * frame, 3*frame + 5, 1 << 20, 5<<20 + 3,
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			body := make([]byte, size)
			_, _ = random.Read(body)
			for range 2 {
				c.sendConfirmed("", q, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
			}
			got := pushed.next()
			if sha256.Sum256(got.Body) != sha256.Sum256(body) {
				t.Errorf("delivered %d other bytes", len(got.Body))
			}
			// The second one comes by basic.get, while the consumer is at its limit.
			other := c.newChannel()
			if sha256.Sum256(other.fetch(q).Body) != sha256.Sum256(body) {
				t.Error("basic.get gave other bytes")
			}
			if err := other.Ack(0, true); err != nil {
				t.Fatal(err)
			}
			if err := got.Ack(false); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// WIRE-07: the contents of several channels interleave on one connection.
func TestLargeBodiesOnManyChannelsAtOnce(t *testing.T) {
	t.Parallel()
	const channels, size = 8, 1 << 20
	b := newBroker(t)
	c, publisher := b.connect(t), b.connect(t)
	sent := make(chan error, channels)
	var consumers []*consumer
	for i := range channels {
		q := c.declare("", queueSpec{exclusive: true})
		consumers = append(consumers, c.newChannel().consumer(q, consumerSpec{noAck: true}))
		ch := publisher.newChannel()
		go func() {
			var err error
			for range 3 {
				if err == nil {
					err = ch.Publish("", q, false, false, amqp.Publishing{Body: bytes.Repeat([]byte{byte('a' + i)}, size)})
				}
			}
			sent <- err
		}()
	}
	for range channels {
		if err := await(t, "end of a publisher", sent).value; err != nil {
			t.Fatal(err)
		}
	}
	for i, consumer := range consumers {
		for range 3 {
			if body := consumer.next().Body; !bytes.Equal(body, bytes.Repeat([]byte{byte('a' + i)}, size)) {
				t.Fatalf("channel %d got %d other bytes", i, len(body))
			}
		}
	}
}

// WIRE-10, WIRE-11, PUB-11
func TestPropertiesAndHeadersArriveAsSent(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	second := time.Unix(1700000000, 0)
	sent := amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "gzip", DeliveryMode: amqp.Persistent, Priority: 7,
		CorrelationId: "correlation", ReplyTo: "reply", Expiration: "600000", MessageId: "message",
		Timestamp: second, Type: "type", UserId: "guest", AppId: "app",
		Headers: amqp.Table{
			"bool": true, "unsigned byte": byte(200), "byte": int8(-5), "short": int16(-300), "unsigned short": uint16(65000),
			"int": int32(-70000), "unsigned int": uint32(4000000000), "long": int64(-1 << 60),
			"float": float32(1.5), "double": 2.25, "decimal": amqp.Decimal{Scale: 2, Value: 12345},
			"text": "Grüße", "empty": "", "bytes": []byte{0, 1, 255}, "time": second, "void": nil,
			"list":  []any{int32(1), "two", nil, []any{true}, amqp.Table{"deep": int64(3)}},
			"table": amqp.Table{"inner": amqp.Table{"k": "v"}, "none": amqp.Table{}},
		},
		Body: []byte("body"),
	}
	c.sendMessage("", q, sent)
	c.sendMessage("", q, amqp.Publishing{Body: []byte("bare")})
	if !b.External() { // they must be the same after a restart, too
		c.close()
		c = b.restart(t).connect(t)
	}
	got := c.wantBodies(q, "body")[0]
	back := amqp.Publishing{
		Headers: got.Headers, ContentType: got.ContentType, ContentEncoding: got.ContentEncoding,
		DeliveryMode: got.DeliveryMode, Priority: got.Priority, CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo,
		Expiration: got.Expiration, MessageId: got.MessageId, Timestamp: got.Timestamp, Type: got.Type,
		UserId: got.UserId, AppId: got.AppId, Body: got.Body,
	}
	for key := range sent.Headers {
		if !reflect.DeepEqual(back.Headers[key], sent.Headers[key]) {
			t.Errorf("header %s is %#v, want %#v", key, back.Headers[key], sent.Headers[key])
		}
	}
	back.Headers, sent.Headers = nil, nil
	if !reflect.DeepEqual(back, sent) {
		t.Errorf("got  %+v\nwant %+v", back, sent)
	}
	if !b.External() {
		return // the bare message is transient
	}
	bare := c.wantBodies(q, "bare")[0]
	if len(bare.Headers) != 0 || bare.ContentType != "" || bare.DeliveryMode != 0 || !bare.Timestamp.IsZero() {
		t.Errorf("properties were added: %+v", bare)
	}
}

// PUB-09, WIRE-15: default limit of 4.x
func TestMessageAboveTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	if c.is3() {
		t.Skip("the limit of 3.x is larger")
	}
	q := c.queue("q", queueSpec{})
	other := c.newChannel()
	const size = 16<<20 + 1
	other.sendMessage("", q, amqp.Publishing{Body: make([]byte, size)})
	other.wantClosed(406, "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216")
	c.send("", q, "the connection goes on")
	c.wantBodies(q, "the connection goes on")
}

// WIRE-13: a name may be as long as the wire allows and hold any text.
func TestLongAndUnusualNames(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	long := string(bytes.Repeat([]byte("n"), 255))
	for _, name := range []string{long, "with space / and ünïcode", "a.*.#", "\x00zero"} {
		t.Run(name[:min(len(name), 20)], func(t *testing.T) {
			ch := c.newChannel()
			q := ch.declare(name, queueSpec{})
			ch.bind(q, name, "amq.direct", nil)
			ch.send("amq.direct", name, "body")
			got := ch.wantBodies(q, "body")[0]
			if got.RoutingKey != name {
				t.Errorf("routing key %q", got.RoutingKey)
			}
		})
	}
}
