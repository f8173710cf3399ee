package wal

import (
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// oldFile is what a segmentFile has instead of places when it is an old-generation file. Immutable.
type oldFile struct {
	footer  segment.OldFooter
	damages []segment.Damage // of a footer that had to be made anew: what may be lost
	cache   *blockCache
}

func (s *segmentFile) adoptOld(old *oldFile) {
	s.old = old
	s.end.Store(old.footer.End)
	s.last.Store(uint64(old.footer.Last))
	s.minTime.Store(old.footer.MinTime)
	s.maxTime.Store(old.footer.MaxTime)
}

// oldBlock returns the place of a survivor and the raw bytes of its block, which are the caller's to keep. The
// caller holds a lease.
func (s *segmentFile) oldBlock(lsn segment.LSN) (at segment.OldRecord, raw []byte, err error) {
	footer := &s.old.footer
	i := footer.Seek(lsn)
	if i < footer.Records() {
		at = footer.Record(i)
	}
	if at.LSN != lsn {
		for _, d := range s.old.damages {
			if lsn >= d.From && lsn <= d.To {
				return at, nil, s.damaged(lsn, d.Offset, d.Reason)
			}
		}
		return at, nil, fmt.Errorf("record %d: %w (not among the survivors in %s)", lsn, ErrGone, s.path)
	}
	raw, err = s.old.cache.block(s, at.Block)
	if err != nil {
		err = fmt.Errorf("%s: record %d: %w", s.path, lsn, err)
	}
	return at, raw, err
}

// seek returns the number of the first survivor from lsn on; last+1 when there is none.
func (s *segmentFile) seek(lsn segment.LSN) segment.LSN {
	footer, next := &s.old.footer, s.lastLSN()+1
	if i := footer.Seek(lsn); i < footer.Records() {
		next = footer.Record(i).LSN
	}
	return next
}

// findOldTime is findTime of an old-generation file.
func (s *segmentFile) findOldTime(ms int64) (segment.LSN, bool) {
	footer := &s.old.footer
	i := footer.SeekTime(ms)
	if i == footer.Records() {
		return 0, false
	}
	return footer.Record(i).LSN, true
}
