package benchmarks

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// consumer takes messages from one queue until it is stopped.
type consumer struct {
	// Immutable.
	conn     *connection
	queue    string
	autoAck  bool
	ackEvery int
	progress *progress
	clock    clock

	// Owned by run until it has ended.
	ledger   *ledger
	latency  *histogram // nil when nobody measures it
	now      time.Duration
	acks     []byte // staged acknowledgements
	tag      uint64 // of the last delivery
	unacked  int    // deliveries since the last acknowledgement staged
	missing  uint64 // octets of a body that are still to come
	head     []byte // the stamp's octets that have come
	headRoom [stampSize]byte
	fresh    int64 // deliveries of this read that count as progress

	stopping atomic.Bool
}

// consumerTag names the one consumer of a connection.
const consumerTag = "bench"

// newConsumer starts a consumer: from here on the broker may deliver.
func newConsumer(conn *connection, w *Workload, queue int, clock clock, progress *progress) (*consumer, error) {
	c := &consumer{
		conn: conn, queue: w.queueName(queue), autoAck: w.AutoAck, ackEvery: w.AckEvery,
		progress: progress, clock: clock, ledger: newLedger(w),
	}
	if w.Rate > 0 {
		c.latency = newHistogram()
	}
	if !w.AutoAck && w.Prefetch > 0 {
		if _, err := conn.call(&amqp.BasicQos{PrefetchCount: uint16(w.Prefetch)}, amqp.BasicQosOkID); err != nil {
			return nil, err
		}
	}
	_, err := conn.call(&amqp.BasicConsume{Queue: c.queue, ConsumerTag: consumerTag, NoAck: w.AutoAck}, amqp.BasicConsumeOkID)
	return c, err
}

// run takes messages until stop is called, then whatever is still on its way.
func (c *consumer) run() error {
	err := c.consume()
	if c.stopping.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.finish()
	}
	c.conn.net.Close()
	if err != nil {
		return fmt.Errorf("consumer of %s: %w", c.queue, err)
	}
	return nil
}

// stop ends the consumer from outside.
func (c *consumer) stop() {
	c.stopping.Store(true)
	c.conn.net.SetReadDeadline(time.Unix(1, 0))
}

func (c *consumer) consume() error {
	for {
		// What came together with consume-ok is in the buffer already: so input is handled before it is read.
		if err := c.handleInput(); err != nil {
			return err
		}
		if err := c.conn.fill(); err != nil {
			return err
		}
	}
}

// handleInput handles what was read, and acknowledges it with one write.
func (c *consumer) handleInput() error {
	if c.latency != nil {
		c.now = c.clock.now()
	}
	for {
		f, ok, err := c.conn.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := c.frame(f); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.progress.add(c.fresh)
	c.fresh = 0
	return nil
}

// flush sends the acknowledgements that are staged.
func (c *consumer) flush() error {
	if len(c.acks) == 0 {
		return nil
	}
	_, err := c.conn.net.Write(c.acks)
	c.acks = c.acks[:0]
	return err
}

func (c *consumer) frame(f amqp.Frame) error {
	switch f.Type {
	case amqp.FrameMethod:
		if amqp.PeekMethod(f.Payload) != amqp.BasicDeliverID {
			return closed(f)
		}
		var deliver amqp.BasicDeliver
		if err := deliver.Decode(f.Payload); err != nil {
			return err
		}
		c.tag = deliver.DeliveryTag
	case amqp.FrameHeader:
		header, err := amqp.ParseHeader(f.Payload)
		if err != nil {
			return err
		}
		c.missing, c.head = header.BodySize, c.headRoom[:0]
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

// message takes note of a message that has come completely.
func (c *consumer) message() {
	c.ledger.messages++
	fresh := true
	if c.ledger.stamped {
		var s stamp
		s, fresh = c.ledger.note(c.head)
		if c.latency != nil && fresh {
			c.latency.record(c.now - time.Duration(s.due))
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
	start := len(c.acks)
	c.acks = amqp.EndFrame(ack.Append(amqp.BeginFrame(c.acks, amqp.FrameMethod, channelNumber)), start)
	c.unacked = 0
}

// finish ends the consumer, takes what the broker delivered until then, and acknowledges the rest.
func (c *consumer) finish() error {
	c.conn.net.SetDeadline(time.Now().Add(callTimeout))
	if err := c.conn.send(&amqp.BasicCancel{ConsumerTag: consumerTag}); err != nil {
		return err
	}
	if _, err := c.conn.await(amqp.BasicCancelOkID, c.frame); err != nil {
		return err
	}
	if c.unacked > 0 {
		c.acknowledge()
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.conn.close()
}

// progress counts the deliveries of all consumers of a run.
type progress struct {
	expected int64
	count    atomic.Int64
	done     chan struct{} // closed when all have come
}

func newProgress(expected int64) *progress {
	p := &progress{expected: expected, done: make(chan struct{})}
	if expected == 0 {
		close(p.done)
	}
	return p
}

// add counts n more deliveries.
func (p *progress) add(n int64) {
	if n == 0 {
		return
	}
	if now := p.count.Add(n); now >= p.expected && now-n < p.expected {
		close(p.done)
	}
}
