package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	// MaxBatch is the largest batch, with its header.
	MaxBatch = 1 << 30

	keepBytes = 4 << 20 // a buffer larger than this is given back at Reset
	maxKeys   = 1<<16 - 1
)

var (
	errOpenPublish = errors.New("segment: a publish is still open in the batch")
	errNoPublish   = errors.New("segment: no publish is open in the batch")
)

// Batch builds the records of one append. It is reused: Reset keeps its memory, and once warm
// building allocates nothing. Faults stick: the first is kept, later calls do nothing, and Err (or
// the log's Append) reports it. The zero value is ready. Not safe for concurrent use.
//
// The big part of each record is hashed when the record ends; Seal, which runs under the log's lock,
// adds twelve bytes a record.
type Batch struct {
	// Durable says that somebody waits until the batch is synced.
	Durable bool
	// Vital says that the batch may take the file that the log keeps for when the disk is full: what it holds
	// is small, and helps to make room or cannot be refused.
	Vital bool

	buf      []byte       // room for the batch header, then the records
	records  []builtPlace // one a record
	sets     []*RouteSet  // sets that the records refer to, each once
	prefixes []byte       // scratch of Seal: the first eight bytes of every record
	finish   [12]byte     // scratch of Seal: what ends a record's checksum

	open     int // start of the publish being built; 0 = none
	bodySize int // what it promised
	body     int // where its body begins
	err      error
}

// builtPlace is a record's place in the batch and its checksum before number and length joined it;
// kept apart from the bytes so that a batch can be sealed again.
type builtPlace struct{ start, crc uint32 }

// PublishHead is everything of a publish but its body.
type PublishHead struct {
	Time     int64 // ms
	Flags    Flags
	VHost    uint32
	Queues   []QueueID // where it goes; not kept
	Set      *RouteSet // when not nil, replaces Queues; kept until Reset
	Keys     []byte    // exchange and routing key, two short strings as on the wire
	Header   []byte    // content-header payload as on the wire
	BodySize int       // what AppendBody will add in all
}

// Reset empties the batch for reuse.
func (b *Batch) Reset() {
	if cap(b.buf) > keepBytes {
		b.buf = nil
	}
	clear(b.sets)
	b.buf, b.records, b.sets = b.buf[:0], b.records[:0], b.sets[:0]
	b.Durable, b.Vital, b.open, b.err = false, false, 0, nil
}

// Len is the batch's length in bytes, with its header.
func (b *Batch) Len() int { return max(len(b.buf), BatchHeaderSize) }

// Count is the number of finished records.
func (b *Batch) Count() int { return len(b.records) }

// Sets returns the route sets that the batch's publishes refer to; it holds until the next call.
func (b *Batch) Sets() []*RouteSet { return b.sets }

// Err returns the first fault of building, or that a publish was left open.
func (b *Batch) Err() error {
	if b.err == nil && b.open != 0 {
		return errOpenPublish
	}
	return b.err
}

// BeginPublish starts a publish record; AppendBody and EndPublish complete it.
func (b *Batch) BeginPublish(h PublishHead) {
	if len(h.Keys) > maxKeys {
		b.fault(fmt.Errorf("%w: names of %d bytes", ErrTooLarge, len(h.Keys)))
		return
	}
	// Ten bytes bound a varint; the body is bounded before anything is reserved for it.
	size := publishFixed + 20 + 10*len(h.Queues) + len(h.Keys) + len(h.Header)
	if h.BodySize < 0 || h.BodySize > MaxRecord-size {
		b.fault(fmt.Errorf("%w: body of %d bytes", ErrTooLarge, h.BodySize))
		return
	}
	if !b.begin(KindPublish, h.Flags, h.VHost, h.Time, size+h.BodySize) {
		return
	}
	binary.LittleEndian.PutUint16(b.buf[b.open+recordKeys:], uint16(len(h.Keys)))
	fixed := len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	if h.Set != nil {
		b.buf = appendRouteSetRef(b.buf, h.Set.ID)
		b.need(h.Set)
	} else {
		b.buf = appendRoute(b.buf, h.Queues)
	}
	binary.LittleEndian.PutUint32(b.buf[fixed+publishRoute:], uint32(len(b.buf)-fixed-publishFixed))
	binary.LittleEndian.PutUint32(b.buf[fixed+publishHeader:], uint32(len(h.Header)))
	b.buf = append(b.buf, h.Keys...)
	b.buf = append(b.buf, h.Header...)
	b.bodySize, b.body = h.BodySize, len(b.buf)
}

