package session

import (
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// Sinks are the connections as the broker sees them.
func (s *Stopper) Sinks() []broker.Sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sinks []broker.Sink
	for c := range s.mu.conns {
		sinks = append(sinks, c)
	}
	return sinks
}

// ChannelOf is a channel of a connection that is idle.
func ChannelOf(s broker.Sink, number uint16) *queue.Channel {
	return s.(*conn).channels[number].Channel.Channel
}

// ReadBuffer is the size of the read buffer of a connection that is idle.
func ReadBuffer(s broker.Sink) int { return len(s.(*conn).in.buf) }

var _ broker.Sink = (*conn)(nil)

// ConnectionForced is what an operator's close is worded as.
func ConnectionForced(why string) *amqp.Error {
	return amqp.Errorf(amqp.ConnectionForced, 0, "%s", why)
}
