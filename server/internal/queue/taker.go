package queue

import (
	"maps"
	"slices"

	"github.com/millrace-mq/millrace/segment"
)

// Taker is who takes messages of a durable queue, as the log names it: a subscription, or a channel that asks by
// basic.get. What the log says of a message (that it was settled, that it came back) refers to a record of its taker,
// which the broker writes when it starts, and anew where the last one stands too far back. The exported fields
// are immutable, the rest is owned by the virtual host's state lock.
type Taker struct {
	Queue   *Queue
	Channel *Channel
	// Consumer is the subscription, nil for basic.get.
	Consumer *Consumer

	first, named segment.LSN // its first record and its last; 0 while it has none
	generation   uint64      // of the last one, a number of the broker's

	groups [segment.SettleReturn + 1]int32 // where in its queue's journal, by reason; only a hint
}

// Named returns the number of the record that names the taker last and the generation given with it, and the number of
// its first record; 0 while there is none.
func (t *Taker) Named() (lsn segment.LSN, generation uint64, first segment.LSN) {
	return t.named, t.generation, t.first
}

// SetNamed says that the log has a record of the taker.
func (t *Taker) SetNamed(lsn segment.LSN, generation uint64) {
	t.named, t.generation = lsn, generation
	if t.first == 0 {
		t.first = lsn
	}
}

// start notes a new taker for the log. While the disk is full nobody takes them: so those that are gone are forgotten
// whenever their number has doubled, with the channel and the connection that they keep in memory.
func (a *Agenda) start(t *Taker) {
	const few = 256
	if len(a.starts) >= max(a.sweep, few) {
		a.starts = slices.DeleteFunc(a.starts, (*Taker).gone)
		a.sweep = 2 * len(a.starts)
	}
	a.starts = append(a.starts, t)
}

// gone reports whether the taker will take nothing more.
func (t *Taker) gone() bool {
	if t.Consumer != nil {
		return t.Consumer.queue == nil
	}
	return t.Queue.deleted || t.Channel.closed
}

// TakeStarts appends to dst the takers that have started since the last call, at most so many, and leaves out
// those that are gone: a client that comes and goes all the time leaves no trace, unless it has taken something
// that the journal speaks of.
func (a *Agenda) TakeStarts(dst []*Taker, most int) []*Taker {
	n := 0
	for taken := 0; n < len(a.starts) && taken < most; n++ {
		if t := a.starts[n]; !t.gone() {
			dst = append(dst, t)
			taken++
		}
	}
	if rest := copy(a.starts, a.starts[n:]); rest < len(a.starts) {
		clear(a.starts[rest:])
		a.starts = a.starts[:rest]
	}
	return dst
}

// taker is who has a delivery, nil if the log is told nothing of the queue.
func (ch *Channel) taker(q *Queue, c *Consumer) *Taker {
	if c != nil {
		return c.taker
	}
	return ch.getters[q]
}

// beginGetting makes the channel a taker by basic.get, unless it is one or the log is told nothing of the queue.
func (ch *Channel) beginGetting(q *Queue) {
	if !q.Durable || ch.getters[q] != nil {
		return
	}
	const few = 16
	if len(ch.getters) >= max(ch.sweep, few) { // those of deleted queues are forgotten whenever their number has doubled
		maps.DeleteFunc(ch.getters, func(q *Queue, _ *Taker) bool { return q.deleted })
		ch.sweep = 2 * len(ch.getters)
	}
	if ch.getters == nil {
		ch.getters = make(map[*Queue]*Taker)
	}
	t := &Taker{Queue: q, Channel: ch}
	ch.getters[q] = t
	q.agenda.start(t)
}
