package load

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// consumer takes messages from one queue until it is cancelled. All of it is owned by the goroutine that
// reads its link.
type consumer struct {
	link     *link
	channel  uint16
	queue    string
	autoAck  bool
	ackEvery int
	timed    bool // stamps tell when messages were due
	progress *progress
	// published, if it is not nil, is how many messages were published: the consumer keeps in step with it
	// until the measurement ends, so that the backlog stays.
	published func() uint64
	pace      pacer // of what it takes; interval 0: as it comes

	ledger   *ledger
	tag      uint64 // of the last delivery
	unacked  int    // deliveries since the last acknowledgement staged
	missing  uint64 // octets of a body that are still to come
	head     []byte // the stamp's octets that have come
	headRoom [stampSize]byte
	fresh    int64 // deliveries of this read that count as progress
}

// consumerTag names the one consumer of a channel.
const consumerTag = "bench"

// newConsumer starts a consumer: from here on the broker may deliver.
func newConsumer(l *link, channel uint16, w *Workload, queue int, progress *progress) (*consumer, error) {
	c := &consumer{
		link: l, channel: channel, queue: w.queueName(queue), autoAck: w.AutoAck, ackEvery: w.AckEvery,
		timed: w.latency() && l.recorder != nil, progress: progress, ledger: newLedger(w),
		pace: pacer{start: l.clock.now(), interval: w.consumerInterval()},
	}
	if !w.AutoAck && w.Prefetch > 0 {
		if _, err := l.call(channel, &amqp.BasicQos{PrefetchCount: uint16(w.Prefetch)}, amqp.BasicQosOkID); err != nil {
			return nil, err
		}
	}
	l.consuming++
	_, err := l.call(channel, &amqp.BasicConsume{Queue: c.queue, ConsumerTag: consumerTag, NoAck: w.AutoAck}, amqp.BasicConsumeOkID)
	return c, err
}

func (c *consumer) frame(f amqp.Frame) error {
	switch f.Type {
	case amqp.FrameMethod:
		return c.method(f)
	case amqp.FrameHeader:
		size, err := peekBodySize(f.Payload)
		if err != nil {
			return err
		}
		c.missing, c.head = size, c.headRoom[:0]
		if c.missing == 0 {
			c.message()
		}
	case amqp.FrameBody:
		if uint64(len(f.Payload)) > c.missing {
			return errors.New("a body is longer than its header says")
		}
		if room := stampSize - len(c.head); room > 0 {
			c.head = append(c.head, f.Payload[:min(room, len(f.Payload))]...)
		}
		c.missing -= uint64(len(f.Payload))
		if c.missing == 0 {
			c.message()
		}
	}
	return nil
}

func (c *consumer) method(f amqp.Frame) error {
	switch amqp.PeekMethod(f.Payload) {
	case amqp.BasicDeliverID:
		tag, err := peekDeliveryTag(f.Payload)
		c.tag = tag
		return err
	case amqp.BasicCancelOkID:
		if c.unacked > 0 {
			c.acknowledge()
		}
		c.link.leave()
		return nil
	}
	if err := client.CloseOf(f); err != nil {
		return fmt.Errorf("consumer of %s: %w", c.queue, err)
	}
	return nil
}

// message takes note of a message that has come completely.
func (c *consumer) message() {
	c.ledger.messages++
	fresh := true
	if c.ledger.stamped {
		var s stamp
		s, fresh = c.ledger.note(c.head)
		if c.timed && fresh {
			c.link.recorder.deliveryLocked(time.Duration(s.due), c.link.now)
		}
	}
	if fresh {
		c.fresh++
	}
	if c.autoAck {
		return
	}
	if c.unacked++; c.unacked >= c.ackEvery {
		c.acknowledge()
	}
}

// acknowledge stages an acknowledgement of all deliveries so far.
func (c *consumer) acknowledge() {
	ack := amqp.BasicAck{DeliveryTag: c.tag, Multiple: true}
	start := len(c.link.out)
	c.link.out = amqp.EndFrame(ack.Append(amqp.BeginFrame(c.link.out, amqp.FrameMethod, c.channel)), start)
	c.unacked = 0
}

func (c *consumer) turn() {
	c.progress.add(c.fresh)
	c.fresh = 0
	c.linger()
	for c.published != nil && uint64(c.progress.count.Load()) > c.published() && !c.progress.free() {
		sleepPrecisely(stepTime) // the broker has had our acknowledgements, and nothing else is to be said
	}
}

// linger waits until it is time to take more than was taken, if the consumer has a rate: what comes meanwhile waits in the
// socket, and what is not acknowledged at the broker.
func (c *consumer) linger() {
	if c.pace.interval == 0 {
		return
	}
	for !c.progress.aborted.Load() {
		left := c.pace.due(c.ledger.messages) - c.link.clock.now()
		if left <= 0 {
			return
		}
		sleepPrecisely(min(left, lingerTime))
	}
}

// lingerTime is how long a slow consumer may not notice that the run was given up.
const lingerTime = 10 * time.Millisecond

// stepTime is how long a consumer that is ahead of the producers waits before it looks again.
const stepTime = 200 * time.Microsecond

func (c *consumer) lost() {}

// progress counts the deliveries of all consumers of a run.
type progress struct {
	count    atomic.Int64
	measured goal // when the measurement ends
	all      goal // when nothing more is to come
	aborted  atomic.Bool
}

// free says that nobody needs to keep in step any more.
func (p *progress) free() bool {
	select {
	case <-p.measured.done:
		return true
	default:
		return p.aborted.Load()
	}
}

// goal is a number of deliveries. It is known when all is published.
type goal struct {
	at   atomic.Int64 // 0: not known yet
	once sync.Once
	done chan struct{} // closed when the goal is reached
}

func newProgress() *progress {
	return &progress{measured: goal{done: make(chan struct{})}, all: goal{done: make(chan struct{})}}
}

// add counts n more deliveries.
func (p *progress) add(n int64) {
	if n == 0 {
		return
	}
	now := p.count.Add(n)
	p.measured.check(now)
	p.all.check(now)
}

// aim sets the goals.
func (p *progress) aim(measured, all uint64) {
	for g, n := range map[*goal]uint64{&p.measured: measured, &p.all: all} {
		g.at.Store(int64(n) + 1)
		g.check(p.count.Load())
	}
}

// check reports the goal once it is reached. Between aim and add, one of the two sees the other's number.
func (g *goal) check(now int64) {
	if at := g.at.Load(); at > 0 && now >= at-1 {
		g.once.Do(func() { close(g.done) })
	}
}
