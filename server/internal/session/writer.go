package session

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"syscall"
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

	// How far drain has come in out.
	item    int
	frames  []byte
	blocks  [][]byte
	faulted int // one more than the item that could not be read at the first try

	// What is gathered for the next write: buf, cut at the splices, at each of which a piece of a large
	// body goes out straight from the log's mapping.
	buf     []byte
	splices []splice
	spliced int
	vectors net.Buffers
	unsent  net.Buffers // scratch of send

	messages int   // deliveries gathered
	bytes    int64 // of their bodies
	kept     int   // deliveries of the outbox that the disk did not give
	failed   error
}

// splice is a body piece, borrowed from the view, or a block of the outbox, that follows after at octets of the
// buffer.
type splice struct {
	at    int
	piece []byte
	of    *queue.Delivery // in the outbox's items; nil for a block
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
	debug.SetPanicOnFault(true) // see encode
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
		w.item, w.frames, w.blocks, w.faulted = 0, w.out.frames, w.out.blocks, 0
		for w.item < len(w.out.items) {
			w.encode()
		}
		w.write()
		w.reportKept()
	}
}

// encode goes through what is left of the outbox. It returns early when bytes of a message could not be brought
// in from the disk: what was gathered of that message is thrown away, and at the second time it is undeliverable.
func (w *writer) encode() {
	buf, splices, spliced := len(w.buf), len(w.splices), w.spliced // before the item
	messages, bytes := w.messages, w.bytes
	defer func() {
		if r := recover(); r != nil {
			err := w.view.Fault(r)
			w.buf, w.splices, w.spliced = w.buf[:buf], w.splices[:splices], spliced
			if w.faulted <= w.item {
				w.faulted = w.item + 1
				w.messages, w.bytes = messages, bytes
				return // once more: see View.Fault
			}
			w.undeliverable(&w.out.items[w.item].delivery, err)
			w.item++
		}
	}()
	for ; w.item < len(w.out.items); w.item++ {
		it := &w.out.items[w.item]
		buf, splices, spliced = len(w.buf), len(w.splices), w.spliced
		messages, bytes = w.messages, w.bytes
		switch {
		case it.frames > 0:
			w.buf = append(w.buf, w.frames[:it.frames]...)
			w.frames = w.frames[it.frames:]
		case it.frames == isBlock:
			w.splices = append(w.splices, splice{at: len(w.buf), piece: w.blocks[0]})
			w.spliced += len(w.blocks[0])
			w.blocks = w.blocks[1:]
		default:
			w.delivery(&it.delivery)
		}
		if len(w.buf)+w.spliced >= writeSize {
			w.write()
		}
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
		w.splices = append(w.splices, splice{len(w.buf), body[:n], d})
		w.spliced += n
		w.buf = append(w.buf, amqp.FrameEnd)
		body = body[n:]
	}
}

// undeliverable takes back a message that cannot be read: the client sees a gap in the delivery tags. One whose record
// is damaged is given up, one that the disk did not give stays in its queue. A basic.get is answered as if the queue
// were empty.
func (w *writer) undeliverable(d *queue.Delivery, err error) {
	if w.conn.client.Unreadable(d, !errors.Is(err, wal.ErrUnreadable)) {
		if w.kept++; w.kept == 1 {
			w.conn.logger.Error("message cannot be read from the disk; it stays in its queue and is tried again in half a minute",
				"lsn", d.LSN, "error", err)
		}
	} else {
		w.conn.logger.Error("message cannot be read from the log and is given up; see 'millrace log verify'",
			"lsn", d.LSN, "error", err)
	}
	if d.Consumer == nil {
		w.buf = amqp.AppendMethod(w.buf, d.Channel.Number, &amqp.BasicGetEmpty{})
	}
}

// reportKept tells of how many messages of an outbox more than the first the disk did not give: they may be thousands.
func (w *writer) reportKept() {
	if w.kept > 1 {
		w.conn.logger.Error("more messages cannot be read from the disk", "messages", w.kept-1)
	}
	w.kept = 0
}

// write sends what is gathered. After a failure it only keeps the accounts: the reader finds out about
// the broken connection and ends it.
func (w *writer) write() {
	if w.failed == nil && len(w.buf)+w.spliced > 0 {
		w.failed = w.send()
		if w.failed != nil {
			if errors.Is(w.failed, syscall.EFAULT) {
				w.takeBackUnreadable()
			}
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

// takeBackUnreadable takes back the messages of a failed write whose bodies could not be brought in from the disk. The
// frame that a body is in was begun, so the connection is lost; but the next one must not be lost to the same.
func (w *writer) takeBackUnreadable() {
	for i := 0; i < len(w.splices); i++ {
		d := w.splices[i].of
		if d == nil || i > 0 && w.splices[i-1].of == d {
			continue
		}
		if err := w.view.Read(d.LSN, whole); err != nil {
			w.undeliverable(d, err)
		}
	}
}

// whole reads every byte of a record.
func whole(record segment.Record) error {
	if !record.Valid() {
		return fmt.Errorf("record %d: %w", record.LSN(), segment.ErrCorrupt)
	}
	return nil
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
