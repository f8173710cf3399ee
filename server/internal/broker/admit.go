package broker

import (
	"time"

	"github.com/millrace-mq/millrace/server/internal/queue"
)

// admit takes the queues that are full and refuse more out of a route (LEN-03). The publisher learns of it
// by a nack (CONF-05); the others get the message, and the dead-letter exchanges of queues that want that
// (LEN-04). A transaction is decided upon at its commit.
func (ch *Channel) admit(p *Publication, r *route) *route {
	c := ch.client
	if ch.tx != nil {
		return r
	}
	open, complete := c.staging.admitted(c.vhost, r)
	if complete {
		return r
	}
	if ch.confirming {
		ch.refused = append(ch.refused, ch.published)
	}
	for _, q := range r.queues {
		if q.Rejects() && !open.holds(q) {
			c.letterRejected(p, q)
		}
	}
	return open
}

// letterRejected makes a dead letter of a message that a full queue refused, if the queue wants that. A
// letter that cannot be made is none: the publisher has its nack.
func (c *Client) letterRejected(p *Publication, q *queue.Queue) {
	vh := c.vhost
	vh.state.Lock()
	rules := q.Rules()
	vh.state.Unlock()
	if !rules.LettersRejected || !rules.DeadLetters {
		return
	}
	letter, err := newDeadLetter(p, q.Name, queue.CauseMaxLength, &rules, time.UnixMilli(p.Time))
	if err != nil {
		return
	}
	if c.forward == nil {
		c.forward = &forwarder{}
	}
	to, err := c.forward.letter(vh, letter)
	if err != nil {
		return
	}
	if to, _ = c.staging.admitted(vh, to); len(to.queues) > 0 {
		c.staging.stage(vh.ID, &letter.publication, to)
	}
}

// admitted is the route without the queues that are full and take no more, what is staged counting;
// complete says that there are none.
func (s *staging) admitted(vh *VHost, r *route) (open *route, complete bool) {
	mayReject := false
	for _, q := range r.queues {
		mayReject = mayReject || q.Rejects()
	}
	if !mayReject {
		return r, true
	}
	vh.state.Lock()
	open = r.without(vh, func(q *queue.Queue) bool {
		waiting := s.waiting(q)
		return q.Full(waiting.messages, waiting.bytes)
	})
	vh.state.Unlock()
	return open, open == r
}

// load is messages on their way to a queue.
type load struct {
	messages int
	bytes    int64
}

type loads map[*queue.Queue]load

func (l loads) add(q *queue.Queue, size uint32) {
	have := l[q]
	l[q] = load{have.messages + 1, have.bytes + int64(size)}
}

// waiting counts what is staged for a queue. Each message is counted once, when somebody asks: few batches have
// a queue that refuses.
func (s *staging) waiting(q *queue.Queue) load {
	if s.loads == nil {
		s.loads = make(loads)
	}
	for ; s.counted < len(s.publishes); s.counted++ {
		p := &s.publishes[s.counted]
		for _, to := range p.queues {
			s.loads.add(to, p.message.Size)
		}
	}
	return s.loads[q]
}

// refused reports whether a full queue takes one of the staged messages no more.
func (s *staging) refused(vh *VHost) bool {
	vh.state.Lock()
	defer vh.state.Unlock()
	before := make(loads)
	for i := range s.publishes {
		p := &s.publishes[i]
		for _, q := range p.queues {
			if !q.Rejects() {
				continue
			}
			if have := before[q]; q.Full(have.messages, have.bytes) {
				return true
			}
			before.add(q, p.message.Size)
		}
	}
	return false
}
