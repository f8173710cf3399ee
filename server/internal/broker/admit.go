package broker

import "github.com/millrace-mq/millrace/server/internal/queue"

// admit takes the queues that are full and refuse more out of a route (LEN-03). The publisher learns of it
// by a nack (CONF-05); the others get the message.
func (ch *Channel) admit(r *route) *route {
	mayReject := false
	for _, q := range r.queues {
		mayReject = mayReject || q.Rejects()
	}
	if !mayReject {
		return r
	}
	var open []*queue.Queue
	ch.client.vhost.state.Lock()
	for _, q := range r.queues {
		if messages, bytes := ch.client.staging.waiting(q); !q.Full(messages, bytes) {
			open = append(open, q)
		}
	}
	ch.client.vhost.state.Unlock()
	if len(open) == len(r.queues) {
		return r
	}
	if ch.confirming {
		ch.refused = append(ch.refused, ch.published)
	}
	return ch.client.vhost.newRoute(open)
}

// waiting counts what is staged for a queue.
func (s *staging) waiting(q *queue.Queue) (messages int, bytes int64) {
	for i := range s.publishes {
		for _, to := range s.publishes[i].queues {
			if to == q {
				messages++
				bytes += int64(s.publishes[i].message.Size)
			}
		}
	}
	return messages, bytes
}
