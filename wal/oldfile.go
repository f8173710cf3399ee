package wal

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/millrace-mq/millrace/segment"
)

// oldFile is what a segmentFile has instead of places when it is an old-generation file.
type oldFile struct {
	head   segment.OldFooter         // whose tables may be unchecked
	tables atomic.Pointer[oldTables] // nil = unchecked; see segmentFile.oldTables
	cache  *blockCache
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
	t := s.oldTables()
	record, raw, err = s.oldRecordIn(t, lsn)
	if err == nil || errors.Is(err, ErrUnreadable) {
		return record, raw, err
	}
	// Nobody asks for what is gone, or seldom: the tables may have been damaged since they were checked.
	if now, cause := s.mendedOld(t); cause != nil {
		if first, _ := t.hidden(s, lsn, lsn); first == 0 {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, cause)
	} else if now != t {
		record, raw, err = s.oldRecordIn(now, lsn)
		if _, cause := now.hidden(s, lsn, lsn); err != nil && cause != nil {
			return nil, nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, cause)
		}
	}
	return record, raw, err
}

// oldRecordIn is oldRecord by tables that are taken for sound.
func (s *segmentFile) oldRecordIn(t *oldTables, lsn segment.LSN) (record segment.Record, raw []byte, err error) {
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
	if raw, err = s.old.cache.block(s, t.footer.Block(at.Block)); err != nil {
		return nil, nil, fmt.Errorf("%s: record %d: %w", s.path, lsn, err)
	}
	if record, err = t.footer.RecordIn(raw, at); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return record, raw, nil
}

// seek returns the number of the first survivor from lsn on; last+1 when there is none, and that of the first record
// before it of which it cannot be told.
func (s *segmentFile) seek(lsn segment.LSN) segment.LSN {
	t := s.oldTables()
	next := s.lastLSN() + 1
	if i := t.footer.Seek(lsn); i < t.footer.Records() {
		next = t.footer.Record(i).LSN
	}
	if first, _ := t.hidden(s, lsn, next-1); first != 0 {
		return first
	}
	return next
}

// findOldTime is findTime of an old-generation file.
func (s *segmentFile) findOldTime(ms int64) (segment.LSN, bool, error) {
	t := s.oldTables()
	if _, err := t.hidden(s, s.base, s.lastLSN()); err != nil {
		return 0, false, err
	}
	i := t.footer.SeekTime(ms)
	if i == t.footer.Records() {
		return 0, false, nil
	}
	return t.footer.Record(i).LSN, true, nil
}
