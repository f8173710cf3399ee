package broker

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// survivors knows which records of a range of the log are still needed, and judges them in their order.
//
// It is gathered while work goes on, a chunk of the index for each hold of a state lock. That is consistent
// enough: the range is older than the last checkpoint, so all its entries were pushed before; an entry that
// has left its queue never comes back; so what is live when its chunk is asked is all that can ever be asked
// for again from there. What leaves later is kept in vain until the next relocation. Messages in the hands of
// consumers, of the undertaker and of open transactions are in flight in their queues, and so live.
type survivors struct {
	from, to segment.LSN
	// asOf: settlements up to here have left their mark on what was gathered.
	asOf    segment.LSN
	entries int                              // live ones within the range
	queues  map[segment.QueueID][]*liveRange // of every queue that there is, one a level; none without entries
	sent    []segment.Range                  // handed to connections, some perhaps not sent yet
	clean   []cleanRange                     // ascending

	found  int   // entries whose records have been judged
	needed int64 // by them, reckoned as the relocator estimates it
	live   []segment.QueueID
}

// cleanRange is a part of the log that tells no queue of a message that had left it when the log had come to
// asOf: settlements until then that are about it alone say nothing new.
type cleanRange struct {
	segment.Range
	asOf segment.LSN
}

// liveRange is the ascending LSNs of the entries of a queue, as uvarint distances: they are asked for in
// ascending order too, so that is all it takes.
type liveRange struct {
	distances []byte
	last      segment.LSN // added last

	rest []byte // of distances
	at   segment.LSN
}

func (l *liveRange) add(lsns []segment.LSN) {
	for _, lsn := range lsns {
		l.distances = binary.AppendUvarint(l.distances, uint64(lsn-l.last))
		l.last = lsn
	}
	l.rest = l.distances
}

// has reports whether an LSN is among them, none of which is below one that was asked for before.
func (l *liveRange) has(lsn segment.LSN) bool {
	for l.at < lsn && len(l.rest) > 0 {
		distance, n := binary.Uvarint(l.rest)
		l.at += segment.LSN(distance)
		l.rest = l.rest[n:]
	}
	return l.at == lsn
}

// gather finds out what of a range is needed. The range must be older than the last checkpoint.
func (b *Broker) gather(from, to segment.LSN) (*survivors, error) {
	s := &survivors{from: from, to: to, queues: make(map[segment.QueueID][]*liveRange)}
	s.asOf = b.log.Barrier() // all before are applied when their state lock can be had
	hosts := b.hosts()
	for _, vh := range hosts {
		if err := s.gatherQueues(vh); err != nil {
			b.condemnIndex(err)
			return nil, fmt.Errorf("virtual host %q: %w", vh.Name, err)
		}
	}
	// After the queues: what was handed over since has been live in its queue, or is found here.
	for _, vh := range hosts {
		vh.clients.Lock()
		for c := range vh.clients.open {
			s.sent = c.appendHanded(s.sent, from, to)
		}
		vh.clients.Unlock()
	}
	slices.SortFunc(s.sent, func(a, b segment.Range) int { return cmp.Compare(a.From, b.From) })
	return s, nil
}

// gatherQueues asks the queues of a host, one chunk for each hold of the state lock so that nobody waits long.
func (s *survivors) gatherQueues(vh *VHost) error {
	var lsns []segment.LSN
	var levels []*index.Queue
	for q := range vh.queuesInTurn {
		id := q.ID
		s.queues[id] = nil
		levels = slices.AppendSeq(levels[:0], q.Levels())
		for _, level := range levels {
			live := &liveRange{}
			for from := s.from; from <= s.to && vh.state.byID[id] == q; from = live.last + 1 {
				var err error
				if lsns, err = level.LiveIn(lsns[:0], from, s.to); err != nil {
					return fmt.Errorf("queue %q: %w", q.Name, err)
				}
				if len(lsns) == 0 {
					break
				}
				vh.state.Unlock()
				live.add(lsns)
				s.entries += len(lsns)
				vh.state.Lock()
			}
			if live.last != 0 {
				s.queues[id] = append(s.queues[id], live)
			}
		}
	}
	return nil
}

// judge implements [wal.Judge]: it is asked for the records of the range in their order. The queues of the
// answer hold until the next call.
func (s *survivors) judge(r segment.Record, queues []segment.QueueID) ([]segment.QueueID, bool) {
	switch r.Kind() {
	case segment.KindPublish:
		s.live = s.live[:0]
		for _, id := range queues {
			if s.holds(id, r.LSN()) {
				s.live = append(s.live, id)
			}
		}
		s.found += len(s.live)
		if p, err := r.Publish(); err == nil {
			s.needed += int64(len(s.live)) * int64(overhead+len(p.Body))
		}
		return s.live, len(s.live) > 0 || s.beingSent(r.LSN())
	case segment.KindSettle:
		return nil, s.needsSettle(r)
	case segment.KindHorizon:
		// Of queues that are gone nobody asks.
		h, err := r.Horizon()
		_, exists := s.queues[h.Queue]
		return nil, exists || err != nil
	case segment.KindConsumer:
		// Who settles says so again in each segment, and the messages of this one that were settled go now.
		return nil, false
	}
	// Topology is kept whole: what a queue that is gone did to exchanges that delete themselves can only be told
	// by its whole story.
	return nil, true
}

func (s *survivors) holds(id segment.QueueID, lsn segment.LSN) bool {
	for _, live := range s.queues[id] {
		if live.has(lsn) {
			return true
		}
	}
	return false
}

func (s *survivors) beingSent(lsn segment.LSN) bool {
	return slices.ContainsFunc(s.sent, func(r segment.Range) bool { return r.From <= lsn && lsn <= r.To })
}

// needsSettle reports whether a settlement tells of an entry that the log still shows in its queue.
func (s *survivors) needsSettle(r segment.Record) bool {
	settle, err := r.Settle()
	if err != nil {
		return true
	}
	if _, exists := s.queues[settle.Queue]; !exists || settle.Reason == segment.SettleReturn {
		return false // what came back is history: it removes nothing
	}
	for span := range settle.Ranges() {
		if !s.covers(span, r.LSN()) {
			return true
		}
	}
	return false
}

// covers reports whether clean ranges cover a span that a record settles.
func (s *survivors) covers(span segment.Range, by segment.LSN) bool {
	next := span.From
	for _, c := range s.clean {
		if c.From > next {
			return false
		}
		if c.To < next || c.asOf < by {
			continue
		}
		if c.To >= span.To {
			return true
		}
		next = c.To + 1
	}
	return false
}

// missing is how many live entries have no record: it is damaged, and must not be given up with its file.
func (s *survivors) missing() int { return s.entries - s.found }
