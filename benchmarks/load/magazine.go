package load

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

const (
	// magazineSize is large enough that one write carries many messages, small enough to stay in a cache.
	magazineSize = 128 << 10
	// leastMagazine is for each of many producers, which share allMagazines.
	leastMagazine = 4 << 10
	allMagazines  = 32 << 20
	// sizedSlots is how many messages a distribution of sizes is made of at least.
	sizedSlots = 256
)

// newMagazine fills a magazine for a channel. Its first message is the producer's number first.
func newMagazine(w *Workload, routes []route, channel uint16, first uint64, frameMax uint32) *magazine {
	most := min(max(allMagazines/w.Producers, leastMagazine), magazineSize)
	count := len(routes)
	const around = 80 // what method, header and frames take
	for typical := w.Size.mean() + around; count*typical < most || !w.Size.fixed() && count < sizedSlots; {
		count += len(routes)
	}
	m := &magazine{stamped: w.stamped(), slots: make([]slot, 0, count), next: int(first % uint64(count))}
	content := make([]byte, w.Size.most())
	for i := range content { // not all zeros, for brokers that compress
		content[i] = byte(i*7 + i>>8)
	}
	for i, size := range w.Size.sample(count) {
		r := routes[i%len(routes)]
		properties := amqp.Properties{Headers: r.headers}
		if w.Persistent {
			properties.DeliveryMode = amqp.Persistent
		}
		header := amqp.AppendHeader(nil, uint64(size), &properties)
		s := slot{start: len(m.buf)}
		m.buf = amqp.AppendMethod(m.buf, channel, &amqp.BasicPublish{Keys: amqp.MakeKeys(w.exchangeName(), r.key)})
		s.body = len(m.buf) + len(header) + amqp.FrameOverhead + amqp.FrameHeadSize
		m.buf = amqp.AppendContent(m.buf, channel, header, content[:size], frameMax)
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
