package benchmarks

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// producer publishes its share of a workload. Its sender writes, its receiver reads confirms.
type producer struct {
	// Immutable.
	conn     *connection
	number   uint16
	total    uint64
	window   uint64 // 0: no confirms are asked for
	pace     pacer  // interval 0: as fast as it goes
	clock    clock
	magazine *magazine // owned by the sender

	// Owned by the receiver until it has ended.
	confirms confirms
	latency  *histogram // nil when nobody measures it
	refused  uint64

	sent      atomic.Uint64 // set by the sender before it writes
	confirmed atomic.Uint64 // the floor of confirms; set by the receiver
	moved     chan struct{} // confirmed has moved, or the receiver has ended
}

func newProducer(conn *connection, w *Workload, number int, clock clock) (*producer, error) {
	p := &producer{
		conn: conn, number: uint16(number), total: uint64(w.share(number)), window: uint64(w.Window), clock: clock,
		magazine: newMagazine(w, w.routes(number), conn.frameMax),
		moved:    make(chan struct{}, 1),
	}
	if w.Rate > 0 {
		p.pace.interval = w.interval()
	}
	if w.Window == 0 {
		return p, nil
	}
	p.confirms = newConfirms(w.Window)
	if w.Rate > 0 {
		p.latency = newHistogram()
		p.confirms.each = func(publish uint64) { p.latency.record(p.clock.now() - p.pace.due(publish-1)) }
	}
	_, err := conn.call(&amqp.ConfirmSelect{}, amqp.ConfirmSelectOkID)
	return p, err
}

// run publishes everything and waits for the confirms. It closes the connection, so that even without
// confirms all has reached the broker when it returns.
func (p *producer) run() error {
	received := make(chan error, 1)
	go func() {
		err := p.receive()
		if err != nil {
			p.conn.net.Close() // the sender may be stuck in a write
		}
		received <- err
		close(p.moved)
	}()
	err := p.publish()
	if err == nil {
		err = p.conn.send(goodbye())
	}
	if err != nil {
		p.conn.net.Close()
	}
	cause := <-received
	p.conn.net.Close()
	if cause != nil && !errors.Is(cause, net.ErrClosed) {
		err = cause // the sender only saw its consequence
	}
	if err != nil {
		return fmt.Errorf("producer %d: %w", p.number, err)
	}
	return nil
}

func (p *producer) publish() error {
	if p.pace.interval > 0 {
		runtime.LockOSThread() // it sleeps in the kernel
		defer runtime.UnlockOSThread()
		p.pace.start = p.clock.now()
	}
	stamps := func(i int) stamp { return p.stamp(p.sent.Load() + uint64(i)) }
	for sent := uint64(0); sent < p.total; {
		limit, err := p.allowance(sent)
		if err != nil {
			return err
		}
		if limit == 0 {
			continue
		}
		octets, n := p.magazine.take(int(limit), stamps)
		sent += uint64(n)
		p.sent.Store(sent) // before the write: its confirms may come while it is under way
		if _, err := p.conn.net.Write(octets); err != nil {
			return err
		}
	}
	for p.window > 0 && p.confirmed.Load() < p.total {
		if err := p.wait(); err != nil {
			return err
		}
	}
	return nil
}

// allowance says how many messages may be sent now. If none may, it has waited until that could have
// changed.
func (p *producer) allowance(sent uint64) (uint64, error) {
	limit := p.total - sent
	if p.window > 0 {
		limit = min(limit, p.window-(sent-p.confirmed.Load()))
		if limit == 0 {
			return 0, p.wait()
		}
	}
	if p.pace.interval == 0 {
		return limit, nil
	}
	now := p.clock.now()
	if ready := p.pace.ready(now); ready > sent {
		return min(limit, ready-sent), nil
	}
	sleepPrecisely(p.pace.due(sent) - now)
	return 0, nil
}

var errConfirmsEnded = errors.New("connection ended before all publishes were confirmed")

// wait waits until confirmed has moved.
func (p *producer) wait() error {
	if _, open := <-p.moved; !open {
		return errConfirmsEnded
	}
	return nil
}

func (p *producer) stamp(sequence uint64) stamp {
	s := stamp{producer: p.number, sequence: sequence}
	if p.pace.interval > 0 {
		s.due = int64(p.pace.due(sequence))
	}
	return s
}

// receive reads until the connection has been closed in good order.
func (p *producer) receive() error {
	for {
		if err := p.conn.fill(); err != nil {
			return err
		}
		for {
			f, ok, err := p.conn.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if done, err := p.frame(f); done || err != nil {
				return err
			}
		}
		if p.confirms.floor > p.confirmed.Load() {
			p.confirmed.Store(p.confirms.floor)
			select {
			case p.moved <- struct{}{}:
			default: // it has not seen the last move yet
			}
		}
	}
}

func (p *producer) frame(f amqp.Frame) (done bool, err error) {
	if f.Type != amqp.FrameMethod {
		return false, nil
	}
	switch amqp.PeekMethod(f.Payload) {
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
		p.refused++
		if nack.Multiple {
			p.refused += max(nack.DeliveryTag, p.confirms.floor+1) - p.confirms.floor - 1
		}
		return false, p.settle(nack.DeliveryTag, nack.Multiple)
	case amqp.ConnectionCloseOkID:
		return true, nil
	}
	return false, closed(f)
}

func (p *producer) settle(tag uint64, multiple bool) error {
	if p.window == 0 {
		return errors.New("a publish is confirmed although no confirms were asked for")
	}
	return p.confirms.settle(tag, multiple, p.sent.Load())
}

// progress is how far it has come.
func (p *producer) progress() uint64 {
	if p.window > 0 {
		return p.confirmed.Load()
	}
	return p.sent.Load()
}

// abort ends it from outside.
func (p *producer) abort() { p.conn.net.SetDeadline(time.Unix(1, 0)) }
