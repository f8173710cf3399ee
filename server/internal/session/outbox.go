package session

import (
	"sync"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// outbox is what a connection has to send, in order: ready frames and deliveries. Anybody may add to it
// at any time; the connection's writer takes all of it at once.
//
// What is added is bounded at the source: deliveries by broker.Client's room, replies by the reader,
// which stops at maxReplyBytes until the writer has caught up.
type outbox struct {
	mu struct {
		sync.Mutex
		outgoing
		closed bool // nothing is added any more
	}
	// wake has a token when something was added to an empty outbox, or when it was closed.
	wake chan struct{}
	// drained has a token when the writer has taken what there was.
	drained chan struct{}
}

// outgoing is a sequence of items; frames holds the octets of those that are ready frames, blocks those that
// are too large to be copied.
type outgoing struct {
	items      []item
	frames     []byte
	blocks     [][]byte
	blockBytes int
}

// item is a delivery, or where frames is positive so many octets of ready frames, and where it is isBlock the
// next block of them.
type item struct {
	frames   int
	delivery queue.Delivery
}

const isBlock = -1

// A reader whose peer does not read its replies stops reading requests here. The items leave room for the
// deliveries that broker.Client allows.
const (
	maxReplyBytes = 1 << 20
	maxItems      = 32 << 10
)

func (o *outbox) init() {
	o.wake = make(chan struct{}, 1)
	o.drained = make(chan struct{}, 1)
}

// add appends frames that encode writes to the end of a slice.
func (o *outbox) add(encode func(dst []byte) []byte) {
	o.mu.Lock()
	if o.mu.closed {
		o.mu.Unlock()
		return
	}
	empty := len(o.mu.items) == 0
	before := len(o.mu.frames)
	o.mu.frames = encode(o.mu.frames)
	o.noteFramesLocked(len(o.mu.frames) - before)
	o.mu.Unlock()
	if empty {
		signal(o.wake)
	}
}

// addContent adds frames that are encoded already, and the outbox's from now on: not under its lock, which
// the broker's deliveries wait for.
func (o *outbox) addContent(frames []byte) {
	if len(frames) < spliceFrom {
		o.add(func(dst []byte) []byte { return append(dst, frames...) })
		return
	}
	o.mu.Lock()
	if o.mu.closed {
		o.mu.Unlock()
		return
	}
	empty := len(o.mu.items) == 0
	o.mu.items = append(o.mu.items, item{frames: isBlock})
	o.mu.blocks = append(o.mu.blocks, frames)
	o.mu.blockBytes += len(frames)
	o.mu.Unlock()
	if empty {
		signal(o.wake)
	}
}

// method adds one method frame.
func (o *outbox) method(channel uint16, m amqp.Method) {
	o.add(func(dst []byte) []byte { return amqp.AppendMethod(dst, channel, m) })
}

// noteFramesLocked says that n octets were appended to the frames.
func (o *outbox) noteFramesLocked(n int) {
	if n == 0 {
		return
	}
	if last := len(o.mu.items) - 1; last >= 0 && o.mu.items[last].frames > 0 {
		o.mu.items[last].frames += n
		return
	}
	o.mu.items = append(o.mu.items, item{frames: n})
}

// deliver adds deliveries. A closed outbox drops them.
func (o *outbox) deliver(ds []queue.Delivery) {
	o.mu.Lock()
	if o.mu.closed {
		o.mu.Unlock()
		return
	}
	empty := len(o.mu.items) == 0
	for i := range ds {
		o.mu.items = append(o.mu.items, item{delivery: ds[i]})
	}
	o.mu.Unlock()
	if empty {
		signal(o.wake)
	}
}

// take moves all there is to out, whose storage the outbox goes on with. It returns false when there
// is nothing and nothing will come.
func (o *outbox) take(out *outgoing) bool {
	o.mu.Lock()
	clear(out.items)
	out.items, o.mu.items = o.mu.items, out.items[:0]
	out.frames, o.mu.frames = o.mu.frames, out.frames[:0]
	clear(out.blocks)
	out.blocks, o.mu.blocks = o.mu.blocks, out.blocks[:0]
	o.mu.blockBytes = 0
	closed := o.mu.closed
	o.mu.Unlock()
	signal(o.drained)
	return len(out.items) > 0 || !closed
}

// full reports whether the replies that wait are too many for the reader to go on.
func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return (len(o.mu.frames)+o.mu.blockBytes > maxReplyBytes || len(o.mu.items) > maxItems) && !o.mu.closed
}

// close ends the outbox: what it holds is still sent, nothing more is added.
func (o *outbox) close() {
	o.mu.Lock()
	o.mu.closed = true
	o.mu.Unlock()
	signal(o.wake)
	signal(o.drained)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
