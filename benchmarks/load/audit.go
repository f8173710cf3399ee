package load

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

// account is what was published: how many messages each producer sent.
type account struct {
	routing routing
	sent    []uint64
}

// audit compares what the consumers of the queues got with what was routed to them.
func (a *account) audit(byQueue [][]*ledger) Faults {
	var faults Faults
	stamped := a.routing.workload.stamped()
	var expected []uint64
	if !stamped {
		expected = a.routing.expected(a.sent)
	}
	for queue, ledgers := range byQueue {
		if stamped {
			faults.add(a.auditQueue(queue, ledgers))
			continue
		}
		var got uint64
		for _, l := range ledgers {
			got += l.messages
		}
		faults.Lost += max(expected[queue], got) - got
		faults.Duplicated += max(expected[queue], got) - expected[queue]
	}
	return faults
}

func (a *account) auditQueue(queue int, ledgers []*ledger) Faults {
	var faults Faults
	for _, l := range ledgers {
		faults.Foreign += l.foreign
	}
	for producer, sent := range a.sent {
		var tracks []*track
		for _, l := range ledgers {
			if t := l.producers[producer]; t != nil {
				tracks = append(tracks, t)
			}
		}
		faults.add(auditProducer(a.routedTo(queue, producer), sent, tracks))
	}
	return faults
}

// routedTo tells which of the producer's routes lead to the queue; nil is none.
func (a *account) routedTo(queue, producer int) []bool {
	routes := a.routing.of(producer)
	var routed []bool
	for i, r := range routes {
		for _, q := range r.queues {
			if q != queue {
				continue
			}
			if routed == nil {
				routed = make([]bool, len(routes))
			}
			routed[i] = true
		}
	}
	return routed
}

// auditProducer looks at each message that the producer sent, and at those that it did not.
func auditProducer(routed []bool, sent uint64, tracks []*track) Faults {
	var faults Faults
	limit := sent
	for _, t := range tracks {
		faults.Duplicated += t.duplicated
		faults.Reordered += t.reordered
		limit = max(limit, t.end)
	}
	if routed == nil && len(tracks) == 0 {
		return faults
	}
	for n := range limit {
		var copies uint64
		for _, t := range tracks {
			if t.has(n) {
				copies++
			}
		}
		switch {
		case n >= sent:
			faults.Foreign += copies
		case routed == nil || !routed[n%uint64(len(routed))]:
			faults.Misrouted += copies
		case copies == 0:
			faults.Lost++
		default:
			faults.Duplicated += copies - 1
		}
	}
	return faults
}
