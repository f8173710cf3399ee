package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	direct "github.com/millrace-mq/millrace/server/client"
)

var roundTripMessages = flag.Int("roundtrip.messages", 2000, "messages that go through an archive and come back")

// roundTripQueues are bound so that most messages go to one queue and some to several.
var roundTripQueues = []string{"trip.direct", "trip.topic", "trip.all", "trip.headers", "trip.default"}

// publishMixed makes a topology and publishes n messages: persistent and transient, empty and up to a mebibyte, with each
// property and each type of header, and keys in CC and BCC headers.
func publishMixed(t *testing.T, url string, n int) {
	t.Helper()
	conn := dialClient(t, url)
	call := func(m amqp.Method, answer amqp.MethodID) {
		t.Helper()
		if _, err := conn.Call(direct.FirstChannel, m, answer); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range roundTripQueues {
		call(&amqp.QueueDeclare{Queue: name, Durable: true}, amqp.QueueDeclareOkID)
	}
	for name, kind := range map[string]string{"trip.d": "direct", "trip.t": "topic", "trip.f": "fanout", "trip.h": "headers"} {
		call(&amqp.ExchangeDeclare{Exchange: name, Type: kind, Durable: true}, amqp.ExchangeDeclareOkID)
	}
	for _, b := range []amqp.QueueBind{
		{Queue: "trip.direct", Exchange: "trip.d", RoutingKey: "a"},
		{Queue: "trip.all", Exchange: "trip.d", RoutingKey: "copy"},
		{Queue: "trip.topic", Exchange: "trip.t", RoutingKey: "*.b.#"},
		{Queue: "trip.all", Exchange: "trip.t", RoutingKey: "#.all"},
		{Queue: "trip.all", Exchange: "trip.f"},
		{Queue: "trip.headers", Exchange: "trip.h", Arguments: amqp.Table{"x-match": "any", "short": "text"}},
	} {
		call(&b, amqp.QueueBindOkID)
	}
	p, err := direct.NewPublisher(conn, direct.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := p.Publish(t.Context(), mixedMessage(i, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// mixedMessage is the message i of n.
func mixedMessage(i, n int) direct.Publishing {
	places := [][2]string{
		{"trip.d", "a"}, {"trip.t", "a.b.c"}, {"trip.t", "a.b.all"}, {"trip.f", "whatever"}, {"trip.h", ""}, {"", "trip.default"},
	}
	place := places[i%len(places)]
	size := i * 37 % 400
	switch {
	case i%max(n/10, 1) == 1:
		size = 1 << 20
	case i%97 == 0:
		size = 0
	case i%max(n/100, 1) == 2:
		size = 5000 + i%20_000
	}
	body := make([]byte, size)
	for at := range body {
		body[at] = byte(i + at*at>>8)
	}
	properties := amqp.Properties{DeliveryMode: uint8(i % 3)} // absent, transient, persistent
	if place[0] == "trip.h" || i%5 == 0 {
		properties.Present |= amqp.PropertyHeaders
		properties.Headers = amqp.Table{"short": "text", "number": int32(i)}
	}
	if i%7 == 0 {
		properties = everyProperty(i)
	}
	if i%50 == 0 && place[0] == "trip.d" {
		properties.Headers = amqp.Table{"CC": []any{"copy"}, "n": int64(i)}
	}
	if i%50 == 6 && place[0] == "trip.d" {
		properties.Headers = amqp.Table{"BCC": []any{"copy"}, "n": int64(i)}
	}
	return direct.Publishing{Keys: amqp.MakeKeys(place[0], place[1]), Header: amqp.AppendHeader(nil, uint64(size), &properties), Body: body}
}

// everyProperty has all properties, and headers of all types that brokers know.
func everyProperty(i int) amqp.Properties {
	return amqp.Properties{
		ContentType: "application/json", ContentEncoding: "identity", DeliveryMode: amqp.Persistent, Priority: uint8(i % 10),
		CorrelationID: fmt.Sprint("correlation ", i), ReplyTo: "answers", Expiration: "86400000", MessageID: fmt.Sprint("m-", i),
		Timestamp: amqp.Timestamp(1_700_000_000 + i), Type: "mixed", UserID: "guest", AppID: "roundtrip", ClusterID: "c",
		Headers: amqp.Table{
			"short": "text", "bool": i%2 == 0, "int8": int8(-1), "uint8": uint8(200), "int16": int16(-300), "uint16": uint16(60_000),
			"int32": int32(-i), "uint32": uint32(1 << 31), "int64": int64(-1 << 60), "float32": float32(0.5), "float64": 1e300,
			"decimal": amqp.Decimal{Scale: 2, Value: 12345}, "octets": []byte{0, 1, 0xff}, "timestamp": amqp.Timestamp(1_600_000_000),
			"table": amqp.Table{"deep": amqp.Table{"deeper": "text"}}, "array": []any{int32(1), "two", nil, amqp.Table{}}, "void": nil,
			"empty": "",
		},
	}
}

func dialClient(t *testing.T, url string) *direct.Conn {
	t.Helper()
	a, err := direct.ParseURL(url, direct.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := direct.Dial(context.WithoutCancel(t.Context()), a, direct.Config{Product: "round trip"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.HangUp)
	return conn
}

// drained is what a queue gave: a sum of each message's content header and body, in order.
type drained [][8]byte

// drainRaw consumes all that a queue has.
func drainRaw(t *testing.T, url, queue string) (got drained) {
	t.Helper()
	conn := dialClient(t, url)
	m, err := conn.Call(direct.FirstChannel, &amqp.QueueDeclare{Queue: queue, Passive: true}, amqp.QueueDeclareOkID)
	if err != nil {
		t.Fatal(err)
	}
	want := int(m.(*amqp.QueueDeclareOk).MessageCount)
	if want == 0 {
		return nil
	}
	if err := conn.Send(direct.FirstChannel, &amqp.BasicConsume{Queue: queue, ConsumerTag: "c", NoAck: true}); err != nil {
		t.Fatal(err)
	}
	conn.SetTimeout(10 * time.Minute)
	sum, missing := sha256.New(), uint64(0)
	for len(got) < want {
		f, ok, err := conn.Next()
		if err == nil && !ok {
			err = conn.Fill()
		}
		if err != nil {
			t.Fatalf("%s: %d of %d messages: %v", queue, len(got), want, err)
		}
		if !ok || f.Type == amqp.FrameMethod {
			continue
		}
		sum.Write(f.Payload)
		if f.Type == amqp.FrameHeader {
			missing = binary.BigEndian.Uint64(f.Payload[4:])
		} else {
			missing -= uint64(len(f.Payload))
		}
		if missing == 0 {
			got = append(got, [8]byte(sum.Sum(nil)))
			sum.Reset()
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return got
}

// wantSame checks that queues give what they gave elsewhere, and reports how many messages that were.
func wantSame(t *testing.T, url string, want map[string]drained) {
	t.Helper()
	total := 0
	for _, queue := range roundTripQueues {
		got := drainRaw(t, url, queue)
		total += len(got)
		if len(got) != len(want[queue]) {
			t.Errorf("queue %s: %d messages, want %d", queue, len(got), len(want[queue]))
			continue
		}
		for i := range got {
			if got[i] != want[queue][i] {
				t.Errorf("queue %s: message %d of %d is another, or has other properties", queue, i, len(got))
				break
			}
		}
	}
	t.Logf("%d messages in %d queues are the same, properties and bodies, in the same order", total, len(roundTripQueues))
}

// run runs millrace, however long it takes, and returns what it printed.
func run(t *testing.T, args ...string) string {
	t.Helper()
	began := time.Now()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binaryPath(t), args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("millrace %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	t.Logf("%.1f s: millrace %s: %s", time.Since(began).Seconds(), strings.Join(args[:2], " "), bytes.TrimSpace(out))
	return string(out)
}

// Messages of all kinds go through an archive to a broker and to a RabbitMQ, and come out octet for octet, each queue's in its
// order.
func TestMessagesComeThroughAnArchiveAsTheyAre(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	dir := t.TempDir()
	b := startBroker(t, filepath.Join(dir, "data"))
	publishMixed(t, b.URL, *roundTripMessages)
	file := filepath.Join(dir, "trip.archive")
	args := []string{"log", "export", "--data", filepath.Join(dir, "data"), "--held", "-o", file}
	for _, name := range roundTripQueues {
		args = append(args, "--queue", name)
	}
	run(t, args...)
	want := map[string]drained{}
	for _, name := range roundTripQueues {
		if want[name] = drainRaw(t, b.URL, name); len(want[name]) < *roundTripMessages/len(roundTripQueues)/2 {
			t.Fatalf("%d messages in %s", len(want[name]), name)
		}
	}
	t.Run("imported to Millrace", func(t *testing.T) {
		other := startBroker(t, filepath.Join(dir, "other"))
		run(t, "log", "import", file, "--url", other.URL, "--declare")
		wantSame(t, other.URL, want)
	})
	t.Run("replayed to RabbitMQ", func(t *testing.T) {
		home := rabbitMQHome()
		if home == "" {
			t.Skip("rabbitmq-server is not installed; Debian has it")
		}
		r := startRabbitMQ(t, home)
		run(t, "replay", "--archive", file, "--to-url", r.url, "--declare", "--flat-out", "--no-headers")
		wantSame(t, r.url, want)
	})
}