// AppendBody adds bytes to the open publish's body.
func (b *Batch) AppendBody(p []byte) {
	if b.err != nil {
		return
	}
	if b.open == 0 {
		b.fault(errNoPublish)
		return
	}
	if len(b.buf)-b.body+len(p) > b.bodySize {
		b.fault(fmt.Errorf("segment: body exceeds the %d bytes promised", b.bodySize))
		return
	}
	b.buf = append(b.buf, p...)
}

// EndPublish completes the open publish. Its body must have the promised size.
func (b *Batch) EndPublish() {
	if b.err != nil {
		return
	}
	if b.open == 0 {
		b.fault(errNoPublish)
		return
	}
	if got := len(b.buf) - b.body; got != b.bodySize {
		b.fault(fmt.Errorf("segment: body has %d bytes of the %d promised", got, b.bodySize))
		return
	}
	b.end()
}

// AbortPublish takes the open publish back as if it had never begun (its set may stay in Sets,
// which is harmless).
func (b *Batch) AbortPublish() {
	if b.open != 0 {
		b.buf, b.open = b.buf[:b.open], 0
	}
}

// AppendSettle adds a settle record: the entries of q within ranges are gone. Ranges keep their
// order; each needs 1 <= From <= To.
func (b *Batch) AppendSettle(time int64, vhost uint32, q QueueID, reason SettleReason, ranges []Range) {
	b.AppendSettled(SettleHead{Time: time, VHost: vhost, Queue: q, Reason: reason}, ranges)
}

// SettleHead is everything of a settle but its ranges.
type SettleHead struct {
	Time                int64 // ms
	VHost               uint32
	Queue               QueueID
	Reason              SettleReason
	Consumer, Successor Reference // what Settle's fields of these names will say
}

// AppendSettled is AppendSettle with all that a settle can tell. References by place are to records that are in the
// batch already.
func (b *Batch) AppendSettled(h SettleHead, ranges []Range) {
	for _, r := range ranges {
		if r.From == 0 || r.To < r.From {
			b.fault(fmt.Errorf("segment: settle range %d to %d is none", r.From, r.To))
			return
		}
	}
	place := len(b.records) + 1
	if h.Consumer.Place >= place || h.Successor.Place >= place {
		b.fault(errors.New("segment: a settle refers to a record that is not in the batch yet"))
		return
	}
	flags := Flags(0)
	if !h.Consumer.isNone() {
		flags |= FlagConsumer
	}
	if !h.Successor.isNone() {
		flags |= FlagSuccessor
	}
	if !b.begin(KindSettle, flags, h.VHost, h.Time, settleRest+30+20*len(ranges)) {
		return
	}
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(h.Queue))
	b.buf = append(b.buf, byte(h.Reason))
	if !h.Consumer.isNone() {
		b.buf = h.Consumer.append(b.buf, place)
	}
	if !h.Successor.isNone() {
		b.buf = h.Successor.append(b.buf, place)
	}
	b.buf = appendRanges(b.buf, ranges)
	b.end()
}

// AppendHorizon adds a horizon record: entries of q up to h may have been handed to a client.
func (b *Batch) AppendHorizon(time int64, vhost uint32, q QueueID, h LSN) {
	if !b.begin(KindHorizon, 0, vhost, time, horizonSize) {
		return
	}
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(q))
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(h))
	b.end()
}

