package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/wal"
)

// What can be done to a data folder by a broker that serves nobody. It is a start and a stop like any other: it drops what
// does not survive one, and time has passed for what expires.

// Compacted tells what Compact did.
type Compacted struct {
	FilesBefore, FilesAfter int   // of the log
	BytesBefore, BytesAfter int64 // of these
	Records, Survivors      int   // of the files that were written anew
}

// Compact takes out of the log what nobody needs, history too, until there is nothing left to win, and compresses the
// rest. Only cfg.Data and cfg.Logger count. The end of ctx ends it early, with everything in its place.
func Compact(ctx context.Context, cfg Config) (done Compacted, err error) {
	if done.FilesBefore, done.BytesBefore, err = logSize(cfg.Data); err != nil {
		return done, err
	}
	b, err := openOffline(cfg)
	if err != nil {
		return done, err
	}
	err = b.compact(ctx)
	stats := b.Relocations()
	done.Records, done.Survivors = stats.Records, stats.Survivors
	if closed := b.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return done, fmt.Errorf("compact %s: %w", cfg.Data, err)
	}
	done.FilesAfter, done.BytesAfter, err = logSize(cfg.Data)
	return done, err
}

// compact relocates all that was there when the broker was opened, some of it several times, until a pass finds nothing.
// What is damaged stays where it is, and is told at the end.
func (b *Broker) compact(ctx context.Context) error {
	var damaged error
	for done := -1; ; {
		runs := b.Relocations().Runs
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if runs == done {
			return damaged
		}
		done = runs
		if err := b.checkpoints.write(); err != nil { // whose own goroutine is told to leave it alone
			return err
		}
		if err := b.relocator.relocate(ctx); errors.Is(err, segment.ErrCorrupt) || errors.Is(err, wal.ErrUnreadable) {
			damaged = err
		} else if err != nil {
			return err
		}
	}
}

// RebuildIndex sets the index aside and makes it anew from the log. aside is where it is then, empty if there was none.
// Only cfg.Data, cfg.Repair and cfg.Logger count.
func RebuildIndex(cfg Config) (r Recovery, aside string, err error) {
	if _, _, err := logSize(cfg.Data); err != nil {
		return r, "", err
	}
	dir := filepath.Join(cfg.Data, "index")
	if _, err := os.Stat(dir); err == nil {
		aside = asideName(dir, "before")
	}
	cfg.indexAside = aside
	b, err := openOffline(cfg)
	if err != nil {
		return r, aside, err
	}
	return b.Recovery(), aside, b.Close()
}

// openOffline opens a broker that serves nobody and writes checkpoints when it is told to.
func openOffline(cfg Config) (*Broker, error) {
	return Open(Config{
		Data: cfg.Data, Logger: cfg.Logger, Repair: cfg.Repair, SegmentSize: segmentSize(cfg.Data),
		CheckpointEvery: math.MaxInt64, CheckpointBytes: math.MaxInt64,
		NoFirstStart: true, offline: true, indexAside: cfg.indexAside,
	})
}

// segmentSize is what the segments of a data folder are like: spares of another size are of no use, and new ones would
// have to be made.
func segmentSize(data string) (size int64) {
	spares, _ := filepath.Glob(filepath.Join(data, "log", "spare-*.seg"))
	for _, path := range spares {
		if info, err := os.Stat(path); err == nil && (wal.Config{Dir: data, SegmentSize: info.Size()}).Validate() == nil {
			size = max(size, info.Size())
		}
	}
	return size
}

// logSize counts the files of a log, those aside that are not part of it.
func logSize(data string) (files int, bytes int64, err error) {
	entries, err := os.ReadDir(filepath.Join(data, "log"))
	if err != nil {
		return 0, 0, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, "spare-") || !strings.HasSuffix(name, ".seg") && !strings.HasSuffix(name, ".old") {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		files++
		bytes += info.Size()
	}
	return files, bytes, nil
}

// takeAside sets the index aside as RebuildIndex wants it.
func (b *Broker) takeAside(dir string) error {
	if b.cfg.indexAside == "" {
		return nil
	}
	if err := os.Rename(dir, b.cfg.indexAside); err != nil {
		return fmt.Errorf("set the index aside: %w", err)
	}
	b.cfg.indexAside, b.recovery.Rebuilt = "", true
	if err := os.Remove(condemned(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
