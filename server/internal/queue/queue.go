package queue

import (
	"errors"
	"sync/atomic"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// Errors that a caller turns into the protocol's own.
var (
	// ErrExclusiveUse: the queue has an exclusive consumer, or has consumers and an exclusive one is
	// asked for (CONS-04).
	ErrExclusiveUse = errors.New("queue in exclusive use")
	// ErrUnknownTag: the delivery tag is not outstanding on the channel (ACK-02).
	ErrUnknownTag = errors.New("unknown delivery tag")
	// ErrSharedLimit: quorum queues know no limit that consumers share (QOS-03).
	ErrSharedLimit = errors.New("queue does not support a shared limit")
	// ErrSingleActive: basic.get goes past the one consumer of a quorum queue (SAC-04).
	ErrSingleActive = errors.New("queue has a single active consumer")
	// ErrBehindHorizon: the next entry may be handed out only after the log knows about it; try again
	// when the broker has written the queue's horizon (see [Queue.NextHorizon]).
	ErrBehindHorizon = errors.New("delivery horizon not yet in the log")
)

// Owner identifies the connection that an exclusive queue belongs to.
type Owner any

// Declaration is what a client said a queue should be. Immutable.
type Declaration struct {
	ID         segment.QueueID
	Name       string
	Durable    bool
	AutoDelete bool
	Exclusive  bool
	// ServerNamed: the broker made the name.
	ServerNamed bool
	// Quorum: it is a quorum queue (chapter 21), which keeps every message, whatever its publisher says (QQ-09),
	// and whose messages have the priorities of PRIO-03.
	Quorum bool
	// Owner is the declaring connection of an exclusive queue, nil otherwise.
	Owner Owner
	// Arguments are the decoded x-arguments, with the types they had on the wire.
	Arguments map[string]any
}

// Queue is one queue. Owned by the state lock of its virtual host, except for the Declaration.
type Queue struct {
	Declaration

	lanes  lanes
	agenda *Agenda

	levels    []level   // the consumers, highest priority first
	consumers int       // how many there are
	exclusive *Consumer // the exclusive one, if there is one
	active    *Consumer // whose turn it is where the rules want a single active one; nil without consumers
	// stalled: no consumer could take a message when last asked; whatever may change that clears it.
	// It keeps a publish to a queue with many busy consumers from asking each of them.
	stalled bool
	deleted bool

	journal journal
	horizon horizon

	rules    Rules
	ruled    bool        // SetRules was called
	retiming *retiming   // nil: all deadlines are those of the rules
	untimed  atomic.Bool // retiming is not nil, for who writes a catalogue without the state lock
	rejects  atomic.Bool // of the rules, for who routes without the state lock
	used     int64       // when somebody last used it, in ms (TTL-06)
	left     bool        // the last consumer has left since
	timer    timer

	retries  retries // wait before they are ready again
	returned []retry // will wait from the next dispatch on, for as long as at says

	scheduled, journaled, unsynced bool // on the agenda's lists
}

// New makes a queue over its entries, those without a priority of their own; AddLevel may follow. Queues that
// do not survive a restart need no horizon and no journal: nobody will ask the log about them. After a
// recovery, Recovered must follow.
func New(d Declaration, entries *index.Queue, agenda *Agenda) *Queue {
	q := &Queue{Declaration: d, agenda: agenda, rules: NoRules}
	q.horizon.at = entries.Horizon()
	if !d.Durable {
		q.horizon.at = openHorizon
	}
	q.horizon.stored = q.horizon.at
	q.lanes.base = lane{Queue: entries, at: q.horizon.at}
	return q
}

// Recovered makes a queue ready to serve when the log has been replayed: what was in flight is ready
// again, what may have been handed out is marked so, transient messages are gone.
func (q *Queue) Recovered() error {
	for lane := range q.lanes.each {
		lane.Recover(false)
	}
	if q.Durable {
		q.horizonRecovered()
	}
	return q.lanes.err()
}

// Err is the first failed read of the queue's index, after which it may hold back messages.
func (q *Queue) Err() error { return q.lanes.err() }

// Ready is the number of messages that wait for a consumer.
func (q *Queue) Ready() int { return q.lanes.ready() }

// Unsettled is the number of messages that consumers hold.
func (q *Queue) Unsettled() int { return q.lanes.inFlight() }

// Consumers is the number of subscriptions.
func (q *Queue) Consumers() int { return q.consumers }

// Deleted reports whether the queue has been deleted; publishes routed before may still arrive.
func (q *Queue) Deleted() bool { return q.deleted }

// Message is what a queue is told of a message.
type Message struct {
	LSN       segment.LSN
	Size      uint32 // of the body, in bytes
	Transient bool
	// Priority is what its publisher says, and counts if Prioritized.
	Priority    uint8
	Prioritized bool
	// Time is when it entered the queue, Expiration how long its publisher lets it wait, negative for ever;
	// both in milliseconds.
	Time, Expiration int64
	// Delay is how long an exchange holds it, in milliseconds; it counts in queues that are for that only.
	Delay int64
}

// Push adds a message at the tail. To a deleted queue it is a no-op (CONF-06).
func (q *Queue) Push(m Message) {
	if q.deleted {
		return
	}
	transient := m.Transient && !q.Quorum && q.rules.Keeps != ForLater
	item := index.Item{LSN: m.LSN, Size: m.Size, Transient: transient, Deadline: q.deadline(&m)}
	q.lane(&m).Push(item)
	if item.Deadline != 0 || q.rules.limited() || q.consumers > 0 && !q.stalled {
		q.agenda.schedule(q)
	}
}

// deadline is when a message expires (TTL-01), 0 for never.
func (q *Queue) deadline(m *Message) int64 {
	switch q.rules.Keeps {
	case ForLater:
		return max(m.Time+m.Delay+1, 1) // the time was cut to milliseconds: never early
	case ForHistory:
		return 0
	}
	wait := m.Expiration
	if ttl := q.rules.TTL; ttl >= 0 && (wait < 0 || ttl < wait) {
		wait = ttl
	}
	if wait < 0 {
		return 0
	}
	return max(m.Time+wait, 1)
}

// Take delivers the next ready message to a basic.get on ch, with what then remains ready (CONS-11). It
// returns false when the queue is empty.
func (q *Queue) Take(ch *Channel, noAck bool, now int64) (bool, error) {
	if q.Quorum && q.rules.SingleActive {
		return false, ErrSingleActive
	}
	q.Use(now)
	l, err := q.front()
	if l == nil {
		return false, err
	}
	l, e, err := q.next(l, now)
	if l == nil {
		return false, err
	}
	tag := q.hand(ch, nil, l, &e, noAck, now)
	d := delivery(ch, nil, tag, &e)
	d.Remaining = uint32(q.lanes.ready())
	ch.outlet.Deliver(d)
	return true, nil
}

// Purge settles every ready message and returns how many there were (QUEUE-14).
func (q *Queue) Purge() int {
	before := q.lanes.ready()
	for lane := range q.lanes.each {
		if q.lanes.more != nil && q.lanes.inFlight() > 0 {
			q.purgeSingly(lane)
			continue
		}
		lane.Purge(func(from, to segment.LSN) {
			if q.Durable {
				q.journal.addRange(from, to, segment.SettlePurge)
			}
		})
	}
	n := before - q.lanes.ready()
	if n > 0 && q.Durable {
		q.agenda.note(q)
	}
	return n
}

// purgeSingly purges a lane message by message: the ranges that its index would give are free of its own
// messages in flight, but not of those of other lanes.
func (q *Queue) purgeSingly(l *lane) {
	for e, ok := l.Next(); ok; e, ok = l.Next() {
		q.settle(l.entry(&e), segment.SettlePurge, nil)
	}
}

// Delete ends the queue: its consumers are removed and returned, its entries are forgotten, what is
// still unsettled may be settled without effect (QUEUE-13).
func (q *Queue) Delete() []*Consumer {
	q.deleted = true
	q.agenda.setTimer(q) // nothing of it is waited for
	var consumers []*Consumer
	for _, l := range q.levels {
		consumers = append(consumers, l.consumers...)
	}
	for _, c := range consumers {
		c.queue = nil
		c.Channel.forget(c)
	}
	q.levels, q.consumers, q.exclusive, q.active = nil, 0, nil, nil
	q.journal = journal{}
	q.retries, q.returned = nil, nil
	return consumers
}

// deliver hands ready messages to consumers until one of the two runs out, and then gives up what the
// rules do not let wait.
func (q *Queue) deliver(now int64) {
	if q.deleted {
		return
	}
	if q.left {
		q.used, q.left = now, false
	}
	if len(q.returned) > 0 {
		q.startWaits(now)
	}
	waits := q.handOut(now)
	q.expire(now)
	if q.rules.limited() && !waits {
		q.shorten() // after the hand-out: what a consumer takes at once is not dropped (LEN-05)
	}
	q.agenda.setTimer(q)
}

// handOut reports whether it waits for the horizon to rise, or for a sync: a consumer may then be able to take more.
func (q *Queue) handOut(now int64) (waits bool) {
	for q.consumers > 0 {
		l, err := q.front() // before a consumer's turn is taken
		if l == nil {
			return q.holdsBack(err)
		}
		c := q.pick()
		if c == nil {
			q.stalled = true
			return false
		}
		l, e, err := q.next(l, now)
		if l == nil {
			return q.holdsBack(err)
		}
		tag := q.hand(c.Channel, c, l, &e, c.NoAck, now)
		c.Channel.outlet.Deliver(delivery(c.Channel, c, tag, &e))
	}
	return false
}

// next takes the next message that may be handed out, of the lane that front gave, and returns its lane; those
// whose time is over are given up (TTL-03). Without one the lane is nil.
func (q *Queue) next(l *lane, now int64) (*lane, index.Entry, error) {
	for {
		e, ok := l.Next()
		switch {
		case !ok:
			return nil, e, l.Err()
		case e.Deadline != 0 && e.Deadline < now && !q.holdsExpiry():
			q.die(l.entry(&e), CauseExpired, nil)
		case q.rules.DeliveryLimit >= 0 && failures(e.Returns) > q.rules.DeliveryLimit:
			q.die(l.entry(&e), CauseDeliveryLimit, nil)
		default:
			return l, e, nil
		}
		var err error
		if l, err = q.front(); l == nil { // asked for each: another has been given up before it
			return nil, index.Entry{}, err
		}
	}
}

// front returns the lane of the next message, nil if there is none, or none that may be handed out yet.
func (q *Queue) front() (*lane, error) {
	if q.rules.AfterSync {
		return q.frontSynced()
	}
	l := q.lanes.first()
	if l != nil && !q.admits(l) {
		return nil, ErrBehindHorizon
	}
	return l, nil
}

func delivery(ch *Channel, c *Consumer, tag Tag, e *index.Entry) Delivery {
	return Delivery{
		Channel: ch, Consumer: c, Tag: tag,
		LSN: e.LSN, Size: e.Size, Returns: Returns(e.Returns), Redelivered: e.Redelivered,
	}
}

// hand gives the entry to a channel: a tag, and unless it is settled by being sent, a place among the
// channel's unsettled deliveries.
func (q *Queue) hand(ch *Channel, c *Consumer, l *lane, e *index.Entry, noAck bool, now int64) Tag {
	l.reached = max(l.reached, e.LSN)
	tag := ch.NextTag()
	if c == nil {
		ch.beginGetting(q)
	}
	if noAck {
		q.settle(l.entry(e), segment.SettleNoAck, ch.taker(q, c))
		return tag
	}
	ch.hold(unsettled{tag: tag, queue: q, consumer: c, entry: l.entry(e), since: now})
	return tag
}

// settle removes an entry for good and notes it for the log, with who had it.
func (q *Queue) settle(e entry, reason segment.SettleReason, by *Taker) {
	if q.deleted || !q.lanes.of(e.level).Settle(e.position) || !q.Durable {
		return
	}
	if q.journal.add(e, reason, by, q.lanes.more != nil) {
		q.agenda.note(q)
	}
}

// forget removes an entry for good that the log knows to be gone.
func (q *Queue) forget(e entry) {
	if !q.deleted {
		q.lanes.of(e.level).Settle(e.position)
	}
}

// requeue returns an entry to its original position (ACK-04), from who had it.
func (q *Queue) requeue(e entry, failed bool, by *Taker) {
	if q.deleted {
		return
	}
	lane := q.lanes.of(e.level)
	returns := uint32(0)
	if q.rules.CountsReturns {
		returns = lane.CountReturn(e.position, countReturn(failed))
		if limit := q.rules.DeliveryLimit; failed && limit >= 0 && failures(returns) > limit { // QQ-03
			q.die(e, CauseDeliveryLimit, by)
			return
		}
	}
	if q.Durable && q.journal.add(e, segment.SettleReturn, by, q.lanes.more != nil) {
		q.agenda.note(q)
	}
	if q.rules.CountsReturns {
		if wait := q.rules.retryWait(Returns(returns), failed); wait > 0 {
			q.returned = append(q.returned, retry{wait, e})
			q.agenda.schedule(q)
			return
		}
	}
	lane.Requeue(e.position)
	q.agenda.schedule(q) // it may have to expire, or be one too many (ACK-08)
	q.wake()
}

// wake says that a consumer may be able to take a message again.
func (q *Queue) wake() {
	q.stalled = false
	if q.consumers > 0 && q.lanes.first() != nil {
		q.agenda.schedule(q)
	}
}
