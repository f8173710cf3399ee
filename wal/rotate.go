package wal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// spare is a file ready to become a segment: its blocks are on disk, its header page is zero, and it
// is mapped.
type spare struct {
	path    string
	size    int64
	file    *os.File
	mapping *segment.Mapping
}

// rotateLocked begins a new segment with room for b, whose route sets it will all lack. It returns
// without having rotated when it had to wait for a spare: the lock was open meanwhile.
func (l *Log) rotateLocked(b *segment.Batch) error {
	var catalogue []*segment.Batch
	if l.statesLocked() {
		catalogue = l.cfg.Catalogue()
	}
	l.collectDefinitionsLocked(b, nil)
	need := segment.HeaderSize + l.spaceLocked(nil, b)
	for _, part := range catalogue {
		if err := part.Err(); err != nil {
			return fmt.Errorf("catalogue: %w", err)
		}
		// It has a footer's room counted for itself alone: a little too much, never too little.
		need += int64(part.Len()) + segment.FooterSize(part.Count(), 0)
	}
	size := l.cfg.SegmentSize
	if need > size {
		size = (need + segment.HeaderSize - 1) &^ (segment.HeaderSize - 1)
	}
	reserve := readyReserve
	if b == nil || b.Vital {
		reserve = 0
	}
	ready := l.takeSpareLocked(size, reserve)
	if ready == nil {
		// The lock is open while we wait: what was appended meanwhile is not in the catalogue made above, so
		// the caller looks at everything anew.
		return l.awaitSpareLocked(size, reserve)
	}
	if err := l.activateLocked(ready, l.cfg.Catalogue != nil && catalogue == nil); err != nil {
		return l.stopLocked(err)
	}
	if l.cfg.OnSegment != nil {
		l.cfg.OnSegment()
	}
	if catalogue == nil {
		return nil
	}
	before := l.Written()
	for _, part := range catalogue {
		if part.Count() == 0 {
			continue
		}
		if _, err := l.writeLocked(part); err != nil {
			return err
		}
	}
	l.mu.active.stated = l.Last()
	l.mu.stated, l.mu.statedBytes = l.Written(), l.Written()-before
	return nil
}

// statesLocked reports whether the next segment begins with a catalogue. The first after a start does. Later ones do
// unless catalogues would be more than a small share of what is appended: then the file with the last one, and what
// follows, is kept until there is another (see Retire).
func (l *Log) statesLocked() bool {
	const share = 32 // one byte in so many
	return l.cfg.Catalogue != nil && (l.mu.active == nil || l.Written()-l.mu.stated >= share*l.mu.statedBytes)
}

// activateLocked writes the header, gives the file its name and makes it the active segment.
// Nothing of this is synced here: the syncer syncs file and directory before it declares any record
// of the segment synced.
// continues says that it will not begin with a catalogue.
func (l *Log) activateLocked(ready *spare, continues bool) error {
	base := l.Last() + 1
	l.mu.epoch = newEpoch(l.mu.epoch>>32 + 1)
	l.mu.timeMs = max(l.mu.timeMs, time.Now().UnixMilli())
	required := segment.SegmentFeatures
	if continues {
		required |= segment.FeatureContinues
	}
	l.mu.header = segment.AppendHeader(l.mu.header[:0], segment.Header{
		Shard: l.cfg.Shard, Required: required, Epoch: l.mu.epoch, Base: base, Created: l.mu.timeMs, FileSize: ready.size,
	})
	s := &segmentFile{
		path: l.file(segmentName(base)), base: base, epoch: l.mu.epoch, size: ready.size,
		continues: continues, mapping: ready.mapping, logger: l.logger, file: ready.file,
	}
	s.places.Store(&places{offsets: segment.NewOffsets(ready.size)})
	s.end.Store(segment.HeaderSize)
	s.last.Store(uint64(base) - 1)
	s.minTime.Store(l.mu.timeMs)
	s.maxTime.Store(l.mu.timeMs)
	err := l.disk.writeFull(ready.file, l.mu.header, 0)
	if err == nil {
		err = os.Rename(ready.path, s.path)
	}
	if err != nil {
		ready.mapping.Release()
		ready.file.Close()
		return fmt.Errorf("begin segment at record %d: %w", base, err)
	}
	list := slices.Clone(l.list())
	if old := l.mu.active; old != nil && old.lastLSN() < old.base {
		// Nothing was written to it, so the new segment begins with the same record and the rename has
		// just taken its name. No reader, syncer or keeper had a use for it.
		list = list[:len(list)-1]
		old.mapping.Release()
		old.file.Close()
	} else if old != nil {
		l.mu.sealing = append(l.mu.sealing, old)
	}
	l.mu.active = s
	clear(l.mu.sets)
	list = append(list, s)
	l.segments.Store(&list)
	wake(l.wakeKeeper)
	return nil
}

// takeSpareLocked takes a spare of at least size bytes if more than reserve of them are there, else nil.
// Large ones are made for one batch and must not serve small ones; of them none is kept.
func (l *Log) takeSpareLocked(size int64, reserve int) *spare {
	if !l.hasSpareLocked(size, reserve) {
		return nil
	}
	i := slices.IndexFunc(l.mu.spares, func(s *spare) bool { return l.serves(s, size) })
	s := l.mu.spares[i]
	l.mu.spares = slices.Delete(l.mu.spares, i, i+1)
	wake(l.wakeKeeper)
	return s
}

func (l *Log) hasSpareLocked(size int64, reserve int) bool {
	if size > l.cfg.SegmentSize {
		reserve = 0
	}
	n := 0
	for _, s := range l.mu.spares {
		if l.serves(s, size) {
			n++
		}
	}
	return n > reserve
}

func (l *Log) serves(s *spare, size int64) bool {
	return s.size >= size && (size > l.cfg.SegmentSize || s.size == l.cfg.SegmentSize)
}

// awaitSpareLocked lets the keeper make spares and waits until there are more than reserve, or one could not
// be made.
func (l *Log) awaitSpareLocked(size int64, reserve int) error {
	l.mu.wanted = max(l.mu.wanted, size)
	l.mu.spareErr = nil
	wake(l.wakeKeeper)
	before := l.mu.active
	for {
		switch {
		case l.mu.stopped != nil:
			return l.mu.stopped
		case l.mu.closed:
			return ErrClosed
		case l.mu.active != before || l.hasSpareLocked(size, reserve):
			return nil
		case l.mu.spareErr != nil:
			return fmt.Errorf("%w: %w", ErrFull, l.mu.spareErr)
		}
		l.room.Wait()
	}
}

// newEpoch makes an epoch. Its high half counts, so that epochs increase, and its low half is random, so that
// nobody who sends us bytes can guess it.
func newEpoch(count uint64) uint64 {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return count<<32 | uint64(binary.LittleEndian.Uint32(random[:]))
}
