package client

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Conn is one AMQP connection. One goroutine reads from it at a time; several may write, each whole frames and whole
// messages at once.
type Conn struct {
	net      net.Conn
	frameMax uint32
	server   amqp.Table  // what the broker says of itself
	release  func() bool // the context that it was made with ends it no longer; nil: there was none

	// Owned by the reading goroutine.
	buf        []byte
	start, end int // what is read and not parsed yet
}

const (
	// FirstChannel is the channel that Dial opens, the only one of most connections.
	FirstChannel = 1
	// MaxFrame is the largest frame that Dial asks for; two such frames fit into the usual read buffer.
	MaxFrame = 128 << 10
	// CallTimeout limits the handshake, and what callers limit by SetTimeout.
	CallTimeout = 30 * time.Second
	// usualReadSize is as large as what a broker may have written since the last read, small enough to stay in a cache.
	usualReadSize = 256 << 10
)

// NewConn makes a connection of one that has been logged in already, or that is the other side of one. frameMax is the
// limit of a frame, readSize the read buffer's in octets, which grows to what a frame needs; 0 is the usual one.
func NewConn(nc net.Conn, frameMax uint32, readSize int) *Conn {
	if readSize == 0 {
		readSize = usualReadSize
	}
	return &Conn{net: nc, frameMax: frameMax, buf: make([]byte, readSize)}
}

// FrameMax is the limit of a frame that both sides agreed to.
func (c *Conn) FrameMax() uint32 { return c.frameMax }

// Server is what the broker says of itself; it is not to be changed.
func (c *Conn) Server() amqp.Table { return c.server }

// SetTimeout limits how long reads and writes may take from now on; 0 is no limit.
func (c *Conn) SetTimeout(d time.Duration) {
	deadline := time.Time{}
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	_ = c.net.SetDeadline(deadline) // a connection that is closed says so when it is used
}

// Write writes whole frames.
func (c *Conn) Write(frames []byte) error {
	_, err := c.net.Write(frames)
	return err
}

// Send writes one method.
func (c *Conn) Send(channel uint16, m amqp.Method) error {
	return c.Write(amqp.AppendMethod(nil, channel, m))
}

// Call sends a method and waits for its answer. What comes before it is dropped, unless it closes something.
func (c *Conn) Call(channel uint16, m amqp.Method, answer amqp.MethodID) (amqp.Method, error) {
	if err := c.Send(channel, m); err != nil {
		return nil, fmt.Errorf("%v: %w", m.ID(), err)
	}
	got, err := c.Await(answer, nil)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", m.ID(), err)
	}
	return got, nil
}

// Await reads up to the method it is told. Frames before it go to other, which may be nil.
func (c *Conn) Await(answer amqp.MethodID, other func(amqp.Frame) error) (amqp.Method, error) {
	for {
		f, ok, err := c.Next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			if err := c.Fill(); err != nil {
				return nil, err
			}
		case f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == answer:
			return amqp.DecodeMethod(f.Payload)
		case other != nil:
			if err := other(f); err != nil {
				return nil, err
			}
		default:
			if err := CloseOf(f); err != nil {
				return nil, err
			}
		}
	}
}

// Next parses the next frame of the read buffer; it is valid until Fill is called. ok says whether the
// buffer has a whole one.
func (c *Conn) Next() (f amqp.Frame, ok bool, err error) {
	f, n, err := amqp.ParseFrame(c.buf[c.start:c.end], c.frameMax)
	c.start += n
	return f, n > 0, err
}

// Fill reads once. It follows a Next that found no whole frame and no error.
func (c *Conn) Fill() error {
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

// Close ends the connection in good order: the broker has then handled all that was sent.
func (c *Conn) Close() error {
	defer c.HangUp()
	c.SetTimeout(CallTimeout)
	_, err := c.Call(0, Goodbye(), amqp.ConnectionCloseOkID)
	return err
}

// HangUp ends it anyhow.
func (c *Conn) HangUp() {
	if c.release != nil {
		c.release()
	}
	_ = c.net.Close() // there is nothing to be done about it
}

// Goodbye is the method that ends a connection in good order.
func Goodbye() amqp.Method {
	return &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess, ReplyText: "done"}
}

// hangUpWith lets a context end the connection.
func (c *Conn) hangUpWith(ctx context.Context) {
	c.release = context.AfterFunc(ctx, func() { _ = c.net.Close() })
}
