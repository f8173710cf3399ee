package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// connection is one AMQP connection with one open channel. One goroutine reads from it at a time, and
// one writes: a producer's two, a consumer's only one.
type connection struct {
	net      net.Conn
	frameMax uint32

	// Owned by the reading goroutine.
	buf        []byte
	start, end int // what is read and not parsed yet

	out []byte // a method being sent; owned by the writing goroutine
}

const (
	// channelNumber is the one channel of each connection.
	channelNumber = 1
	// readSize is the read buffer: as large as what a broker may have written since the last read, small
	// enough to stay in a cache.
	readSize = 256 << 10
	// maxFrame is what we ask for at most; two such frames fit into the read buffer.
	maxFrame = 128 << 10
	// callTimeout limits the handshake and the closing of a connection, and the wait for an answer.
	callTimeout = 30 * time.Second
)

// dial connects, logs in and opens the channel.
func dial(ctx context.Context, t target) (*connection, error) {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	c := &connection{net: nc, frameMax: maxFrame, buf: make([]byte, readSize)}
	if err := c.handshake(t); err != nil {
		nc.Close()
		return nil, fmt.Errorf("log in at %s: %w", t.address, err)
	}
	return c, nil
}

func (c *connection) handshake(t target) error {
	c.net.SetDeadline(time.Now().Add(callTimeout))
	if _, err := c.net.Write([]byte(amqp.ProtocolHeader)); err != nil {
		return err
	}
	if _, err := c.await(amqp.ConnectionStartID, nil); err != nil {
		return err
	}
	startOk := &amqp.ConnectionStartOk{
		ClientProperties: amqp.Table{
			"product":      "millrace bench",
			"capabilities": amqp.Table{"basic.nack": true, "publisher_confirms": true, "consumer_cancel_notify": true},
		},
		Mechanism: "PLAIN", Response: "\x00" + t.user + "\x00" + t.password, Locale: "en_US",
	}
	if err := c.send(startOk); err != nil {
		return err
	}
	m, err := c.await(amqp.ConnectionTuneID, nil)
	if err != nil {
		return err
	}
	tune := m.(*amqp.ConnectionTune)
	if tune.FrameMax != 0 {
		c.frameMax = min(c.frameMax, tune.FrameMax)
	}
	// No heartbeats: a broker under load is not to be declared dead by the one that loads it.
	if err := c.send(&amqp.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: c.frameMax}); err != nil {
		return err
	}
	if _, err := c.call(&amqp.ConnectionOpen{VirtualHost: t.vhost}, amqp.ConnectionOpenOkID); err != nil {
		return err
	}
	if _, err := c.call(&amqp.ChannelOpen{}, amqp.ChannelOpenOkID); err != nil {
		return err
	}
	return c.net.SetDeadline(time.Time{})
}

// send writes one method, on the channel that methods of its class go by.
func (c *connection) send(m amqp.Method) error {
	channel := uint16(channelNumber)
	if m.ID().Class() == amqp.ConnectionStartID.Class() {
		channel = 0
	}
	c.out = amqp.AppendMethod(c.out[:0], channel, m)
	_, err := c.net.Write(c.out)
	return err
}

// call sends a method and waits for its answer.
func (c *connection) call(m amqp.Method, answer amqp.MethodID) (amqp.Method, error) {
	if err := c.send(m); err != nil {
		return nil, fmt.Errorf("%v: %w", m.ID(), err)
	}
	got, err := c.await(answer, nil)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m.ID(), err)
	}
	return got, nil
}

// await reads up to the method it is told. Frames before it go to other, which may be nil.
func (c *connection) await(answer amqp.MethodID, other func(amqp.Frame) error) (amqp.Method, error) {
	for {
		f, ok, err := c.next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			if err := c.fill(); err != nil {
				return nil, err
			}
		case f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == answer:
			return amqp.DecodeMethod(f.Payload)
		case other != nil:
			if err := other(f); err != nil {
				return nil, err
			}
		default:
			if err := closed(f); err != nil {
				return nil, err
			}
		}
	}
}

// next parses the next frame of the read buffer; it is valid until fill is called. ok says whether the
// buffer has a whole one.
func (c *connection) next() (f amqp.Frame, ok bool, err error) {
	f, n, err := amqp.ParseFrame(c.buf[c.start:c.end], c.frameMax)
	c.start += n
	return f, n > 0, err
}

// fill reads once.
func (c *connection) fill() error {
	c.end = copy(c.buf, c.buf[c.start:c.end])
	c.start = 0
	n, err := c.net.Read(c.buf[c.end:])
	c.end += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// errClosed is a close from the broker's side.
var errClosed = errors.New("closed by the broker")

// closed returns an error if the broker closes the channel or the connection with this frame, or ends
// the consumer.
func closed(f amqp.Frame) error {
	if f.Type != amqp.FrameMethod {
		return nil
	}
	switch amqp.PeekMethod(f.Payload) {
	case amqp.ConnectionCloseID, amqp.ChannelCloseID, amqp.BasicCancelID:
	default:
		return nil
	}
	m, err := amqp.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *amqp.ConnectionClose:
		return fmt.Errorf("connection %w: %d %s", errClosed, m.ReplyCode, m.ReplyText)
	case *amqp.ChannelClose:
		return fmt.Errorf("channel %w: %d %s", errClosed, m.ReplyCode, m.ReplyText)
	case *amqp.BasicCancel:
		return fmt.Errorf("consumer %s %w", m.ConsumerTag, errClosed)
	}
	return nil
}

// close ends the connection in good order: the broker has then handled all that was sent.
func (c *connection) close() error {
	defer c.net.Close()
	c.net.SetDeadline(time.Now().Add(callTimeout))
	_, err := c.call(goodbye(), amqp.ConnectionCloseOkID)
	return err
}

func goodbye() amqp.Method {
	return &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess, ReplyText: "done"}
}
