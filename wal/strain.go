package wal

import "time"

// What is appended may be held back by who appends much, before those who append little come to wait with it: here
// it is told when that is due.

// Tight returns nil while there is room for many more appends. When the active segment is more than half full and
// none is ready to follow it, it returns a channel that is closed when that may have changed: what fits into the
// other half is for those who append little. A log without room for another segment is not tight, it is full: Append
// says so. For a second after it was asked, segments are made in small steps.
func (l *Log) Tight() <-chan struct{} {
	l.heldBack.Store(time.Now().UnixMilli())
	l.mu.Lock()
	defer l.mu.Unlock()
	active := l.mu.active
	switch {
	case l.mu.stopped != nil, l.mu.closed, active == nil, l.mu.spareErr != nil:
		return nil
	case active.end.Load() <= active.size/2, l.hasSpareLocked(l.cfg.SegmentSize, readyReserve):
		return nil
	}
	if l.mu.eased == nil {
		l.mu.eased = make(chan struct{})
	}
	wake(l.wakeKeeper)
	return l.mu.eased
}

// easeLocked wakes all who wait for room, in an append or before it.
func (l *Log) easeLocked() {
	l.room.Broadcast()
	if l.mu.eased != nil {
		close(l.mu.eased)
		l.mu.eased = nil
	}
}

// Behind returns nil while no more than so many bytes wait for an fdatasync. With more, it asks for one and returns a
// channel that is closed when one has ended or the log has stopped. Without SyncDisk nobody waits for them.
func (l *Log) Behind(bytes int64) <-chan struct{} {
	if l.cfg.Sync != SyncDisk || l.written.Load()-l.covered.Load() <= bytes {
		return nil
	}
	changed, _ := l.askToSync(l.Last()) // what has stopped is told by the next Append
	return changed
}
