package index

import (
	"encoding/binary"
	"math"

	"github.com/millrace-mq/millrace/segment"
)

// Bits of the which byte of stored bitmaps.
const (
	hasLive = 1 << iota
	hasRedelivered
	hasTransient
	hasReturns

	hasKnown = hasLive | hasRedelivered | hasTransient | hasReturns
)

// Bits of the flags of stored entries.
const (
	flagDeadlines = 1 << iota // deadlines follow

	entriesKnown = flagDeadlines
)

// Bits of a directory entry's flags.
const (
	flagBitmaps = 1 << iota // bitmaps are stored

	flagsKnown = flagBitmaps
)

// slots is the part of a chunk that is written once.
type slots struct {
	base      segment.LSN
	entries   []entry
	deadlines []int64 // nil = none; else one an entry, 0 = none
}

// appendEntries encodes the entries of a chunk.
func appendEntries(dst []byte, s slots) []byte {
	flags := uint64(0)
	if s.deadlines != nil {
		flags |= flagDeadlines
	}
	dst = binary.AppendUvarint(dst, uint64(s.base))
	dst = binary.AppendUvarint(dst, uint64(len(s.entries)))
	dst = binary.AppendUvarint(dst, flags)
	var last entry
	for i, e := range s.entries {
		if i == 0 {
			dst = binary.AppendUvarint(dst, uint64(e.size))
		} else {
			dst = binary.AppendUvarint(dst, uint64(e.delta-last.delta))
			dst = binary.AppendUvarint(dst, zigzag(int64(e.size)-int64(last.size)))
		}
		last = e
	}
	if s.deadlines != nil {
		dst = appendDeadlines(dst, s.deadlines)
	}
	return dst
}

// appendDeadlines encodes each deadline by its distance from the one before, plus
// one: 0 stands for none. Deadlines are not negative, so this fits.
func appendDeadlines(dst []byte, deadlines []int64) []byte {
	last := int64(0)
	for _, at := range deadlines {
		if at == 0 {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, zigzag(at-last)+1)
		last = at
	}
	return dst
}

func (d *decoder) deadlines(n int) []int64 {
	deadlines, last := make([]int64, n), int64(0)
	for i := range deadlines {
		step := d.uvarint()
		if step == 0 {
			continue
		}
		last += unzigzag(step - 1) // what overflows is negative
		if last <= 0 || last == noDeadline {
			d.fault("deadline out of range")
			break
		}
		deadlines[i] = last
	}
	return deadlines
}

// decodeEntries is the inverse of appendEntries. It allocates at most one chunk.
func decodeEntries(key, payload []byte) (slots, error) {
	d := decoder{rest: payload}
	base := segment.LSN(d.uvarint())
	n := d.bounded(chunkSlots, "number of entries")
	flags := d.bounded(entriesKnown, "flags")
	if n == 0 || base == 0 {
		d.fault("no entries")
	}
	// The first entry takes a byte or more, each further one two, a deadline one.
	if d.bad == "" && uint64(len(d.rest)) < 1+2*(n-1)+n*(flags&flagDeadlines) {
		d.fault("payload too short")
	}
	if d.bad != "" {
		return slots{}, d.finish(key)
	}
	s := slots{base: base}
	last := d.entries(&s, int(n))
	if flags&flagDeadlines != 0 && d.bad == "" {
		s.deadlines = d.deadlines(int(n))
	}
	if uint64(base) > math.MaxUint64-last {
		d.fault("LSN out of range")
	}
	if err := d.finish(key); err != nil {
		return slots{}, err
	}
	return s, nil
}

// entries reads n entries and returns the delta of the last.
func (d *decoder) entries(s *slots, n int) uint64 {
	entries := make([]entry, n)
	delta, size := uint64(0), int64(d.bounded(math.MaxUint32, "size"))
	entries[0].size = uint32(size)
	for i := 1; i < len(entries); i++ {
		step := d.bounded(math.MaxUint32, "LSN delta")
		delta += step
		size += unzigzag(d.bounded(math.MaxUint32<<1, "size delta"))
		if step == 0 || delta > math.MaxUint32 {
			d.fault("LSNs do not grow within 32 bits")
		}
		if size < 0 || size > math.MaxUint32 {
			d.fault("size out of range")
		}
		if d.bad != "" {
			break
		}
		entries[i] = entry{delta: uint32(delta), size: uint32(size)}
	}
	s.entries = entries
	return delta
}

// bitmaps is the stored part of a page's bitmaps, and of the counts that change with
// them. Nil stands for all live, none redelivered, none transient, none returned.
type bitmaps struct {
	n                            int
	live, redelivered, transient []uint64
	returns                      []returned // in order of slots
}

func (b *bitmaps) each(fn func(bit byte, words *[]uint64)) {
	fn(hasLive, &b.live)
	fn(hasRedelivered, &b.redelivered)
	fn(hasTransient, &b.transient)
}

