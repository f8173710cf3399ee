package wal

import (
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// Close syncs what was appended, seals the newest segment, cuts it to size and stops the goroutines.
// Views keep the records they hold until they are released. After a failure Close only lets go; its
// error then tells why the log stopped.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return nil
	}
	l.mu.closed = true
	started := l.mu.started
	l.easeLocked()
	l.mu.Unlock()

	l.stopKeeper()
	l.keeper.Wait()
	l.relocating.Lock() // held by none for long: the keeper's context has ended
	defer l.relocating.Unlock()
	close(l.stopSyncer)
	l.syncer.Wait()

	l.mu.Lock()
	err := l.mu.stopped
	l.mu.Unlock()
	if started && err == nil {
		l.retiring.Lock()
		err = l.sealAll()
		l.retiring.Unlock()
	}
	l.syncing.Lock()
	if l.syncing.err == nil {
		l.syncing.err = ErrClosed
	}
	l.notifyLocked()
	l.syncing.Unlock()
	l.retiring.Lock()
	l.release()
	l.retiring.Unlock()
	if err != nil {
		return fmt.Errorf("close log %s: %w", l.cfg.Dir, err)
	}
	return nil
}

// sealAll writes the footers that the keeper did not come to, and the active segment's. The goroutines
// have ended and appends are refused, so it owns everything.
func (l *Log) sealAll() error {
	for _, s := range l.mu.sealing {
		if err := l.seal(s); err != nil {
			return err
		}
	}
	if err := l.disk.sync(l.dir); err != nil {
		return err
	}
	active := l.mu.active
	end := active.end.Load()
	// Cut first: a footer that stands alone at the end of the file is found, and without one recovery
	// reads the segment. Readers never look beyond the last batch.
	if err := active.file.Truncate(end); err != nil {
		return err
	}
	size := end + segment.FooterSize(active.places.Load().offsets.Len(), active.setCount())
	return l.writeFooter(active, active.mapping.Bytes()[:size], end, true)
}
