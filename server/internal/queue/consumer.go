package queue

import "slices"

// Consumer is one subscription of a channel to a queue. The exported fields are immutable, the rest
// is owned by the virtual host's state lock.
type Consumer struct {
	// Tag is unique on its channel.
	Tag string
	// Channel receives the deliveries.
	Channel *Channel
	// NoAck: a delivery is settled by being sent.
	NoAck bool
	// Exclusive: nobody else may consume.
	Exclusive bool
	// Limit is the most unsettled deliveries the consumer may hold; 0 is no limit (QOS-02).
	Limit int
	// Arguments of basic.consume, decoded.
	Arguments map[string]any

	queue     *Queue // nil once it is cancelled or its queue deleted
	unsettled int
}

// Queue is the queue consumed from, nil once the subscription has ended.
func (c *Consumer) Queue() *Queue { return c.queue }

// Consume starts a subscription. The first delivery is made when the agenda is dispatched.
func (q *Queue) Consume(c *Consumer) error {
	if q.exclusive != nil || (c.Exclusive && len(q.consumers) > 0) {
		return ErrExclusiveUse
	}
	if c.Exclusive {
		q.exclusive = c
	}
	c.queue = q
	q.consumers = append(q.consumers, c)
	c.Channel.consumers = append(c.Channel.consumers, c)
	q.wake()
	return nil
}

// Cancel ends the subscription. What it holds stays with its channel until settled (CONS-06).
func (c *Consumer) Cancel() {
	q := c.queue
	if q == nil {
		return
	}
	c.queue = nil
	c.Channel.forget(c)
	i := slices.Index(q.consumers, c)
	q.consumers = slices.Delete(q.consumers, i, i+1)
	if q.turn > i {
		q.turn--
	}
	if q.exclusive == c {
		q.exclusive = nil
	}
	if len(q.consumers) > 0 {
		return
	}
	if q.AutoDelete { // QUEUE-11
		q.agenda.orphaned = append(q.agenda.orphaned, q)
	}
	q.Rest()
}

// pick returns the next consumer in turn that can take a message, nil if none can (CONS-08).
func (q *Queue) pick() *Consumer {
	for range q.consumers {
		if q.turn >= len(q.consumers) {
			q.turn = 0
		}
		c := q.consumers[q.turn]
		q.turn++
		if c.canTake() {
			return c
		}
	}
	return nil
}

func (c *Consumer) canTake() bool {
	ch := c.Channel
	if !c.NoAck {
		if c.Limit > 0 && c.unsettled >= c.Limit {
			return false
		}
		if ch.limit > 0 && ch.consumed >= ch.limit { // QOS-03: both limits must permit
			return false
		}
	}
	return ch.outlet.Room()
}
