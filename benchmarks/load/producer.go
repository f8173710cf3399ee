package load

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// producer publishes its share of a workload. Its sender is a goroutine of its own; the link's reader
// takes its confirms.
type producer struct {
	// Immutable once it runs.
	link    *link
	channel uint16
	number  uint16
	first   uint64 // the number of its first message: another one may have sent some before it
	window  uint64 // 0: no confirms are asked for
	share   uint64 // messages after the warm-up, unless there is a time limit
	timing  timing
	pace    pacer // interval 0: as fast as it goes
	timed   bool  // latency is measured
	clock   clock
	wake    chan struct{} // somebody else tells when a message is due; nil: it sleeps itself

	// Owned by the sender.
	magazine *magazine
	total    uint64        // of its messages; unknown until the warm-up is over or the time is up
	now      time.Duration // when the messages being sent are sent

	// Owned by the link's reader until it has ended.
	confirms client.Confirms
	refused  uint64

	// sentAt tells when publish n%window was sent, without a rate. The sender writes it before it counts the
	// publish as sent, and again only when that is confirmed.
	sentAt []time.Duration

	sent      atomic.Uint64 // set by the sender before it writes
	confirmed atomic.Uint64 // the floor of confirms; set by the reader
	moved     chan struct{} // confirmed has moved; closed when the reader or the channel has ended
	ended     atomic.Bool   // the channel was closed in good order
}

// timing says when a phase begins and what its times are, on the run's clock.
type timing struct {
	start    time.Duration
	measured time.Duration // the warm-up ends
	until    time.Duration // publishing ends; 0: when the share is sent
}

// unlimited is a total that is not known yet.
const unlimited = math.MaxUint64

// newProducer opens confirms if the workload has them. It has share messages to send.
func newProducer(l *link, channel uint16, w *Workload, routes []route, number int, first, share uint64) (*producer, error) {
	p := &producer{
		link: l, channel: channel, number: uint16(number), first: first, window: uint64(w.Window), share: share,
		timed: w.latency() && l.recorder != nil, clock: l.clock,
		magazine: newMagazine(w, routes, channel, first, l.conn.FrameMax()),
		moved:    make(chan struct{}, 1),
	}
	if w.Window == 0 {
		return p, nil
	}
	p.confirms = client.NewConfirms(w.Window)
	if p.timed {
		p.sentAt = make([]time.Duration, w.Window)
		p.confirms.Each = func(publish uint64) { p.link.recorder.confirmLocked(p.sentTime(publish), p.link.now) }
	}
	_, err := l.call(channel, &amqp.ConfirmSelect{}, amqp.ConfirmSelectOkID)
	return p, err
}

// schedule tells a producer, before it runs, when what happens.
func (p *producer) schedule(t timing, pace pacer) {
	p.timing, p.pace = t, pace
	p.total = unlimited
	switch {
	case t.until == 0 && t.measured <= t.start:
		p.total = p.share
	case pace.interval > 0 && t.until > 0: // all that is due in time is sent, however late
		p.total = pace.ready(t.until - 1)
	case pace.interval > 0:
		p.total = pace.ready(t.measured-1) + p.share
	}
}

// run publishes everything, waits for the confirms and closes the channel: even without confirms all has
// reached the broker when it returns.
func (p *producer) run() error {
	err := p.publish()
	if err == nil {
		err = p.conclude()
	}
	if err != nil {
		p.link.conn.HangUp()
		return fmt.Errorf("producer %d: %w", p.number, err)
	}
	return nil
}

func (p *producer) publish() error {
	if p.pace.interval > 0 && p.wake == nil {
		defer punctual()()
	}
	sent := uint64(0)
	stamps := func(i int) stamp { return p.stamp(sent + uint64(i)) }
	for sent < p.total {
		limit, err := p.allowance(sent)
		if err != nil {
			return err
		}
		if limit == 0 {
			continue
		}
		octets, n := p.magazine.take(int(min(limit, math.MaxInt32)), stamps)
		p.noteSent(sent, n)
		sent += uint64(n)
		p.sent.Store(sent) // before the write: its confirms may come while it is under way
		if err := p.link.conn.Write(octets); err != nil {
			return err
		}
	}
	for p.window > 0 && p.confirmed.Load() < sent {
		if err := p.wait(); err != nil {
			return err
		}
	}
	return nil
}

