package load

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// TestGeneratorAllocatesNothing: what the benchmark counts as allocations of the server must not be the
// generator's own.
func TestGeneratorAllocatesNothing(t *testing.T) {
	w := Base()
	w.Window, w.Latency = 1000, true
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	source := &memory{Conn: near}
	conn := client.NewConn(source, client.MaxFrame, readSize)
	l := &link{conn: conn, clock: newClock(), recorder: newRecorder(0)}
	c := &consumer{link: l, channel: client.FirstChannel, ackEvery: w.AckEvery, timed: true, progress: newProgress(), ledger: newLedger(&w)}
	p := &producer{link: l, window: 1000, timed: true, sentAt: make([]time.Duration, 1000), clock: l.clock, moved: make(chan struct{}, 1)}
	p.magazine = newMagazine(&w, w.routing().of(0), client.FirstChannel, 0, client.MaxFrame)
	p.confirms = client.NewConfirms(w.Window)
	p.confirms.Each = func(publish uint64) { l.recorder.confirmLocked(p.sentTime(publish), l.now) }
	l.ends = []end{c}
	go discard(far)

	var tag uint64
	frames := make([]byte, 0, readSize)
	stamps := func(i int) stamp { return stamp{sequence: tag + uint64(i)} }
	allocs := testing.AllocsPerRun(100, func() {
		_, n := p.magazine.take(50, stamps)
		p.noteSent(tag, n)
		frames = frames[:0]
		for range n {
			frames = appendDelivery(frames, tag+1, &w)
			tag++
		}
		source.frames = frames
		if err := conn.Fill(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.handleInput(); err != nil {
			t.Fatal(err)
		}
		p.sent.Add(uint64(n))
		frames = appendAck(frames[:0], tag)
		f, _, _ := amqp.ParseFrame(frames, client.MaxFrame)
		if err := p.frame(f); err != nil {
			t.Fatal(err)
		}
		p.turn()
	})
	if allocs > 0 {
		t.Errorf("%v allocations for 50 messages", allocs)
	}
	if c.ledger.foreign > 0 || c.ledger.producers[0].duplicated > 0 || c.ledger.producers[0].end != tag || p.confirms.Floor() != tag {
		t.Errorf("of %d messages: %+v", tag, c.ledger)
	}
}

// memory is a connection that gives frames to who reads, as many as fit.
type memory struct {
	net.Conn
	frames []byte
}

func (m *memory) Read(p []byte) (int, error) {
	n := copy(p, m.frames)
	m.frames = m.frames[n:]
	return n, nil
}

func appendDelivery(dst []byte, tag uint64, w *Workload) []byte {
	start := len(dst)
	dst = amqp.BeginFrame(dst, amqp.FrameMethod, client.FirstChannel)
	dst = amqp.AppendDeliver(dst, consumerTag, tag, false, nil)
	dst = amqp.EndFrame(dst, start)
	start = len(dst)
	dst = amqp.BeginFrame(dst, amqp.FrameHeader, client.FirstChannel)
	dst = amqp.AppendHeader(dst, uint64(w.Size.most()), &amqp.Properties{})
	dst = amqp.EndFrame(dst, start)
	dst = amqp.AppendFrameHead(dst, amqp.FrameBody, client.FirstChannel, w.Size.most())
	body := len(dst)
	dst = append(slices.Grow(dst, w.Size.most()+1)[:body+w.Size.most()], amqp.FrameEnd)
	stamp{sequence: tag - 1}.put(dst[body:])
	return dst
}

func appendAck(dst []byte, tag uint64) []byte {
	start := len(dst)
	ack := amqp.BasicAck{DeliveryTag: tag, Multiple: true}
	return amqp.EndFrame(ack.Append(amqp.BeginFrame(dst, amqp.FrameMethod, client.FirstChannel)), start)
}

func discard(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// BenchmarkGenerator is what the generator itself does for each message: stamp it, take its delivery, enter it,
// acknowledge. The system calls around it cost more.
func BenchmarkGenerator(b *testing.B) {
	w := Base()
	w.Size = Bytes(16)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go discard(far)
	source := &memory{Conn: near}
	conn := client.NewConn(source, client.MaxFrame, readSize)
	l := &link{conn: conn, clock: newClock()}
	magazine := newMagazine(&w, w.routing().of(0), client.FirstChannel, 0, client.MaxFrame)
	const batch = 500
	b.Run("publish", func(b *testing.B) {
		sent := uint64(0)
		stamps := func(i int) stamp { return stamp{sequence: sent + uint64(i)} }
		for b.Loop() {
			for left := batch; left > 0; {
				_, n := magazine.take(left, stamps)
				left -= n
				sent += uint64(n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/msg")
	})
	b.Run("consume", func(b *testing.B) {
		c := &consumer{link: l, channel: client.FirstChannel, autoAck: true, progress: newProgress(), ledger: newLedger(&w)}
		l.ends = []end{c}
		var frames []byte
		var bodies []int
		for tag := range uint64(batch) {
			frames = appendDelivery(frames, tag+1, &w)
			bodies = append(bodies, len(frames)-1-16)
		}
		next := uint64(0)
		for b.Loop() {
			for _, at := range bodies {
				stamp{sequence: next}.put(frames[at:])
				next++
			}
			source.frames = frames
			if err := conn.Fill(); err != nil {
				b.Fatal(err)
			}
			if _, err := l.handleInput(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/msg")
		if t := c.ledger.producers[0]; t.duplicated+t.reordered > 0 {
			b.Errorf("%+v", t)
		}
	})
}
