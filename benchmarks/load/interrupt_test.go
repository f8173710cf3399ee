package load

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/client"
)

// gone says whether the workload's first queue is not there any more.
func gone(t *testing.T, a client.Address, w *Workload) bool {
	t.Helper()
	_, err := countReady(t.Context(), a, w)
	var closed *client.Closed
	return errors.As(err, &closed)
}

func TestInterruptedRunTellsWhatItHas(t *testing.T) {
	for name, change := range map[string]func(*Workload){
		"flow":         func(w *Workload) { w.Window = 100 },
		"slow":         func(w *Workload) { w.ConsumerRate, w.Prefetch, w.AckEvery = 100, 10, 10 },
		"stop reading": func(w *Workload) { w.StopReading, w.Prefetch, w.Rate = true, 0, 5000 },
		"backlog":      func(w *Workload) { w.Mode = ModeBacklog },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := Base()
			w.Name, w.Messages, w.Duration = "interrupted-"+name, 0, time.Hour
			change(&w)
			m := Measurement{Workload: w, Address: startServer(t, smallSegment), Ticks: func(tick Tick) {
				if tick.Sent > 0 {
					cancel()
				}
			}}
			results, err := m.Run(ctx)
			if !errors.Is(err, context.Canceled) || len(results) != 1 {
				t.Fatalf("%+v, %v", results, err)
			}
			if r := results[0]; !r.Interrupted || r.Published == 0 || r.Failed() || len(r.Unchecked) == 0 {
				t.Errorf("%+v", r)
			}
			if !gone(t, m.Address, &w) {
				t.Error("its queue is still there")
			}
		})
	}
}

func TestRunInterruptedBeforeItMeasuresTellsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := Base()
	w.Duration, w.WarmUp = time.Hour, time.Hour
	m := Measurement{Workload: w, Address: startServer(t, smallSegment), Ticks: func(Tick) { cancel() }}
	results, err := m.Run(ctx)
	if !errors.Is(err, context.Canceled) || len(results) != 0 || !gone(t, m.Address, &w) {
		t.Errorf("%+v, %v", results, err)
	}
}

func TestConsumersTakeNoMoreThanTheirRate(t *testing.T) {
	w := Base()
	w.Name, w.Messages, w.ConsumerRate, w.Prefetch, w.AckEvery, w.Queues, w.Consumers = "slow", 300, 1000, 10, 10, 2, 2
	m := Measurement{Workload: w, Address: startServer(t, smallSegment)}
	results, err := m.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantComplete(t, &m, results)
	if least := 200 * time.Millisecond; results[0].Elapsed < least {
		t.Errorf("300 messages in %v", results[0].Elapsed)
	}
}

func TestConsumersThatStopReadingEndWithTheRun(t *testing.T) {
	w := Base()
	w.Name, w.Messages, w.StopReading, w.Prefetch, w.Window = "deaf", 3000, true, 0, 100
	m := Measurement{Workload: w, Address: startServer(t, smallSegment)}
	results, err := m.Run(t.Context())
	if err != nil || len(results) != 1 || results[0].Published != 3000 || results[0].Delivered != 0 || results[0].Failed() {
		t.Errorf("%+v, %v", results, err)
	}
	if !gone(t, m.Address, &w) {
		t.Error("its queue is still there")
	}
}