// AppendRouteSet adds a record that defines a set. The log does this itself for the sets that a
// batch refers to.
func (b *Batch) AppendRouteSet(time int64, set *RouteSet) {
	if !b.begin(KindRouteSet, 0, 0, time, routeSetFixed+10+10*len(set.Queues)) {
		return
	}
	b.buf = binary.LittleEndian.AppendUint64(b.buf, set.ID)
	b.buf = binary.AppendUvarint(b.buf, uint64(len(set.Queues)))
	b.buf = appendQueues(b.buf, set.Queues)
	b.end()
}

// Append adds a record whose payload this package does not look into (topology, catalogue, consumer, start).
func (b *Batch) Append(kind Kind, flags Flags, vhost uint32, time int64, payload []byte) {
	if !b.begin(kind, flags, vhost, time, len(payload)) {
		return
	}
	b.buf = append(b.buf, payload...)
	b.end()
}

// Seal numbers the records from first on, completes all checksums and returns the bytes to write;
// they hold until the batch changes. It may be called again with other arguments.
func (b *Batch) Seal(first LSN, epoch uint64, timeMs int64, synced LSN) []byte {
	if len(b.buf) < BatchHeaderSize {
		b.buf = append(b.buf, make([]byte, BatchHeaderSize)...)
	}
	b.prefixes = slices.Grow(b.prefixes[:0], 8*len(b.records))
	for i, built := range b.records {
		record := b.buf[built.start:]
		binary.LittleEndian.PutUint64(record[recordLSN:], uint64(first)+uint64(i))
		copy(b.finish[:8], record[recordLSN:])
		copy(b.finish[8:], record[recordLength:recordCRC])
		binary.LittleEndian.PutUint32(record[recordCRC:], extend(built.crc, b.finish[:]))
		b.prefixes = append(b.prefixes, record[:recordLSN]...)
	}
	putBatchHeader(b.buf, BatchHeader{
		Length: len(b.buf), Count: len(b.records), Epoch: epoch, First: first, Time: timeMs, Synced: synced,
	})
	crc := extend(checksum(b.buf[batchLength:BatchHeaderSize]), b.prefixes)
	binary.LittleEndian.PutUint32(b.buf[batchCRC:], crc)
	return b.buf
}

// begin starts a record of at most size payload bytes; false when the batch has a fault.
func (b *Batch) begin(kind Kind, flags Flags, vhost uint32, time int64, size int) bool {
	if b.open != 0 {
		b.fault(errOpenPublish)
	}
	if b.err != nil {
		return false
	}
	if len(b.buf) < BatchHeaderSize {
		b.buf = append(b.buf, make([]byte, BatchHeaderSize)...)
	}
	if size > MaxBatch-len(b.buf)-RecordHeaderSize-8 {
		b.fault(fmt.Errorf("%w: %d bytes more in a batch of %d", ErrTooLarge, size, len(b.buf)))
		return false
	}
	b.buf = slices.Grow(b.buf, align(RecordHeaderSize+size))
	b.open = len(b.buf)
	var head [RecordHeaderSize]byte
	binary.LittleEndian.PutUint64(head[recordTime:], uint64(time))
	head[recordKind], head[recordFlags] = byte(kind), byte(flags)
	binary.LittleEndian.PutUint32(head[recordVHost:], vhost)
	b.buf = append(b.buf, head[:]...)
	return true
}

// end completes the record begun last: its length, the checksum of its big part, its padding.
func (b *Batch) end() {
	start := b.open
	binary.LittleEndian.PutUint32(b.buf[start+recordLength:], uint32(len(b.buf)-start))
	b.records = append(b.records, builtPlace{uint32(start), checksum(b.buf[start+recordTime:])})
	for len(b.buf)&7 != 0 {
		b.buf = append(b.buf, 0)
	}
	b.open = 0
}

// need remembers a set once. Batches use few sets, so a search beats a map.
func (b *Batch) need(set *RouteSet) {
	for _, known := range b.sets {
		if known.ID == set.ID {
			return
		}
	}
	b.sets = append(b.sets, set)
}

func (b *Batch) fault(err error) {
	if b.err == nil {
		b.err = err
	}
}