// allowance says how many messages may be sent now. If none may, it has waited until that could have
// changed, or found that the total is reached.
func (p *producer) allowance(sent uint64) (uint64, error) {
	limit := p.total - sent
	if p.window > 0 {
		limit = min(limit, p.window-(sent-p.confirmed.Load()))
		if limit == 0 {
			return 0, p.wait()
		}
	}
	if p.pace.interval == 0 && p.total != unlimited && !p.timed {
		return limit, nil
	}
	p.now = p.clock.now()
	if p.pace.interval == 0 {
		p.fixTotal(sent)
		return min(limit, p.total-sent), nil
	}
	if ready := p.pace.ready(p.now); ready > sent {
		return min(limit, ready-sent), nil
	}
	return 0, p.rest(p.pace.due(sent) - p.now)
}

// fixTotal sets the total when its time has come.
func (p *producer) fixTotal(sent uint64) {
	switch {
	case p.total != unlimited:
	case p.timing.until > 0 && p.now >= p.timing.until:
		p.total = sent
	case p.timing.until == 0 && p.now >= p.timing.measured:
		p.total = sent + p.share
	}
}

// rest waits until a message is due.
func (p *producer) rest(d time.Duration) error {
	if p.wake == nil {
		sleepPrecisely(d)
		return nil
	}
	select {
	case <-p.wake:
		return nil
	case _, open := <-p.moved:
		if !open {
			return errLinkLost
		}
		return nil
	}
}

// wait waits until confirmed has moved.
func (p *producer) wait() error {
	if _, open := <-p.moved; !open {
		return errLinkLost
	}
	return nil
}

// conclude closes the channel and waits for the answer.
func (p *producer) conclude() error {
	if err := p.link.conn.Send(p.channel, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess, ReplyText: "done"}); err != nil {
		return err
	}
	for range p.moved { // it ends when the channel has
	}
	if !p.ended.Load() {
		return errLinkLost
	}
	return nil
}

func (p *producer) stamp(sent uint64) stamp {
	s := stamp{producer: p.number, sequence: p.first + sent}
	if p.pace.interval > 0 {
		s.due = int64(p.pace.due(sent))
	} else if p.timed {
		s.due = int64(p.now)
	}
	return s
}

// noteSent keeps when n messages after those sent are sent.
func (p *producer) noteSent(sent uint64, n int) {
	if p.sentAt == nil || p.pace.interval > 0 {
		return
	}
	for publish := sent + 1; publish <= sent+uint64(n); publish++ {
		p.sentAt[publish%p.window] = p.now
	}
}

// sentTime is when a publish, numbered from 1, was sent or due.
func (p *producer) sentTime(publish uint64) time.Duration {
	if p.pace.interval > 0 {
		return p.pace.due(publish - 1)
	}
	return p.sentAt[publish%p.window]
}

func (p *producer) frame(f amqp.Frame) error {
	if f.Type != amqp.FrameMethod {
		return nil
	}
	switch amqp.PeekMethod(f.Payload) {
	case amqp.BasicAckID:
		var ack amqp.BasicAck
		if err := ack.Decode(f.Payload); err != nil {
			return err
		}
		return p.settle(ack.DeliveryTag, ack.Multiple)
	case amqp.BasicNackID:
		var nack amqp.BasicNack
		if err := nack.Decode(f.Payload); err != nil {
			return err
		}
		p.refused++
		if nack.Multiple {
			p.refused += max(nack.DeliveryTag, p.confirms.Floor()+1) - p.confirms.Floor() - 1
		}
		return p.settle(nack.DeliveryTag, nack.Multiple)
	case amqp.ChannelCloseOkID:
		p.ended.Store(true)
		close(p.moved)
		return nil
	}
	if err := client.CloseOf(f); err != nil {
		return fmt.Errorf("producer %d: %w", p.number, err)
	}
	return nil
}

func (p *producer) settle(tag uint64, multiple bool) error {
	if p.window == 0 {
		return errors.New("a publish is confirmed although no confirms were asked for")
	}
	return p.confirms.Settle(tag, multiple, p.sent.Load())
}

func (p *producer) turn() {
	if p.ended.Load() || p.confirms.Floor() <= p.confirmed.Load() {
		return
	}
	p.confirmed.Store(p.confirms.Floor())
	select {
	case p.moved <- struct{}{}:
	default: // it has not seen the last move yet
	}
}

func (p *producer) lost() {
	if !p.ended.Load() {
		close(p.moved)
	}
}
