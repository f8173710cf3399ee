package queue

import (
	"cmp"
	"slices"
)

// Consumer is one subscription of a channel to a queue. The exported fields are immutable, the rest
// is owned by the virtual host's state lock.
type Consumer struct {
	// Tag is unique on its channel.
	Tag string
	// Channel receives the deliveries.
	Channel *Channel
	// NoAck: a delivery is settled by being sent.
	NoAck bool
	// Exclusive: nobody else may consume. Quorum queues do not heed it (CONS-04).
	Exclusive bool
	// Limit is the most unsettled deliveries the consumer may hold; 0 is no limit (QOS-02).
	Limit int
	// Arguments of basic.consume, decoded.
	Arguments map[string]any
	// ConsumerRules are what the arguments say.
	ConsumerRules

	queue     *Queue // nil once it is cancelled or its queue deleted
	taker     *Taker // nil if the log is told nothing of the queue
	unsettled int
}

// ConsumerRules are what a subscription asks of its queue. The zero value asks nothing.
type ConsumerRules struct {
	// Priority: consumers of a higher one are served first as long as one of them can take (CONS-08).
	Priority int
	// Patience is how long a delivery may be unsettled, in milliseconds, instead of what the queue's rules say;
	// negative is for ever, 0 what they say (CONS-12).
	Patience int64
}

// Queue is the queue consumed from, nil once the subscription has ended.
func (c *Consumer) Queue() *Queue { return c.queue }

// level is the consumers of one priority, who take turns.
type level struct {
	priority  int
	consumers []*Consumer
	turn      int // the one to be asked next
}

// Consume starts a subscription. The first delivery is made when the agenda is dispatched.
func (q *Queue) Consume(c *Consumer) error {
	switch {
	case q.Quorum:
		if c.Channel.limit > 0 {
			return ErrSharedLimit
		}
	case q.exclusive != nil || c.Exclusive && (q.consumers > 0 || q.rules.SingleActive): // SAC-03
		return ErrExclusiveUse
	case c.Exclusive:
		q.exclusive = c
	}
	c.queue = q
	q.agenda.watch(c.Patience)
	i, found := slices.BinarySearchFunc(q.levels, c.Priority, func(l level, p int) int { return cmp.Compare(p, l.priority) })
	if !found {
		q.levels = slices.Insert(q.levels, i, level{priority: c.Priority})
	}
	q.levels[i].consumers = append(q.levels[i].consumers, c)
	q.consumers++
	if q.active == nil {
		q.active = c // and stays so while it is there, whoever comes; but see pickActive (SAC-02)
	}
	c.Channel.consumers = append(c.Channel.consumers, c)
	if q.Durable {
		c.taker = &Taker{Queue: q, Channel: c.Channel, Consumer: c}
		q.agenda.start(c.taker)
	}
	q.agenda.schedule(q)
	q.wake()
	q.expect()
	return nil
}

// drop takes a consumer out of its level.
func (q *Queue) drop(c *Consumer) {
	i := slices.IndexFunc(q.levels, func(l level) bool { return l.priority == c.Priority })
	l := &q.levels[i]
	at := slices.Index(l.consumers, c)
	l.consumers = slices.Delete(l.consumers, at, at+1)
	if l.turn > at {
		l.turn--
	}
	if len(l.consumers) == 0 {
		q.levels = slices.Delete(q.levels, i, i+1)
	}
	q.consumers--
}

// Cancel ends the subscription. What it holds stays with its channel until settled (CONS-06).
func (c *Consumer) Cancel() {
	q := c.queue
	if q == nil {
		return
	}
	c.queue = nil
	c.Channel.forget(c)
	q.drop(c)
	if q.exclusive == c {
		q.exclusive = nil
	}
	if q.active == c {
		q.active = nil
		if q.consumers > 0 { // the first that registered of those with the highest priority (SAC-01)
			q.active = q.levels[0].consumers[0]
		}
	}
	if q.rules.SingleActive {
		q.wake() // also when the one that went had only kept the active one waiting
	}
	if q.consumers > 0 {
		return
	}
	q.left = true
	q.agenda.schedule(q)
	if q.AutoDelete { // QUEUE-11
		q.agenda.orphaned = append(q.agenda.orphaned, q)
	}
	q.Rest()
}

// pick returns the next consumer in turn that can take a message, of the highest priority that has one,
// nil if there is none (CONS-08).
func (q *Queue) pick() *Consumer {
	if q.rules.SingleActive {
		return q.pickActive()
	}
	for i := range q.levels {
		l := &q.levels[i]
		for range l.consumers {
			if l.turn >= len(l.consumers) {
				l.turn = 0
			}
			c := l.consumers[l.turn]
			l.turn++
			if c.canTake() {
				return c
			}
		}
	}
	return nil
}

// pickActive returns the one consumer if it can take a message. That of a quorum queue gives way to one of a
// higher priority, when it has settled what it holds (SAC-02).
func (q *Queue) pickActive() *Consumer {
	if best := q.levels[0].consumers[0]; q.Quorum && best.Priority > q.active.Priority {
		if q.active.unsettled > 0 {
			return nil
		}
		q.active = best
	}
	if q.active.canTake() {
		return q.active
	}
	return nil
}

func (c *Consumer) canTake() bool {
	ch := c.Channel
	if !c.NoAck {
		if c.Limit > 0 && c.unsettled >= c.Limit {
			return false
		}
		if ch.limit > 0 && ch.consumed >= ch.limit && c.shares() { // QOS-03: both limits must permit
			return false
		}
	}
	return ch.outlet.Room()
}

// shares reports whether the limit that the channel's consumers share is for this one: it is not for those
// of quorum queues (QOS-03).
func (c *Consumer) shares() bool { return c.queue == nil || !c.queue.Quorum }
