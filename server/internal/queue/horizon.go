package queue

import (
	"sync/atomic"

	"github.com/millrace-mq/millrace/segment"
)

// A client that sees redelivered=0 trusts that nobody has seen the message before (ACK-07), also after
// a crash of the broker. Deliveries are not logged one by one, that would cost a record a message.
// Instead the log holds a horizon for each durable queue: entries up to it may have been handed out,
// and recovery marks them so. The rule: no entry is handed out before a horizon at or above it is in
// the log. Near the tail the horizon is opened for all that may come, deep in a backlog it runs ahead
// by horizonLead; when the last consumer leaves, it falls back to what has really been handed out.
//
// Only the broker's journal writer writes horizons, so their order in the log is the order of the
// decisions here. A fall takes effect here before it is written, a rise only after. The index is told of
// both when they are decided: a checkpoint that falls between a rise's record and its taking effect may be
// all that a recovery looks at.
//
// A queue with several lanes has one horizon in the log and one for each lane here. A rise holds for all of
// them, but falls are to what each has handed out: a lane of a low priority may not have been reached at
// all where another is at its end.
type horizon struct {
	// logged is what the log holds. Written under its append lock, so that the catalogue of a new segment,
	// made under the same lock, agrees with the records before it.
	logged atomic.Uint64

	at     segment.LSN // in the log, or lowered and about to be
	stored segment.LSN // what the index has been told: at, or what it is about to rise to
	wanted bool        // deliveries wait for a rise
	falls  bool        // nobody is left to deliver to
}

// horizonLead is how far, in records of the log, the horizon runs ahead of a backlog's consumer: that
// many messages may come back falsely marked as redelivered after a crash, and one record is written
// for that many deliveries.
const horizonLead = 1 << 20

// openHorizon covers all that may ever come.
const openHorizon = ^segment.LSN(0)

// horizonRecovered takes the horizon that the log had. An open one has done its work by now (the entries are
// marked), so what counts from here on is the entries that there are.
func (q *Queue) horizonRecovered() {
	h := &q.horizon
	h.at = 0
	for l := range q.lanes.each {
		l.at = min(l.Horizon(), l.Last())
		l.reached = l.at
		l.SetHorizon(l.at)
		h.at = max(h.at, l.at)
	}
	h.stored = h.at
	h.logged.Store(uint64(h.at))
}

// Horizon is up to where messages may be handed out, as far as this start knows.
func (q *Queue) Horizon() segment.LSN { return q.horizon.at }

// ReplayHorizon takes over a horizon from the log.
func (q *Queue) ReplayHorizon(at segment.LSN) {
	q.horizon.at = at
	q.storeHorizon(at)
}

// storeHorizon tells the index.
func (q *Queue) storeHorizon(at segment.LSN) {
	q.horizon.stored = at
	for l := range q.lanes.each {
		l.SetHorizon(at)
	}
}

// expect opens the horizon for a consumer that finds nothing: the first message that comes should not have to
// wait for that, and may not be allowed to (TTL-04).
func (q *Queue) expect() {
	if q.Durable && q.horizon.at != openHorizon && q.lanes.first() == nil {
		q.horizon.wanted = true
		q.agenda.note(q)
	}
}

// reached is the highest LSN handed out.
func (q *Queue) reached() (reached segment.LSN) {
	for l := range q.lanes.each {
		reached = max(reached, l.reached)
	}
	return reached
}

// admits reports whether the next entry of a lane may be handed out; if not, it asks the journal writer for
// a rise, after which the queue is dispatched again.
func (q *Queue) admits(l *lane) bool {
	if l.at >= l.Last() {
		return true
	}
	e, ok := l.Peek()
	if !ok || e.LSN <= l.at {
		return true
	}
	q.horizon.wanted = true
	q.agenda.note(q)
	return false
}

// NextHorizon returns the horizon that should be written to the log now, if one should. After the
// record is in the log, RaiseHorizon makes it count.
func (q *Queue) NextHorizon() (segment.LSN, bool) {
	h := &q.horizon
	switch {
	case q.deleted || !q.Durable:
		return 0, false
	case h.wanted:
		h.wanted, h.falls = false, false
		to := q.rise()
		q.storeHorizon(to)
		return to, true
	case h.falls && q.consumers == 0:
		h.falls = false
		h.at = q.reached()
		h.stored = h.at
		for l := range q.lanes.each {
			l.at = l.reached
			l.SetHorizon(l.at)
		}
		return h.at, true
	}
	return 0, false
}

// rise is how far the horizon has to rise for the next delivery.
func (q *Queue) rise() segment.LSN {
	if l := q.lanes.first(); l != nil {
		// Never below what the log has: other lanes may have been served up to there.
		if e, ok := l.Peek(); ok && q.lanes.lastPushed()-e.LSN >= horizonLead {
			return max(e.LSN+horizonLead, q.horizon.at+1)
		}
	}
	return openHorizon
}

// HorizonLogged says, under the append lock, that the log holds the horizon.
func (q *Queue) HorizonLogged(h segment.LSN) { q.horizon.logged.Store(uint64(h)) }

// LoggedHorizon is the horizon that the log holds. It may be asked under the append lock alone.
func (q *Queue) LoggedHorizon() segment.LSN { return segment.LSN(q.horizon.logged.Load()) }

// Rest lets the horizon fall to what has been handed out: nobody is left to deliver to.
func (q *Queue) Rest() {
	if q.Durable && q.horizon.at > q.reached() {
		q.horizon.falls = true
		q.agenda.note(q)
	}
}

// RaiseHorizon says that the log holds the horizon; deliveries up to it may go out.
func (q *Queue) RaiseHorizon(to segment.LSN) {
	if q.deleted || to <= q.horizon.at { // it was a fall, which has taken effect
		return
	}
	q.horizon.at = to
	for l := range q.lanes.each {
		l.at = to
	}
	q.storeHorizon(to)
	q.wake()
}
