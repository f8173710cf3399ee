package broker

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/access"
)

// catalogueChunk is about how much one catalogue record holds.
const catalogueChunk = 64 << 10

// catalogue calls yield with the payloads of the records that state the whole topology: entries, each a
// change behind its length as u32. A payload holds until the next. Called with the append lock or all topology locks
// held.
func (b *Broker) catalogue(yield func(payload []byte)) {
	chunk := make([]byte, 0, catalogueChunk+catalogueChunk/4)
	end := func() {
		if len(chunk) >= catalogueChunk {
			yield(chunk)
			chunk = chunk[:0]
		}
	}
	for c := range b.access.State().Changes() { // the virtual hosts come first
		chunk = appendEntry(chunk, func(dst []byte) []byte { return append(dst, access.Encode(c).Raw()...) })
		end()
	}
	put := func(c *change) {
		chunk = appendEntry(chunk, c.appendTo)
		end()
	}
	for _, vh := range b.hosts() {
		for _, operator := range []bool{false, true} { // before what they apply to: see applyPolicy
			for _, p := range vh.topology.policies.List(operator) {
				put(&change{op: putPolicy, vhost: vh.ID, policy: p})
			}
		}
		for x := range vh.topology.router.Exchanges() {
			if !predeclared(x.Name) {
				put(&change{op: declareExchange, vhost: vh.ID, exchange: x})
			}
		}
		for key, q := range vh.topology.keepers {
			put(&change{op: declareKeeper, vhost: vh.ID, keeps: key.purpose, queue: q.Declaration})
		}
		for _, q := range vh.topology.router.Queues() {
			put(&change{op: declareQueue, vhost: vh.ID, queue: q.Declaration, horizon: q.LoggedHorizon(), untimed: q.Untimed()})
		}
		for b := range vh.topology.router.Bindings() {
			put(&change{op: bind, vhost: vh.ID, binding: b})
		}
	}
	if len(chunk) > 0 {
		yield(chunk)
	}
}

// appendEntry appends an entry of a catalogue: its length, and what encode appends.
func appendEntry(dst []byte, encode func(dst []byte) []byte) []byte {
	start := len(dst)
	dst = encode(append(dst, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// eachInCatalogue takes a catalogue record apart.
func eachInCatalogue(payload []byte, yield func(entry []byte) error) error {
	for len(payload) > 0 {
		if len(payload) < 4 {
			return fmt.Errorf("catalogue record: %w", segment.ErrCorrupt)
		}
		n := binary.LittleEndian.Uint32(payload)
		if payload = payload[4:]; uint64(n) > uint64(len(payload)) {
			return fmt.Errorf("catalogue record: %w", segment.ErrCorrupt)
		}
		if err := yield(payload[:n]); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return nil
}

// restatement is the catalogue as the segments of the log begin with it, kept from segment to segment: what the
// topology was when it was made, and what has changed since, in the log's order. So a segment's start costs the
// copying of the bytes, and a topology of many queues is encoded and hashed once, not once for each segment.
//
// It is guarded by the append lock. Whoever changes the topology, users, or a queue's horizon says so here, under
// that lock.
type restatement struct {
	batch   segment.Batch
	made    int    // the length of batch; 0 = it is to be made
	entries []byte // of what has changed since
	moved   map[segment.QueueID]movedHorizon

	// since is entries and moved as records, few so that numbers of records say something about the space that they
	// take. Horizons stand behind, for nothing but a catalogue may stand in its midst: see replay.
	since segment.Batch
	stale bool // since is to be made
}

type movedHorizon struct {
	vhost uint32
	at    segment.LSN
}

// restate returns the records that a segment of the log begins with, so that older ones may go. The log calls it with
// its append lock held, under which they hold.
func (b *Broker) restate() []*segment.Batch {
	r, now := &b.restated, time.Now().UnixMilli()
	if r.made == 0 {
		b.catalogue(func(payload []byte) { r.batch.Append(segment.KindCatalogue, 0, 0, now, payload) })
		r.made = r.batch.Len()
	}
	if r.stale {
		r.stale = false
		r.since.Reset()
		if len(r.entries) > 0 {
			r.since.Append(segment.KindCatalogue, 0, 0, now, r.entries)
		}
		for id, h := range r.moved {
			r.since.AppendHorizon(now, h.vhost, id, h.at)
		}
	}
	return []*segment.Batch{&r.batch, &r.since}
}

// change says that the topology has changed by a record of the log.
func (r *restatement) change(c *change, lsn segment.LSN) {
	told := *c
	if told.queue.ID == 0 && (told.op == declareQueue || told.op == declareKeeper) {
		told.queue.ID = segment.QueueID(lsn) // there its own number tells it
	}
	r.entry(told.appendTo)
}

// access says that users or virtual hosts have changed by a record of the log.
func (r *restatement) access(c access.Change) {
	r.entry(func(dst []byte) []byte { return append(dst, access.Encode(c).Raw()...) })
}

func (r *restatement) entry(encode func(dst []byte) []byte) {
	if r.made == 0 {
		return
	}
	r.entries = appendEntry(r.entries, encode)
	r.changed()
}

// horizon says that the log holds a queue's horizon.
func (r *restatement) horizon(vhost uint32, id segment.QueueID, at segment.LSN) {
	if r.made == 0 {
		return
	}
	if r.moved == nil {
		r.moved = make(map[segment.QueueID]movedHorizon)
	}
	r.moved[id] = movedHorizon{vhost, at}
	r.changed()
}

// changed gives all up, to be made anew for the next segment, when what has changed would make it much longer than
// it needs to be.
func (r *restatement) changed() {
	const least, most = 16 << 10, 1 << 20 // bytes
	const horizon = 48
	r.stale = true
	if len(r.entries)+horizon*len(r.moved) > min(max(least, r.made/4), most) {
		*r = restatement{}
	}
}
