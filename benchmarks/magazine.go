package benchmarks

import "github.com/millrace-mq/millrace/server/amqp"

// magazine holds a producer's messages encoded for the wire, over and over: sending needs neither
// encoding nor copying, only a new stamp in each body. Its slots are used in turn; their number is a
// multiple of the number of routes, so that the slots and the routes of the messages keep in step.
type magazine struct {
	buf     []byte
	slots   []slot
	next    int // the slot of the next message
	stamped bool
}

// slot is where a message and its body begin and the message ends. The stamp's octets lie together:
// they are in the body's first frame.
type slot struct{ start, body, end int }

// Large enough that one write carries many messages, small enough to stay in a cache.
const magazineSize = 128 << 10

func newMagazine(w *Workload, routes []route, frameMax uint32) *magazine {
	properties := amqp.Properties{}
	if w.Persistent {
		properties.DeliveryMode = amqp.Persistent
	}
	header := amqp.AppendHeader(nil, uint64(w.Size), &properties)
	body := make([]byte, w.Size)
	for i := range body { // not all zeros, for brokers that compress
		body[i] = byte(i*7 + i>>8)
	}
	m := &magazine{stamped: w.Size >= stampSize}
	for len(m.buf) < magazineSize || len(m.slots)%len(routes) != 0 {
		r := routes[len(m.slots)%len(routes)]
		s := slot{start: len(m.buf)}
		m.buf = amqp.AppendMethod(m.buf, channelNumber, &amqp.BasicPublish{Keys: amqp.MakeKeys(w.exchangeName(), r.key)})
		s.body = len(m.buf) + len(header) + amqp.FrameOverhead + amqp.FrameHeadSize
		m.buf = amqp.AppendContent(m.buf, channelNumber, header, body, frameMax)
		s.end = len(m.buf)
		m.slots = append(m.slots, s)
	}
	return m
}

// take returns the next messages as they go to the wire, and how many they are: at most limit, and as
// many as lie together. stamps tells what each one's body is to say. The octets are valid until the
// next call.
func (m *magazine) take(limit int, stamps func(i int) stamp) (octets []byte, n int) {
	n = min(limit, len(m.slots)-m.next)
	first := m.next
	if m.stamped {
		for i := range n {
			stamps(i).put(m.buf[m.slots[first+i].body:])
		}
	}
	octets = m.buf[m.slots[first].start:m.slots[first+n-1].end]
	m.next = (first + n) % len(m.slots)
	return octets, n
}
