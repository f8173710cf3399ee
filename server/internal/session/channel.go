package session

import (
	"errors"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// channel is one channel of a connection, owned by the connection's reader.
type channel struct {
	*broker.Channel

	conn    *conn
	closing bool // channel.close was sent; everything but its answer is discarded (ERR-04)

	content   content
	partial   bool   // in conn.partial
	lastQueue string // the last queue declared (QUEUE-01)
	prefetch  int    // for consumers started from now on (QOS-02)
	consumers map[string]*queue.Consumer
	returns   []byte // frames of what the open transaction could not route
	held      int    // octets of this channel's in conn.held
	sweep     int    // number of consumers at which those that have ended are forgotten
}

// openChannel handles a frame on a channel that is not open.
func (c *conn) openChannel(f amqp.Frame) error {
	if f.Type != amqp.FrameMethod {
		return amqp.ExpectedMethod()
	}
	id := amqp.PeekMethod(f.Payload)
	switch id {
	case amqp.ChannelOpenID:
	case amqp.ChannelCloseOkID: // late, and harmless
		return nil
	default:
		return amqp.Errorf(amqp.ChannelError, id, "expected 'channel.open'") // CHAN-02
	}
	if c.channelMax > 0 && c.open >= c.channelMax { // CHAN-01
		return amqp.Errorf(amqp.NotAllowed, 0,
			"number of channels opened (%d) has reached the negotiated channel_max (%d)", c.open, c.channelMax)
	}
	opened, err := c.client.OpenChannel(f.Channel)
	if err != nil {
		return err
	}
	c.open++
	c.channels[f.Channel] = &channel{Channel: opened, conn: c, consumers: make(map[string]*queue.Consumer)}
	c.out.method(f.Channel, &amqp.ChannelOpenOk{})
	return nil
}

// channel finds a channel, nil if the number is free.
func (c *conn) channel(number uint16) *channel {
	if c.recent == nil || c.recent.Number != number {
		c.recent = c.channels[number]
	}
	return c.recent
}

// dropChannel makes a channel's number free.
func (c *conn) dropChannel(number uint16) {
	delete(c.channels, number)
	c.recent = nil
}

// closeChannel sends channel.close (ERR-03) and gives back what the channel held. What came before the
// fault takes effect (ERR-05).
func (c *conn) closeChannel(e *channelError) error {
	ch := c.channels[e.channel]
	if ch == nil || ch.closing {
		return nil
	}
	c.logger.Warn("closing channel", "channel", e.channel, "error", e.err.ReplyText())
	ch.closing = true
	c.open--
	err := c.flush()
	ch.release()
	c.out.method(e.channel, e.err.ChannelClose())
	return err
}

func (c *conn) frameWhileChannelCloses(ch *channel, f amqp.Frame) error {
	if f.Type != amqp.FrameMethod {
		return nil
	}
	switch id := amqp.PeekMethod(f.Payload); id {
	case amqp.ChannelCloseOkID:
		c.dropChannel(ch.Number)
	case amqp.ChannelCloseID: // both sides closed at once
		c.out.method(ch.Number, &amqp.ChannelCloseOk{})
	case amqp.ChannelOpenID:
		return amqp.Errorf(amqp.ChannelError, id, "second 'channel.open' seen")
	}
	return nil
}

// release gives back what the channel held.
func (ch *channel) release() {
	ch.content.reset()
	ch.returns, ch.consumers = nil, nil
	ch.conn.letGo(ch)
	ch.Channel.Close()
}

// frame handles one frame of the channel.
func (ch *channel) frame(f amqp.Frame) error {
	err := ch.handle(f)
	if err == nil {
		return nil
	}
	var protocol *amqp.Error
	if errors.As(err, &protocol) {
		return &channelError{channel: ch.Number, err: protocol}
	}
	return err
}

func (ch *channel) handle(f amqp.Frame) error {
	if ch.content.stage != noContent {
		return ch.contentFrame(f)
	}
	if f.Type != amqp.FrameMethod {
		return amqp.ExpectedMethod()
	}
	id := amqp.PeekMethod(f.Payload)
	switch id { // those that come once a message are staged and cost no allocation
	case amqp.BasicPublishID:
		return ch.publish(f.Payload)
	case amqp.BasicAckID:
		return ch.ack(f.Payload)
	}
	m, err := amqp.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *amqp.BasicNack:
		ch.Settle(m.ID(), queue.Tag(m.DeliveryTag), m.Multiple, outcome(m.Requeue, queue.Returned))
		return nil
	case *amqp.BasicReject:
		ch.Settle(m.ID(), queue.Tag(m.DeliveryTag), false, outcome(m.Requeue, queue.Failed))
		return nil
	}
	// All others see what was staged before them, and are answered in order (CHAN-05).
	if err := ch.conn.flush(); err != nil {
		return err
	}
	if ch.closing {
		return ch.conn.frameWhileChannelCloses(ch, f)
	}
	return ch.method(m)
}

