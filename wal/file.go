package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// segmentFile is one segment of the log. The list of them is replaced, never changed; what moves
// inside one is atomic and published in the order places, end, last: a reader that has seen a number
// finds its place.
type segmentFile struct {
	path      string
	base      segment.LSN
	epoch     uint64
	size      int64       // of the file
	continues bool        // it does not begin with a catalogue: see segment.FeatureContinues
	stated    segment.LSN // where its catalogue ends, if this process wrote it; guarded by the log's mu
	mapping   *segment.Mapping
	logger    *slog.Logger
	file      *os.File // for writing; the appender's, then the syncer's, last the keeper's; nil when sealed at Open

	identity os.FileInfo // of a Reader's file; nil = nobody else gives the file up or uses it again

	old *oldFile // immutable; nil = a segment, which has what follows

	tables  sync.Mutex  // a leaf; held while a footer's tables are checked, and while they are made anew
	warm    atomic.Bool // it was read since the cooler came by
	places  atomic.Pointer[places]
	sets    atomic.Pointer[[]uint32] // route-set records, number minus base; for segments without footer
	end     atomic.Int64             // where the last batch ends
	last    atomic.Uint64            // base-1 when empty
	minTime atomic.Int64             // of batches, ms
	maxTime atomic.Int64
}

// places says where records are: offsets while the segment is written, its footer once it has one.
type places struct {
	offsets *segment.Offsets
	footer  *segment.Footer
	checked bool    // the footer's tables were sound; what they say of a place is no promise without this
	remade  *remade // nil = they are the file's own
}

func (s *segmentFile) lastLSN() segment.LSN { return segment.LSN(s.last.Load()) }

func (s *segmentFile) sealed() bool { return s.old != nil || s.places.Load().footer != nil }

// record returns a record of a segment that lies within base and last, for v. The caller holds a lease.
func (s *segmentFile) record(lsn segment.LSN, v *View) (segment.Record, error) {
	p := s.places.Load()
	record, err := s.recordAt(p, lsn, v)
	if err == nil {
		return record, nil
	}
	if gone := s.gone(); gone != nil {
		return nil, fmt.Errorf("record %d: %w", lsn, gone)
	}
	if now, cause := s.mended(p); cause != nil {
		return nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, cause)
	} else if now != p {
		if record, err = s.recordAt(now, lsn, v); err != nil && now.remade.hides() {
			return nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, unreadable(s.path, now.remade.unread[0]))
		}
	}
	return record, err
}

// recordAt returns the record at the place that p gives, if it is the one. A page that cannot be read is a fault, of the
// table or of the record.
func (s *segmentFile) recordAt(p *places, lsn segment.LSN, v *View) (segment.Record, error) {
	var at int64
	if p.footer != nil {
		at = p.footer.At(int(lsn - s.base))
	} else {
		at = p.offsets.At(int(lsn - s.base))
	}
	if at == 0 {
		return nil, s.damaged(lsn, at, "record was lost to corruption")
	}
	end := s.end.Load()
	record, err := segment.RecordAt(s.mapping.Bytes()[:end], int(at))
	if err != nil {
		return nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, err)
	}
	if v.log == nil {
		// What was found good must not change afterwards.
		v.copied = append(v.copied[:0], record...)
		record = v.copied
	}
	if record.LSN() != lsn {
		return nil, s.damaged(lsn, at, "place holds another record")
	}
	if (v.log == nil || end-at > recent || !v.log.dirty(lsn)) && !record.Valid() {
		return nil, s.damaged(lsn, at, "record checksum mismatch")
	}
	return record, nil
}

// gone returns an error that matches ErrGone when another process has given the file up: its name is no longer there, or
// another file's. The name goes before a byte is overwritten, so what was read before gone said no was of this file.
func (s *segmentFile) gone() error {
	if s.identity == nil {
		return nil
	}
	if now, err := os.Stat(s.path); err == nil && os.SameFile(now, s.identity) {
		return nil
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil // nobody knows
	}
	return fmt.Errorf("%s: %w", s.path, ErrGone)
}

// faulted is told that the byte at an offset could not be brought in: if the tables stand there, others take their
// place, so whoever asks again may be answered. The caller holds a lease.
func (s *segmentFile) faulted(at int64) {
	if at < s.end.Load() || s.gone() != nil {
		return
	}
	if s.old != nil {
		_, _ = s.mendedOld(s.old.tables.Load())
	} else {
		_, _ = s.mended(s.places.Load())
	}
}

// recent bounds what is delivered unchecked: records that this process has appended and not synced yet, so near the
// end of the segment, while no write and no sync has failed. They are in memory as they were written, but for one
// case: the kernel may have written a page back by itself, have failed, have dropped the page and read the old bytes
// from the disk, all before the next fdatasync tells us. Then a body may be delivered wrong, once, in the moments before
// the log stops. Consumers that keep up read little else. All other records are checked each time.
const recent = 1 << 20

// dirty reports whether a record was appended by this process and is not synced yet, in a log that has not stopped:
// then nothing says any more what was written.
func (l *Log) dirty(lsn segment.LSN) bool {
	return lsn > segment.LSN(l.durable.Load()) && lsn > l.recovery.Last && !l.broken.Load()
}

func (s *segmentFile) damaged(lsn segment.LSN, at int64, reason string) error {
	return fmt.Errorf("%s: %w", s.path, &segment.CorruptError{Offset: at, LSN: lsn, Reason: reason})
}

// setRecords appends the numbers of the segment's route-set records, in order. The caller holds a lease.
func (s *segmentFile) setRecords(dst []segment.LSN) ([]segment.LSN, error) {
	p := s.sound()
	if p.footer != nil {
		for i := range p.footer.SetCount() {
			dst = append(dst, s.base+segment.LSN(p.footer.Set(i)))
		}
		return dst, nil
	}
	if sets := s.sets.Load(); sets != nil {
		for _, n := range *sets {
			dst = append(dst, s.base+segment.LSN(n))
		}
	}
	return dst, nil
}

// summary is what the footer will say; for a segment that is no longer written.
func (s *segmentFile) summary() segment.Summary {
	return segment.Summary{
		Epoch: s.epoch, First: s.base, Last: s.lastLSN(),
		MinTime: s.minTime.Load(), MaxTime: s.maxTime.Load(), End: s.end.Load(),
	}
}

// SegmentInfo describes one segment of a log.
type SegmentInfo struct {
	Path      string
	Base      segment.LSN // its first record
	Last      segment.LSN // its last record; Base-1 when it has none
	Epoch     uint64
	Size      int64 // of the file
	End       int64 // where its batches end
	MinTime   time.Time
	MaxTime   time.Time // when its last batch was taken in
	Sealed    bool
	Continues bool  // it does not begin with a catalogue; a file before it does
	Old       bool  // an old-generation file: what is not among its Records is gone
	Records   int   // that an old-generation file holds
	Bytes     int64 // of them, before compression
	Batches   int   // counted by Verify only
	Lost      int   // records lost to corruption; counted by Verify only
}

func (s *segmentFile) info() SegmentInfo {
	info := SegmentInfo{
		Path: s.path, Base: s.base, Last: s.lastLSN(), Epoch: s.epoch, Size: s.size, End: s.end.Load(),
		MinTime: time.UnixMilli(s.minTime.Load()), MaxTime: time.UnixMilli(s.maxTime.Load()), Sealed: s.sealed(), Continues: s.continues,
	}
	if s.old != nil {
		info.Old, info.Records, info.Bytes = true, s.old.head.Records(), s.old.head.RawBytes
	}
	return info
}
