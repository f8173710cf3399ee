package session

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// conn is one connection. Two goroutines work on it: the reader, which runs Serve and owns everything
// here that says nothing else, and the writer.
type conn struct {
	// Immutable.
	cfg    Config
	broker *broker.Broker
	net    net.Conn
	logger *slog.Logger
	out    outbox

	stopping atomic.Bool   // the server shuts down: the read deadline is not to be moved
	halt     chan struct{} // has a token when stopping was set
	broken   chan struct{} // closed by the writer when a write has failed
	mail     mailbox

	in       input
	state    state
	channels map[uint16]*channel
	recent   *channel // the channel used last, nil or in channels
	now      int64    // when the buffer being handled was read, in ms: one look at the clock serves all of it
	open     int      // channels that count against channelMax: those not waiting for close-ok
	user     *broker.User
	// certificate is the client's, verified, or nil.
	certificate *x509.Certificate
	secure      bool // by TLS; written before anything is sent
	features    features
	blocked     bool // by an alarm, and the client knows if it can (CONN-21)
	throttle    bool // has published under an alarm: nothing more is handled until it is over (CONN-20)
	leaving     bool // ends: nothing is waited for any more
	deaf        bool // a frame was malformed: where the next one begins is unknown

	// Negotiated (CONN-11, CONN-12); written by the reader before the first delivery, then constant.
	channelMax int
	frameMax   uint32
	heartbeat  time.Duration
	client     *broker.Client

	intervals chan time.Duration // to the writer: the heartbeat's half
	deadline  time.Time          // the read deadline that extendDeadline set last
	until     time.Time          // the read deadline that holds unless somebody wants the reader
	partial   []*channel         // have a content that the buffer just read did not complete
	held      int                // octets that channels hold for work that is not complete; see hold
	ready     broker.Publication // reused for each publish
}

// state is how far a connection has come.
type state uint8

const (
	awaitHeader state = iota
	awaitStartOk
	awaitTuneOk
	awaitOpen
	running
	closing // connection.close was sent; only its answer matters
	ended
)

// features are the client's capabilities that change what the server does (CONN-04).
type features struct {
	cancelNotify bool // consumer_cancel_notify
	authClose    bool // authentication_failure_close
	blocked      bool // connection.blocked
}

// errEnd ends a connection without another word.
var errEnd = errors.New("connection ends")

// Serve speaks AMQP 0-9-1 on nc until the connection ends, and closes it. It returns when both of the
// connection's goroutines have ended. stop ends it from outside: see Stopper.
func Serve(cfg Config, b *broker.Broker, nc net.Conn, stop *Stopper) {
	c := &conn{
		cfg: cfg, broker: b, net: nc,
		logger:     cfg.Logger.With("peer", nc.RemoteAddr().String()),
		channels:   make(map[uint16]*channel),
		frameMax:   initialFrameMax,
		channelMax: cfg.ChannelMax,
		intervals:  make(chan time.Duration, 1),
		halt:       make(chan struct{}, 1),
		broken:     make(chan struct{}),
	}
	if c.cfg.Alarms == nil {
		c.cfg.Alarms = b.Alarms()
	}
	c.out.init()
	c.in.init()
	written := make(chan struct{})
	w := &writer{conn: c, view: b.NewView()}
	go func() {
		defer close(written)
		w.run(c.intervals)
	}()
	stop.add(c)
	defer stop.remove(c)

	err := c.read()
	c.end(err)
	// What is in the outbox, the last close or close-ok among it, still goes out, but not for ever.
	nc.SetWriteDeadline(time.Now().Add(lastWordTimeout))
	c.out.close()
	<-written
	if c.client != nil {
		c.client.Gone()
	}
	if c.stopping.Load() {
		c.linger()
	}
	nc.Close()
}

// linger reads on until the peer hangs up, for a while: closing a socket with unread octets in it could
// make the peer lose our last word.
func (c *conn) linger() {
	c.net.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.Copy(io.Discard, c.net)
}

const (
	// initialFrameMax limits frames before tune-ok (WIRE-03).
	initialFrameMax = 8192
	// minFrameMax is the least a client may ask for (CONN-12).
	minFrameMax     = amqp.MinFrameMax
	lastWordTimeout = 5 * time.Second
	lingerTimeout   = time.Second
)

// read reads and handles frames until the connection ends.
func (c *conn) read() error {
	c.setReadDeadline(time.Now().Add(c.cfg.HandshakeTimeout)) // HDR-05
	if err := c.secureConnection(); err != nil {
		return err
	}
	for {
		err := c.in.fill(c.net)
		if err == nil {
			c.now = time.Now().UnixMilli()
			c.awaitTurn()
			err = c.handleInput()
		} else {
			err = c.openMail(err)
		}
		if err != nil {
			return err
		}
		for c.out.full() && c.state == running && !c.mail.waiting.Load() {
			<-c.out.drained
		}
		c.extendDeadline()
	}
}

