package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/millrace-mq/millrace/server/amqp"
)

// PublisherConfig is how a Publisher works.
type PublisherConfig struct {
	// Window is how many publishes may wait for their confirm at the same time; 0 is 1000.
	Window int
	// Returned is told each mandatory message that reached no queue, before its confirm counts; it may be nil. The
	// publisher's own goroutine calls it, with keys that it borrows.
	Returned func(keys amqp.Keys, code amqp.ReplyCode, text string)
	// Blocked is told when the broker stops taking messages, and why, and with "" when it goes on; it may be nil. The
	// publisher's own goroutine calls it.
	Blocked func(reason string)
}

// Publishing is a message to be published: octets as they are.
type Publishing struct {
	Keys      amqp.Keys // exchange and routing key
	Header    []byte    // payload of the content header's frame
	Body      []byte    // as long as the header says
	Mandatory bool      // it comes back when it reaches no queue
}

// Publisher publishes on a connection of its own, with confirms. One goroutine calls its methods.
//
// What is published waits in a buffer until that is full, or until the caller waits for something.
type Publisher struct {
	conn   *Conn
	config PublisherConfig
	moved  chan struct{} // capacity 1: something in mu has changed
	ended  chan struct{} // closed when nothing is read any more

	// Owned by the caller.
	out    []byte
	staged uint64 // publishes in out, and all before

	mu struct { // a leaf
		sync.Mutex
		sent     uint64 // publishes that are written, or being written
		confirms Confirms
		refused  uint64 // the first publish that the broker refused; MaxUint64: none
		blocked  bool
		closing  bool
		err      error // why nothing can be published any more
	}
}

// Refused is the error of a publish that the broker did not take.
type Refused struct{ Tag uint64 }

// Error names the publish.
func (r *Refused) Error() string {
	return fmt.Sprintf("publish %d was refused by the broker (basic.nack): a queue is full, or it could not store it", r.Tag)
}

// flushSize is from how many octets on the buffer is written.
const flushSize = 128 << 10

// NewPublisher asks for confirms on [FirstChannel] and takes the connection over.
func NewPublisher(conn *Conn, config PublisherConfig) (*Publisher, error) {
	if config.Window == 0 {
		config.Window = 1000
	}
	if _, err := conn.Call(FirstChannel, &amqp.ConfirmSelect{}, amqp.ConfirmSelectOkID); err != nil {
		return nil, err
	}
	p := &Publisher{conn: conn, config: config, moved: make(chan struct{}, 1), ended: make(chan struct{})}
	p.mu.confirms, p.mu.refused = NewConfirms(config.Window), math.MaxUint64
	go p.read()
	return p, nil
}

// Publish takes a message and returns its number, which counts from 1. It waits while as many as the window has are not
// confirmed, and while the broker takes none. Nothing of the message is kept when it returns.
func (p *Publisher) Publish(ctx context.Context, m Publishing) (uint64, error) {
	if err := p.wait(ctx, func() bool { return !p.mu.blocked && p.staged-p.mu.confirms.Floor() < uint64(p.config.Window) }); err != nil {
		return 0, err
	}
	start := len(p.out)
	p.out = amqp.BeginFrame(p.out, amqp.FrameMethod, FirstChannel)
	p.out = (&amqp.BasicPublish{Keys: m.Keys, Mandatory: m.Mandatory}).Append(p.out)
	p.out = amqp.EndFrame(p.out, start)
	p.out = amqp.AppendContent(p.out, FirstChannel, m.Header, m.Body, p.conn.FrameMax())
	p.staged++
	if len(p.out) < flushSize {
		return p.staged, nil
	}
	return p.staged, p.Flush()
}

// Flush writes what waits in the buffer.
func (p *Publisher) Flush() error {
	if len(p.out) == 0 {
		return nil
	}
	p.mu.Lock()
	p.mu.sent = p.staged // before the write: its confirms may come while it is under way
	p.mu.Unlock()
	err := p.conn.Write(p.out)
	if p.out = p.out[:0]; cap(p.out) > 64*flushSize {
		p.out = nil // it had a very large message
	}
	if err == nil {
		return nil
	}
	// If the broker has closed something, its reason is on the way or here.
	p.conn.SetTimeout(CallTimeout)
	<-p.ended
	return p.failure(err)
}

// Wait writes what waits and returns when all is confirmed.
func (p *Publisher) Wait(ctx context.Context) error {
	if err := p.Flush(); err != nil {
		return err
	}
	return p.wait(ctx, func() bool { return p.mu.confirms.Floor() >= p.staged })
}

// Confirmed is up to which publish all are confirmed.
func (p *Publisher) Confirmed() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return min(p.mu.confirms.Floor(), p.mu.refused-1)
}

// Close ends the connection in good order. What was not confirmed before may be lost; see Wait.
func (p *Publisher) Close() error {
	p.conn.SetTimeout(CallTimeout)
	p.mu.Lock()
	p.mu.closing = true
	p.mu.Unlock()
	err := p.conn.Send(0, Goodbye())
	<-p.ended
	return err
}

// HangUp ends the connection anyhow.
func (p *Publisher) HangUp() {
	p.conn.HangUp()
	<-p.ended
}

// wait returns when what is asked for holds, which is looked at with the lock held, or an error.
func (p *Publisher) wait(ctx context.Context, holds func() bool) error {
	for {
		p.mu.Lock()
		ok, err := holds(), p.mu.err
		p.mu.Unlock()
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		if err := p.Flush(); err != nil {
			return err
		}
		select {
		case <-p.moved:
		case <-p.ended:
			return p.failure(errors.New("the connection has ended"))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// failure is why nothing can be published any more, or other if that is not known.
func (p *Publisher) failure(other error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.err != nil {
		return p.mu.err
	}
	return other
}
