package client

import (
	"errors"
	"io"

	"github.com/millrace-mq/millrace/server/amqp"
)

// read is the publisher's goroutine: it takes what the broker sends until the connection ends.
func (p *Publisher) read() {
	defer close(p.ended)
	defer p.conn.HangUp() // a writer may be stuck
	for {
		done, err := p.frames()
		p.signal() // before the next read, which may be the last for long
		if err == nil && !done {
			if err = p.conn.Fill(); err == io.EOF {
				err = errors.New("the broker ended the connection without a word")
			}
		}
		if err != nil {
			p.mu.Lock()
			if p.mu.err == nil {
				p.mu.err = err
			}
			p.mu.Unlock()
		}
		if done || err != nil {
			return // what waits sees that nothing is read any more
		}
	}
}

func (p *Publisher) signal() {
	select {
	case p.moved <- struct{}{}:
	default: // it has not seen the last one yet
	}
}

// frames handles what one read brought.
func (p *Publisher) frames() (done bool, err error) {
	for {
		f, ok, err := p.conn.Next()
		if err != nil || !ok {
			return false, err
		}
		if f.Type != amqp.FrameMethod {
			continue // content of what was returned, or a heartbeat
		}
		if done, err := p.method(f); done || err != nil {
			return done, err
		}
	}
}

func (p *Publisher) method(f amqp.Frame) (done bool, err error) {
	switch id := amqp.PeekMethod(f.Payload); id {
	case amqp.BasicAckID:
		var ack amqp.BasicAck
		if err := ack.Decode(f.Payload); err != nil {
			return false, err
		}
		return false, p.settle(ack.DeliveryTag, ack.Multiple)
	case amqp.BasicNackID:
		var nack amqp.BasicNack
		if err := nack.Decode(f.Payload); err != nil {
			return false, err
		}
		return false, p.refuse(nack)
	case amqp.BasicReturnID:
		var returned amqp.BasicReturn
		if err := returned.Decode(f.Payload); err != nil {
			return false, err
		}
		if p.config.Returned != nil {
			p.config.Returned(returned.Keys, returned.ReplyCode, returned.ReplyText)
		}
	case amqp.ConnectionBlockedID, amqp.ConnectionUnblockedID:
		return false, p.block(f)
	case amqp.ConnectionCloseOkID:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.closing, nil
	default:
		return false, CloseOf(f)
	}
	return false, nil
}

func (p *Publisher) settle(tag uint64, multiple bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.confirms.Settle(tag, multiple, p.mu.sent)
}

// refuse notes the first publish that the broker did not take: nothing is published behind it, so that it is not passed
// over.
func (p *Publisher) refuse(nack amqp.BasicNack) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := nack.DeliveryTag
	if nack.Multiple {
		first = p.mu.confirms.Floor() + 1
	}
	p.mu.refused = min(p.mu.refused, first)
	if p.mu.err == nil {
		p.mu.err = &Refused{first}
	}
	return p.mu.confirms.Settle(nack.DeliveryTag, nack.Multiple, p.mu.sent)
}

func (p *Publisher) block(f amqp.Frame) error {
	m, err := amqp.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	blocked, is := m.(*amqp.ConnectionBlocked)
	p.mu.Lock()
	p.mu.blocked = is
	p.mu.Unlock()
	if p.config.Blocked != nil {
		reason := ""
		if is {
			reason = blocked.Reason
		}
		p.config.Blocked(reason)
	}
	return nil
}
