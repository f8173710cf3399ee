package wal

import (
	"fmt"
	"sync/atomic"

	"github.com/millrace-mq/millrace/segment"
)

// oldFile is what a segmentFile has instead of places when it is an old-generation file.
type oldFile struct {
	head      segment.OldFooter // whose tables may be unchecked
	unchecked *unchecked
	tables    atomic.Pointer[oldTables] // nil = unchecked; see segmentFile.oldTables
	cache     *blockCache
}

// newOldFile is for tables that are sound, or made anew.
func newOldFile(t *oldTables, cache *blockCache) *oldFile {
	old := &oldFile{head: t.footer, cache: cache}
	old.tables.Store(t)
	return old
}

func (s *segmentFile) adoptOld(old *oldFile) {
	s.old = old
	s.end.Store(old.head.End)
	s.last.Store(uint64(old.head.Last))
	s.minTime.Store(old.head.MinTime)
	s.maxTime.Store(old.head.MaxTime)
}

// oldRecord returns a survivor and the raw bytes of its block, which are the caller's to keep. The caller holds a
// lease.
func (s *segmentFile) oldRecord(lsn segment.LSN) (record segment.Record, raw []byte, err error) {
	t, err := s.oldTables()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, err)
	}
	var at segment.OldRecord
	if i := t.footer.Seek(lsn); i < t.footer.Records() {
		at = t.footer.Record(i)
	}
	if at.LSN != lsn {
		for _, d := range t.damages {
			if lsn >= d.From && lsn <= d.To {
				return nil, nil, s.damaged(lsn, d.Offset, d.Reason)
			}
		}
		return nil, nil, fmt.Errorf("record %d: %w (not among the survivors in %s)", lsn, ErrGone, s.path)
	}
	if raw, err = s.old.cache.block(s, at.Block, t.footer.Block(at.Block)); err != nil {
		return nil, nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, err)
	}
	if record, err = t.footer.RecordIn(raw, at); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return record, raw, nil
}

// seek returns the number of the first survivor from lsn on; last+1 when there is none, and lsn when that cannot
// be told.
func (s *segmentFile) seek(lsn segment.LSN) segment.LSN {
	t, err := s.oldTables()
	if err != nil {
		return lsn
	}
	if i := t.footer.Seek(lsn); i < t.footer.Records() {
		return t.footer.Record(i).LSN
	}
	return s.lastLSN() + 1
}

// findOldTime is findTime of an old-generation file.
func (s *segmentFile) findOldTime(ms int64) (segment.LSN, bool, error) {
	t, err := s.oldTables()
	if err != nil {
		return 0, false, err
	}
	i := t.footer.SeekTime(ms)
	if i == t.footer.Records() {
		return 0, false, nil
	}
	return t.footer.Record(i).LSN, true, nil
}
