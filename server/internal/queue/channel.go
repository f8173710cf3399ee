package queue

import (
	"slices"

	"github.com/millrace-mq/millrace/segment"
)

// Tag is a delivery tag: per channel, from 1, one more for every delivery (ACK-01).
type Tag uint64

// Delivery is a message on its way to a consumer.
type Delivery struct {
	Channel     *Channel
	Consumer    *Consumer
	Tag         Tag
	LSN         segment.LSN
	Size        uint32  // of the body, in bytes
	Remaining   uint32  // ready messages left in the queue; of a basic.get only (Consumer is nil)
	Returns     Returns // where they are counted (QQ-02)
	Redelivered bool
}

// Outlet is a connection as a queue sees it. Both methods are called with the state lock held: they
// must not block and must not call back.
type Outlet interface {
	// Room reports whether another delivery may be made. When there is room again, the connection says
	// so with [Channel.Resume] on its channels.
	Room() bool
	// Deliver notes a delivery to be sent, in this order.
	Deliver(Delivery)
}

// Outcome is what a client says of a delivery.
type Outcome uint8

// The outcomes of a delivery.
const (
	Acked    Outcome = iota // done with it
	Rejected                // not wanted, not to be tried again (ACK-05)
	Returned                // back to the queue (ACK-04)
	Failed                  // back to the queue too, but counts as a failure (QQ-04)
	Lost                    // it is damaged in the log, so nobody will ever get it
	Unread                  // the disk did not give it: back to the queue, to be tried again later
)

// reason is what the log says of an entry that left its queue so.
func (o Outcome) reason() segment.SettleReason {
	switch o {
	case Rejected:
		return segment.SettleReject
	case Lost:
		return segment.SettleDrop
	}
	return segment.SettleAck
}

// Channel is the consuming side of one AMQP channel: its delivery tags and what it holds unsettled.
// Owned by the virtual host's state lock.
type Channel struct {
	// Number is the channel's number on its connection. Immutable.
	Number uint16

	outlet    Outlet
	last      Tag
	consumers []*Consumer
	held      deque
	limit     int // of all consumers together; 0 is no limit (QOS-03)
	consumed  int // held by consumers that share it; basic.get does not count (QOS-04)
	reserved  []reservation
	doomed    bool // somebody has been told to close it
	closed    bool

	getters map[*Queue]*Taker // the durable queues that basic.get took something of, and the channel as their taker
	sweep   int               // length of getters at which those of deleted queues are forgotten
}

// NewChannel makes a channel whose deliveries go to outlet.
func NewChannel(number uint16, outlet Outlet) *Channel {
	return &Channel{Number: number, outlet: outlet}
}

// Outlet is where the channel's deliveries go.
func (ch *Channel) Outlet() Outlet { return ch.outlet }

// unsettled is a delivery whose outcome is not known yet.
type unsettled struct {
	tag      Tag
	queue    *Queue // nil: settled, waits for its predecessors to leave the deque
	consumer *Consumer
	entry    entry
	since    int64 // when it was handed out, in ms
	reserved bool  // settled by a transaction that is not committed yet
	returned bool  // went back to its queue, which the client may not know: to settle it has no effect
}

// outstanding reports whether the delivery can be settled.
func (u *unsettled) outstanding() bool { return u.queue != nil && !u.reserved }

// SetLimit sets the limit that all consumers of the channel share; 0 is none. It takes effect at once
// (QOS-05).
func (ch *Channel) SetLimit(limit int) {
	ch.limit = limit
	ch.Resume()
}

// Resume says that the channel may be able to take deliveries again.
func (ch *Channel) Resume() {
	for _, c := range ch.consumers {
		c.queue.wake()
	}
}

// Unsettled is the number of deliveries whose outcome is not known.
func (ch *Channel) Unsettled() int { return ch.held.live }

// Settle gives the outcome of one delivery, or with multiple of all up to it; tag 0 with multiple
// means all (ACK-02, ACK-03). A tag that is not outstanding changes nothing.
func (ch *Channel) Settle(tag Tag, multiple bool, o Outcome) error {
	err := ch.each(tag, multiple, func(u *unsettled) { ch.conclude(u, o, false) })
	ch.held.trim()
	return err
}

// each calls do for the deliveries that a settlement names. None of them may leave the deque meanwhile.
func (ch *Channel) each(tag Tag, multiple bool, do func(*unsettled)) error {
	if multiple && tag == 0 {
		tag = ch.last
	} else if u := ch.held.find(tag); u == nil {
		return ErrUnknownTag
	} else if !multiple {
		do(u)
		return nil
	}
	for i := 0; i < ch.held.len() && ch.held.at(i).tag <= tag; i++ {
		if u := ch.held.at(i); u.outstanding() {
			do(u)
		}
	}
	return nil
}

// Recover returns everything unsettled to its queue, to be delivered again (ACK-06).
func (ch *Channel) Recover() { _ = ch.Settle(0, true, Returned) } // everything is never unknown

// Close ends the channel: its consumers are cancelled and what it holds returns to the queues (ERR-05),
// also what an open transaction had settled (TX-03).
func (ch *Channel) Close() {
	ch.closed = true
	ch.Rollback()
	for len(ch.consumers) > 0 {
		ch.consumers[0].Cancel()
	}
	_ = ch.Settle(0, true, Failed) // everything is never unknown
}

// conclude applies the outcome and gives the credit back. logged says that the log knows already.
func (ch *Channel) conclude(u *unsettled, o Outcome, logged bool) {
	q, c := u.queue, u.consumer
	by := ch.taker(q, c)
	switch {
	case u.returned:
	case o == Returned || o == Failed:
		q.requeue(u.entry, o == Failed, by)
	case o == Unread:
		q.postpone(u.entry)
	case o == Rejected && q.rules.DeadLetters:
		q.die(u.entry, CauseRejected, by)
	case logged:
		q.forget(u.entry)
	default:
		q.settle(u.entry, o.reason(), by)
	}
	u.queue, u.consumer = nil, nil
	ch.held.live--
	if c == nil {
		return
	}
	c.unsettled--
	if !q.Quorum {
		ch.consumed--
	}
	if ch.limit > 0 && ch.consumed == ch.limit-1 {
		ch.Resume() // the shared limit may have held back every consumer of the channel
	} else if c.queue != nil {
		c.queue.wake()
	}
}

// NextTag takes the next delivery tag, for what is settled by being sent.
func (ch *Channel) NextTag() Tag {
	ch.last++
	return ch.last
}

func (ch *Channel) hold(u unsettled) {
	ch.held.push(u)
	if u.consumer != nil {
		u.consumer.unsettled++
		if !u.queue.Quorum {
			ch.consumed++
		}
	}
}

// forget removes a consumer that has ended.
func (ch *Channel) forget(c *Consumer) {
	if i := slices.Index(ch.consumers, c); i >= 0 {
		ch.consumers = slices.Delete(ch.consumers, i, i+1)
	}
}
