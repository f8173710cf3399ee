package index

import (
	"math"
	"math/bits"
	"sort"

	"github.com/millrace-mq/millrace/segment"
)

const (
	chunkShift = 12
	chunkSlots = 1 << chunkShift
	chunkMask  = chunkSlots - 1

	// minSlots is the capacity of a queue's first page: an almost empty queue
	// pays for 16 entries, not for 4096.
	minSlots = 16

	// maxNumber keeps positions within 64 bits.
	maxNumber = math.MaxUint64 >> chunkShift

	// never is the generation of a chunk that no checkpoint has copied.
	never = math.MaxUint64

	// noDeadline is the least deadline where there is none.
	noDeadline = math.MaxInt64
)

// entry is one slot: the distance of its LSN from the chunk's base, and the size
// of its body. Slots are written once, and so are their deadlines: Retime makes new
// ones in place of all. So a checkpoint reads them without a lock.
type entry struct {
	delta uint32
	size  uint32
}

// chunk is the part of a chunk that is always resident: its directory entry.
//
// Invariants: base and last are the LSNs of slots 0 and n-1; ready <= live <= n;
// a sealed chunk has live > 0 (else it is forgotten at once); no ready entry has a
// deadline below due, and no live one below leastDeadline.
type chunk struct {
	number                uint64
	base, last            segment.LSN
	lowest                segment.LSN // of the live entries; valid while the entries are paged out
	liveBytes, readyBytes int64
	n, live, ready        uint16
	transient             uint16 // live and transient
	due, leastDeadline    int64  // the latter is exact while the entries are paged out

	// What checkpoints have of it.
	savedN     uint16 // n when it was last copied
	hasBitmaps bool   // stored with bitmaps
	bitsDirty  bool   // bitmaps or returns changed since they were last copied, other than by a push
	touched    uint32 // queue's clock when it was begun, paged in or last looked for
	generation uint64 // of the checkpoint that copied it last; 0 = loaded; never = none did

	page *page // nil = paged out
}

func newChunk(number uint64, base segment.LSN, p *page) chunk {
	return chunk{
		number: number, base: base, last: base, generation: never, page: p,
		due: noDeadline, leastDeadline: noDeadline,
	}
}

// page is the part of a chunk that can be paged out. Entries can be out while the
// bitmaps are in: these change, and while entries are in flight they are stored
// nowhere else.
type page struct {
	entries     []entry  // its length is the capacity; nil = paged out
	live, ready []uint64 // ready is a subset of live
	redelivered []uint64 // nil = none
	transient   []uint64 // nil = none; of the live ones
	rare        *rareColumns
}

func wordsFor(slots int) int { return (slots + 63) / 64 }

func newPage(slots int) *page {
	words := wordsFor(slots)
	both := make([]uint64, 2*words)
	return &page{
		entries: make([]entry, slots),
		live:    both[:words:words],
		ready:   both[words:],
	}
}

// grow makes room for more slots. The old entries stay as they are: a checkpoint
// may be reading them.
func (p *page) grow(slots int) {
	bigger := newPage(slots)
	copy(bigger.entries, p.entries)
	copy(bigger.live, p.live)
	copy(bigger.ready, p.ready)
	for _, words := range []struct{ from, to *[]uint64 }{
		{&p.redelivered, &bigger.redelivered},
		{&p.transient, &bigger.transient},
	} {
		if *words.from != nil {
			*words.to = make([]uint64, wordsFor(slots))
			copy(*words.to, *words.from)
		}
	}
	if p.rare != nil {
		bigger.rare = p.rare.grown(slots)
	}
	*p = *bigger
}

func testBit(words []uint64, slot int) bool {
	return words != nil && words[slot>>6]&(1<<(slot&63)) != 0
}

// setBit sets a bit of a bitmap that is made when its first bit is set.
func setBit(words *[]uint64, like []uint64, slot int) {
	if *words == nil {
		*words = make([]uint64, len(like))
	}
	(*words)[slot>>6] |= 1 << (slot & 63)
}

func (c *chunk) position(slot int) Position {
	return Position(c.number<<chunkShift | uint64(slot))
}

func (c *chunk) lsn(slot int) segment.LSN {
	return c.base + segment.LSN(c.page.entries[slot].delta)
}

// loaded says that the entries are resident, and so the bitmaps.
func (c *chunk) loaded() bool { return c.page != nil && c.page.entries != nil }

// search returns the first slot whose LSN is at least lsn, or n. The chunk is loaded.
func (c *chunk) search(lsn segment.LSN) int {
	if lsn <= c.base {
		return 0
	}
	if lsn > c.last {
		return int(c.n)
	}
	delta := uint32(lsn - c.base)
	return sort.Search(int(c.n), func(i int) bool { return c.page.entries[i].delta >= delta })
}

// lowestLive returns the lowest live LSN of a chunk that has one.
func (c *chunk) lowestLive() segment.LSN {
	if !c.loaded() {
		return c.lowest
	}
	for i, w := range c.page.live {
		if w != 0 {
			return c.lsn(i<<6 + bits.TrailingZeros64(w))
		}
	}
	return c.base
}

// plain says that the bitmaps need not be stored.
func (c *chunk) plain() bool {
	p := c.page
	return c.live == c.n && p.redelivered == nil && p.transient == nil && p.returns() == nil
}

// unsaved says that a checkpoint must copy the chunk: something changed since the
// last copy, or that copy was not committed.
func (c *chunk) unsaved(committed uint64) bool {
	return c.savedN != c.n || c.bitsDirty || c.generation > committed
}

// stored says that all entries are in the store.
func (c *chunk) stored(committed uint64) bool {
	return c.savedN == c.n && c.generation <= committed
}

// pageOut gives up the entries of a stored chunk, and the bitmaps if they are
// stored too and no entry is in flight.
func (c *chunk) pageOut() {
	if c.page.entries != nil {
		c.lowest = c.lowestLive()
		c.sharpen()
		c.page.entries = nil
		if c.page.rare != nil {
			c.page.rare.deadlines = nil
		}
	}
	if c.ready == c.live && !c.bitsDirty {
		c.page = nil
	}
}

// rangeMask returns the bits of word w that belong to slots [from, to).
func rangeMask(w, from, to int) uint64 {
	mask := ^uint64(0)
	if low := from - w<<6; low > 0 {
		mask <<= low
	}
	if high := w<<6 + 64 - to; high > 0 {
		mask &= ^uint64(0) >> high
	}
	return mask
}

func countBits(words []uint64) int {
	n := 0
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}

// bytes sums the sizes of the live entries.
func (p *page) bytes() int64 {
	var sum int64
	for w, live := range p.live {
		for ; live != 0; live &= live - 1 {
			sum += int64(p.entries[w<<6+bits.TrailingZeros64(live)].size)
		}
	}
	return sum
}
