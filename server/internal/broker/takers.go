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
		batch.Append(segment.KindConsumer, 0, vh.ID, now, consumerRecord(by))
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

// consumerRecord is the payload that tells of a taker.
func consumerRecord(by *queue.Taker) []byte {
	user := by.Channel.Outlet().(*Client).user
	t := amqp.Table{
		"op": consumerStart, "queue": int64(by.Queue.ID), "channel": int32(by.Channel.Number), "user": user.Name,
	}
	if c := by.Consumer; c != nil {
		t["tag"], t["no_ack"], t["exclusive"] = c.Tag, c.NoAck, c.Exclusive
	}
	if user.Peer != "" {
		t["peer"] = user.Peer
	}
	if name := user.Connection; name != "" {
		t["connection"] = strings.ToValidUTF8(name[:min(len(name), maxConnectionName)], "")
	}
	if _, _, first := by.Named(); first != 0 {
		t["since"] = int64(first)
	}
	return t.Raw()
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
