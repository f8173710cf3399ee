package load

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// smallSegment makes a server start fast and change segments.
const smallSegment = 1 << 20

// tiny shrinks a workload for a test.
func tiny(w Workload) Workload {
	w.Messages = min(w.Messages, 500)
	w.Bindings = min(w.Bindings, 50)
	if w.Rate > 0 {
		w.Messages = 100
	}
	w.Connections = min(w.Connections, 10)
	if w.Producers > 50 {
		w.Producers, w.Consumers, w.Queues = 50, 50, 50
	}
	w.Queues = min(w.Queues, 100)
	return w
}

func TestEveryWorkloadRunsWithoutFault(t *testing.T) {
	address := startServer(t, smallSegment)
	for _, w := range Catalogue() {
		t.Run(w.Name, func(t *testing.T) {
			m := Measurement{Workload: tiny(w), Address: address}
			results, err := m.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantComplete(t, &m, results)
		})
	}
}

// wantComplete checks that all was published and delivered without faults.
func wantComplete(t *testing.T, m *Measurement, results []Result) {
	t.Helper()
	w := &m.Workload
	var published, delivered, declared, expected uint64
	for _, r := range results {
		if r.Failed() {
			t.Errorf("%s: %s", r.Title(), r.Trouble())
		}
		if (r.Confirm == nil) == (w.latency() && w.Window > 0) || (r.EndToEnd == nil) == w.latency() {
			t.Errorf("latencies %v and %v", r.Confirm, r.EndToEnd)
		}
		published += r.Published
		delivered += r.Delivered
		declared += r.Declared
	}
	if w.Mode == ModeDeclare {
		if declared != uint64(w.Queues) {
			t.Errorf("%d queues declared", declared)
		}
		return
	}
	for _, n := range m.routing.expected(m.published.sent) {
		expected += n
	}
	if published != uint64(w.Messages) || delivered != expected || published == 0 {
		t.Errorf("%d published and %d of %d delivered", published, delivered, expected)
	}
}

// TestRunGivesUpWhenNothingMoves: somebody unbinds one of the queues, so its messages never come.
func TestRunGivesUpWhenNothingMoves(t *testing.T) {
	broker := startServer(t, smallSegment)
	w, _ := Find("fanout-10")
	w = tiny(w)
	m := Measurement{Workload: w, Address: broker, Patience: time.Second}
	unbind := func(ctx context.Context) {
		c, err := dial(ctx, broker, 1)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := c.Call(client.FirstChannel, &amqp.QueueUnbind{Queue: w.queueName(3), Exchange: w.exchangeName()}, amqp.QueueUnbindOkID); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	m.Meter = hook{func() { unbind(t.Context()) }}
	results, err := m.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "4500 of 5000") {
		t.Errorf("error %v", err)
	}
	if len(results) != 1 || results[0].Faults != (Faults{Lost: 500}) {
		t.Errorf("results %+v", results)
	}
}

func TestInterruptedRunLosesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, _ := Find("confirm-1k")
	m := Measurement{Workload: w, Address: startServer(t, smallSegment), Meter: hook{cancel}}
	if results, err := m.Run(ctx); !errors.Is(err, context.Canceled) || len(results) > 0 && results[0].Faults.Any() {
		t.Errorf("%+v, %v", results, err)
	}
}

// hook is a meter that does something before a phase.
type hook struct{ before func() }

func (h hook) Begin() error                { h.before(); return nil }
func (hook) End() (contender.Usage, error) { return contender.Usage{}, nil }
func (hook) Resident() (int64, error)      { return 0, nil }

// wantFault checks that an error says something.
func wantFault(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v does not name %q", err, want)
	}
}
