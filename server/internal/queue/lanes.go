package queue

import (
	"iter"
	"slices"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// A queue keeps its messages in lanes: one for all of them or, where messages have priorities, one for each
// priority that has been seen (PRIO-01). Within a lane their order is that of their arrival; the next to be
// delivered is the first of the highest lane in which one is ready.
//
// A lane is a level of the index. Levels are counted from the priority of the messages that name none, so
// that a queue without priorities has level 0 and nothing else, and pays for nothing else.
type lanes struct {
	base lane       // level 0
	more *manyLanes // nil: there is no other
}

type lane struct {
	*index.Queue
	at      segment.LSN // the lane's horizon: see type horizon
	reached segment.LSN // the highest LSN handed out
}

// manyLanes are the lanes of a queue that has more than one, base among them.
type manyLanes struct {
	order   []*lane // highest priority first
	byLevel [256]*lane
}

// entry names a message of a queue that is in flight.
type entry struct {
	position  index.Position
	lsn       segment.LSN
	level     byte // of its lane
	transient bool
}

func (l *lane) entry(e *index.Entry) entry { return entry{e.Position, e.LSN, l.Level(), e.Transient} }

// of returns the lane of a level, nil if there is none yet.
func (l *lanes) of(level byte) *lane {
	if level == 0 {
		return &l.base
	}
	if l.more == nil {
		return nil
	}
	return l.more.byLevel[level]
}

// first returns the lane of the next message, nil if none is ready.
func (l *lanes) first() *lane {
	if l.more == nil {
		if l.base.Ready() > 0 {
			return &l.base
		}
		return nil
	}
	for _, lane := range l.more.order {
		if lane.Ready() > 0 {
			return lane
		}
	}
	return nil
}

// last returns the lane of the lowest priority in which a message is ready, nil if there is none.
func (l *lanes) last() *lane {
	if l.more == nil {
		return l.first()
	}
	for _, lane := range slices.Backward(l.more.order) {
		if lane.Ready() > 0 {
			return lane
		}
	}
	return nil
}

// each yields the lanes, the highest priority first.
func (l *lanes) each(yield func(*lane) bool) {
	if l.more == nil {
		yield(&l.base)
		return
	}
	for _, lane := range l.more.order {
		if !yield(lane) {
			return
		}
	}
}

func (l *lanes) ready() int        { return sum(l, (*index.Queue).Ready) }
func (l *lanes) inFlight() int     { return sum(l, (*index.Queue).InFlight) }
func (l *lanes) readyBytes() int64 { return sum(l, (*index.Queue).ReadyBytes) }

func sum[T int | int64](l *lanes, of func(*index.Queue) T) (n T) {
	if l.more == nil {
		return of(l.base.Queue)
	}
	for _, lane := range l.more.order {
		n += of(lane.Queue)
	}
	return n
}

// lastPushed is the LSN that came last.
func (l *lanes) lastPushed() (last segment.LSN) {
	for lane := range l.each {
		last = max(last, lane.Last())
	}
	return last
}

// err is the first failed read of the index.
func (l *lanes) err() error {
	for lane := range l.each {
		if err := lane.Err(); err != nil {
			return err
		}
	}
	return nil
}

// nextDeadline is before or when the next ready message expires. What cannot be read will not.
func (l *lanes) nextDeadline() (at int64, ok bool) {
	for lane := range l.each {
		if due, has := lane.NextDeadline(); has && lane.Err() == nil && (!ok || due < at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// The priorities of a quorum queue's messages (PRIO-03).
const quorumNormalPriority = 4

// normalPriority is that of messages that name none.
func (d *Declaration) normalPriority() byte {
	if d.Quorum {
		return quorumNormalPriority
	}
	return 0
}

// level returns the level of a message's lane: a priority above the highest counts as that one.
func (q *Queue) level(m *Message) byte {
	if q.rules.MaxPriority == 0 || !m.Prioritized {
		return 0
	}
	return min(m.Priority, q.rules.MaxPriority) - q.normalPriority()
}

// lane returns the lane for a message, which may be its first.
func (q *Queue) lane(m *Message) *lane {
	level := q.level(m)
	if l := q.lanes.of(level); l != nil {
		return l
	}
	entries := q.lanes.base.NewLevel(level)
	entries.SetHorizon(q.horizon.stored)
	return q.addLane(entries, q.horizon.at)
}

// AddLevel gives the queue another level of messages that the index has, before it serves. Each comes with a
// horizon of its own.
func (q *Queue) AddLevel(entries *index.Queue) {
	q.horizon.at = max(q.horizon.at, entries.Horizon())
	q.horizon.stored = q.horizon.at
	q.addLane(entries, entries.Horizon())
}

func (q *Queue) addLane(entries *index.Queue, horizon segment.LSN) *lane {
	l := &lane{Queue: entries, at: horizon}
	m := q.lanes.more
	if m == nil {
		m = &manyLanes{order: []*lane{&q.lanes.base}}
		m.byLevel[0] = &q.lanes.base
		q.lanes.more = m
	}
	m.byLevel[l.Level()] = l
	normal := q.normalPriority()
	m.order = append(m.order, l)
	slices.SortFunc(m.order, func(a, b *lane) int { return int(b.Level()+normal) - int(a.Level()+normal) })
	return l
}

// Levels yields the queue's indexes, one for each priority that has been seen: for checkpoints.
func (q *Queue) Levels() iter.Seq[*index.Queue] {
	return func(yield func(*index.Queue) bool) {
		for lane := range q.lanes.each {
			if !yield(lane.Queue) {
				return
			}
		}
	}
}

// Settled makes a range of records leave the queue that the log knows to have left it.
func (q *Queue) Settled(from, to segment.LSN) {
	for lane := range q.lanes.each {
		lane.SettleRange(from, to)
	}
}
