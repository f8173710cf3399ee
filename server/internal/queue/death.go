package queue

import (
	"cmp"
	"slices"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// Death is a message that its queue gives up and that is wanted elsewhere. It stays in the queue, held by
// nobody, until the log has it in its new place: then Bury makes it leave.
type Death struct {
	Queue    *Queue
	LSN      segment.LSN
	Cause    Cause
	By       *Taker // who had it, nil if nobody had
	entry    entry
	deadline int64 // of one that is due
}

// Bury makes the dead message leave its queue. The log knows it to be gone.
func (d *Death) Bury() { d.Queue.forget(d.entry) }

// Drop makes the dead message leave its queue when nobody wants it after all.
func (d *Death) Drop() { d.Queue.settle(d.entry, d.Cause.reason(), d.By) }

// reason is what the log says of an entry that left its queue so.
func (c Cause) reason() segment.SettleReason {
	switch c {
	case CauseExpired:
		return segment.SettleExpire
	case CauseMaxLength:
		return segment.SettleDrop
	}
	return segment.SettleReject
}

// die gives up a message that is in flight, and may have been with somebody.
func (q *Queue) die(e entry, cause Cause, by *Taker) {
	switch {
	case q.deleted:
	case q.rules.DeadLetters:
		q.agenda.deaths = append(q.agenda.deaths, Death{Queue: q, LSN: e.lsn, Cause: cause, By: by, entry: e})
	default:
		q.settle(e, cause.reason(), by)
	}
}

// expire gives up the ready messages whose time is over.
func (q *Queue) expire(now int64) {
	if q.rules.Keeps == ForLater {
		q.release(now)
		return
	}
	if q.holdsExpiry() {
		return
	}
	for l := range q.lanes.each {
		for e, ok := l.Due(now); ok; e, ok = l.Due(now) {
			q.die(l.entry(&e), CauseExpired, nil)
		}
	}
}

// release lets the messages go on whose delay is over, in the order in which they are due.
func (q *Queue) release(now int64) {
	deaths, l := q.agenda.deaths, &q.lanes.base // without priorities
	first := len(deaths)
	for {
		e, ok := l.Due(now)
		if !ok {
			break
		}
		deaths = append(deaths, Death{Queue: q, LSN: e.LSN, Cause: CauseDue, entry: l.entry(&e), deadline: e.Deadline})
	}
	slices.SortStableFunc(deaths[first:], func(a, b Death) int { return cmp.Compare(a.deadline, b.deadline) })
	q.agenda.deaths = deaths
}

// Remembered returns the messages of a queue that is for history, the oldest first.
func (q *Queue) Remembered() []segment.LSN {
	var lsns []segment.LSN
	var taken []index.Position
	l := &q.lanes.base // without priorities
	for e, ok := l.Next(); ok; e, ok = l.Next() {
		lsns, taken = append(lsns, e.LSN), append(taken, e.Position)
	}
	for _, p := range taken {
		l.Requeue(p)
	}
	return lsns
}

// shorten gives up ready messages until the queue is within its limits: those that would be delivered next
// (LEN-02), or the oldest of those that would be delivered last.
func (q *Queue) shorten() {
	for q.beyondLimits() {
		l := q.lanes.first()
		if q.rules.DropsLowest {
			l = q.lanes.last()
		}
		e, ok := l.Next()
		if !ok {
			return
		}
		q.die(l.entry(&e), CauseMaxLength, nil)
	}
}

func (q *Queue) beyondLimits() bool {
	r := &q.rules
	return q.lanes.ready() > 0 &&
		(r.MaxLength >= 0 && int64(q.lanes.ready()) > r.MaxLength || r.MaxBytes >= 0 && q.lanes.readyBytes() > r.MaxBytes)
}

// Full reports whether a queue that rejects has no room, with so many more messages and bytes on their
// way (LEN-03).
func (q *Queue) Full(messages int, bytes int64) bool {
	r := &q.rules
	return r.Rejects && (r.MaxLength >= 0 && int64(q.lanes.ready()+messages) >= r.MaxLength ||
		r.MaxBytes >= 0 && q.lanes.readyBytes()+bytes >= r.MaxBytes)
}

// SetRules changes what the queue does with its messages. now is in milliseconds.
func (q *Queue) SetRules(r Rules, now int64) {
	before := q.rules.TTL
	q.rules = r
	if q.ruled && r.TTL != before {
		q.retime(r.TTL < 0 || before >= 0 && r.TTL > before)
	}
	q.ruled = true
	q.rejects.Store(r.Rejects)
	q.used = max(q.used, now)
	q.stalled = false
	q.agenda.watch(r.Patience)
	q.agenda.schedule(q)
	q.agenda.setTimer(q)
}

// Rejects reports whether the queue may refuse a message. It may be asked without any lock.
func (q *Queue) Rejects() bool { return q.rejects.Load() }

// Rules are what the queue does with its messages.
func (q *Queue) Rules() Rules { return q.rules }

// Use says that the queue was declared again or asked for a message (TTL-06).
func (q *Queue) Use(now int64) {
	if q.rules.Expires > 0 {
		q.used = now
		q.agenda.setTimer(q)
	}
}

// nextTime is when the queue wants to be looked at again, 0 for never.
func (q *Queue) nextTime() int64 {
	at, ok := q.lanes.nextDeadline()
	if !ok || q.holdsExpiry() {
		at = 0
	}
	if len(q.retries) > 0 && (at == 0 || q.retries[0].at < at) {
		at = q.retries[0].at
	}
	if q.rules.Expires > 0 && q.consumers == 0 {
		if unused := q.used + q.rules.Expires; at == 0 || unused < at {
			at = unused
		}
	}
	return at
}