// handleInput handles the frames that have been read, and flushes what they staged.
func (c *conn) handleInput() error {
	for {
		if c.state == awaitHeader {
			done, err := c.protocolHeader()
			if err != nil || !done {
				return err
			}
			continue
		}
		if c.deaf {
			return c.listenForCloseOk()
		}
		f, n, err := amqp.ParseFrame(c.in.unread(), c.frameMax)
		if err == nil && n == 0 {
			break
		}
		if err == nil {
			c.in.advance(n)
			err = c.frame(f)
		} else {
			c.deaf = true
		}
		if err = c.afterward(err); err != nil {
			return err
		}
	}
	if err := c.afterward(c.flush()); err != nil {
		return err
	}
	if err := c.throttlePartial(); err != nil {
		return err
	}
	var tooMuch error
	for _, ch := range c.partial {
		ch.content.keep() // the buffer is about to be reused
		ch.partial = false
		tooMuch = cmp.Or(tooMuch, c.hold(ch))
	}
	clear(c.partial)
	c.partial = c.partial[:0]
	if tooMuch != nil {
		if err := c.fail(tooMuch); err != nil {
			return err
		}
	}
	c.in.expect(amqp.FrameSize(c.in.unread()))
	return nil
}

// afterward answers an error, and lets a connection that alarms concern wait for their end.
func (c *conn) afterward(err error) error {
	if err != nil {
		err = c.fail(err)
	}
	if err == nil && c.throttle {
		if err = c.awaitAlarms(); err != nil {
			err = c.fail(err)
		}
	}
	return err
}

// flush brings what was staged to the broker. Channels whose settlements fail are closed by it.
func (c *conn) flush() error {
	if c.client == nil {
		return nil
	}
	err := c.client.Flush()
	if errors.Is(err, wal.ErrFull) {
		err = c.awaitRoom(c.client.Flush)
	}
	return c.settled(err)
}

// settled closes the channels that settled what they do not hold; other errors it returns.
func (c *conn) settled(err error) error {
	if err == nil {
		return nil
	}
	var failed broker.SettleErrors
	if !errors.As(err, &failed) {
		return err
	}
	for _, f := range failed {
		if err := c.closeChannel(&channelError{channel: f.Channel, err: f.Err}); err != nil {
			return err
		}
	}
	return nil
}

// frame handles one frame.
func (c *conn) frame(f amqp.Frame) error {
	if c.state == closing {
		return c.frameWhileClosing(f)
	}
	if f.Type == amqp.FrameHeartbeat {
		return nil
	}
	if f.Channel == 0 {
		if f.Type != amqp.FrameMethod {
			return amqp.UnexpectedOnChannel(f)
		}
		return c.method(f.Payload)
	}
	if c.state != running {
		return errEnd // CONN-09
	}
	ch := c.channel(f.Channel)
	if ch == nil {
		return c.openChannel(f)
	}
	if ch.closing {
		return c.frameWhileChannelCloses(ch, f)
	}
	return ch.frame(f)
}

// fail answers an error: it closes the channel or the connection that the error is about. It returns an
// error if reading must end now.
func (c *conn) fail(err error) error {
	var onChannel *channelError
	if errors.As(err, &onChannel) && !onChannel.err.Code.Connection() {
		if err = c.closeChannel(onChannel); err == nil {
			return nil
		}
	}
	var protocol *amqp.Error
	switch {
	case errors.As(err, &protocol):
	case errors.Is(err, errEnd) || c.state == closing:
		return err
	case errors.Is(err, wal.ErrFull):
		protocol = amqp.Errorf(amqp.ResourceError, 0, "the broker's disk is full: nothing of this was stored")
	default:
		c.logger.Error("connection ends by an internal error", "error", err)
		protocol = amqp.Errorf(amqp.InternalError, 0, "%s", err)
	}
	return c.closeConnection(protocol)
}

// channelError is an error of the method or content that one channel handled.
type channelError struct {
	channel uint16
	err     *amqp.Error
}

func (e *channelError) Error() string { return e.err.Error() }
func (e *channelError) Unwrap() error { return e.err }

// closeConnection sends connection.close and waits for the answer (ERR-07).
func (c *conn) closeConnection(e *amqp.Error) error {
	if c.state == closing {
		return errEnd
	}
	c.logger.Warn("closing connection", "error", e.ReplyText())
	if c.client != nil {
		_ = c.flush() // what came before the fault counts (ERR-05); its own faults do not matter now
	}
	c.closeChannels() // nobody else should wait for an answer that may never come
	c.out.method(0, e.ConnectionClose())
	c.state = closing
	wait := closeOkTimeout
	if c.heartbeat > 0 {
		wait = min(wait, c.heartbeat)
	}
	c.setReadDeadline(time.Now().Add(wait))
	return nil
}

// closeOkTimeout is how long a close waits for its close-ok (ERR-07).
const closeOkTimeout = 30 * time.Second

