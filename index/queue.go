package index

import (
	"math"
	"math/bits"

	"github.com/millrace-mq/millrace/segment"
)

// Position is the ordinal of an entry within its queue: it grows from entry to
// entry, is never used twice while the store is open, and is not dense. 0 names
// no entry.
type Position uint64

// Item is what Push is told of a message.
type Item struct {
	LSN       segment.LSN
	Deadline  int64 // milliseconds since 1970; 0 = none
	Size      uint32
	Transient bool // it vanishes at recovery
}

// Entry is what a queue knows of one message.
type Entry struct {
	Position    Position
	LSN         segment.LSN
	Deadline    int64 // milliseconds since 1970; 0 = none
	Size        uint32
	Returns     uint32 // what CountReturn left there
	Redelivered bool   // it may have been handed to a client before
	Transient   bool   // it vanishes at recovery
}

// Queue is the index of one queue, or of one level of a priority queue: its entries
// in order of arrival, each ready or in flight. It is not safe for concurrent use;
// the lock of its owner guards it, also while Checkpoint.Queue copies it.
//
// Invariants, which Check verifies:
//   - chunks are ordered by number and by LSN; the open chunk, if any, is the last
//   - no entry before the cursor is ready; a nil cursor means that nothing is
//     ready and no chunk is open
//   - resident lists every chunk that has a page, once
type Queue struct {
	store *Store
	id    segment.QueueID

	chunks   []*chunk
	open     *chunk // takes pushes; nil = the next push begins one
	next     uint64 // number of the next chunk
	resident []*chunk

	cursor *chunk

	// Eight bytes together: queues are many.
	clock      uint32 // counts what was looked for, begun and paged in
	cursorWord uint16 // words of the cursor's ready bitmap before it are zero
	level      byte   // of a priority queue
	dirty      bool   // something changed since a checkpoint last copied it

	live, ready           int
	liveBytes, readyBytes int64

	expiry *expiry // nil = there were no deadlines

	last          segment.LSN // last pushed
	horizon       segment.LSN
	redeliveredTo segment.LSN // entries up to here are redelivered, whatever their bit says

	recent *chunk // found last

	// What checkpoints have of it.
	generation uint64   // of the checkpoint that copied it last; 0 = loaded or never
	forgotten  []uint64 // numbers of chunks that are gone, and have keys to delete
	handedOver int      // so many of forgotten were copied in that generation

	err error // first failed read; sticky
}

// ID returns the queue's id.
func (q *Queue) ID() segment.QueueID { return q.id }

// Level returns which level of a priority queue this is; 0 if it is not one.
func (q *Queue) Level() byte { return q.level }

func (q *Queue) levelID() levelID { return levelID{q.id, q.level} }

// Ready returns the number of ready entries.
func (q *Queue) Ready() int { return q.ready }

// InFlight returns the number of entries that were handed out and neither settled
// nor requeued.
func (q *Queue) InFlight() int { return q.live - q.ready }

// ReadyBytes returns the sum of the sizes of the ready entries.
func (q *Queue) ReadyBytes() int64 { return q.readyBytes }

// LiveBytes returns the sum of the sizes of all entries, ready or in flight.
func (q *Queue) LiveBytes() int64 { return q.liveBytes }

// Last returns the LSN that was pushed last.
func (q *Queue) Last() segment.LSN { return q.last }

// Err returns the first failed read of a paged-out chunk. The failure is
// permanent: what needs the disk does nothing from then on, and the owner must
// rebuild the view if it matches ErrCorrupt.
func (q *Queue) Err() error { return q.err }

// Head returns the lowest LSN that is live, ready or in flight.
func (q *Queue) Head() (segment.LSN, bool) {
	if q.live == 0 {
		return 0, false
	}
	return q.chunks[0].lowestLive(), true
}

// Horizon returns the LSN given to SetHorizon last.
func (q *Queue) Horizon() segment.LSN { return q.horizon }

// SetHorizon notes that entries up to h may be handed to a client: a recovery that
// is not clean brings them back as redelivered. The last call counts, be it lower: the
// log has its horizons in the order of the decisions.
func (q *Queue) SetHorizon(h segment.LSN) {
	if h != q.horizon {
		q.horizon = h
		q.dirty = true
	}
}

