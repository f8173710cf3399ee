package queue

import "iter"

// A delivery that is not settled in time is taken from its consumer (CONS-12). When that happens is looked
// after from outside now and then: a delivery notes when it was made and costs nothing more. What is handed
// out after a look cannot be overdue before the least patience that anybody has, so the time of the next
// look is known.

// lookPause is the longest time between the moment when a delivery is overdue and a look, in milliseconds, and
// lookLeast the shortest between two looks: the least patience may be that of somebody who has long gone.
const (
	lookPause = 60_000
	lookLeast = 100
)

// Overdue is a delivery that was not settled in time. If Consumer is nil, its channel must be closed.
// Otherwise it was of a quorum queue: the subscription has been ended, and everything that it held has gone
// back.
type Overdue struct {
	Channel  *Channel
	Consumer *Consumer
	Patience int64 // that was at an end, in milliseconds
}

// watch notes how long somebody is ready to wait; 0 and less is for ever.
func (a *Agenda) watch(patience int64) {
	if patience > 0 && (a.patience == 0 || patience < a.patience) {
		a.patience = patience
		a.look = 1 // at once: what was handed out before may be overdue already
		a.sooner = true
	}
}

// NextLook is when Look should be called, in milliseconds; 0 is never.
func (a *Agenda) NextLook() int64 { return a.look }

// TakeSooner reports whether the time of the next look has come nearer since the last call.
func (a *Agenda) TakeSooner() bool {
	sooner := a.sooner
	a.sooner = false
	return sooner
}

// Look finds what is overdue among what the channels hold, which must be all channels, and the time of the
// next look.
func (a *Agenda) Look(now int64, channels iter.Seq[*Channel], late func(Overdue)) {
	next := now + a.patience
	for ch := range channels {
		next = min(next, ch.look(now, a.patience, late))
	}
	a.look = max(next, now+min(max(a.patience/10+1, lookLeast), lookPause))
}

// look returns a time before which nothing more is overdue.
func (ch *Channel) look(now, least int64, late func(Overdue)) (next int64) {
	next = now + least
	for i := 0; i < ch.held.len() && !ch.doomed; i++ {
		u := ch.held.at(i)
		if u.since+least > now {
			return min(next, u.since+least) // those behind it came later
		}
		if !u.outstanding() || u.returned {
			continue
		}
		patience := u.patience()
		switch {
		case patience <= 0:
		case u.since+patience > now:
			next = min(next, u.since+patience)
		case u.queue.Quorum:
			ch.takeBack(u, late, patience)
		default:
			ch.doomed = true // said once: the channel is closed by its connection, in its own time
			late(Overdue{Channel: ch, Patience: patience})
		}
	}
	return next
}

// patience is how long a delivery that is outstanding may be unsettled, in milliseconds; 0 and less is for ever.
func (u *unsettled) patience() int64 {
	if u.consumer != nil && u.consumer.Patience != 0 {
		return u.consumer.Patience
	}
	return u.queue.rules.Patience
}

// takeBack ends the subscription of an overdue delivery and returns what it holds. The channel may still
// settle that, without effect.
func (ch *Channel) takeBack(u *unsettled, late func(Overdue), patience int64) {
	c := u.consumer
	if c == nil { // by basic.get
		u.giveBack(ch)
		return
	}
	if c.queue != nil {
		late(Overdue{Channel: ch, Consumer: c, Patience: patience})
		c.Cancel()
	}
	for i := range ch.held.len() {
		if other := ch.held.at(i); other.outstanding() && other.consumer == c {
			other.giveBack(ch)
		}
	}
}

// giveBack returns a delivery to its queue as if it had failed.
func (u *unsettled) giveBack(ch *Channel) {
	if !u.returned {
		u.returned = true
		u.queue.requeue(u.entry, true, ch.taker(u.queue, u.consumer))
	}
}
