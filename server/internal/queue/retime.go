package queue

import "github.com/millrace-mq/millrace/segment"

// A changed TTL holds for the messages that are in the queue already (POL-04): their deadlines are reckoned
// again from the time when they entered, which only the log knows. The queue says whose times it needs, some at
// a time, and is told them.

// retiming is how far a queue has come with that.
type retiming struct {
	lanes []retimedLane // to do, the first of them next
	// holds: deadlines may be earlier than they should be, so nobody expires until all is done. A message may
	// then be delivered that has just expired, but none is given up that should live.
	holds bool
}

type retimedLane struct {
	lane  *lane
	above segment.LSN // up to here it is done
	last  segment.LSN // up to here it is to be done: what comes later comes with the right deadline
}

// Entered is when a message entered its queue and how long its publisher lets it wait, as in Message.
type Entered struct {
	LSN              segment.LSN
	Time, Expiration int64
}

// retime begins to reckon all deadlines anew. holds says that there may be some that are too early.
func (q *Queue) retime(holds bool) {
	if q.retiming != nil {
		holds = holds || q.retiming.holds
	}
	r := &retiming{holds: holds}
	for l := range q.lanes.each {
		if _, ok := l.Head(); ok {
			r.lanes = append(r.lanes, retimedLane{lane: l, last: l.Last()})
		}
	}
	if len(r.lanes) == 0 {
		q.retimed()
		return
	}
	if q.retiming == nil {
		q.agenda.untimed = append(q.agenda.untimed, q)
	}
	q.retiming = r
	q.untimed.Store(true)
}

func (q *Queue) retimed() {
	q.retiming = nil
	q.untimed.Store(false)
	q.agenda.schedule(q) // much may be over by now
}

// Retime says that the deadlines are not those of the rules: a crash found the queue with some of an earlier
// TTL.
func (q *Queue) Retime() { q.retime(true) }

// Untimed reports whether deadlines are still those of an earlier TTL. It may be asked under the append lock
// alone.
func (q *Queue) Untimed() bool { return q.untimed.Load() }

// holdsExpiry reports whether deadlines are not to be relied on.
func (q *Queue) holdsExpiry() bool { return q.retiming != nil && q.retiming.holds }

// NextUntimed appends messages whose times are to be told next; none if all is done.
func (q *Queue) NextUntimed(dst []segment.LSN) []segment.LSN {
	for q.retiming != nil {
		if q.deleted || len(q.retiming.lanes) == 0 {
			q.retimed()
			break
		}
		l, before := &q.retiming.lanes[0], len(dst)
		if l.above < l.last {
			if dst = l.lane.Live(dst, l.above); len(dst) > before {
				l.above = dst[len(dst)-1]
				return dst
			}
		}
		q.retiming.lanes = q.retiming.lanes[1:]
	}
	return dst
}

// Enter tells the times of messages that NextUntimed named last; those that are not known may be left out. They
// ascend by LSN.
func (q *Queue) Enter(entered []Entered) {
	if q.deleted || q.retiming == nil || len(q.retiming.lanes) == 0 {
		return
	}
	lsns, deadlines := make([]segment.LSN, len(entered)), make([]int64, len(entered))
	for i := range entered {
		e := &entered[i]
		lsns[i], deadlines[i] = e.LSN, q.deadline(&Message{Time: e.Time, Expiration: e.Expiration})
	}
	q.retiming.lanes[0].lane.Retime(lsns, deadlines)
	q.agenda.schedule(q)
}

// TakeUntimed returns a queue that has deadlines to reckon anew, nil if there is none. It comes again until
// NextUntimed has nothing more.
func (a *Agenda) TakeUntimed() *Queue {
	for len(a.untimed) > 0 {
		if q := a.untimed[0]; q.retiming != nil {
			return q
		}
		a.untimed[0] = nil
		a.untimed = a.untimed[1:]
	}
	a.untimed = nil
	return nil
}

// HasUntimed reports whether TakeUntimed would return a queue.
func (a *Agenda) HasUntimed() bool { return len(a.untimed) > 0 }