// Push appends a ready entry. A negative deadline is none. An LSN that is not above the last pushed one is
// ignored, which makes a replay idempotent; the position is 0 then.
func (q *Queue) Push(it Item) Position {
	lsn, size := it.LSN, it.Size
	if lsn <= q.last {
		return 0
	}
	c := q.open
	if c == nil || int(c.n) == len(c.page.entries) || lsn-c.base > math.MaxUint32 {
		c = q.makeRoom(lsn)
	}
	p, slot := c.page, int(c.n)
	p.entries[slot] = entry{delta: uint32(lsn - c.base), size: size}
	word, bit := slot>>6, uint64(1)<<(slot&63)
	p.live[word] |= bit
	p.ready[word] |= bit
	if it.Transient {
		setBit(&p.transient, p.live, slot)
		c.transient++
	}
	if it.Deadline != 0 || p.rare != nil {
		q.setDeadline(c, slot, it.Deadline)
	}
	c.n++
	c.live++
	c.ready++
	c.liveBytes += int64(size)
	c.readyBytes += int64(size)
	c.last = lsn
	q.live++
	q.ready++
	q.liveBytes += int64(size)
	q.readyBytes += int64(size)
	q.last = lsn
	q.dirty = true
	return c.position(slot)
}

// makeRoom returns an open chunk with a free slot that can hold lsn.
func (q *Queue) makeRoom(lsn segment.LSN) *chunk {
	c, slots := q.open, minSlots
	switch {
	case c == nil:
	case c.live == 0:
		// The queue ran empty: the page serves again under a new number, so
		// that a queue that keeps up never grows beyond its first page.
		q.restart(c, lsn)
		return c
	case lsn-c.base <= math.MaxUint32 && c.n < chunkSlots:
		c.page.grow(min(4*len(c.page.entries), chunkSlots))
		return c
	default:
		// A backlog will fill the next chunk too, a moving window will not.
		for slots < int(c.live) {
			slots *= 4
		}
	}
	c = new(chunk)
	*c = newChunk(q.next, lsn, newPage(slots))
	q.next++
	q.clock++
	c.touched = q.clock
	q.open = c
	q.chunks = append(q.chunks, c)
	q.resident = append(q.resident, c)
	if q.cursor == nil {
		q.cursor, q.cursorWord = c, 0
	}
	q.trim()
	return c
}

// restart turns the open chunk, all of whose entries are settled, into a new one.
func (q *Queue) restart(c *chunk, lsn segment.LSN) {
	p := c.page
	if c.generation != never {
		q.forgotten = append(q.forgotten, c.number)
		if c.generation > q.store.committed.Load() {
			p = newPage(len(p.entries)) // a checkpoint may be reading the entries
		}
	}
	p.redelivered, p.transient = nil, nil
	if p.rare != nil {
		p.rare.returns = nil // deadlines stay: every push writes its own
	}
	touched := c.touched
	*c = newChunk(q.next, lsn, p)
	c.touched = touched
	q.next++
	if q.cursor == c {
		q.cursorWord = 0
	}
}

// Next takes the lowest ready entry: it is in flight from now on.
func (q *Queue) Next() (e Entry, ok bool) {
	c, slot, ok := q.seek()
	if ok {
		q.take(&e, c, slot)
	}
	return e, ok
}

// take reads a ready entry, which is in flight from then on.
func (q *Queue) take(e *Entry, c *chunk, slot int) {
	q.read(e, c, slot)
	c.page.ready[slot>>6] &^= 1 << (slot & 63)
	c.ready--
	c.readyBytes -= int64(e.Size)
	q.ready--
	q.readyBytes -= int64(e.Size)
}

// Peek returns the entry that Next would take, and leaves it ready.
func (q *Queue) Peek() (e Entry, ok bool) {
	c, slot, ok := q.seek()
	if ok {
		q.read(&e, c, slot)
	}
	return e, ok
}

// seek moves the cursor to the lowest ready entry and loads its chunk.
func (q *Queue) seek() (*chunk, int, bool) {
	if q.ready == 0 {
		return nil, 0, false
	}
	for {
		c := q.cursor
		if c.ready > 0 {
			if !c.loaded() && !q.load(c) {
				return nil, 0, false
			}
			ready := c.page.ready
			for w := int(q.cursorWord); w < len(ready); w++ {
				if ready[w] != 0 {
					q.cursorWord = uint16(w)
					return c, w<<6 + bits.TrailingZeros64(ready[w]), true
				}
			}
		}
		// Something is ready, and nothing is before the cursor: there is a next one.
		q.cursor, q.cursorWord = q.chunks[q.indexOf(c.number)+1], 0
	}
}

