package segment

import (
	"encoding/binary"
	"sync/atomic"
)

const offsetsChunk = 4096

// Offsets finds records of the segment that is being written: record number minus base to place, in
// O(1), by any number of readers while one writer appends.
//
// Race-free because: a slot is written once, before the writer publishes the record's number (an
// atomic store that the caller owns); a reader asks only for numbers that it has seen published;
// chunks never move, and the directory is as large as the segment can need from the start.
type Offsets struct {
	chunks []atomic.Pointer[[offsetsChunk]uint32]
	n      int // owned by the writer
}

// NewOffsets makes a table for a segment of fileSize bytes.
func NewOffsets(fileSize int64) *Offsets {
	most := fileSize/RecordHeaderSize + 1
	return &Offsets{chunks: make([]atomic.Pointer[[offsetsChunk]uint32], most/offsetsChunk+1)}
}

// Len is the number of places; for the writer only.
func (o *Offsets) Len() int { return o.n }

// AppendBatch adds the places of b's records, b being written at offset at.
func (o *Offsets) AppendBatch(b *Batch, at int64) {
	for _, built := range b.records {
		o.append(at + int64(built.start))
	}
}

// AppendPlaces adds places as a scan has found them, in units of eight bytes; 0 = lost.
func (o *Offsets) AppendPlaces(places ...uint32) {
	for _, at := range places {
		o.append(int64(at) << 3)
	}
}

// At returns the place of the i-th record, which must have been published.
func (o *Offsets) At(i int) int64 {
	return int64(o.chunks[i/offsetsChunk].Load()[i%offsetsChunk]) << 3
}

func (o *Offsets) append(offset int64) {
	slot := &o.chunks[o.n/offsetsChunk]
	chunk := slot.Load()
	if chunk == nil {
		chunk = new([offsetsChunk]uint32)
		slot.Store(chunk)
	}
	chunk[o.n%offsetsChunk] = uint32(offset >> 3)
	o.n++
}

// appendTable appends all places as a footer's table.
func (o *Offsets) appendTable(dst []byte) []byte {
	for i := range o.n {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(o.At(i)>>3))
	}
	return dst
}