// outcome is what a client says that does not acknowledge: whether the message shall come back, and whether
// that is a failure (QQ-04).
func outcome(requeue bool, returned queue.Outcome) queue.Outcome {
	if requeue {
		return returned
	}
	return queue.Rejected
}

func (ch *channel) publish(payload []byte) error {
	if err := ch.content.begin(payload); err != nil {
		return err
	}
	if ch.content.method.Immediate { // PUB-03
		return amqp.Errorf(amqp.NotImplemented, amqp.BasicPublishID, "immediate=true")
	}
	ch.notePartial()
	return nil
}

// notePartial makes sure that the content is looked at when the read buffer is about to be reused.
func (ch *channel) notePartial() {
	if !ch.partial {
		ch.partial = true
		ch.conn.partial = append(ch.conn.partial, ch)
	}
}

func (ch *channel) contentFrame(f amqp.Frame) error {
	done, err := ch.content.frame(f, ch.conn.cfg.MaxMessageSize)
	if err != nil || !done {
		ch.notePartial()
		return err
	}
	err = ch.publishContent()
	ch.content.reset()
	if ch.conn.cfg.Alarms.Active() != 0 {
		ch.conn.throttle = true // CONN-20: this one is taken in, nothing behind it
	}
	if err == nil && ch.conn.client.Full() {
		return ch.conn.flush()
	}
	return err
}

func (ch *channel) publishContent() error {
	if ch.HasSettles() {
		if err := ch.conn.settled(ch.conn.client.FlushSettles()); err != nil || ch.closing {
			return err
		}
	}
	p := &ch.conn.ready
	ch.content.publication(p, ch.conn.now)
	routed, err := ch.Publish(p)
	if err == nil && !routed && ch.content.method.Mandatory {
		ch.sendBack(p)
	}
	return err
}

// sendBack returns an unroutable message to its publisher (PUB-04): before the confirm, which follows with
// the flush (PUB-05), or at the transaction's commit.
func (ch *channel) sendBack(p *broker.Publication) {
	if ch.Transactional() {
		ch.returns = ch.appendReturn(ch.returns, p)
		return
	}
	ch.conn.out.addContent(ch.appendReturn(nil, p))
}

func (ch *channel) appendReturn(dst []byte, p *broker.Publication) []byte {
	dst = amqp.AppendMethod(dst, ch.Number, &amqp.BasicReturn{ReplyCode: amqp.NoRoute, ReplyText: "NO_ROUTE", Keys: p.Keys})
	return ch.conn.appendContent(dst, ch.Number, p)
}

func (ch *channel) ack(payload []byte) error {
	var m amqp.BasicAck
	if err := m.Decode(payload); err != nil {
		return err
	}
	ch.Settle(amqp.BasicAckID, queue.Tag(m.DeliveryTag), m.Multiple, queue.Acked)
	return nil
}
