package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

// Checkpoint gathers what changed since the last one and stores it as one batch.
//
// It must visit every queue for which Dirty reports true; one that is given up
// uncommitted does no harm if the next one does so too. It is used by one goroutine
// at a time.
type Checkpoint struct {
	store      *Store
	generation uint64
	dropped    []segment.QueueID
	objects    []objectImage
	done       bool
	buffers
}

// buffers are kept from checkpoint to checkpoint.
type buffers struct {
	queues    []queueImage
	chunks    []chunkImage
	forgotten []uint64
	words     []uint64 // bitmaps of the chunk images
	returns   []returned
	key       []byte
	value     []byte
}

// objectImage is a change of an object.
type objectImage struct {
	key     ObjectKey
	value   []byte
	deleted bool
}

// queueImage is the copy of a queue's changes: the next chunks and forgotten of the
// checkpoint's, in order.
type queueImage struct {
	id                levelID
	meta              meta
	chunks, forgotten int
}

// chunkImage is the copy of a chunk's changes. Entries are shared with the queue:
// slots are written once. Its bitmaps and returns are the next of the checkpoint's.
type chunkImage struct {
	number                        uint64
	base, last, lowest            segment.LSN
	liveBytes, leastDeadline      int64
	n, live, transient            uint16
	hasBitmaps                    bool
	entries                       []entry // nil = stored already
	deadlines                     []int64 // nil = none
	writeBitmaps                  bool
	hasRedelivered, hasTransients bool // bitmaps in words, behind the live one
	returns                       int
}

// Checkpoint begins a checkpoint.
func (s *Store) Checkpoint() *Checkpoint {
	c := &Checkpoint{store: s, generation: s.begun.Add(1)}
	s.commit.Lock()
	defer s.commit.Unlock()
	c.buffers, s.commit.spare = s.commit.spare, buffers{}
	return c
}

// PutObject stores an object of the broker's. The value is copied.
func (c *Checkpoint) PutObject(key ObjectKey, value []byte) {
	c.objects = append(c.objects, objectImage{key: key, value: append([]byte(nil), value...)})
}

// DeleteObject removes an object.
func (c *Checkpoint) DeleteObject(key ObjectKey) {
	c.objects = append(c.objects, objectImage{key: key, deleted: true})
}

// DropQueue removes everything the view holds of a queue, all levels, also what this
// checkpoint has copied of it.
func (c *Checkpoint) DropQueue(id segment.QueueID) { c.dropped = append(c.dropped, id) }

// Dirty reports whether the queue has changes that no committed checkpoint holds.
func (q *Queue) Dirty() bool {
	return q.dirty || q.generation > q.store.committed.Load()
}

// Queue copies the changes of a queue. It is called under the lock of the queue's
// owner. A queue without changes costs next to nothing and gives memory back.
func (c *Checkpoint) Queue(q *Queue) {
	committed := q.store.committed.Load()
	if q.generation <= committed {
		q.handOver()
	}
	if !q.Dirty() {
		q.rest()
		return
	}
	if o := q.open; o != nil && o.live == 0 {
		// Nothing to store, and an idle queue should not keep a page.
		q.chunks = q.chunks[:len(q.chunks)-1]
		q.forget(o)
		q.rewind()
	}
	chunks := len(c.chunks)
	for _, chunk := range q.resident {
		if chunk.page != nil && chunk.unsaved(committed) {
			c.chunk(chunk, committed)
		}
	}
	c.forgotten = append(c.forgotten, q.forgotten...)
	q.handedOver = len(q.forgotten)
	c.queues = append(c.queues, queueImage{
		id:        q.levelID(),
		chunks:    len(c.chunks) - chunks,
		forgotten: len(q.forgotten),
		meta: meta{
			last: q.last, horizon: q.horizon, redeliveredTo: q.redeliveredTo, next: q.next,
			chunks: uint64(len(q.chunks)), live: uint64(q.live), liveBytes: uint64(q.liveBytes),
		},
	})
	q.dirty = false
	q.generation = c.generation
	q.trim()
}

