package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/server/client"
)

// Measurement runs one workload against one broker.
type Measurement struct {
	Workload Workload
	Address  client.Address
	Meter    Meter         // nil: the broker's cost is not known
	Patience time.Duration // the longest time without any progress; 0 is DefaultPatience
	// Ticks is told each second how it goes; it may be nil.
	Ticks func(Tick)

	clock     clock
	routing   routing
	progress  *progress
	recorders []*recorder
	links     []*link
	producers []*producer
	byQueue   [][]*ledger
	published account
	refused   uint64
	there     uint64                  // messages in the queues, when they are only consumed
	before    int64                   // the broker's memory before there were connections
	confirm   *hdrhistogram.Histogram // of the whole phase
	delivery  *hdrhistogram.Histogram
}

// Meter measures a broker's processes. Begin and End stand around each phase that is measured.
type Meter interface {
	Begin() error
	End() (contender.Usage, error)
	Resident() (int64, error)
}

// DefaultPatience is longer than a broker's worst pause should be.
const DefaultPatience = 30 * time.Second

// dialling is how many connections are opened at the same time.
const dialling = 16

// Run returns a result for each phase: one, or with a backlog two. A fault of the broker's is no error:
// it is in the result. Results come with an error too, as far as they go. When the context ends the run does so at
// once: the results then say what came of it until then, and what was declared for it is deleted first.
func (m *Measurement) Run(ctx context.Context) ([]Result, error) {
	if err := m.Workload.Validate(); err != nil {
		return nil, err
	}
	results, err := m.run(ctx)
	if ctx.Err() != nil {
		return m.interrupted(ctx, results)
	}
	return results, err
}

func (m *Measurement) run(ctx context.Context) ([]Result, error) {
	w := &m.Workload
	if m.Patience == 0 {
		m.Patience = DefaultPatience
	}
	m.clock, m.routing = newClock(), w.routing()
	if w.Mode == ModeDeclare {
		return m.declareOnly(ctx)
	}
	if w.Mode != ModeConsume {
		if err := declare(ctx, m.Address, w); err != nil {
			return nil, fmt.Errorf("declare what the workload needs: %w", err)
		}
	}
	m.byQueue = make([][]*ledger, w.Queues)
	m.progress = newProgress()
	m.published = account{m.routing, make([]uint64, w.Producers)}
	results, err := m.phases(ctx)
	if err != nil && (len(results) == 0 || ctx.Err() != nil) {
		return results, err
	}
	last := &results[len(results)-1]
	last.Unchecked = w.Unchecked()
	if w.Mode == ModePublish || w.Mode == ModeConsume {
		return results, err
	}
	if w.StopReading {
		return results, errors.Join(err, m.tidy(ctx))
	}
	last.Faults.add(m.audit())
	if err != nil {
		return results, err
	}
	last.Left, err = undeclare(ctx, m.Address, w)
	if len(w.discarding()) > 0 {
		last.Left = 0 // what the broker keeps or drops is then its own business
	}
	return results, err
}

// audit looks for faults in what the consumers got.
func (m *Measurement) audit() Faults {
	faults := m.published.audit(m.byQueue)
	// What was refused is missing with good reason, in as many queues as its route has.
	faults.Lost -= min(faults.Lost, m.missing())
	if len(m.Workload.discarding()) > 0 {
		faults.Lost = 0
	}
	return faults
}

// missing is how many deliveries there are not because publishes were refused.
func (m *Measurement) missing() uint64 {
	if m.refused == 0 {
		return 0
	}
	return m.refused * uint64(len(m.routing.of(0)[0].queues))
}

func (m *Measurement) phases(ctx context.Context) (results []Result, err error) {
	defer func() { m.hangUp() }()
	w := &m.Workload
	run := func(p phase) (err error) {
		if m.before, err = m.resident(); err != nil {
			return fmt.Errorf("broker's memory: %w", err)
		}
		if err := m.open(ctx, p); err != nil {
			return err
		}
		r, err := m.phase(ctx, p)
		if !p.unmeasured {
			results = append(results, r)
		}
		m.hangUp()
		return err
	}
	switch w.Mode {
	case ModeBacklog:
		if err := run(phase{name: "publish", produce: true, messages: w.Messages}); err != nil {
			return results, err
		}
		err = run(phase{name: "drain", consume: true})
	case ModePublish:
		err = run(phase{produce: true, messages: w.Messages})
	case ModeConsume:
		if m.there, err = countReady(ctx, m.Address, w); err != nil {
			return nil, err
		}
		err = run(phase{consume: true})
	default:
		if w.Prefill > 0 {
			if err := run(phase{name: "fill", produce: true, messages: w.Prefill, unmeasured: true}); err != nil {
				return nil, err
			}
		}
		err = run(phase{produce: true, messages: w.Messages, consume: true})
	}
	return results, err
}

