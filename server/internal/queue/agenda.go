package queue

// Agenda collects the queues of one virtual host that need attention: to be dispatched before the
// state lock is released, to have their journal written, or to be deleted because their last consumer
// left. A queue is on each list at most once.
//
// The zero Agenda is ready for use. Guarded by the virtual host's state lock, like the queues.
type Agenda struct {
	dispatch []*Queue
	journal  []*Queue
	orphaned []*Queue
	expired  []*Queue
	deaths   []Death
	untimed  []*Queue // see retime.go
	starts   []*Taker
	sweep    int // length of starts at which those that are gone are forgotten
	timers   timers
	syncing  syncing // see synced.go

	patience int64 // the least that there was, in ms; 0 is none
	look     int64 // when to look for what is overdue, in ms; 0 is never
	sooner   bool  // that has come nearer
}

// Dispatch hands out what the scheduled queues can deliver and clears the list. now, in milliseconds,
// tells which messages have expired.
func (a *Agenda) Dispatch(now int64) {
	// Dispatching schedules nothing but the queue that is being dispatched, so one pass is enough.
	for _, q := range a.dispatch {
		q.scheduled = false
		q.deliver(now)
	}
	clear(a.dispatch)
	a.dispatch = a.dispatch[:0]
}

// HasJournal reports whether a queue has something to write to the log, or a taker has started.
func (a *Agenda) HasJournal() bool { return len(a.journal) > 0 || len(a.starts) > 0 }

// TakeJournal appends the queues that have something for the log to dst and clears the list. Each of
// them must be asked with [Queue.TakeJournal] and [Queue.NextHorizon] before the lock is released.
func (a *Agenda) TakeJournal(dst []*Queue) []*Queue {
	for _, q := range a.journal {
		q.journaled = false
	}
	dst = append(dst, a.journal...)
	clear(a.journal)
	a.journal = a.journal[:0]
	return dst
}

// TakeOrphaned returns the auto-delete queues whose last consumer left since the last call.
func (a *Agenda) TakeOrphaned() []*Queue {
	orphaned := a.orphaned
	a.orphaned = nil
	return orphaned
}

func (a *Agenda) schedule(q *Queue) {
	if !q.scheduled {
		q.scheduled = true
		a.dispatch = append(a.dispatch, q)
	}
}

func (a *Agenda) note(q *Queue) {
	if !q.journaled {
		q.journaled = true
		a.journal = append(a.journal, q)
	}
}