// handOver forgets the numbers of chunks whose keys a committed checkpoint deleted.
func (q *Queue) handOver() {
	if q.handedOver > 0 {
		q.forgotten = append([]uint64(nil), q.forgotten[q.handedOver:]...)
		q.handedOver = 0
	}
}

// chunk copies the changes of one chunk.
func (c *Checkpoint) chunk(from *chunk, committed uint64) {
	// What was copied for a checkpoint that did not commit is copied again.
	again := from.generation > committed
	p := from.page
	if from.live < from.n && p.deadlines() != nil {
		from.sharpen() // who had the least may be gone
	}
	to := chunkImage{
		number: from.number, base: from.base, last: from.last, lowest: from.lowestLive(),
		liveBytes: from.liveBytes, leastDeadline: from.leastDeadline, n: from.n, live: from.live, transient: from.transient,
		hasBitmaps: from.hasBitmaps || !from.plain(),
	}
	if p.entries != nil && (again || from.savedN != from.n) {
		to.entries = p.entries[:from.n:from.n]
		if from.leastDeadline != noDeadline {
			to.deadlines = p.deadlines()[:from.n:from.n]
		}
	}
	if to.hasBitmaps && (again || from.bitsDirty || from.savedN != from.n) {
		words := wordsFor(int(from.n))
		to.writeBitmaps = true
		c.words = append(c.words, p.live[:words]...)
		if to.hasRedelivered = p.redelivered != nil; to.hasRedelivered {
			c.words = append(c.words, p.redelivered[:words]...)
		}
		if to.hasTransients = p.transient != nil; to.hasTransients {
			c.words = append(c.words, p.transient[:words]...)
		}
		before := len(c.returns)
		c.returns = p.appendReturns(c.returns)
		to.returns = len(c.returns) - before
	}
	c.chunks = append(c.chunks, to)
	from.savedN = from.n
	from.hasBitmaps = to.hasBitmaps
	from.bitsDirty = false
	from.generation = c.generation
}

// Commit stores what was copied in one synced batch and makes mark the record up
// to which the view is complete. The caller has taken the mark before the first
// queue was copied, and has had the log synced up to its last record after the last
// one was: the view must not be ahead of the log. A failure is permanent.
func (c *Checkpoint) Commit(mark segment.LSN) error {
	s := c.store
	s.commit.Lock()
	defer s.commit.Unlock()
	if err := c.mayCommitLocked(mark); err != nil {
		return err
	}
	c.done = true
	err := guard("commit", func() error { return c.write(mark) })
	if err != nil {
		s.commit.failed = fmt.Errorf("checkpoint %d up to record %d: %w", c.generation, mark, err)
		return s.commit.failed
	}
	s.mark.Store(uint64(mark))
	s.committed.Store(c.generation)
	c.recycle()
	s.commit.spare, c.buffers = c.buffers, buffers{}
	return nil
}

func (c *Checkpoint) mayCommitLocked(mark segment.LSN) error {
	s := c.store
	switch {
	case s.commit.failed != nil:
		return s.commit.failed
	case c.done || c.generation <= s.committed.Load():
		return errors.New("index: checkpoint was committed already, or overtaken by a later one")
	case mark < s.Mark():
		return fmt.Errorf("index: checkpoint up to record %d, but the view is complete up to %d", mark, s.Mark())
	}
	s.open.RLock()
	defer s.open.RUnlock()
	if s.open.closed {
		return ErrClosed
	}
	return nil
}

