package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/millrace-mq/millrace/segment"
)

// Start makes the log ready for appends: it begins a new segment, seals what Open found without a
// footer, syncs it all, and starts the goroutines. After an error only Close is of use.
//
// The order is the crash argument. What Open found is synced before any watermark says so. Files
// behind the end of the log leave the namespace first, so that no later recovery takes them for part of
// it. The new segment comes before the sealing, so that a crash in between never looks like a log
// closed in good order; recovery ends a segment where the next begins, whatever stands behind.
func (l *Log) Start() error {
	l.mu.Lock()
	if l.mu.started || l.mu.closed {
		l.mu.Unlock()
		return fmt.Errorf("start log %s: started or closed before", l.cfg.Dir)
	}
	l.mu.started = true
	l.mu.recycled = l.found.spares
	l.mu.Unlock()

	if err := l.removeSuperseded(); err != nil {
		return l.startFailed(err)
	}
	if err := l.setAside(); err != nil {
		return l.startFailed(err)
	}
	for _, c := range l.found.unsealed {
		if err := l.syncFound(c); err != nil {
			return l.startFailed(err)
		}
	}
	if c := l.found.newest; c != nil && c.torn == nil {
		// Its footer may be one that a process before us has left to the kernel, and there shall never be two.
		if err := l.syncFound(c); err != nil {
			return l.startFailed(err)
		}
	}
	for _, c := range l.found.headers {
		if err := l.rewriteHeader(c); err != nil {
			return l.startFailed(err)
		}
	}
	// So are the names: a process before us may have ended between giving a file its name and this.
	if err := l.disk.sync(l.dir); err != nil {
		return l.startFailed(err)
	}
	l.durable.Store(l.last.Load())
	l.synced.Store(l.last.Load())
	l.syncerState.named = l.mu.epoch // the new segment's name is not on disk
	l.keeper.Go(l.keep)
	l.syncer.Go(l.runSyncer)

	l.mu.Lock()
	var err error
	for l.mu.active == nil && err == nil {
		err = l.rotateLocked(nil)
	}
	l.mu.Unlock()
	if err != nil {
		return l.startFailed(err)
	}
	for _, c := range l.found.unsealed {
		if err := l.sealFound(c); err != nil {
			return l.startFailed(err)
		}
	}
	l.found = found{}
	l.keeper.Go(l.cool)
	return nil
}

func (l *Log) startFailed(err error) error {
	err = fmt.Errorf("start log %s: %w", l.cfg.Dir, err)
	l.fail(err)
	return err
}

// setAside renames what lies behind the end of the log, or cannot be read: it is evidence, and nobody asked for it to be
// deleted. A file in which nothing was ever written goes away or, when its name is needed next, is
// replaced by the new segment's rename: at no moment is the directory without the number that the
// log goes on with.
func (l *Log) setAside() error {
	next := l.Last() + 1
	files := append(l.found.unreadable, l.found.beyond...)
	if l.found.empty != nil {
		files = append([]*candidate{l.found.empty}, files...)
	}
	for _, c := range files {
		aside := droppedName(c.path, c.header.Epoch)
		var err error
		switch {
		case c.blank() && c.base == next:
			continue
		case c.blank():
			err = os.Remove(c.path)
		case c.base == next:
			err = os.Link(c.path, aside)
			if errors.Is(err, fs.ErrExist) {
				err = nil // a crash between this and the new segment
			}
		default:
			err = os.Rename(c.path, aside)
		}
		if err != nil {
			return fmt.Errorf("set segment aside: %w", err)
		}
		l.logger.Warn("segment that is not part of the log set aside", "file", c.path, "as", aside)
	}
	if len(files) == 0 {
		return nil
	}
	return l.disk.sync(l.dir)
}

// syncFound syncs a segment that a process before us may have left to the kernel.
func (l *Log) syncFound(c *candidate) error {
	file, err := os.OpenFile(c.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return l.disk.sync(file)
}

// sealFound writes the footer of a segment that Open found without one, and cuts the file to size;
// the segment is synced already. Behind a torn tail the footer goes to the end of the file: torn bytes
// are never overwritten.
func (l *Log) sealFound(c *candidate) error {
	file, err := os.OpenFile(c.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	at := c.scan.End
	if c.scan.Torn > 0 {
		at = (c.size + 7) &^ 7
	} else if err := file.Truncate(at); err != nil {
		return err
	}
	summary := c.scan.Summary
	summary.Synced = summary.Last
	footer := segment.AppendScannedFooter(nil, summary, c.scan.Places, c.scan.Sets, at)
	if err := l.disk.writeFull(file, footer, at); err != nil {
		return err
	}
	if err := l.disk.sync(file); err != nil {
		return err
	}
	return l.replaceSealed(c, file, at+int64(len(footer)))
}

// replaceSealed puts a fresh view of a found segment into the list: its footer may lie beyond the
// memory that was mapped at Open.
func (l *Log) replaceSealed(c *candidate, file *os.File, size int64) error {
	mapping, err := segment.Map(file, size)
	if err != nil {
		return err
	}
	var footer segment.Footer
	err = guarded(func(found func(string, *segment.Mapping)) { found(c.path, mapping) }, func() (err error) {
		if footer, err = segment.ParseFooter(mapping.Bytes(), c.header.Epoch); err == nil {
			err = footer.Check()
		}
		return err
	})
	if err != nil {
		mapping.Release()
		return fmt.Errorf("%s: footer just written: %w", c.path, err)
	}
	fresh := &segmentFile{
		path: c.path, base: c.base, epoch: c.header.Epoch, size: size, mapping: mapping, logger: l.logger,
		continues: c.header.Required&segment.FeatureContinues != 0,
	}
	fresh.adoptFooter(places{footer: &footer, checked: true})
	l.warmed(fresh)
	l.mu.Lock()
	defer l.mu.Unlock()
	list := append([]*segmentFile(nil), l.list()...)
	for i, s := range list {
		if s.path == c.path {
			list[i] = fresh
			l.segments.Store(&list)
			s.mapping.Release()
			return nil
		}
	}
	mapping.Release()
	return fmt.Errorf("%s: segment is not part of the log", filepath.Base(c.path))
}
