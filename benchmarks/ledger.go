package benchmarks

// ledger is one consumer's account of what it got from its queue. It is owned by the consumer; when
// that has ended, audit compares it with what was sent.
type ledger struct {
	messages  uint64
	stamped   bool
	producers []track
	foreign   uint64 // stamps of no message of this run
}

// track is what came from one producer.
type track struct {
	seen       []uint64 // bit n: its message n came
	limit      uint64   // the number of its messages
	end        uint64   // one past the highest that came
	duplicated uint64
	reordered  uint64
}

func newLedger(w *Workload) *ledger {
	l := &ledger{stamped: w.Size >= stampSize}
	if !l.stamped {
		return l
	}
	l.producers = make([]track, w.Producers)
	for i := range l.producers {
		n := w.share(i)
		l.producers[i] = track{seen: make([]uint64, (n+63)/64), limit: uint64(n)}
	}
	return l
}

// note enters a message by the first octets of its body; first says whether it is of this run and did
// not come before.
func (l *ledger) note(body []byte) (s stamp, first bool) {
	if len(body) < stampSize {
		l.foreign++
		return s, false
	}
	s = parseStamp(body)
	if int(s.producer) >= len(l.producers) || s.sequence >= l.producers[s.producer].limit {
		l.foreign++
		return s, false
	}
	t := &l.producers[s.producer]
	word, bit := &t.seen[s.sequence/64], uint64(1)<<(s.sequence%64)
	switch {
	case *word&bit != 0:
		t.duplicated++
		return s, false
	case s.sequence < t.end:
		t.reordered++
	default:
		t.end = s.sequence + 1
	}
	*word |= bit
	return s, true
}

// Faults are what a broker must not do, counted in messages of a queue.
type Faults struct {
	Lost       uint64 `json:"lost"`
	Duplicated uint64 `json:"duplicated"`
	Reordered  uint64 `json:"reordered"` // came after a later one of the same producer, on one consumer
	Misrouted  uint64 `json:"misrouted"` // came from a queue that they were not routed to
	Foreign    uint64 `json:"foreign"`   // of no producer of this run
	Refused    uint64 `json:"refused"`   // publishes that the broker did not take (basic.nack)
}

// Any reports whether there is a fault.
func (f Faults) Any() bool { return f != Faults{} }

func (f *Faults) add(other Faults) {
	f.Lost += other.Lost
	f.Duplicated += other.Duplicated
	f.Reordered += other.Reordered
	f.Misrouted += other.Misrouted
	f.Foreign += other.Foreign
	f.Refused += other.Refused
}

// audit compares what the consumers of one queue got with what was routed to it.
func audit(w *Workload, queue int, consumers []*ledger) Faults {
	var faults Faults
	if w.Size < stampSize {
		var got uint64
		for _, l := range consumers {
			got += l.messages
		}
		want := uint64(w.expected()[queue])
		faults.Lost = max(want, got) - got
		faults.Duplicated = max(want, got) - want
		return faults
	}
	for _, l := range consumers {
		faults.Foreign += l.foreign
	}
	for producer := range w.Producers {
		tracks := make([]*track, len(consumers))
		for i, l := range consumers {
			tracks[i] = &l.producers[producer]
		}
		faults.add(auditProducer(w, queue, producer, tracks))
	}
	return faults
}

func auditProducer(w *Workload, queue, producer int, tracks []*track) Faults {
	var faults Faults
	for _, t := range tracks {
		faults.Duplicated += t.duplicated
		faults.Reordered += t.reordered
	}
	routes := w.routes(producer)
	routed := make([]bool, len(routes))
	for i, r := range routes {
		for _, q := range r.queues {
			routed[i] = routed[i] || q == queue
		}
	}
	for n := range uint64(w.share(producer)) {
		var copies uint64
		for _, t := range tracks {
			copies += t.seen[n/64] >> (n % 64) & 1
		}
		switch {
		case !routed[n%uint64(len(routes))]:
			faults.Misrouted += copies
		case copies == 0:
			faults.Lost++
		default:
			faults.Duplicated += copies - 1
		}
	}
	return faults
}
