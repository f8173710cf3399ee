package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Append writes b as one batch and calls applied, still under the lock, with the number of its first
// record: callers take their own lock inside applied, and so apply records in the log's order.
// applied must be quick and must not call Append. When Append returns an error nothing was written as
// far as the log knows and applied was not called; b may be reused either way.
//
// Under the lock stand: twelve bytes of hashing a record, one pwrite, the publication of places.
// Everything else was done by the Batch before, or is done by the syncer and the keeper.
func (l *Log) Append(b *segment.Batch, applied func(first segment.LSN)) error {
	return l.AppendIf(b, nil, applied)
}

// AppendIf is Append, but asks under the lock whether the batch may still be written: no record comes
// between the answer and the batch. If may returns an error, that is AppendIf's, and nothing was written. may
// must be quick and must not call Append; nil is always.
func (l *Log) AppendIf(b *segment.Batch, may func() error, applied func(first segment.LSN)) error {
	if err := b.Err(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if b.Count() == 0 {
		return errors.New("append: batch is empty")
	}
	durable := b.Durable
	l.mu.Lock()
	first, err := l.appendLocked(b, may)
	if err == nil && applied != nil {
		applied(first)
	}
	stopped := l.mu.stopped
	l.mu.Unlock()
	if err != nil {
		if stopped != nil {
			l.fail(stopped)
		}
		return err
	}
	if durable {
		wake(l.wakeSyncer)
	}
	return nil
}

// appendLocked makes room, asks whether b may be written, and writes the route sets that the segment lacks,
// then b.
func (l *Log) appendLocked(b *segment.Batch, may func() error) (segment.LSN, error) {
	if err := l.makeRoomLocked(b); err != nil {
		return 0, err
	}
	if may != nil { // not earlier: while room is made the lock may be open
		if err := may(); err != nil {
			return 0, err
		}
	}
	if defs := &l.mu.definitions; defs.Count() > 0 {
		first, err := l.writeLocked(defs)
		if err != nil {
			return 0, err
		}
		l.defineLocked(b.Sets(), first)
		defs.Reset()
	}
	return l.writeLocked(b)
}

// makeRoomLocked returns with an active segment that b and the route sets it needs fit into; the
// sets that the segment lacks are then in definitions. While a rotation waits for a spare the lock is
// open, so everything is looked at anew.
func (l *Log) makeRoomLocked(b *segment.Batch) error {
	for {
		switch {
		case l.mu.stopped != nil:
			return l.mu.stopped
		case l.mu.closed || l.mu.active == nil:
			return ErrClosed
		}
		l.collectDefinitionsLocked(b, l.mu.sets)
		if err := l.mu.definitions.Err(); err != nil {
			return fmt.Errorf("append: route sets: %w", err)
		}
		active := l.mu.active
		if active.end.Load()+l.spaceLocked(active, b) <= active.size {
			return nil
		}
		if err := l.rotateLocked(b); err != nil {
			return err
		}
	}
}

// spaceLocked is what b and the definitions need: their bytes, and the footer's growth to hold them.
func (l *Log) spaceLocked(active *segmentFile, b *segment.Batch) int64 {
	records, sets, bytes := 0, 0, int64(0)
	if active != nil {
		records = active.places.Load().offsets.Len()
		if known := active.sets.Load(); known != nil {
			sets = len(*known)
		}
	}
	if defs := &l.mu.definitions; defs.Count() > 0 {
		bytes += int64(defs.Len())
		records += defs.Count()
		sets += defs.Count()
	}
	if b != nil {
		bytes += int64(b.Len())
		records += b.Count()
	}
	return bytes + segment.FooterSize(records, sets)
}

// collectDefinitionsLocked puts the route sets of b that are not in known into definitions.
func (l *Log) collectDefinitionsLocked(b *segment.Batch, known map[uint64]struct{}) {
	defs := &l.mu.definitions
	defs.Reset()
	if b == nil {
		return
	}
	for _, set := range b.Sets() {
		if _, ok := known[set.ID]; !ok {
			defs.AppendRouteSet(l.mu.timeMs, set)
		}
	}
}

// defineLocked notes that the active segment now defines sets, the new ones from record first on.
func (l *Log) defineLocked(sets []*segment.RouteSet, first segment.LSN) {
	active := l.mu.active
	var places []uint32
	if known := active.sets.Load(); known != nil {
		places = *known
	}
	for _, set := range sets {
		if _, ok := l.mu.sets[set.ID]; ok {
			continue
		}
		l.mu.sets[set.ID] = struct{}{}
		// Readers of the old slice do not look beyond its length, so its memory may be shared.
		places = append(places, uint32(first-active.base))
		first++
	}
	active.sets.Store(&places)
}

// writeLocked writes b to the active segment, which has room, and publishes its records.
func (l *Log) writeLocked(b *segment.Batch) (segment.LSN, error) {
	active, first := l.mu.active, l.Last()+1
	l.mu.timeMs = max(l.mu.timeMs, time.Now().UnixMilli())
	at := active.end.Load()
	bytes := b.Seal(first, active.epoch, l.mu.timeMs, segment.LSN(l.durable.Load()))
	if err := l.disk.writeFull(active.file, bytes, at); err != nil {
		return 0, l.stopLocked(err)
	}
	last := uint64(first) + uint64(b.Count()) - 1
	active.places.Load().offsets.AppendBatch(b, at)
	active.end.Store(at + int64(len(bytes)))
	l.written.Add(int64(len(bytes)))
	if at == segment.HeaderSize {
		active.minTime.Store(l.mu.timeMs)
	}
	active.maxTime.Store(l.mu.timeMs)
	active.last.Store(last)
	l.last.Store(last)
	if l.cfg.Sync == SyncOS {
		l.synced.Store(last)
	}
	return first, nil
}

// stopLocked makes the log refuse all further appends; the caller calls fail without the lock.
func (l *Log) stopLocked(cause error) error {
	l.broken.Store(true)
	if l.mu.stopped == nil {
		l.mu.stopped = fmt.Errorf("%w: %w", ErrStopped, cause)
		l.easeLocked()
	}
	return l.mu.stopped
}

// fail stops the log for good and tells everybody who waits. Called without locks.
func (l *Log) fail(cause error) {
	l.mu.Lock()
	err := cause
	if !errors.Is(cause, ErrStopped) {
		err = l.stopLocked(cause)
	}
	l.mu.Unlock()
	l.syncing.Lock()
	if l.syncing.err == nil {
		l.syncing.err = err
	}
	l.notifyLocked()
	l.syncing.Unlock()
	l.failure.Do(func() {
		l.logger.Error("log stopped", "cause", err)
		l.failed <- err
	})
}