// hangUp closes what connections are still open. Those that ran have been closed in good order.
func (m *Measurement) hangUp() {
	for _, l := range m.links {
		l.conn.HangUp()
	}
	m.links, m.producers = nil, nil
}

// open makes the links of a phase, and their producers and consumers.
func (m *Measurement) open(ctx context.Context, p phase) error {
	w := &m.Workload
	consumers, producers := 0, 0
	if p.consume {
		consumers = w.Consumers
	}
	if p.produce {
		producers = w.Producers
	}
	count := consumers + producers
	if w.Connections > 0 {
		count = min(count, w.Connections)
	}
	m.recorders = nil
	if w.latency() && !p.unmeasured && p.produce {
		for range min(count, maxRecorders) {
			m.recorders = append(m.recorders, newRecorder(0))
		}
	}
	if err := m.dial(ctx, count); err != nil {
		return err
	}
	for i := range consumers { // before the producers: a message is to find its consumer there
		if err := m.openConsumer(m.links[i%count], i%w.Queues); err != nil {
			return err
		}
	}
	for i := range producers {
		at := (consumers + i) % count
		if w.Connections > 0 { // producer i beside consumer i
			at = i % count
		}
		share := w.share(p.messages, i)
		if err := m.openProducer(m.links[at], i, uint64(share)); err != nil {
			return err
		}
	}
	return nil
}

// dial opens so many connections, some at the same time.
func (m *Measurement) dial(ctx context.Context, count int) error {
	links, faults := make([]*link, count), make([]error, count)
	var failed atomic.Bool
	var dialers sync.WaitGroup
	next := make(chan int)
	for range min(count, dialling) {
		dialers.Go(func() {
			for i := range next {
				if failed.Load() {
					continue
				}
				conn, err := dial(ctx, m.Address, count)
				if err != nil {
					faults[i] = err
					failed.Store(true)
					continue
				}
				links[i] = &link{conn: conn, clock: m.clock}
				if len(m.recorders) > 0 {
					links[i].recorder = m.recorders[i%len(m.recorders)]
				}
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	dialers.Wait()
	for i, l := range links {
		if l != nil {
			m.links = append(m.links, l)
		} else if faults[i] != nil {
			return faults[i] // one is enough, they are all alike
		}
	}
	return nil
}

func (m *Measurement) openConsumer(l *link, queue int) error {
	return l.open(func(channel uint16) (end, error) {
		c, err := newConsumer(l, channel, &m.Workload, queue, m.progress)
		if err != nil {
			return nil, fmt.Errorf("consumer of %s: %w", m.Workload.queueName(queue), err)
		}
		if m.Workload.Prefill > 0 {
			c.published = m.toDeliver
		}
		l.deaf = m.Workload.StopReading
		m.byQueue[queue] = append(m.byQueue[queue], c.ledger)
		return c, nil
	})
}

// toDeliver is how many deliveries what is published in this phase makes. The producers are all there when it runs.
func (m *Measurement) toDeliver() (sum uint64) {
	for _, p := range m.producers {
		sum += p.sent.Load()
	}
	return sum * uint64(len(m.routing.of(0)[0].queues))
}

func (m *Measurement) openProducer(l *link, number int, share uint64) error {
	return l.open(func(channel uint16) (end, error) {
		p, err := newProducer(l, channel, &m.Workload, m.routing.of(number), number, m.published.sent[number], share)
		if err != nil {
			return nil, fmt.Errorf("producer %d: %w", number, err)
		}
		m.producers = append(m.producers, p)
		return p, nil
	})
}

// resident is the memory of the broker now, if anybody knows it.
func (m *Measurement) resident() (int64, error) {
	if m.Meter == nil {
		return 0, nil
	}
	return m.Meter.Resident()
}
