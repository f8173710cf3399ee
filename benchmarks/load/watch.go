package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watch waits until all that is measured is published and delivered; it gives up when nothing moves. It
// starts measuring when the warm-up is over.
func (m *Measurement) watch(ctx context.Context, r *running) error {
	produced, delivered := r.produced, m.progress.measured.done
	if !r.consume || r.workload.StopReading {
		delivered = nil
	}
	warm, enough := m.timers(r)
	stall := m.newStall()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for produced != nil || delivered != nil {
		select {
		case <-ctx.Done():
			r.sampler.tick(m.clock.now(), !r.measuring)
			return context.Cause(ctx)
		case <-produced:
			produced = nil
			if err := m.setGoals(ctx, r); err != nil {
				return err
			}
		case <-delivered:
			delivered = nil
		case <-enough:
			delivered = nil
		case <-warm:
			if err := m.begin(r); err != nil {
				return err
			}
		case <-tick.C:
			if m.Ticks != nil { // else it is work for nobody, on a CPU that a broker may want
				r.sampler.tick(m.clock.now(), !r.measuring)
			}
			if err := stall.check(); err != nil {
				return err
			}
		}
	}
	r.sampler.tick(m.clock.now(), !r.measuring)
	if !r.measuring && !r.unmeasured {
		return errors.New("it was over before the warm-up was")
	}
	return nil
}

// timers tell when the warm-up is over, and when enough was consumed.
func (m *Measurement) timers(r *running) (warm, enough <-chan time.Time) {
	if !r.unmeasured && r.workload.WarmUp > 0 {
		warm = time.After(r.workload.WarmUp)
	}
	if r.workload.Mode == ModeConsume && r.workload.Duration > 0 {
		enough = time.After(r.workload.Duration)
	}
	return warm, enough
}

// setGoals says how many deliveries are to come, now that all is published.
func (m *Measurement) setGoals(ctx context.Context, r *running) error {
	if r.workload.Mode == ModeConsume {
		return m.aimAtWhatIsThere(ctx)
	}
	before := m.deliveries()
	for _, p := range m.producers {
		m.published.sent[p.number] += p.sent.Load()
		m.refused += p.refused // its channel has ended, nobody counts any more
	}
	all := m.deliveries()
	if r.consume {
		measured := all
		if r.workload.Prefill > 0 {
			measured = all - before
		}
		m.progress.aim(measured, all)
	}
	return nil
}

// deliveries is how many there will be of all that was published and not refused.
func (m *Measurement) deliveries() uint64 {
	var sum uint64
	for _, n := range m.routing.expected(m.published.sent) {
		sum += n
	}
	return sum - min(sum, m.missing())
}

// aimAtWhatIsThere is for consuming alone: as much as was in the queues before it began, or as many
// messages as were asked for, or with a time limit whatever comes.
func (m *Measurement) aimAtWhatIsThere(ctx context.Context) error {
	w := &m.Workload
	goal := m.there
	if w.Messages > 0 {
		goal = uint64(w.Messages)
	}
	if w.Duration == 0 {
		m.progress.aim(goal, goal)
	}
	return ctx.Err()
}

// drain waits for what is delivered after the measurement.
func (m *Measurement) drain(ctx context.Context, r *running) error {
	if !r.consume || r.workload.StopReading || r.workload.Mode == ModeConsume {
		return nil
	}
	stall := m.newStall()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-m.progress.all.done:
			return nil
		case <-tick.C:
			if err := stall.check(); err != nil {
				return err
			}
		}
	}
}

// wind ends the phase's goroutines: after a failure at once, otherwise in good order.
func (m *Measurement) wind(r *running, failed error) error {
	var err error
	if failed != nil {
		r.interrupt(failed)
		m.progress.aborted.Store(true)
	}
	for _, l := range m.links {
		if failed != nil || l.deaf {
			l.conn.HangUp()
			continue
		}
		if windErr := l.wind(); windErr != nil {
			err = windErr
			l.conn.HangUp()
		}
	}
	<-r.produced
	r.readers.Wait()
	if failed != nil { // how far it came, for the audit
		for _, p := range m.producers {
			m.published.sent[p.number] = max(m.published.sent[p.number], p.first+p.sent.Load())
		}
	}
	return err
}

// stall notices that nothing moves.
type stall struct {
	measurement *Measurement
	last        counters
	since       time.Duration
}

func (m *Measurement) newStall() stall { return stall{m, m.counters(), m.clock.now()} }

// check returns an error when nothing has moved for too long.
func (s *stall) check() error {
	m := s.measurement
	now, at := m.counters(), m.clock.now()
	if now != s.last {
		s.last, s.since = now, at
		return nil
	}
	idle := at - s.since
	if idle < m.Patience {
		return nil
	}
	return fmt.Errorf("nothing has moved for %v, with %d messages sent, %d confirmed and %s delivered",
		idle.Round(time.Second), now.sent, now.confirmed, m.progress.all.of(now.delivered))
}

// of words a number of deliveries and the goal.
func (g *goal) of(n uint64) string {
	if at := g.at.Load(); at > 0 {
		return fmt.Sprintf("%d of %d", n, at-1)
	}
	return fmt.Sprint(n)
}
