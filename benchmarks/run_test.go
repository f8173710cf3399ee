package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// smallSegment makes a server start fast and change segments.
const smallSegment = 1 << 20

// tiny shrinks a workload for a test.
func tiny(w Workload) Workload {
	w.Messages = 500
	w.Bindings = min(w.Bindings, 50)
	if w.Rate > 0 {
		w.Messages = 100
	}
	return w
}

func TestEveryWorkloadRunsWithoutFault(t *testing.T) {
	target := startServer(t, smallSegment)
	for _, w := range Catalogue() {
		t.Run(w.Name, func(t *testing.T) {
			m := measurement{workload: tiny(w), target: target, patience: defaultPatience}
			results, err := m.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var published, delivered, expected uint64
			for _, r := range results {
				if r.Failed() {
					t.Errorf("%s: %s", r.title(), r.faults())
				}
				if (r.Confirm == nil) != (w.Rate == 0) || (r.EndToEnd == nil) != (w.Rate == 0) {
					t.Errorf("latencies %v and %v", r.Confirm, r.EndToEnd)
				}
				published += r.Published
				delivered += r.Delivered
			}
			for _, n := range m.workload.expected() {
				expected += uint64(n)
			}
			if published != uint64(m.workload.Messages) || delivered != expected {
				t.Errorf("%d published and %d of %d delivered", published, delivered, expected)
			}
		})
	}
}

func TestBenchReportsJSON(t *testing.T) {
	broker := startServer(t, smallSegment)
	var out, errOut bytes.Buffer
	args := []string{"--url", "amqp://" + broker.address, "--workload", "confirm-1k", "--messages", "300", "--json"}
	if code := Run(t.Context(), args, nil, &out, &errOut); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	var got struct{ Results []Result }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 1 || got.Results[0].Published != 300 || got.Results[0].Delivered != 300 {
		t.Errorf("got %+v", got.Results)
	}
}

func TestBenchExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broker := startServer(t, smallSegment)
	tests := []struct {
		name string
		ctx  context.Context
		args []string
		want int
	}{
		{"help", t.Context(), []string{"--help"}, exitOK},
		{"list", t.Context(), []string{"--list"}, exitOK},
		{"usage", t.Context(), []string{"--workload", "nonsense"}, exitUsage},
		{"nobody listens", t.Context(), []string{"--url", "amqp://127.0.0.1:1", "--workload", "confirm-1k"}, exitFailed},
		{"wrong password", t.Context(), []string{"--url", "amqp://guest:wrong@" + broker.address, "--workload", "confirm-1k"}, exitFailed},
		{"interrupted", cancelled, []string{"--url", "amqp://" + broker.address}, exitFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if code := Run(test.ctx, test.args, nil, &out, &errOut); code != test.want {
				t.Errorf("exit code %d, want %d: %s", code, test.want, errOut.String())
			}
			if said := out.Len() + errOut.Len(); said == 0 {
				t.Error("not a word")
			}
		})
	}
}

// TestRunGivesUpWhenNothingMoves: somebody unbinds one of the queues, so its messages never come.
func TestRunGivesUpWhenNothingMoves(t *testing.T) {
	broker := startServer(t, smallSegment)
	w, _ := findWorkload("fanout-10")
	w = tiny(w)
	m := measurement{workload: w, target: broker, patience: time.Second}
	unbind := func(ctx context.Context) {
		c, err := dial(ctx, broker)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := c.call(&amqp.QueueUnbind{Queue: w.queueName(3), Exchange: w.exchangeName(), RoutingKey: w.pattern(3)}, amqp.QueueUnbindOkID); err != nil {
			t.Error(err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
	m.meter = hook{func() { unbind(t.Context()) }}
	results, err := m.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "4500 of 5000") {
		t.Errorf("error %v", err)
	}
	if len(results) != 1 || results[0].Faults != (Faults{Lost: 500}) {
		t.Errorf("results %+v", results)
	}
}

func TestInterruptedRunLosesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, _ := findWorkload("confirm-1k")
	m := measurement{workload: w, target: startServer(t, smallSegment), patience: defaultPatience, meter: hook{cancel}}
	if results, err := m.run(ctx); !errors.Is(err, context.Canceled) || len(results) > 0 {
		t.Errorf("%+v, %v", results, err)
	}
}

// hook is a meter that does something before a phase.
type hook struct{ before func() }

func (h hook) begin() error      { h.before(); return nil }
func (hook) end() (usage, error) { return usage{}, nil }

// TestGeneratorAllocatesNothing: what the benchmark counts as allocations of the server must not be the
// generator's own.
func TestGeneratorAllocatesNothing(t *testing.T) {
	w := Workload{Name: "test", Messages: 1 << 20, Size: 1 << 10, Producers: 1, Queues: 1, Consumers: 1, Window: 1000, AckEvery: 100, Rate: 1}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := &consumer{
		conn:     &connection{net: near, frameMax: maxFrame, buf: make([]byte, readSize)},
		ackEvery: w.AckEvery, progress: newProgress(1 << 40), ledger: newLedger(&w), latency: newHistogram(),
	}
	p := &producer{conn: c.conn, total: 1 << 20, window: 1000, magazine: newMagazine(&w, w.routes(0), maxFrame)}
	p.confirms = newConfirms(w.Window)
	go discard(far)

	var tag uint64
	frames := make([]byte, 0, readSize)
	stamps := func(i int) stamp { return stamp{sequence: tag + uint64(i)} }
	allocs := testing.AllocsPerRun(100, func() {
		_, n := p.magazine.take(50, stamps)
		frames = frames[:0]
		for range n {
			frames = appendDelivery(frames, tag+1, &w)
			tag++
		}
		c.conn.start, c.conn.end = 0, copy(c.conn.buf, frames)
		if err := c.handleInput(); err != nil {
			t.Fatal(err)
		}
		p.sent.Add(uint64(n))
		frames = appendAck(frames[:0], tag)
		f, _, _ := amqp.ParseFrame(frames, maxFrame)
		if _, err := p.frame(f); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for 50 messages", allocs)
	}
	if c.ledger.foreign > 0 || c.ledger.producers[0].duplicated > 0 || c.ledger.producers[0].end != tag || p.confirms.floor != tag {
		t.Errorf("of %d messages: %+v", tag, c.ledger)
	}
}

func appendDelivery(dst []byte, tag uint64, w *Workload) []byte {
	start := len(dst)
	dst = amqp.BeginFrame(dst, amqp.FrameMethod, channelNumber)
	dst = amqp.AppendDeliver(dst, consumerTag, tag, false, nil)
	dst = amqp.EndFrame(dst, start)
	start = len(dst)
	dst = amqp.BeginFrame(dst, amqp.FrameHeader, channelNumber)
	dst = amqp.AppendHeader(dst, uint64(w.Size), &amqp.Properties{})
	dst = amqp.EndFrame(dst, start)
	dst = amqp.AppendFrameHead(dst, amqp.FrameBody, channelNumber, w.Size)
	body := len(dst)
	dst = append(slices.Grow(dst, w.Size+1)[:body+w.Size], amqp.FrameEnd)
	stamp{sequence: tag - 1}.put(dst[body:])
	return dst
}

func appendAck(dst []byte, tag uint64) []byte {
	start := len(dst)
	ack := amqp.BasicAck{DeliveryTag: tag, Multiple: true}
	return amqp.EndFrame(ack.Append(amqp.BeginFrame(dst, amqp.FrameMethod, channelNumber)), start)
}

func discard(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}
