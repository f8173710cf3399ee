package tools

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
	"github.com/millrace-mq/millrace/tools/archive"
)

// brokerSource is the messages of a queue of a running broker, which stay there: they are fetched and not acknowledged,
// and given back when all have been seen. The broker marks them as redelivered.
type brokerSource struct {
	address client.Address
	queue   string
	conn    *client.Conn
}

// fetched is how many messages are asked for at the same time.
const fetched = 64

// String is where the queue is.
func (s *brokerSource) String() string { return s.address.String() + ", queue " + s.queue }

func (s *brokerSource) skip(segment.LSN, uint64) {}

func (s *brokerSource) each(ctx context.Context, fn func(*archive.Message) error) error {
	conn, err := client.Dial(ctx, s.address, client.Config{Product: product, Name: product})
	if err != nil {
		return err
	}
	s.conn = conn
	defer conn.HangUp()
	// What comes to the queue from now on is not asked for: it may be what is sent.
	m, err := conn.Call(client.FirstChannel, &amqp.QueueDeclare{Queue: s.queue, Passive: true}, amqp.QueueDeclareOkID)
	if err != nil {
		return fmt.Errorf("queue %s: %w", s.queue, err)
	}
	for left := int(m.(*amqp.QueueDeclareOk).MessageCount); left > 0; left -= fetched {
		empty, err := s.fetch(min(left, fetched), fn)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if empty {
			break
		}
	}
	return conn.Close() // all goes back to the queue, where it was
}

// fetch asks for n messages, and takes the answers. empty says that the queue had fewer.
func (s *brokerSource) fetch(n int, fn func(*archive.Message) error) (empty bool, err error) {
	var out []byte
	for range n {
		out = amqp.AppendMethod(out, client.FirstChannel, &amqp.BasicGet{Queue: []byte(s.queue)})
	}
	if err := s.conn.Write(out); err != nil {
		return false, err
	}
	for answers := 0; answers < n; answers++ {
		m, err := s.answer()
		if err != nil {
			return false, err
		}
		if m == nil {
			empty = true
			continue
		}
		if err := fn(m); err != nil {
			return false, err
		}
	}
	return empty, nil
}

// answer reads what comes for one get: a message, or nil when there is none.
func (s *brokerSource) answer() (*archive.Message, error) {
	var message *archive.Message
	missing := uint64(0)
	for {
		f, ok, err := s.conn.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := s.conn.Fill(); err != nil {
				return nil, fmt.Errorf("queue %s: %w", s.queue, err)
			}
			continue
		}
		switch {
		case f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == amqp.BasicGetEmptyID:
			return nil, nil
		case f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == amqp.BasicGetOkID:
			var got amqp.BasicGetOk
			if err := got.Decode(f.Payload); err != nil {
				return nil, err
			}
			exchange, key := got.Keys.Split()
			message = &archive.Message{VHost: s.address.VHost, Exchange: string(exchange), Key: string(key), Queues: []string{s.queue}}
		case f.Type == amqp.FrameMethod:
			if err := client.CloseOf(f); err != nil {
				return nil, fmt.Errorf("queue %s: %w", s.queue, err)
			}
		case message == nil:
		case f.Type == amqp.FrameHeader:
			header, err := amqp.ParseHeader(f.Payload)
			if err != nil {
				return nil, err
			}
			message.Header = append([]byte(nil), f.Payload...)
			if missing = header.BodySize; missing == 0 {
				return message, nil
			}
		case f.Type == amqp.FrameBody:
			if uint64(len(f.Payload)) > missing {
				return nil, errors.New("a body is longer than its header says")
			}
			message.Body = append(message.Body, f.Payload...)
			if missing -= uint64(len(f.Payload)); missing == 0 {
				return message, nil
			}
		}
	}
}

func (s *brokerSource) finish() error { return nil }
