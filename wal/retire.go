package wal

import (
	"errors"
	"fmt"
	"os"

	"github.com/millrace-mq/millrace/segment"
)

// Retire gives up the oldest segments whose records all lie below floor; never one in the middle, never one
// without a footer, and never the newest. What is left begins with a file that begins with a catalogue, if the log has
// them: so a file goes when one that does is to follow. Their files become spares when no reader holds a lease, else they are
// deleted; readers keep what they hold. While the log is held (Hold) it gives up nothing.
func (l *Log) Retire(floor segment.LSN) error {
	l.retiring.Lock()
	defer l.retiring.Unlock()
	for _, s := range l.unneeded(floor) {
		if err := l.retire(s); err != nil {
			return fmt.Errorf("retire %s: %w", s.path, err)
		}
	}
	return nil
}

// unneeded returns the files that Retire may give up. The caller holds l.retiring.
func (l *Log) unneeded(floor segment.LSN) []*segmentFile {
	if l.held {
		return nil
	}
	list, n := l.list(), 0
	for i, s := range list {
		if !s.continues {
			n = i
		}
		if s.lastLSN() >= floor || !s.sealed() {
			break
		}
	}
	return list[:n]
}

// retire takes the name away first: until that has worked the file stays part of the log.
func (l *Log) retire(s *segmentFile) error {
	path, err := l.unname(s)
	if err != nil {
		return err
	}
	l.mu.Lock()
	list := l.list()[1:]
	l.segments.Store(&list)
	l.mu.Unlock()
	return l.reuse(s, path)
}

// discard gives up a file that has left the list; replaced says that another has its name already.
func (l *Log) discard(s *segmentFile, replaced bool) error {
	path, err := "", error(nil)
	if !replaced {
		path, err = l.unname(s)
	}
	return errors.Join(err, l.reuse(s, path))
}

// unname makes a segment a spare file and returns its path; an old-generation file is deleted, and has none.
func (l *Log) unname(s *segmentFile) (path string, err error) {
	if s.old != nil {
		return "", os.Remove(s.path)
	}
	l.mu.Lock()
	number := l.mu.spareNext
	l.mu.spareNext++
	l.mu.Unlock()
	path = l.file(spareName(number))
	return path, os.Rename(s.path, path)
}

// reuse gives the log's lease on a file back that is not in the list any more. What is at path, if anything,
// becomes a spare or is deleted.
func (l *Log) reuse(s *segmentFile, path string) error {
	// Only what no reader can see any more may be overwritten.
	reuse := s.mapping.ReleaseLast()
	if !reuse {
		s.mapping.Release()
	}
	if s.old != nil {
		l.cache.forget(s)
	}
	if path == "" {
		return nil
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
