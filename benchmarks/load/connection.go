package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/server/amqp"
)

// connection is one AMQP connection. One goroutine reads from it at a time; several may write, each
// whole frames and whole messages at once.
type connection struct {
	net      net.Conn
	frameMax uint32
	server   amqp.Table  // what the broker says of itself
	release  func() bool // the context that it was made with ends it no longer

	// Owned by the reading goroutine.
	buf        []byte
	start, end int // what is read and not parsed yet
}

const (
	// firstChannel is the only one of most connections.
	firstChannel = 1
	// readSize is the read buffer: as large as what a broker may have written since the last read, small
	// enough to stay in a cache. A thousand connections have smaller ones, which grow to what a frame needs.
	readSize      = 256 << 10
	leastReadSize = 8 << 10
	allReadSizes  = 64 << 20
	// maxFrame is what we ask for at most; two such frames fit into the read buffer.
	maxFrame = 128 << 10
	// callTimeout limits the handshake and the closing of a connection, and the wait for an answer.
	callTimeout = 30 * time.Second
)

// dial connects, logs in and opens the first channel. The connection is one of so many.
// When the context ends, so does the connection.
func dial(ctx context.Context, a contender.Address, of int) (*connection, error) {
	soon, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	nc, err := connect(soon, a)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.Host, err)
	}
	size := min(max(allReadSizes/of, leastReadSize), readSize)
	c := &connection{net: nc, frameMax: maxFrame, buf: make([]byte, size)}
	c.release = context.AfterFunc(ctx, func() { nc.Close() })
	if err := c.logIn(a); err != nil {
		c.hangUp()
		return nil, fmt.Errorf("log in at %s: %w", a.Host, err)
	}
	return c, nil
}

// Identify asks a broker for its product and version.
func Identify(ctx context.Context, a contender.Address) (string, error) {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return "", err
	}
	name := ""
	for _, keys := range [][2]string{{"broker", "broker_version"}, {"product", "version"}} { // Millrace's product is one that clients know
		product, _ := c.server[keys[0]].(string)
		version, _ := c.server[keys[1]].(string)
		if name == "" {
			name = strings.TrimSpace(product + " " + version)
		}
	}
	if platform, _ := c.server["platform"].(string); platform != "" {
		name += " (" + platform + ")"
	}
	return name, c.close()
}

func connect(ctx context.Context, a contender.Address) (net.Conn, error) {
	if a.TLS != nil {
		return (&tls.Dialer{Config: a.TLS}).DialContext(ctx, "tcp", a.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", a.Host)
}

func (c *connection) logIn(t contender.Address) error {
	c.net.SetDeadline(time.Now().Add(callTimeout))
	if _, err := c.net.Write([]byte(amqp.ProtocolHeader)); err != nil {
		return err
	}
	m, err := c.await(amqp.ConnectionStartID, nil)
	if err != nil {
		return err
	}
	c.server = m.(*amqp.ConnectionStart).ServerProperties
	startOk := &amqp.ConnectionStartOk{
		ClientProperties: amqp.Table{
			"product":      "millrace bench",
			"capabilities": amqp.Table{"basic.nack": true, "publisher_confirms": true, "consumer_cancel_notify": true},
		},
		Mechanism: "PLAIN", Response: "\x00" + t.User + "\x00" + t.Password, Locale: "en_US",
	}
	if err := c.send(0, startOk); err != nil {
		return err
	}
	if m, err = c.await(amqp.ConnectionTuneID, nil); err != nil {
		return err
	}
	tune := m.(*amqp.ConnectionTune)
	if tune.FrameMax != 0 {
		c.frameMax = min(c.frameMax, tune.FrameMax)
	}
	// No heartbeats: a broker under load is not to be declared dead by the one that loads it.
	if err := c.send(0, &amqp.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: c.frameMax}); err != nil {
		return err
	}
	if _, err := c.call(0, &amqp.ConnectionOpen{VirtualHost: t.VHost}, amqp.ConnectionOpenOkID); err != nil {
		return err
	}
	if _, err := c.call(firstChannel, &amqp.ChannelOpen{}, amqp.ChannelOpenOkID); err != nil {
		return err
	}
	return c.net.SetDeadline(time.Time{})
}

// send writes one method.
func (c *connection) send(channel uint16, m amqp.Method) error {
	_, err := c.net.Write(amqp.AppendMethod(nil, channel, m))
	return err
}

// call sends a method and waits for its answer.
func (c *connection) call(channel uint16, m amqp.Method, answer amqp.MethodID) (amqp.Method, error) {
	if err := c.send(channel, m); err != nil {
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

// fill reads once. It follows a next that found no whole frame and no error.
func (c *connection) fill() error {
	c.end = copy(c.buf, c.buf[c.start:c.end])
	c.start = 0
	if size := int(amqp.FrameSize(c.buf[:c.end])); size > len(c.buf) {
		c.buf = append(c.buf, make([]byte, 2*size-len(c.buf))...)
	}
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
	defer c.hangUp()
	c.net.SetDeadline(time.Now().Add(callTimeout))
	_, err := c.call(0, goodbye(), amqp.ConnectionCloseOkID)
	return err
}

// hangUp ends it anyhow.
func (c *connection) hangUp() {
	c.release()
	c.net.Close()
}

func goodbye() amqp.Method {
	return &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess, ReplyText: "done"}
}
