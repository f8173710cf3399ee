package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
)

// phase is a part of a run that has its own connections.
type phase struct {
	name       string
	produce    bool
	messages   int // to produce; 0 with a time limit
	consume    bool
	unmeasured bool
}

// running is a phase under way. It is owned by the goroutine that watches.
type running struct {
	phase
	workload   *Workload
	timing     timing
	window     window
	measuring  bool
	interrupt  context.CancelCauseFunc
	produced   chan struct{} // closed when all is published
	producedAt time.Duration // valid then
	readers    sync.WaitGroup
	sampler    sampler
}

// window is what stood on the clocks and counters when measuring began.
type window struct {
	at       time.Duration
	own      time.Duration
	counters counters
}

// counters are totals of a phase.
type counters struct{ sent, confirmed, delivered uint64 }

// phase lets the producers and consumers that are open run, until all is published and delivered.
func (m *Measurement) phase(ctx context.Context, p phase) (Result, error) {
	w := &m.Workload
	result := Result{Workload: w.Name, ID: w.ID, Phase: p.name, PerDelivery: w.PerDelivery}
	r := &running{phase: p, workload: w, produced: make(chan struct{})}
	m.confirm, m.delivery = newHistogram(), newHistogram()
	if w.WarmUp == 0 && !p.unmeasured {
		if err := m.begin(r); err != nil {
			return result, err
		}
	}
	ctx, r.interrupt = context.WithCancelCause(ctx)
	defer r.interrupt(nil)
	m.start(ctx, r)
	err := m.watch(ctx, r)
	if r.measuring {
		err = errors.Join(err, m.end(r, &result))
	}
	if err == nil {
		err = m.drain(ctx, r)
	}
	err = errors.Join(err, m.wind(r, err))
	if err == nil {
		err = context.Cause(ctx) // one that did not end well
	}
	for _, p := range m.producers {
		result.Faults.Refused += p.refused
	}
	result.Confirm, result.ConfirmHistogram = summarise(m.confirm), m.confirm
	result.EndToEnd, result.EndToEndHistogram = summarise(m.delivery), m.delivery
	return result, err
}

// begin starts measuring.
func (m *Measurement) begin(r *running) error {
	if m.Meter != nil {
		if err := m.Meter.Begin(); err != nil {
			return fmt.Errorf("broker's cost: %w", err)
		}
	}
	r.measuring = true
	r.window = window{m.clock.now(), ownCPU(), m.counters()}
	return nil
}

// end stops measuring, and enters what was measured.
func (m *Measurement) end(r *running, result *Result) error {
	now, counters := m.clock.now(), m.counters()
	result.Elapsed = now - r.window.at
	result.GeneratorCPU = ownCPU() - r.window.own
	if r.produce {
		result.Published = counters.published(r.workload) - r.window.counters.published(r.workload)
		result.PublishTime = result.Elapsed
		select {
		case <-r.produced:
			result.PublishTime = max(r.producedAt-r.window.at, 0)
		default:
		}
	}
	result.PublishedBytes = result.Published * uint64(r.workload.Size.mean())
	result.Delivered = counters.delivered - r.window.counters.delivered
	if m.Meter == nil {
		return nil
	}
	used, err := m.Meter.End()
	result.Broker = costOf(used)
	if len(m.links) < manyConnections || err != nil {
		return err
	}
	result.Growth, err = m.growth("connection", len(m.links), m.before)
	return err
}

// manyConnections is from how many on it is told what memory each takes.
const manyConnections = 100

func costOf(used contender.Usage) *Cost {
	return &Cost{CPU: used.CPU, PeakRSS: used.PeakRSS, PeakAnon: used.PeakAnon, Mallocs: used.Mallocs}
}

func (c *counters) published(w *Workload) uint64 {
	if w.Window > 0 {
		return c.confirmed
	}
	return c.sent
}

func (m *Measurement) counters() counters {
	c := counters{delivered: uint64(m.progress.count.Load())}
	for _, p := range m.producers {
		c.sent += p.sent.Load()
		c.confirmed += p.confirmed.Load()
	}
	return c
}

// start starts the goroutines.
func (m *Measurement) start(ctx context.Context, r *running) {
	w := r.workload
	now := m.clock.now()
	r.timing = timing{start: now, measured: now + w.WarmUp}
	if w.Duration > 0 {
		r.timing.until = r.timing.measured + w.Duration
	}
	for _, recorder := range m.recorders {
		recorder.from = r.timing.measured
	}
	r.sampler = sampler{measurement: m, phase: r.name, start: now, last: now, counters: m.counters()}
	for _, l := range m.links {
		if l.deaf {
			continue
		}
		r.readers.Go(func() {
			if err := l.run(); err != nil {
				r.interrupt(err)
			}
		})
	}
	var producing sync.WaitGroup
	m.schedule(r)
	for _, p := range m.producers {
		producing.Go(func() {
			if err := p.run(); err != nil && !errors.Is(err, errLinkLost) { // whoever lost the link says why
				r.interrupt(err)
			}
		})
	}
	if len(m.producers) > 0 && m.producers[0].wake != nil {
		producing.Go(func() { wakeInTurn(ctx, m.producers, m.clock) })
	}
	go func() {
		producing.Wait()
		r.producedAt = m.clock.now()
		close(r.produced)
	}()
}

// manyProducers is from how many on one goroutine wakes them all: each that slept for itself would
// need a thread.
const manyProducers = 8

// schedule tells the producers when to send. Those of a rate take turns, evenly.
func (m *Measurement) schedule(r *running) {
	interval := r.workload.interval()
	if r.unmeasured {
		interval = 0
	}
	for i, p := range m.producers {
		offset := time.Duration(float64(interval) * float64(i) / float64(len(m.producers)))
		if interval > 0 && len(m.producers) > manyProducers {
			p.wake = make(chan struct{}, 1)
		}
		timing := r.timing
		if r.unmeasured {
			timing.until, timing.measured = 0, timing.start
		}
		p.schedule(timing, pacer{start: r.timing.start + offset, interval: interval})
	}
}

// wakeInTurn wakes each producer when a message of its is due, until all is published.
func wakeInTurn(ctx context.Context, producers []*producer, clock clock) {
	defer punctual()()
	for n := uint64(0); ctx.Err() == nil; n++ {
		p := producers[n%uint64(len(producers))]
		message := n / uint64(len(producers))
		if message >= p.total {
			if n%uint64(len(producers)) == 0 {
				return // none has more messages than the first one
			}
			continue
		}
		sleepPrecisely(p.pace.due(message) - clock.now())
		select {
		case p.wake <- struct{}{}:
		default: // it has not seen the last one yet
		}
	}
}
