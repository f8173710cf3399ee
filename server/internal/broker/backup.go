package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/wal"
)

// Backup tells what a backup holds.
type Backup struct {
	First, Last segment.LSN // of the log; Last = First-1 when it is empty
	Mark        segment.LSN // of the index; 0 = it has none, and is made from the log
	Time        time.Time   // everything that was confirmed before is in it
}

// ErrNoBackup marks the error of a backup that was not begun: nothing was made or changed.
var ErrNoBackup = errors.New("no backup was begun")

// notBegun makes an error match ErrNoBackup.
type notBegun struct{ error }

func (e notBegun) Unwrap() error        { return e.error }
func (e notBegun) Is(target error) bool { return target == ErrNoBackup }

// Backup makes a folder, which must be empty or missing, a copy of the data folder as of now: a broker that is started
// on it finds everything that was confirmed before the call. Work goes on meanwhile; only what takes files of the log
// away waits. After an error, the end of ctx among them, what was made is removed.
//
// The order is the argument. The log is held first, so that no file goes that the index's copy refers to. The index
// comes before the log: all that it knew at its last checkpoint was in the log then, and synced, so it is in the
// log's copy, which is made later. What has come since is replayed from there as after a crash.
func (b *Broker) Backup(ctx context.Context, to string) (Backup, error) {
	if !b.backup.TryLock() {
		return Backup{}, notBegun{errors.New("another backup is under way")}
	}
	defer b.backup.Unlock()
	store := b.index
	if b.condemned.Load() {
		store = nil
	}
	ctx, cancel := contextUntil(ctx, b.stop)
	defer cancel()
	b.journal.await(journalPatience) // so that less is delivered twice
	done, err := backup(ctx, b.cfg.Data, b.log, store, to)
	if err == nil {
		b.logger.Info("backup made", "in", to, "first", uint64(done.First), "last", uint64(done.Last), "duration", time.Since(done.Time))
	}
	return done, err
}

// BackupFolder does the same for a data folder that no broker runs on; it changes nothing there. A damaged index is left
// out.
func BackupFolder(ctx context.Context, data, to string, logger *slog.Logger) (done Backup, err error) {
	if _, err := os.Stat(filepath.Join(data, "log")); err != nil {
		return Backup{}, notBegun{err}
	}
	lock, err := lockFolder(data)
	if err != nil {
		return Backup{}, notBegun{err}
	}
	defer lock.Close()
	log, err := wal.Open(wal.Config{Dir: filepath.Join(data, "log"), Logger: logger})
	if err != nil {
		return Backup{}, notBegun{err}
	}
	defer log.Close()
	dir := filepath.Join(data, "index")
	_, condemnedErr := os.Stat(condemned(dir))
	_, missing := os.Stat(dir)
	if condemnedErr == nil || errors.Is(missing, fs.ErrNotExist) {
		return backup(ctx, data, log, nil, to)
	}
	store, err := index.Open(index.Config{Dir: dir, Logger: logger})
	if errors.Is(err, index.ErrCorrupt) {
		logger.Warn("the index cannot be used and is not in the backup: a start makes it anew from the log", "why", err)
		return backup(ctx, data, log, nil, to)
	}
	if err != nil {
		return Backup{}, notBegun{err}
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return backup(ctx, data, log, store, to)
}

func backup(ctx context.Context, data string, log *wal.Log, store *index.Store, to string) (done Backup, err error) {
	remove, err := makeEmpty(data, to)
	if err != nil {
		return Backup{}, notBegun{err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("backup to %s: %w", to, err), remove())
		}
	}()
	done.Time = time.Now()
	release := log.Hold()
	defer release()
	if store != nil {
		if done.Mark, err = store.CopyTo(filepath.Join(to, "index")); err != nil {
			return done, err
		}
	}
	dir := filepath.Join(to, "log")
	if err := os.Mkdir(dir, 0o750); err != nil {
		return done, err
	}
	copied, err := log.CopyTo(ctx, dir)
	if err != nil {
		return done, err
	}
	done.First, done.Last = copied.First, copied.Last
	return done, syncFolders(to)
}

// makeEmpty makes a folder, or finds it empty, and returns what takes everything away again that is put into it.
func makeEmpty(data, to string) (remove func() error, err error) {
	if !filepath.IsAbs(to) {
		return nil, fmt.Errorf("%s is not an absolute path", to)
	}
	own, err := filepath.EvalSymlinks(data)
	if err == nil {
		own, err = filepath.Abs(own)
	}
	if err != nil {
		return nil, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(to))
	if err != nil {
		return nil, err
	}
	if within := filepath.Join(parent, filepath.Base(to)); within == own || strings.HasPrefix(within, own+string(filepath.Separator)) {
		return nil, fmt.Errorf("%s lies in the data folder %s", to, data)
	}
	err = os.Mkdir(to, 0o750)
	if err == nil {
		return func() error { return os.RemoveAll(to) }, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	entries, err := os.ReadDir(to)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: it has %s", to, entries[0].Name())
	}
	return func() error {
		return errors.Join(os.RemoveAll(filepath.Join(to, "log")), os.RemoveAll(filepath.Join(to, "index")))
	}, nil
}