// read fills a zero Entry. It is not returned: copies of it are what Next would take
// most of its time for.
func (q *Queue) read(e *Entry, c *chunk, slot int) {
	p := c.page
	e.Position = c.position(slot)
	e.LSN = c.lsn(slot)
	e.Size = p.entries[slot].size
	e.Redelivered = e.LSN <= q.redeliveredTo || testBit(p.redelivered, slot)
	e.Transient = testBit(p.transient, slot)
	if p.rare != nil {
		e.Deadline, e.Returns = p.rare.of(slot)
	}
}

// Settle removes an entry, ready or in flight. It reports whether the entry was live.
func (q *Queue) Settle(p Position) bool {
	c, slot := q.locate(p)
	if c == nil || !testBit(c.page.live, slot) {
		return false
	}
	w, bit := slot>>6, uint64(1)<<(slot&63)
	size := int64(c.page.entries[slot].size)
	if c.page.ready[w]&bit != 0 {
		c.page.ready[w] &^= bit
		c.ready--
		c.readyBytes -= size
		q.ready--
		q.readyBytes -= size
	}
	if t := c.page.transient; t != nil && t[w]&bit != 0 {
		t[w] &^= bit
		c.transient--
	}
	c.page.live[w] &^= bit
	c.live--
	c.liveBytes -= size
	c.bitsDirty = true
	q.live--
	q.liveBytes -= size
	q.dirty = true
	if c.live == 0 && c != q.open {
		q.drop(c)
	}
	return true
}

// Requeue makes an entry in flight ready again, at its place and redelivered from
// now on. Any other position is ignored.
func (q *Queue) Requeue(p Position) {
	c, slot := q.locate(p)
	if c == nil || !testBit(c.page.live, slot) || testBit(c.page.ready, slot) {
		return
	}
	size := int64(c.page.entries[slot].size)
	c.page.ready[slot>>6] |= 1 << (slot & 63)
	setBit(&c.page.redelivered, c.page.live, slot)
	c.ready++
	c.readyBytes += size
	c.bitsDirty = true
	q.ready++
	q.readyBytes += size
	q.dirty = true
	if w := uint16(slot >> 6); q.cursor == nil || c.number < q.cursor.number || c == q.cursor && w < q.cursorWord {
		q.cursor, q.cursorWord = c, w
	}
	if deadlines := c.page.deadlines(); deadlines != nil {
		q.expect(c, slot, deadlines[slot])
	}
}

// CountReturn changes the count in Entry.Returns of an entry in flight and returns the new one, 0 for any
// other position. What is counted is its caller's affair; it must not become 0. Checkpoints store the count:
// a crash loses what came after the last one.
func (q *Queue) CountReturn(p Position, change func(returns uint32) uint32) uint32 {
	c, slot := q.locate(p)
	if c == nil || !testBit(c.page.live, slot) || testBit(c.page.ready, slot) {
		return 0
	}
	c.bitsDirty = true
	q.dirty = true
	return c.page.countReturn(slot, change)
}

// Find returns the position of the live entry with the given LSN.
func (q *Queue) Find(lsn segment.LSN) (Position, bool) {
	i := q.firstReaching(lsn)
	if i == len(q.chunks) || q.chunks[i].base > lsn {
		return 0, false
	}
	c := q.chunks[i]
	if !q.touch(c) {
		return 0, false
	}
	slot := c.search(lsn)
	if c.lsn(slot) != lsn || !testBit(c.page.live, slot) {
		return 0, false
	}
	return c.position(slot), true
}

// locate returns the loaded chunk and the slot of a position, or nil.
func (q *Queue) locate(p Position) (*chunk, int) {
	number, slot := uint64(p)>>chunkShift, int(p&chunkMask)
	c := q.recent
	if c == nil || c.number != number {
		i := q.indexOf(number)
		if i == len(q.chunks) || q.chunks[i].number != number {
			return nil, 0
		}
		c = q.chunks[i]
	}
	if slot >= int(c.n) || !q.touch(c) {
		return nil, 0
	}
	return c, slot
}

// touch loads a chunk if need be and counts it as used.
func (q *Queue) touch(c *chunk) bool {
	if q.recent != c {
		q.recent = c
		q.clock++
		c.touched = q.clock
	}
	return c.loaded() || q.load(c)
}