func appendBitmaps(dst []byte, b bitmaps) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.n))
	at := len(dst)
	dst = append(dst, 0)
	b.each(func(bit byte, words *[]uint64) {
		if *words == nil {
			return
		}
		dst[at] |= bit
		for _, w := range (*words)[:wordsFor(b.n)] {
			dst = binary.LittleEndian.AppendUint64(dst, w)
		}
	})
	if len(b.returns) > 0 {
		dst[at] |= hasReturns
		dst = appendReturns(dst, b.returns)
	}
	return dst
}

func decodeBitmaps(key, payload []byte) (bitmaps, error) {
	d := decoder{rest: payload}
	b := bitmaps{n: int(d.bounded(chunkSlots, "number of slots"))}
	if b.n == 0 {
		d.fault("no slots")
	}
	var which byte
	if p := d.bytes(1); p != nil {
		which = p[0]
	}
	if which&^hasKnown != 0 {
		d.fault("unknown bitmap")
	}
	b.each(func(bit byte, words *[]uint64) {
		if which&bit == 0 {
			return
		}
		raw := d.bytes(8 * wordsFor(b.n))
		if raw == nil {
			return
		}
		*words = make([]uint64, wordsFor(b.n))
		for i := range *words {
			(*words)[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
		if tail := b.n % 64; tail != 0 && (*words)[len(*words)-1]>>tail != 0 {
			d.fault("bits behind the last slot")
		}
	})
	if which&hasReturns != 0 {
		b.returns = d.returns(b.n)
	}
	if err := d.finish(key); err != nil {
		return bitmaps{}, err
	}
	return b, nil
}

func appendDirectory(dst []byte, c *chunkImage) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.base))
	dst = binary.AppendUvarint(dst, uint64(c.last-c.base))
	dst = binary.AppendUvarint(dst, uint64(c.lowest-c.base))
	dst = binary.AppendUvarint(dst, uint64(c.n))
	dst = binary.AppendUvarint(dst, uint64(c.live))
	dst = binary.AppendUvarint(dst, uint64(c.transient))
	dst = binary.AppendUvarint(dst, uint64(c.liveBytes))
	least := uint64(0) // none
	if c.leastDeadline != noDeadline {
		least = uint64(c.leastDeadline)
	}
	dst = binary.AppendUvarint(dst, least)
	flags := uint64(0)
	if c.hasBitmaps {
		flags |= flagBitmaps
	}
	return binary.AppendUvarint(dst, flags)
}

// decodeDirectory returns a chunk that is paged out and wholly ready.
func decodeDirectory(number uint64, key, payload []byte) (*chunk, error) {
	d := decoder{rest: payload}
	c := &chunk{number: number}
	c.base = segment.LSN(d.uvarint())
	span := d.bounded(math.MaxUint32, "span of LSNs")
	c.last = c.base + segment.LSN(span)
	c.lowest = c.base + segment.LSN(d.bounded(span, "lowest LSN"))
	c.n = uint16(d.bounded(chunkSlots, "number of slots"))
	c.live = uint16(d.bounded(uint64(c.n), "number of live entries"))
	c.transient = uint16(d.bounded(uint64(c.live), "number of transient entries"))
	c.liveBytes = int64(d.bounded(uint64(c.live)*math.MaxUint32, "live bytes"))
	c.leastDeadline = int64(d.bounded(noDeadline-1, "least deadline"))
	if c.leastDeadline == 0 {
		c.leastDeadline = noDeadline
	}
	c.hasBitmaps = d.bounded(flagsKnown, "flags")&flagBitmaps != 0
	if c.base == 0 || c.last < c.base || uint64(c.n) > span+1 {
		d.fault("LSNs out of range")
	}
	if c.live == 0 || (c.live < c.n || c.transient > 0) && !c.hasBitmaps {
		d.fault("counts contradict each other")
	}
	if err := d.finish(key); err != nil {
		return nil, err
	}
	c.ready, c.readyBytes, c.due, c.savedN = c.live, c.liveBytes, c.leastDeadline, c.n
	return c, nil
}

// meta is what is stored of a queue beside its chunks.
type meta struct {
	last          segment.LSN
	horizon       segment.LSN
	redeliveredTo segment.LSN
	next          uint64
	chunks        uint64
	live          uint64
	liveBytes     uint64
}

func (m *meta) each(fn func(*uint64)) {
	fn((*uint64)(&m.last))
	fn((*uint64)(&m.horizon))
	fn((*uint64)(&m.redeliveredTo))
	fn(&m.next)
	fn(&m.chunks)
	fn(&m.live)
	fn(&m.liveBytes)
}

func appendMeta(dst []byte, m meta) []byte {
	m.each(func(v *uint64) { dst = binary.AppendUvarint(dst, *v) })
	return dst
}

func decodeMeta(key, payload []byte) (meta, error) {
	d := decoder{rest: payload}
	var m meta
	m.each(func(v *uint64) { *v = d.uvarint() })
	if m.next == 0 || m.next > maxNumber {
		d.fault("next chunk number out of range")
	}
	if m.redeliveredTo > m.last {
		d.fault("redelivered beyond the last entry")
	}
	return m, d.finish(key)
}
