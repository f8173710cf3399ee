package session

import (
	"net"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// writer encodes what the outbox holds and writes it to the socket. All of it is owned by the
// connection's writing goroutine.
type writer struct {
	conn *conn
	view *wal.View
	out  outgoing

	// What is gathered for the next write: buf, cut at the splices, at each of which a piece of a large
	// body goes out straight from the log's mapping.
	buf     []byte
	splices []splice
	spliced int
	vectors net.Buffers
	unsent  net.Buffers // scratch of send

	messages int   // deliveries gathered
	bytes    int64 // of their bodies
	failed   error
}

// splice is a body piece, borrowed from the view, or a block of the outbox, that follows after at octets of the
// buffer.
type splice struct {
	at    int
	piece []byte
}

const (
	// Bodies from here on are not copied: measured on loopback, copying wins below and a vectored write
	// from the mapping above.
	spliceFrom = 4 << 10
	// A write is made when so much is gathered, or when nothing more waits.
	writeSize = 128 << 10
	// Buffers larger than this are given back after a burst.
	keepBuffer = 256 << 10
)

// run writes until the outbox is closed and empty or a write fails. heartbeat is the interval
// negotiated, 0 for none; it is read from the channel once tune-ok has come.
func (w *writer) run(heartbeat <-chan time.Duration) {
	defer w.view.Release()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	var every time.Duration
	for {
		select {
		case <-w.conn.out.wake:
		case every = <-heartbeat:
			timer.Reset(every)
			continue
		case <-timer.C: // nothing was written for half of the interval (CONN-16)
			w.buf = amqp.AppendHeartbeat(w.buf)
			w.write()
			timer.Reset(every)
			continue
		}
		if !w.drain() {
			return
		}
		if every > 0 {
			timer.Reset(every)
		}
	}
}

// drain writes until the outbox is empty; it returns false when that is for good.
func (w *writer) drain() bool {
	for {
		if !w.conn.out.take(&w.out) {
			return false
		}
		if len(w.out.items) == 0 {
			w.shrink()
			return true
		}
		frames, blocks := w.out.frames, w.out.blocks
		for i := range w.out.items {
			it := &w.out.items[i]
			switch {
			case it.frames > 0:
				w.buf = append(w.buf, frames[:it.frames]...)
				frames = frames[it.frames:]
			case it.frames == isBlock:
				w.splices = append(w.splices, splice{len(w.buf), blocks[0]})
				w.spliced += len(blocks[0])
				blocks = blocks[1:]
			default:
				w.delivery(&it.delivery)
			}
			if len(w.buf)+w.spliced >= writeSize {
				w.write()
			}
		}
		w.write()
	}
}

// delivery appends a message: basic.deliver or basic.get-ok, then header and body as the log has them.
func (w *writer) delivery(d *queue.Delivery) {
	w.messages++
	w.bytes += int64(d.Size)
	if w.failed != nil {
		return
	}
	record, err := w.view.Record(d.LSN)
	if err != nil {
		w.undeliverable(d, err)
		return
	}
	p, err := record.Publish()
	if err != nil {
		w.undeliverable(d, err)
		return
	}
	channel := d.Channel.Number
	start := len(w.buf)
	w.buf = amqp.BeginFrame(w.buf, amqp.FrameMethod, channel)
	if d.Consumer != nil {
		w.buf = amqp.AppendDeliver(w.buf, d.Consumer.Tag, uint64(d.Tag), d.Redelivered, p.Keys)
	} else {
		getOk := amqp.BasicGetOk{
			DeliveryTag: uint64(d.Tag), Redelivered: d.Redelivered, Keys: p.Keys, MessageCount: uint32(d.Remaining),
		}
		w.buf = getOk.Append(w.buf)
	}
	w.buf = amqp.EndFrame(w.buf, start)
	header := p.Header
	if record.Flags()&segment.FlagBlindCopies != 0 {
		header = broker.WithoutBlindCopies(header)
	}
	if d.Returns > 0 {
		header = withReturns(header, d.Returns)
	}
	if len(p.Body) < spliceFrom || w.conn.secure { // TLS copies anyway, and each piece would be a record of its own
		w.buf = amqp.AppendContent(w.buf, channel, header, p.Body, w.conn.frameMax)
		return
	}
	w.buf = amqp.AppendFrame(w.buf, amqp.FrameHeader, channel, header)
	for limit, body := amqp.MaxBody(w.conn.frameMax), p.Body; len(body) > 0; {
		n := min(len(body), limit)
		w.buf = amqp.AppendFrameHead(w.buf, amqp.FrameBody, channel, n)
		w.splices = append(w.splices, splice{len(w.buf), body[:n]})
		w.spliced += n
		w.buf = append(w.buf, amqp.FrameEnd)
		body = body[n:]
	}
}

// undeliverable gives up a message that cannot be read: its record is damaged, and the client sees a gap
// in the delivery tags. A basic.get is answered as if the queue were empty.
func (w *writer) undeliverable(d *queue.Delivery, err error) {
	w.conn.logger.Error("message cannot be read from the log and is given up; see 'millrace log verify'", "lsn", d.LSN, "error", err)
	w.conn.client.Unreadable(d)
	if d.Consumer == nil {
		w.buf = amqp.AppendMethod(w.buf, d.Channel.Number, &amqp.BasicGetEmpty{})
	}
}

// write sends what is gathered. After a failure it only keeps the accounts: the reader finds out about
// the broken connection and ends it.
func (w *writer) write() {
	if w.failed == nil && len(w.buf)+w.spliced > 0 {
		w.failed = w.send()
		if w.failed != nil {
			w.conn.net.Close() // wakes the reader
			close(w.conn.broken)
		}
	}
	w.buf = w.buf[:0]
	clear(w.splices)
	w.splices, w.spliced = w.splices[:0], 0
	w.view.Release()
	if w.messages > 0 {
		w.conn.client.Sent(w.messages, w.bytes)
		w.messages, w.bytes = 0, 0
	}
}

func (w *writer) send() error {
	if len(w.splices) == 0 {
		_, err := w.conn.net.Write(w.buf)
		return err
	}
	w.vectors = w.vectors[:0]
	from := 0
	for _, s := range w.splices {
		w.vectors = append(w.vectors, w.buf[from:s.at], s.piece)
		from = s.at
	}
	w.vectors = append(w.vectors, w.buf[from:])
	w.unsent = w.vectors // WriteTo consumes its receiver
	_, err := w.unsent.WriteTo(w.conn.net)
	clear(w.vectors)
	return err
}

func (w *writer) shrink() {
	if cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	if cap(w.out.frames) > keepBuffer {
		w.out.frames = nil
	}
}
