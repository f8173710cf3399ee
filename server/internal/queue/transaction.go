package queue

import "github.com/millrace-mq/millrace/segment"

// reservation is a settlement that waits for its transaction to be committed. The delivery cannot be
// settled again meanwhile, and its credit is not given back yet.
type reservation struct {
	tag     Tag
	outcome Outcome
	logged  bool // the log has it
}

// Reserve notes a settlement for Commit, with the meaning of Settle's arguments and its errors.
func (ch *Channel) Reserve(tag Tag, multiple bool, o Outcome) error {
	return ch.each(tag, multiple, func(u *unsettled) {
		u.reserved = true
		ch.reserved = append(ch.reserved, reservation{tag: u.tag, outcome: o})
	})
}

// Reserved calls yield, with who had the message, for each reserved settlement that the log must know about. It is called once, and what
// it yields must be in the log before Commit.
func (ch *Channel) Reserved(yield func(q *Queue, by *Taker, reason segment.SettleReason, lsn segment.LSN)) {
	for i := range ch.reserved {
		r := &ch.reserved[i]
		u := ch.held.reserved(r.tag)
		if u.returned || r.outcome == Returned || r.outcome == Failed || u.entry.transient || !u.queue.Durable || u.queue.deleted {
			continue
		}
		if r.outcome == Rejected && u.queue.rules.DeadLetters {
			continue // it leaves with its transfer
		}
		r.logged = true
		yield(u.queue, ch.taker(u.queue, u.consumer), r.outcome.reason(), u.entry.lsn)
	}
}

// Commit makes the reserved settlements take effect.
func (ch *Channel) Commit() {
	for _, r := range ch.reserved {
		u := ch.held.reserved(r.tag)
		u.reserved = false
		ch.conclude(u, r.outcome, r.logged) // the queue's rules may have changed since Reserved
	}
	ch.reserved = ch.reserved[:0]
	ch.held.trim()
}

// Rollback forgets the reserved settlements: the deliveries stay with the channel (TX-02).
func (ch *Channel) Rollback() {
	for _, r := range ch.reserved {
		ch.held.reserved(r.tag).reserved = false
	}
	ch.reserved = ch.reserved[:0]
}
