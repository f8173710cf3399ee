package amqp_test

import (
	"bytes"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	client "github.com/rabbitmq/amqp091-go"

	"github.com/millrace-mq/millrace/server/amqp"
)

// peer is the server's side of a connection to a client that does not share our codec. It answers what
// the script says; a wrong step closes the connection, so the client fails too.
type peer struct {
	t    *testing.T
	conn net.Conn
	buf  []byte
}

// read returns the next frame that is no heartbeat. It is the caller's for good.
func (p *peer) read() amqp.Frame {
	for {
		f, n, err := amqp.ParseFrame(p.buf, 131072)
		if err != nil {
			p.fail("parse: %v", err)
			return amqp.Frame{}
		}
		if n == 0 {
			chunk := make([]byte, 4096)
			n, err := p.conn.Read(chunk)
			if err != nil {
				p.fail("read: %v", err)
				return amqp.Frame{}
			}
			p.buf = append(p.buf, chunk[:n]...)
			continue
		}
		f.Payload = bytes.Clone(f.Payload)
		p.buf = p.buf[n:]
		if f.Type != amqp.FrameHeartbeat {
			return f
		}
	}
}

// expect reads a method and compares it; nil compares nothing.
func (p *peer) expect(want, example amqp.Method) amqp.Method {
	f := p.read()
	got, err := amqp.DecodeMethod(f.Payload)
	switch {
	case f.Type != amqp.FrameMethod || err != nil:
		p.fail("got frame %+v, %v", f, err)
	case got.ID() != example.ID():
		p.fail("got %v, want %v", got.ID(), example.ID())
	case want != nil && !reflect.DeepEqual(got, want):
		p.fail("got %+v, want %+v", got, want)
	}
	return got
}

func (p *peer) send(channel uint16, methods ...amqp.Method) {
	var out []byte
	for _, m := range methods {
		out = amqp.AppendMethod(out, channel, m)
	}
	p.write(out)
}

func (p *peer) write(out []byte) {
	if _, err := p.conn.Write(out); err != nil {
		p.fail("write: %v", err)
	}
}

func (p *peer) fail(format string, args ...any) {
	p.t.Errorf(format, args...)
	_ = p.conn.Close()
}

func (p *peer) handshake() {
	header := make([]byte, 8)
	if _, err := io.ReadFull(p.conn, header); err != nil {
		p.fail("read: %v", err)
		return
	}
	if protocol, _ := amqp.ParseProtocolHeader(header); protocol != amqp.ProtocolAMQP091 {
		p.fail("client speaks %v", protocol)
		return
	}
	p.send(0, &amqp.ConnectionStart{
		VersionMinor: 9, ServerProperties: amqp.Table{"product": "RabbitMQ"}, Mechanisms: "PLAIN AMQPLAIN", Locales: "en_US",
	})
	start, ok := p.expect(nil, &amqp.ConnectionStartOk{}).(*amqp.ConnectionStartOk)
	if !ok || start.Mechanism != "PLAIN" || start.Response != "\x00guest\x00secret" || start.ClientProperties["product"] != "test" {
		p.fail("got %+v", start)
	}
	p.send(0, &amqp.ConnectionTune{ChannelMax: 2047, FrameMax: 8192})
	p.expect(&amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 8192}, &amqp.ConnectionTuneOk{})
	p.expect(&amqp.ConnectionOpen{VirtualHost: "/"}, &amqp.ConnectionOpen{})
	p.send(0, &amqp.ConnectionOpenOk{})
	p.expect(&amqp.ChannelOpen{}, &amqp.ChannelOpen{})
	p.send(1, &amqp.ChannelOpenOk{})
}

