package queue

import "container/heap"

// timers is a heap of the queues that want to be looked at at some time, the earliest first.
type timers []*Queue

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].timer.at < t[j].timer.at }

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].timer.place, t[j].timer.place = i+1, j+1
}

func (t *timers) Push(x any) {
	q := x.(*Queue)
	*t = append(*t, q)
	q.timer.place = len(*t)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	q := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	q.timer.place = 0
	return q
}

// timer is a queue's place among the timers.
type timer struct {
	at    int64 // ms
	place int   // in the heap, plus one; 0 is not in it
}

// setTimer notes when the queue wants to be looked at.
func (a *Agenda) setTimer(q *Queue) {
	at := q.nextTime()
	if q.deleted {
		at = 0
	}
	t := &q.timer
	switch {
	case at == 0 && t.place > 0:
		heap.Remove(&a.timers, t.place-1)
	case at == 0:
	case t.place == 0:
		t.at = at
		heap.Push(&a.timers, q)
	case t.at != at:
		t.at = at
		heap.Fix(&a.timers, t.place-1)
	}
}

// NextTime is when Tick has something to do, in milliseconds; ok is false if never.
func (a *Agenda) NextTime() (at int64, ok bool) {
	if len(a.timers) == 0 {
		return 0, false
	}
	return a.timers[0].timer.at, true
}

// Tick lets messages and queues expire whose time is over.
func (a *Agenda) Tick(now int64) {
	for len(a.timers) > 0 && a.timers[0].timer.at <= now {
		q := a.timers[0]
		q.endWaits(now)
		q.expire(now)
		if q.rules.Expires > 0 && q.consumers == 0 && q.used+q.rules.Expires <= now && !q.deleted {
			a.expired = append(a.expired, q)
			q.used = now // should it not be deleted, it is asked again after another turn
		}
		a.setTimer(q)
	}
}

// TakeExpired returns the queues that were unused for too long since the last call.
func (a *Agenda) TakeExpired() []*Queue {
	expired := a.expired
	a.expired = nil
	return expired
}

// HasDeaths reports whether dead messages wait to be carried elsewhere.
func (a *Agenda) HasDeaths() bool { return len(a.deaths) > 0 }

// TakeDeaths appends the dead messages to dst, in the order they died (DLX-12).
func (a *Agenda) TakeDeaths(dst []Death) []Death {
	dst = append(dst, a.deaths...)
	clear(a.deaths)
	if a.deaths = a.deaths[:0]; cap(a.deaths) > keepDeaths {
		a.deaths = nil
	}
	return dst
}

// keepDeaths is the length of a list of deaths that is worth keeping.
const keepDeaths = 16 << 10
