package load

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

func TestCatalogueIsValid(t *testing.T) {
	names := map[string]bool{}
	for _, w := range Catalogue() {
		if err := w.Validate(); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
		if names[w.Name] {
			t.Errorf("two workloads are named %s", w.Name)
		}
		names[w.Name] = true
	}
}

// TestEveryQueueHasMessages: a workload that leaves a queue without messages measures something else
// than it says, and what is expected must be what the routes of all messages add up to.
func TestEveryQueueHasMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Workload{
			Name:      "test",
			Producers: rapid.IntRange(1, 7).Draw(t, "producers"),
			Queues:    rapid.IntRange(1, 7).Draw(t, "queues"),
			Exchange:  rapid.SampledFrom([]ExchangeKind{ExchangeDefault, ExchangeDirect, ExchangeFanout, ExchangeTopic, ExchangeHeaders}).Draw(t, "exchange"),
			Bindings:  rapid.IntRange(7, 9).Draw(t, "bindings"),
		}
		messages := w.Producers * rapid.IntRange(9, 60).Draw(t, "share")
		counts, sent := make([]uint64, w.Queues), make([]uint64, w.Producers)
		routing := w.routing()
		for producer := range w.Producers {
			routes := routing.of(producer)
			sent[producer] = uint64(w.share(messages, producer))
			for n := range sent[producer] {
				for _, q := range routes[n%uint64(len(routes))].queues {
					counts[q]++
				}
			}
		}
		for q, want := range routing.expected(sent) {
			if counts[q] != want || want == 0 {
				t.Fatalf("queue %d: %d messages, expected %d", q, counts[q], want)
			}
		}
	})
}

// TestMagazineEncodesWhatTheWorkloadSays decodes what would be sent.
func TestMagazineEncodesWhatTheWorkloadSays(t *testing.T) {
	const frameMax = amqp.MinFrameMax
	for _, size := range []int{0, 15, 16, 1000, 10_000} {
		w := Workload{Name: "test", Exchange: ExchangeDefault, Size: Bytes(size), Persistent: true, Producers: 1, Queues: 3}
		routes := w.routing().of(0)
		const first = 1001 // another one sent a thousand before
		m := newMagazine(&w, routes, client.FirstChannel, first, frameMax)
		next := uint64(first)
		for next < first+1000 {
			octets, n := m.take(7, func(i int) stamp { return stamp{producer: 5, sequence: next + uint64(i)} })
			for range n {
				octets = checkPublish(t, octets, size, routes[next%3].key, stamp{producer: 5, sequence: next})
				next++
			}
			if len(octets) != 0 {
				t.Fatalf("%d octets too many", len(octets))
			}
		}
	}
}

// checkPublish checks the message at the start of octets and returns what follows it.
func checkPublish(t *testing.T, octets []byte, size int, key string, want stamp) []byte {
	t.Helper()
	take := func(kind amqp.FrameType) []byte {
		f, n, err := amqp.ParseFrame(octets, amqp.MinFrameMax)
		if err != nil || n == 0 || f.Type != kind || f.Channel != client.FirstChannel {
			t.Fatalf("frame %+v, %v", f, err)
		}
		octets = octets[n:]
		return f.Payload
	}
	var publish amqp.BasicPublish
	if err := publish.Decode(take(amqp.FrameMethod)); err != nil {
		t.Fatal(err)
	}
	if got := string(publish.Keys.RoutingKey()); got != key {
		t.Fatalf("routing key %q, want %q", got, key)
	}
	header, err := amqp.ParseHeader(take(amqp.FrameHeader))
	if err != nil || header.DeliveryMode != amqp.Persistent || header.BodySize != uint64(size) {
		t.Fatalf("header %+v, %v", header, err)
	}
	var body []byte
	for len(body) < size {
		body = append(body, take(amqp.FrameBody)...)
	}
	if len(body) != size {
		t.Fatalf("%d octets of body, want %d", len(body), size)
	}
	if size >= stampSize && parseStamp(body) != want {
		t.Fatalf("stamp %+v, want %+v", parseStamp(body), want)
	}
	return octets
}

func TestPacerCatchesUp(t *testing.T) {
	p := pacer{start: time.Second, interval: 200 * time.Microsecond}
	for now, want := range map[time.Duration]uint64{
		0:                                     0,
		time.Second - 1:                       0,
		time.Second:                           1,
		time.Second + 199*time.Microsecond:    1,
		time.Second + 200*time.Microsecond:    2,
		2*time.Second - 1:                     5000,
		time.Second + 1000*time.Millisecond/2: 2501,
	} {
		if got := p.ready(now); got != want {
			t.Errorf("at %v: %d are due, want %d", now, got, want)
		}
	}
	if got := p.due(5000); got != 2*time.Second {
		t.Errorf("message 5000 is due at %v", got)
	}
}

func TestPreciseSleepIsNotShort(t *testing.T) {
	start := time.Now()
	sleepPrecisely(2 * time.Millisecond)
	if slept := time.Since(start); slept < 2*time.Millisecond {
		t.Errorf("slept %v", slept)
	}
	sleepPrecisely(-1)
}