// serve answers what TestAnotherCodecUnderstandsOurs does, and sends the content published back as a
// delivery with its header and keys untouched.
func (p *peer) serve(args amqp.Table) {
	p.handshake()
	p.expect(&amqp.QueueDeclare{Queue: "q", Durable: true, AutoDelete: true, Arguments: args}, &amqp.QueueDeclare{})
	p.send(1, &amqp.QueueDeclareOk{Queue: "q", MessageCount: 3, ConsumerCount: 4})
	p.expect(&amqp.BasicQos{PrefetchCount: 10, Global: true}, &amqp.BasicQos{})
	p.send(1, &amqp.BasicQosOk{})
	p.expect(&amqp.BasicConsume{Queue: "q", ConsumerTag: "tag", Exclusive: true, Arguments: amqp.Table{}}, &amqp.BasicConsume{})
	p.send(1, &amqp.BasicConsumeOk{ConsumerTag: "tag"})

	var publish amqp.BasicPublish
	f := p.read()
	if err := publish.Decode(f.Payload); err != nil || amqp.PeekMethod(f.Payload) != amqp.BasicPublishID {
		p.fail("publish: %v", err)
	}
	header, err := amqp.ParseHeader(p.read().Payload)
	if err != nil {
		p.fail("header: %v", err)
	}
	var body []byte
	for uint64(len(body)) < header.BodySize && !p.t.Failed() {
		body = append(body, p.read().Payload...)
	}
	out := amqp.BeginFrame(nil, amqp.FrameMethod, 1)
	out = amqp.AppendDeliver(out, "tag", 1<<40, true, publish.Keys)
	out = amqp.EndFrame(out, 0)
	p.write(amqp.AppendContent(out, 1, header.Raw, body, 4096))

	p.expect(&amqp.BasicNack{DeliveryTag: 1 << 40, Multiple: true, Requeue: true}, &amqp.BasicNack{})
	p.expect(&amqp.ExchangeUnbind{Destination: "d", Source: "s", RoutingKey: "k", Arguments: amqp.Table{}}, &amqp.ExchangeUnbind{})
	p.send(1, amqp.Errorf(amqp.NotFound, amqp.ExchangeUnbindID, "no exchange").ChannelClose())
	p.expect(&amqp.ChannelCloseOk{}, &amqp.ChannelCloseOk{})
	p.expect(nil, &amqp.ConnectionClose{})
	p.send(0, &amqp.ConnectionCloseOk{})
}

func TestAnotherCodecUnderstandsOurs(t *testing.T) {
	theirs, ours := net.Pipe()
	_ = ours.SetDeadline(time.Now().Add(10 * time.Second)) // a lost step fails instead of hanging
	args := amqp.Table{
		"bool": true, "i8": int8(-1), "u8": uint8(200), "i16": int16(-2), "u16": uint16(3), "i32": int32(4), "u32": uint32(5),
		"i64": int64(-6), "f32": float32(1.5), "f64": 2.5, "dec": amqp.Decimal{Scale: 2, Value: 314}, "s": "string",
		"bin": []byte{1, 2}, "time": amqp.Timestamp(1700000000), "void": nil,
		"array": []any{int32(1), "two"}, "table": amqp.Table{"k": false},
	}
	theirArgs := client.Table{
		"bool": true, "i8": int8(-1), "u8": uint8(200), "i16": int16(-2), "u16": uint16(3), "i32": int32(4), "u32": uint32(5),
		"i64": int64(-6), "f32": float32(1.5), "f64": 2.5, "dec": client.Decimal{Scale: 2, Value: 314}, "s": "string",
		"bin": []byte{1, 2}, "time": time.Unix(1700000000, 0), "void": nil,
		"array": []any{int32(1), "two"}, "table": client.Table{"k": false},
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		(&peer{t: t, conn: ours}).serve(args)
	}()
	defer func() { <-served }()
	defer func() { _ = theirs.Close() }()

	conn, err := client.Open(theirs, client.Config{
		SASL:  []client.Authentication{&client.PlainAuth{Username: "guest", Password: "secret"}},
		Vhost: "/", Properties: client.Table{"product": "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	queue, err := channel.QueueDeclare("q", true, true, false, false, theirArgs)
	if err != nil || queue.Messages != 3 || queue.Consumers != 4 {
		t.Fatal(queue, err)
	}
	if err := channel.Qos(10, 0, true); err != nil {
		t.Fatal(err)
	}
	deliveries, err := channel.Consume("q", "tag", false, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	message := client.Publishing{
		ContentType: "text/plain", ContentEncoding: "gzip", Headers: theirArgs, DeliveryMode: 2, Priority: 9,
		CorrelationId: "c", ReplyTo: "r", Expiration: "1000", MessageId: "m", Timestamp: time.Unix(1700000000, 0),
		Type: "t", UserId: "guest", AppId: "a", Body: bytes.Repeat([]byte("body"), 5000),
	}
	if err := channel.PublishWithContext(t.Context(), "exchange", "routing.key", true, false, message); err != nil {
		t.Fatal(err)
	}
	d := <-deliveries
	got := client.Publishing{
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, Headers: d.Headers, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId, Timestamp: d.Timestamp,
		Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	}
	if !reflect.DeepEqual(got, message) {
		t.Errorf("got  %+v\nwant %+v", got, message)
	}
	if d.ConsumerTag != "tag" || d.DeliveryTag != 1<<40 || !d.Redelivered || d.Exchange != "exchange" || d.RoutingKey != "routing.key" {
		t.Errorf("got %+v", d)
	}
	if err := d.Nack(true, true); err != nil {
		t.Fatal(err)
	}
	err = channel.ExchangeUnbind("d", "k", "s", false, nil)
	if e, ok := err.(*client.Error); !ok || e.Code != 404 || e.Reason != "NOT_FOUND - no exchange" {
		t.Errorf("got %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
