package wal

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/millrace-mq/millrace/segment"
)

// Retire gives up the oldest segments whose records all lie below floor; never one in the middle, never one
// without a footer, and never the newest. What is left begins with a file that begins with a catalogue, if the log has
// them: so a file goes when one that does is to follow. Their files become spares when no reader holds a lease, else they are
// deleted; readers keep what they hold. While the log is held (Hold) it gives up nothing.
func (l *Log) Retire(floor segment.LSN) error {
	l.retiring.Lock()
	defer l.retiring.Unlock()
	files := l.unneeded(floor)
	if slices.ContainsFunc(files, func(s *segmentFile) bool { return s.continues }) {
		return l.retireTogether(files)
	}
	for _, s := range files {
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stopped != nil { // what was written last, a catalogue perhaps, may not be whole
		return nil
	}
	for i, s := range list {
		if !s.continues && s.stated <= segment.LSN(l.durable.Load()) { // else it could be lost, and with the others all
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
	path, err := l.unname(s, s.path)
	if err != nil {
		return err
	}
	l.shorten(1)
	return l.reuse(s, path)
}

// retireTogether gives up files of which one needs the catalogue of another. The first gets a name that says it of all
// of them, and keeps it until the others have gone: wherever a crash comes between, what is left is all of them or none,
// for Open takes none of those for part of the log that such a name tells of. After an error the next start goes on.
func (l *Log) retireTogether(files []*segmentFile) error {
	first, last := files[0], files[len(files)-1]
	marker := l.file(retiredName(first.base, last.lastLSN()))
	if err := os.Rename(first.path, marker); err != nil {
		return fmt.Errorf("retire: %w", err)
	}
	l.shorten(len(files))
	err := l.disk.sync(l.dir)
	if err != nil {
		l.fail(err) // which of the names the disk has, nobody knows
	}
	for _, s := range files[1:] {
		path := ""
		if err == nil {
			path, err = l.unname(s, s.path)
		}
		err = errors.Join(err, l.reuse(s, path))
	}
	if err == nil {
		if err = l.disk.sync(l.dir); err != nil {
			l.fail(err)
		}
	}
	path := ""
	if err == nil {
		path, err = l.unname(first, marker)
	}
	return errors.Join(err, l.reuse(first, path))
}

// shorten takes the oldest files from the list. The caller holds l.retiring.
func (l *Log) shorten(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list()[n:]
	l.segments.Store(&list)
}

// discard gives up a file that has left the list; replaced says that another has its name already.
func (l *Log) discard(s *segmentFile, replaced bool) error {
	path, err := "", error(nil)
	if !replaced {
		path, err = l.unname(s, s.path)
	}
	return errors.Join(err, l.reuse(s, path))
}

// unname makes a segment, whose name is from, a spare file and returns its path; an old-generation file is deleted, and
// has none.
func (l *Log) unname(s *segmentFile, from string) (path string, err error) {
	if s.old != nil {
		return "", os.Remove(from)
	}
	l.mu.Lock()
	number := l.mu.spareNext
	l.mu.spareNext++
	l.mu.Unlock()
	path = l.file(spareName(number))
	if err := os.Rename(from, path); err != nil {
		return "", err
	}
	return path, nil
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
