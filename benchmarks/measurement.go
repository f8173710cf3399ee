package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// measurement runs one workload against one broker.
type measurement struct {
	workload Workload
	target   target
	meter    meter         // nil: the broker's cost is not known
	patience time.Duration // the longest time without any progress

	clock     clock
	progress  *progress
	producers []*producer
	consumers []*consumer
	byQueue   [][]*ledger
}

// defaultPatience is longer than a broker's worst pause should be.
const defaultPatience = 30 * time.Second

// run returns a result for each phase: one, or with a backlog two. A fault of the broker's is no error:
// it is in the result. Results come with an error too, as far as they go.
func (m *measurement) run(ctx context.Context) ([]Result, error) {
	if err := m.workload.Validate(); err != nil {
		return nil, err
	}
	if err := declare(ctx, m.target, &m.workload); err != nil {
		return nil, err
	}
	m.clock = newClock()
	m.byQueue = make([][]*ledger, m.workload.Queues)
	var expected int64
	for _, n := range m.workload.expected() {
		expected += int64(n)
	}
	m.progress = newProgress(expected)
	results, err := m.phases(ctx)
	if err != nil && (len(results) == 0 || ctx.Err() != nil) {
		return nil, err // interrupted: what has not come yet is not lost
	}
	if m.workload.Fill {
		return results, err
	}
	last := &results[len(results)-1]
	last.Faults.add(m.audit())
	if err != nil {
		return results, err
	}
	last.Left, err = undeclare(ctx, m.target, &m.workload)
	return results, err
}

func (m *measurement) phases(ctx context.Context) ([]Result, error) {
	defer m.hangUp()
	if !m.workload.Backlog && !m.workload.Fill {
		err := errors.Join(m.openConsumers(ctx), m.openProducers(ctx))
		if err != nil {
			return nil, err
		}
		r, err := m.phase(ctx, "")
		return []Result{r}, err
	}
	if err := m.openProducers(ctx); err != nil {
		return nil, err
	}
	published, err := m.phase(ctx, "publish")
	if err != nil {
		return []Result{published}, err
	}
	m.producers = nil
	if m.workload.Fill {
		return []Result{published}, nil
	}
	if err := m.openConsumers(ctx); err != nil {
		return []Result{published}, err
	}
	drained, err := m.phase(ctx, "drain")
	return []Result{published, drained}, err
}

// hangUp closes what connections are still open. Those that ran have been closed in good order.
func (m *measurement) hangUp() {
	for _, p := range m.producers {
		p.conn.net.Close()
	}
	for _, c := range m.consumers {
		c.conn.net.Close()
	}
}

func (m *measurement) openProducers(ctx context.Context) error {
	for i := range m.workload.Producers {
		conn, err := dial(ctx, m.target)
		if err != nil {
			return err
		}
		p, err := newProducer(conn, &m.workload, i, m.clock)
		if err != nil {
			conn.net.Close()
			return err
		}
		m.producers = append(m.producers, p)
	}
	return nil
}

func (m *measurement) openConsumers(ctx context.Context) error {
	for i := range m.workload.Consumers {
		conn, err := dial(ctx, m.target)
		if err != nil {
			return err
		}
		queue := i % m.workload.Queues
		c, err := newConsumer(conn, &m.workload, queue, m.clock, m.progress)
		if err != nil {
			conn.net.Close()
			return err
		}
		m.consumers = append(m.consumers, c)
		m.byQueue[queue] = append(m.byQueue[queue], c.ledger)
	}
	return nil
}

// phase lets the producers and consumers that are open run, until all is published and delivered.
func (m *measurement) phase(ctx context.Context, name string) (Result, error) {
	r := Result{Workload: m.workload.Name, Phase: name}
	if m.meter != nil {
		if err := m.meter.begin(); err != nil {
			return r, fmt.Errorf("broker's cost: %w", err)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ownBefore := ownCPU()
	start := m.clock.now()
	var producing, consuming sync.WaitGroup
	for _, c := range m.consumers {
		consuming.Go(func() {
			if err := c.run(); err != nil {
				cancel(err)
			}
		})
	}
	for _, p := range m.producers {
		producing.Go(func() {
			if err := p.run(); err != nil {
				cancel(err)
			}
		})
	}
	produced := make(chan struct{})
	go func() {
		producing.Wait()
		r.PublishTime = m.clock.now() - start
		close(produced)
	}()
	err := m.watch(ctx, produced)
	r.Elapsed = m.clock.now() - start
	m.wind(err, produced, &consuming)
	if err == nil {
		err = context.Cause(ctx) // one that did not end well
	}
	m.account(&r, ownCPU()-ownBefore)
	if m.meter == nil {
		return r, err
	}
	used, meterErr := m.meter.end()
	r.Broker = &Cost{CPU: used.cpu, PeakRSS: used.peakRSS, PeakAnon: used.peakAnon, Mallocs: used.mallocs}
	return r, errors.Join(err, meterErr)
}

// watch waits until all is published and, with consumers, delivered; it gives up when nothing moves.
func (m *measurement) watch(ctx context.Context, produced <-chan struct{}) error {
	delivered := m.progress.done
	if len(m.consumers) == 0 {
		delivered = nil
	}
	tick := time.NewTicker(m.patience / 10)
	defer tick.Stop()
	last, since := m.moved(), m.clock.now()
	for produced != nil || delivered != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-produced:
			produced = nil
		case <-delivered:
			delivered = nil
		case <-tick.C:
		}
		if now := m.moved(); now != last {
			last, since = now, m.clock.now()
		} else if idle := m.clock.now() - since; idle >= m.patience {
			return fmt.Errorf("nothing has moved for %v, with %d of %d messages delivered", idle.Round(time.Second),
				m.progress.count.Load(), m.progress.expected)
		}
	}
	return nil
}

// moved is a number that changes while there is progress.
func (m *measurement) moved() uint64 {
	n := uint64(m.progress.count.Load())
	for _, p := range m.producers {
		n += p.progress()
	}
	return n
}

// wind ends the phase's goroutines: after a failure at once, otherwise in good order.
func (m *measurement) wind(failed error, produced <-chan struct{}, consuming *sync.WaitGroup) {
	if failed != nil {
		for _, p := range m.producers {
			p.abort()
		}
	}
	<-produced
	for _, c := range m.consumers {
		c.stop()
	}
	consuming.Wait()
}

// account enters what producers and consumers counted.
func (m *measurement) account(r *Result, own time.Duration) {
	r.GeneratorCPU = own
	confirm, delivery := newHistogram(), newHistogram()
	for _, p := range m.producers {
		r.Published += p.progress()
		r.Faults.Refused += p.refused
		if p.latency != nil {
			confirm.merge(p.latency)
		}
	}
	for _, c := range m.consumers {
		r.Delivered += c.ledger.messages
		if c.latency != nil {
			delivery.merge(c.latency)
		}
	}
	r.Confirm, r.EndToEnd = summarise(confirm), summarise(delivery)
}

// audit looks for faults in what the consumers got.
func (m *measurement) audit() Faults {
	var faults Faults
	for queue, ledgers := range m.byQueue {
		faults.add(audit(&m.workload, queue, ledgers))
	}
	return faults
}
