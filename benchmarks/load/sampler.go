package load

import "time"

// Tick is what happened in about a second.
type Tick struct {
	Phase  string
	At     time.Duration // since the phase began
	Span   time.Duration // since the last tick
	WarmUp bool          // it is not measured

	Declared  uint64
	Sent      uint64
	Confirmed uint64
	Delivered uint64
	Confirm   *Latency // nil when there is none
	EndToEnd  *Latency
}

// sampler makes the ticks of a phase. It is owned by the goroutine that watches.
type sampler struct {
	measurement *Measurement
	phase       string
	start, last time.Duration
	counters    counters
}

// tick collects the latencies since the last one and tells what happened.
func (s *sampler) tick(now time.Duration, warmUp bool) {
	m := s.measurement
	t := Tick{Phase: s.phase, At: now - s.start, Span: now - s.last, WarmUp: warmUp}
	counters := m.counters()
	t.Sent, t.Confirmed = counters.sent-s.counters.sent, counters.confirmed-s.counters.confirmed
	t.Delivered = counters.delivered - s.counters.delivered
	s.counters, s.last = counters, now
	if len(m.recorders) > 0 {
		confirm, delivery := newHistogram(), newHistogram()
		for _, r := range m.recorders {
			r.collect(confirm, delivery)
		}
		t.Confirm, t.EndToEnd = summarise(confirm), summarise(delivery)
		m.confirm.Merge(confirm)
		m.delivery.Merge(delivery)
	}
	if m.Ticks != nil && t.Span > 0 {
		m.Ticks(t)
	}
}