// closeOkFrame is what a client answers to connection.close.
var closeOkFrame = amqp.AppendMethod(nil, 0, &amqp.ConnectionCloseOk{})

// listenForCloseOk discards input of which the frames cannot be told apart any more, until it ends with
// the answer to our close. Closing the socket earlier could make the peer lose that close.
func (c *conn) listenForCloseOk() error {
	unread := c.in.unread()
	if bytes.HasSuffix(unread, closeOkFrame) {
		return errEnd
	}
	c.in.advance(max(0, len(unread)-len(closeOkFrame)+1))
	return nil
}

func (c *conn) frameWhileClosing(f amqp.Frame) error {
	if f.Type != amqp.FrameMethod || f.Channel != 0 {
		return nil
	}
	switch amqp.PeekMethod(f.Payload) {
	case amqp.ConnectionCloseID:
		c.out.method(0, &amqp.ConnectionCloseOk{})
	case amqp.ConnectionCloseOkID:
		return errEnd
	}
	return nil
}

// setReadDeadline moves the read deadline. Once the server shuts down, or while there is mail, it stays in
// the past: stop and wakeReader set it after they have said so, and whoever sets another one looks whether
// that has been said.
func (c *conn) setReadDeadline(t time.Time) {
	c.until = t
	c.net.SetReadDeadline(t)
	if c.stopping.Load() || c.mail.waiting.Load() {
		c.net.SetReadDeadline(longAgo)
	}
}

// extendDeadline gives the peer time for its next octet: two and a half heartbeats, and for ever
// without heartbeats (CONN-17). Setting a deadline costs about as much as reading a small message, so
// it is done once in half a heartbeat.
func (c *conn) extendDeadline() {
	if c.state != running || c.heartbeat == 0 {
		return
	}
	if deadline := time.Now().Add(c.heartbeat * 5 / 2); deadline.Sub(c.deadline) > c.heartbeat/2 {
		c.deadline = deadline
		c.setReadDeadline(deadline)
	}
}

// end gives back what the connection held (ERR-08, ERR-09).
func (c *conn) end(err error) {
	c.leaving = true
	c.closeChannels()
	switch {
	case c.stopping.Load():
		if c.state != closing && c.state != ended {
			forced := amqp.Errorf(amqp.ConnectionForced, 0, "broker forced connection closure with reason 'shutdown'")
			c.out.method(0, forced.ConnectionClose())
		}
	case errors.Is(err, errEnd):
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		if c.state == running {
			c.logger.Info("client closed the connection without a word")
		}
	default:
		c.logger.Info("connection lost", "error", err)
	}
}

// closeChannels ends all channels and deletes the connection's exclusive queues.
func (c *conn) closeChannels() {
	if c.client == nil {
		return
	}
	if err := c.flush(); err != nil {
		c.logger.Error("last work of the connection not stored", "error", err)
	}
	for number, ch := range c.channels {
		if !ch.closing {
			ch.release()
		}
		c.dropChannel(number)
	}
	c.client.Close()
}

// Deliver implements [broker.Sink].
func (c *conn) Deliver(ds []queue.Delivery) { c.out.deliver(ds) }

// Confirm implements [broker.Sink].
func (c *conn) Confirm(channel uint16, seq uint64, multiple bool) {
	c.out.add(func(dst []byte) []byte {
		ack := amqp.BasicAck{DeliveryTag: seq, Multiple: multiple}
		start := len(dst)
		return amqp.EndFrame(ack.Append(amqp.BeginFrame(dst, amqp.FrameMethod, channel)), start)
	})
}

// Refuse implements [broker.Sink].
func (c *conn) Refuse(channel uint16, seq uint64) {
	c.out.method(channel, &amqp.BasicNack{DeliveryTag: seq})
}

// Reply implements [broker.Sink]. It is dropped when too much waits for a requester that does not read.
func (c *conn) Reply(channel uint16, consumer string, tag queue.Tag, keys amqp.Keys, content []byte) {
	if c.out.full() {
		return
	}
	c.out.add(func(dst []byte) []byte {
		start := len(dst)
		dst = amqp.AppendDeliver(amqp.BeginFrame(dst, amqp.FrameMethod, channel), consumer, uint64(tag), false, keys)
		return amqp.EndFrame(dst, start)
	})
	c.out.addContent(content)
}

// Content implements [broker.Sink].
func (c *conn) Content(channel uint16, p *broker.Publication) []byte {
	return c.appendContent(nil, channel, p)
}

// appendContent appends a message that the log does not have.
func (c *conn) appendContent(dst []byte, channel uint16, p *broker.Publication) []byte {
	return amqp.AppendContent(dst, channel, p.VisibleHeader(), bytes.Join(p.Body, nil), c.frameMax)
}

// Cancel implements [broker.Sink].
func (c *conn) Cancel(channel uint16, consumer string) {
	if c.features.cancelNotify {
		c.out.method(channel, &amqp.BasicCancel{ConsumerTag: consumer, NoWait: true})
	}
}