// recycle empties the buffers. Big ones are given up: a burst should not cost
// memory for ever.
func (c *Checkpoint) recycle() {
	const keep = 1 << 20 // bytes of the largest buffer
	b := &c.buffers
	if max(len(b.words)*8, len(b.returns)*8, len(b.chunks)*100, len(b.queues)*100, cap(b.value)) > keep {
		*b = buffers{}
		return
	}
	clear(b.chunks) // they hold entries of pages
	b.queues, b.chunks, b.forgotten = b.queues[:0], b.chunks[:0], b.forgotten[:0]
	b.words, b.returns = b.words[:0], b.returns[:0]
}

// write encodes the batch and commits it.
func (c *Checkpoint) write(mark segment.LSN) error {
	batch := c.store.db.NewBatch()
	defer batch.Close()
	if err := c.encode(batch, mark); err != nil {
		return err
	}
	return batch.Commit(pebble.Sync)
}

func (c *Checkpoint) encode(batch *pebble.Batch, mark segment.LSN) error {
	var faults []error // Pebble's batch refuses nothing, but says that it might
	put := func(key []byte) {
		c.value = sealValue(key, c.value)
		faults = append(faults, batch.Set(key, c.value, nil))
	}
	for _, o := range c.objects {
		c.key = appendObjectKey(c.key[:0], o.key)
		if o.deleted {
			faults = append(faults, batch.Delete(c.key, nil))
			continue
		}
		c.value = append(beginValue(c.value), o.value...)
		put(c.key)
	}
	chunks, forgotten, tail := c.chunks, c.forgotten, bitmapTail{c.words, c.returns}
	for _, q := range c.queues {
		for _, number := range forgotten[:q.forgotten] {
			for _, kind := range []keyKind{kindDirectory, kindEntries, kindBitmaps} {
				c.key = appendChunkKey(c.key[:0], q.id, kind, number)
				faults = append(faults, batch.Delete(c.key, nil))
			}
		}
		for i := range chunks[:q.chunks] {
			c.encodeChunk(put, q.id, &chunks[i], &tail)
		}
		chunks, forgotten = chunks[q.chunks:], forgotten[q.forgotten:]
		c.key = appendMetaKey(c.key[:0], q.id)
		c.value = appendMeta(beginValue(c.value), q.meta)
		put(c.key)
	}
	for _, id := range c.dropped {
		c.key = appendQueuePrefix(c.key[:0], id)
		faults = append(faults, batch.DeleteRange(c.key, keyAfter(c.key), nil))
	}
	c.key = append(c.key[:0], prefixMark)
	c.value = binary.AppendUvarint(beginValue(c.value), uint64(mark))
	put(c.key)
	return errors.Join(faults...)
}

// bitmapTail is what the chunk images to come have copied of their bitmaps.
type bitmapTail struct {
	words   []uint64
	returns []returned
}

// take returns the bitmaps of the next image.
func (t *bitmapTail) take(from *chunkImage) bitmaps {
	b, words := bitmaps{n: int(from.n)}, wordsFor(int(from.n))
	next := func(has bool) (bits []uint64) {
		if has {
			bits, t.words = t.words[:words], t.words[words:]
		}
		return bits
	}
	b.live, b.redelivered, b.transient = next(true), next(from.hasRedelivered), next(from.hasTransients)
	b.returns, t.returns = t.returns[:from.returns], t.returns[from.returns:]
	return b
}

// encodeChunk puts the keys of one chunk.
func (c *Checkpoint) encodeChunk(put func([]byte), id levelID, from *chunkImage, tail *bitmapTail) {
	c.key = appendChunkKey(c.key[:0], id, kindDirectory, from.number)
	c.value = appendDirectory(beginValue(c.value), from)
	put(c.key)
	if from.entries != nil {
		c.key = appendChunkKey(c.key[:0], id, kindEntries, from.number)
		c.value = appendEntries(beginValue(c.value), slots{from.base, from.entries, from.deadlines})
		put(c.key)
	}
	if from.writeBitmaps {
		c.key = appendChunkKey(c.key[:0], id, kindBitmaps, from.number)
		c.value = appendBitmaps(beginValue(c.value), tail.take(from))
		put(c.key)
	}
}
