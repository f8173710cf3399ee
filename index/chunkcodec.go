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

	hasKnown = hasLive | hasRedelivered | hasTransient
)

// Bits of a directory entry's flags.
const (
	flagBitmaps = 1 << iota // bitmaps are stored

	flagsKnown = flagBitmaps
)

// appendEntries encodes the entries of a chunk.
func appendEntries(dst []byte, base segment.LSN, entries []entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(base))
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	var last entry
	for i, e := range entries {
		if i == 0 {
			dst = binary.AppendUvarint(dst, uint64(e.size))
		} else {
			dst = binary.AppendUvarint(dst, uint64(e.delta-last.delta))
			dst = binary.AppendUvarint(dst, zigzag(int64(e.size)-int64(last.size)))
		}
		last = e
	}
	return dst
}

// decodeEntries is the inverse of appendEntries. It allocates at most one chunk.
func decodeEntries(key, payload []byte) (base segment.LSN, entries []entry, err error) {
	d := decoder{rest: payload}
	base = segment.LSN(d.uvarint())
	n := d.bounded(chunkSlots, "number of entries")
	if n == 0 || base == 0 {
		d.fault("no entries")
	}
	// Each further entry takes two bytes or more.
	if d.bad == "" && uint64(len(d.rest)) < 1+2*(n-1) {
		d.fault("payload too short")
	}
	if d.bad != "" {
		return 0, nil, d.finish(key)
	}
	entries = make([]entry, n)
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
	if uint64(base) > math.MaxUint64-delta {
		d.fault("LSN out of range")
	}
	if err := d.finish(key); err != nil {
		return 0, nil, err
	}
	return base, entries, nil
}

// bitmaps is the stored part of a page's bitmaps. Nil stands for all live, none
// redelivered, none transient.
type bitmaps struct {
	n                            int
	live, redelivered, transient []uint64
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
	c.ready, c.readyBytes, c.savedN = c.live, c.liveBytes, c.n
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
