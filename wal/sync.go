package wal

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// syncerState is what only the syncer's goroutine touches (Start sets it up before).
type syncerState struct {
	named    uint64      // segments with an epoch up to here have their names on disk
	notified segment.LSN // what OnSynced was told last
}

// SyncTo waits until a real fdatasync covers lsn, whatever the level; ctx only ends the wait.
func (l *Log) SyncTo(ctx context.Context, lsn segment.LSN) error {
	if last := l.Last(); lsn > last {
		return fmt.Errorf("sync to record %d: %w (last is %d)", lsn, ErrNotWritten, last)
	}
	for {
		changed, err := l.askToSync(lsn)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// SyncSoon has what is written so far synced as far as the level asks for that, as a durable batch has, and does not
// wait.
func (l *Log) SyncSoon() { wake(l.wakeSyncer) }

// askToSync has records up to lsn synced if they are not, and returns what is closed when more is durable or the
// log has stopped. It is nil when they are durable already, and with the error of a log that stopped.
func (l *Log) askToSync(lsn segment.LSN) (changed <-chan struct{}, err error) {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if segment.LSN(l.durable.Load()) >= lsn {
		return nil, nil
	}
	if err := l.syncing.err; err != nil {
		return nil, err
	}
	l.syncing.wanted = max(l.syncing.wanted, lsn)
	if l.syncing.changed == nil {
		l.syncing.changed = make(chan struct{})
	}
	wake(l.wakeSyncer)
	return l.syncing.changed, nil
}

// runSyncer is the syncer's goroutine: group commit without a timer. All that was appended while one
// sync ran is covered by the next.
func (l *Log) runSyncer() {
	broken := false
	for final := false; !final; {
		select {
		case <-l.wakeSyncer:
		case err := <-l.failed:
			l.tellFailure(err)
			continue
		case <-l.stopSyncer:
			final = true
		}
		if broken {
			continue
		}
		if err := l.syncOnce(final); err != nil {
			// Never retried: the kernel may have dropped the pages it could not write, and a second
			// fdatasync would then succeed.
			broken = true
			l.fail(err)
		}
	}
	select {
	case err := <-l.failed:
		l.tellFailure(err)
	default:
	}
}

func (l *Log) tellFailure(err error) {
	if l.cfg.OnFailure != nil {
		l.cfg.OnFailure(err)
	}
}

// syncOnce covers everything written so far. force asks for the disk whatever the level.
func (l *Log) syncOnce(force bool) error {
	bytes := l.written.Load() // before the record's number: rather too few
	target := l.Last()
	if durable := segment.LSN(l.durable.Load()); target > durable {
		l.syncing.Lock()
		force = force || l.syncing.wanted > durable
		l.syncing.Unlock()
		if force || l.cfg.Sync == SyncDisk {
			if err := l.syncFiles(durable, target); err != nil {
				return err
			}
			l.durable.Store(uint64(target))
			l.covered.Store(bytes)
			if at := l.sealAt.Load(); at != 0 && at <= uint64(target) {
				wake(l.wakeKeeper)
			}
			if l.cfg.Sync == SyncDisk {
				l.synced.Store(uint64(target))
			}
			l.syncing.Lock()
			l.notifyLocked()
			l.syncing.Unlock()
		}
	}
	if synced := l.Synced(); synced > l.syncerState.notified {
		l.syncerState.notified = synced
		if l.cfg.OnSynced != nil {
			l.cfg.OnSynced(synced)
		}
	}
	return nil
}

// syncFiles syncs the segments with records above durable and up to target, in order, and the
// directory when one of them is new.
func (l *Log) syncFiles(durable, target segment.LSN) error {
	list := l.list()
	if newest := list[len(list)-1].epoch; newest > l.syncerState.named {
		if err := l.disk.sync(l.dir); err != nil {
			return err
		}
		l.syncerState.named = newest
	}
	for _, s := range list {
		if s.base > target {
			break
		}
		if s.lastLSN() <= durable {
			continue
		}
		if err := l.disk.sync(s.file); err != nil {
			return err
		}
	}
	return nil
}

// notifyLocked wakes SyncTo's callers; needs syncing.
func (l *Log) notifyLocked() {
	if l.syncing.changed != nil {
		close(l.syncing.changed)
		l.syncing.changed = nil
	}
}
