package wal

import (
	"fmt"
	"os"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Retire gives up the oldest segments whose records all lie below floor and that retention does not
// keep; never one in the middle, never one without a footer. Their files become spares when no
// reader holds a lease, else they are deleted; readers keep what they hold.
func (l *Log) Retire(floor segment.LSN) error {
	l.retiring.Lock()
	defer l.retiring.Unlock()
	for {
		list := l.list()
		if len(list) < 2 || !l.retirable(list, floor) {
			return nil
		}
		if err := l.retire(list[0]); err != nil {
			return fmt.Errorf("retire %s: %w", list[0].path, err)
		}
	}
}

func (l *Log) retirable(list []*segmentFile, floor segment.LSN) bool {
	oldest := list[0]
	if oldest.lastLSN() >= floor || !oldest.sealed() {
		return false
	}
	if l.cfg.RetainTime > 0 && oldest.maxTime.Load() > time.Now().Add(-l.cfg.RetainTime).UnixMilli() {
		return false
	}
	kept := int64(0)
	for _, s := range list[1:] {
		kept += s.end.Load()
	}
	return kept >= l.cfg.RetainBytes
}

// retire renames the file first: until that has worked the segment stays part of the log.
func (l *Log) retire(s *segmentFile) error {
	l.mu.Lock()
	number := l.mu.spareNext
	l.mu.spareNext++
	l.mu.Unlock()
	path := l.file(spareName(number))
	if err := os.Rename(s.path, path); err != nil {
		return err
	}
	l.mu.Lock()
	list := l.list()[1:]
	l.segments.Store(&list)
	l.mu.Unlock()
	// Only what no reader can see any more may be overwritten.
	reuse := s.mapping.ReleaseLast()
	if !reuse {
		s.mapping.Release()
	}
	l.mu.Lock()
	reuse = reuse && s.size == l.cfg.SegmentSize && len(l.mu.spares)+len(l.mu.recycled) < mostSpares
	if reuse {
		l.mu.recycled = append(l.mu.recycled, path)
		l.mu.spareErr = nil
	}
	l.mu.Unlock()
	if !reuse {
		return os.Remove(path)
	}
	wake(l.wakeKeeper)
	return nil
}
