package queue

import (
	"sync/atomic"

	"github.com/millrace-mq/millrace/index"
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
// decisions here. A fall takes effect here before it is written, a rise only after.
type horizon struct {
	// logged is what the log holds. Written under its append lock, so that the catalogue of a new segment,
	// made under the same lock, agrees with the records before it.
	logged atomic.Uint64

	at      segment.LSN // in the log, or lowered and about to be
	reached segment.LSN // the highest LSN handed out
	wanted  bool        // deliveries wait for a rise
	falls   bool        // nobody is left to deliver to
}

// horizonLead is how far, in records of the log, the horizon runs ahead of a backlog's consumer: that
// many messages may come back falsely marked as redelivered after a crash, and one record is written
// for that many deliveries.
const horizonLead = 1 << 20

// openHorizon covers all that may ever come.
const openHorizon = ^segment.LSN(0)

// recovered takes the horizon that the log had. An open one has done its work by now (the entries are
// marked), so what counts from here on is the entries that there are.
func (h *horizon) recovered(entries *index.Queue) {
	h.at = min(entries.Horizon(), entries.Last())
	h.reached = h.at
	h.logged.Store(uint64(h.at))
	entries.SetHorizon(h.at)
}

func (h *horizon) delivered(lsn segment.LSN) { h.reached = max(h.reached, lsn) }

// admits reports whether the next entry may be handed out; if not, it asks the journal writer for a
// rise, after which the queue is dispatched again.
func (h *horizon) admits(q *Queue) bool {
	if h.at >= q.entries.Last() {
		return true
	}
	e, ok := q.entries.Peek()
	if !ok || e.LSN <= h.at {
		return true
	}
	h.wanted = true
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
		e, ok := q.entries.Peek()
		if !ok || q.entries.Last()-e.LSN < horizonLead {
			return openHorizon, true
		}
		return e.LSN + horizonLead, true
	case h.falls && q.consumers == 0:
		h.falls = false
		h.at = h.reached
		q.entries.SetHorizon(h.at)
		return h.at, true
	}
	return 0, false
}

// HorizonLogged says, under the append lock, that the log holds the horizon.
func (q *Queue) HorizonLogged(h segment.LSN) { q.horizon.logged.Store(uint64(h)) }

// LoggedHorizon is the horizon that the log holds. It may be asked under the append lock alone.
func (q *Queue) LoggedHorizon() segment.LSN { return segment.LSN(q.horizon.logged.Load()) }

// Rest lets the horizon fall to what has been handed out: nobody is left to deliver to.
func (q *Queue) Rest() {
	if q.Durable && q.horizon.at > q.horizon.reached {
		q.horizon.falls = true
		q.agenda.note(q)
	}
}

// RaiseHorizon says that the log holds the horizon; deliveries up to it may go out.
func (q *Queue) RaiseHorizon(to segment.LSN) {
	if q.deleted || to < q.horizon.at {
		return
	}
	q.horizon.at = to
	q.entries.SetHorizon(to)
	q.wake()
}
