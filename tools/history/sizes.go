package history

import (
	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/millrace-mq/millrace/segment"
)

// sizes remembers the lengths of records that queues may hold, and which are transient: four bytes a record, in chunks
// that go when nothing in them is held.
type sizes struct {
	chunks map[uint64]*chunk // by the number of the first record, over perChunk
	at     uint64            // of latest
	latest *chunk
	kept   int // chunks that the last sweep left
}

const (
	perChunk  = 1024
	transient = 1 << 31 // no record is as long
	fewChunks = 4096    // 16 MiB are not worth a sweep
)

type chunk [perChunk]uint32

func (s *sizes) put(lsn segment.LSN, size uint32, isTransient bool) {
	number := uint64(lsn) / perChunk
	if s.latest == nil || s.at != number {
		if s.latest = s.chunks[number]; s.latest == nil {
			s.latest = new(chunk)
			s.chunks[number] = s.latest
		}
		s.at = number
	}
	if isTransient {
		size |= transient
	}
	s.latest[lsn%perChunk] = size
}

// of returns the length of a record that a queue holds.
func (s *sizes) of(lsn segment.LSN) (size uint32, isTransient bool) {
	number := uint64(lsn) / perChunk
	if s.latest == nil || s.at != number {
		found := s.chunks[number]
		if found == nil {
			return 0, false
		}
		s.at, s.latest = number, found
	}
	size = s.latest[lsn%perChunk]
	return size &^ transient, size&transient != 0
}

// full reports whether a sweep is due: so that it costs little, what was left must have doubled.
func (s *sizes) full() bool { return len(s.chunks) >= max(fewChunks, 2*s.kept) }

// sweep lets go of the chunks of which nothing is live.
func (s *sizes) sweep(live *roaring64.Bitmap) {
	kept := make(map[uint64]*chunk)
	for it := live.Iterator(); it.HasNext(); {
		number := it.PeekNext() / perChunk
		if found := s.chunks[number]; found != nil {
			kept[number] = found
		}
		it.AdvanceIfNeeded((number + 1) * perChunk)
	}
	s.chunks, s.kept, s.latest = kept, len(kept), nil
}
