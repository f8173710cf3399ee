package broker

import (
	"strings"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// The log tells who took a message: settles refer to a record of kind consumer. Nothing depends on these records.
// They are history, and cost a message nothing: a taker is named when it starts, in the batch that the journal writes
// at that time, and named again in each segment in which it settles. So the segments that are kept can be read
// without those that are gone, and relocation keeps no such record.

const (
	consumerStart = "consumer.start"
	brokerStart   = "broker.start"
)

// startsAtOnce is how many new takers are named in one batch: that is done under a state lock.
const startsAtOnce = 256

// naming gives takers names in one batch after the other.
type naming struct {
	broker     *Broker
	placed     map[*queue.Taker]int // named by records of the batch, at these places
	generation uint64               // of the segment that the log wrote to when the first of them was placed
	encoded    []byte               // scratch
}

// name returns how a settle of the batch refers to a taker, if need be to a record that it adds. The state lock is held.
func (n *naming) name(batch *segment.Batch, vh *VHost, by *queue.Taker, now int64) segment.Reference {
	if by == nil {
		return segment.Reference{}
	}
	lsn, generation, _ := by.Named()
	if lsn != 0 && generation == n.broker.segments.Load() {
		return segment.Reference{LSN: lsn}
	}
	place, ok := n.placed[by]
	if !ok {
		if n.placed == nil {
			n.placed = make(map[*queue.Taker]int)
		}
		if len(n.placed) == 0 {
			n.generation = n.broker.segments.Load() // if the batch comes into the next one, they are named once more
		}
		n.encoded = appendConsumer(n.encoded[:0], by)
		batch.Append(segment.KindConsumer, 0, vh.ID, now, n.encoded)
		place = batch.Count()
		n.placed[by] = place
	}
	return segment.Reference{Place: place}
}

// appended says that the log has the batch from first on. The state lock is held.
func (n *naming) appended(first segment.LSN) {
	for by, place := range n.placed {
		by.SetNamed(first+segment.LSN(place-1), n.generation)
	}
	clear(n.placed)
}

// reset gives up the batch.
func (n *naming) reset() { clear(n.placed) }

// maxConnectionName is how much of the name that a client gave its connection is told, in bytes.
const maxConnectionName = 255

// appendConsumer appends the payload that tells of a taker: an AMQP table, its fields in the order of their names. The state
// lock is held, and where thousands take messages all of them are named in each segment: so no table is made on the way.
func appendConsumer(dst []byte, by *queue.Taker) []byte {
	user, c := by.Channel.Outlet().(*Client).user, by.Consumer
	dst = amqp.AppendUint32Field(dst, "channel", uint32(by.Channel.Number))
	if name := user.Connection; name != "" {
		dst = amqp.AppendTextField(dst, "connection", strings.ToValidUTF8(name[:min(len(name), maxConnectionName)], ""))
	}
	if c != nil {
		dst = amqp.AppendFlagField(dst, "exclusive", c.Exclusive)
		dst = amqp.AppendFlagField(dst, "no_ack", c.NoAck)
	}
	dst = amqp.AppendTextField(dst, "op", consumerStart)
	if user.Peer != "" {
		dst = amqp.AppendTextField(dst, "peer", user.Peer)
	}
	dst = amqp.AppendInt64Field(dst, "queue", int64(by.Queue.ID))
	if _, _, first := by.Named(); first != 0 {
		dst = amqp.AppendInt64Field(dst, "since", int64(first))
	}
	if c != nil {
		dst = amqp.AppendTextField(dst, "tag", c.Tag)
	}
	return amqp.AppendTextField(dst, "user", user.Name)
}

// logStart tells the log that a broker has started: what does not survive a restart is gone.
func (b *Broker) logStart(now int64) error {
	var batch segment.Batch
	batch.Vital = true
	batch.Append(segment.KindStart, 0, 0, now, amqp.Table{
		"op": brokerStart, "version": b.cfg.Version, "clean": b.recovery.Log.Clean,
	}.Raw())
	return b.log.Append(&batch, func(segment.LSN) {})
}
