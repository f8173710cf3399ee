package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	defaultCacheBytes = 8 << 20

	// pebbleFormat is pinned: a Pebble upgrade must not change what we write. This
	// one has checksums in the footers of tables.
	pebbleFormat = pebble.FormatTableFormatV6

	// pebbleFormatMarker begins the name of the file whose name ends in the
	// version of Pebble's own format.
	pebbleFormatMarker = "marker.format-version."
)

// openPebble locks the folder and opens the database. fresh says that the folder
// was empty.
func openPebble(cfg Config, log *slog.Logger) (db *pebble.DB, lock *pebble.Lock, fresh bool, err error) {
	fs := cfg.FS
	if fs == nil {
		fs = vfs.Default
	}
	if !cfg.ReadOnly {
		if err := fs.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, nil, false, fmt.Errorf("index: make folder: %w", err)
		}
	}
	// The lock first: after it, what goes wrong is not another process's doing.
	if lock, err = pebble.LockDirectory(cfg.Dir, fs); err != nil {
		return nil, nil, false, fmt.Errorf("index: lock %s: %w", cfg.Dir, err)
	}
	if fresh, err = inspect(cfg.Dir, fs); err == nil {
		err = openError(cfg.Dir, guard("open", func() (err error) {
			db, err = pebble.Open(cfg.Dir, options(cfg, fs, lock, log))
			return err
		}))
	}
	if err != nil {
		return nil, nil, false, errors.Join(err, lock.Close())
	}
	return db, lock, fresh, nil
}

// inspect looks at a folder before Pebble does: is it empty, and is it of our time?
func inspect(dir string, fs vfs.FS) (fresh bool, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return false, fmt.Errorf("index: list %s: %w", dir, err)
	}
	fresh = true
	for _, name := range names {
		fresh = fresh && name == "LOCK"
		if err := checkPebbleFormat(dir, name); err != nil {
			return false, err
		}
	}
	return fresh, nil
}

// checkPebbleFormat refuses a folder that a newer Pebble wrote: that is not damage.
func checkPebbleFormat(dir, name string) error {
	suffix, ok := strings.CutPrefix(name, pebbleFormatMarker)
	if !ok {
		return nil
	}
	// marker.format-version.<iteration>.<version>
	_, version, _ := strings.Cut(suffix, ".")
	v, err := strconv.ParseUint(version, 10, 64)
	if err == nil && v > uint64(pebble.FormatNewest) {
		return fmt.Errorf("%w: %s has Pebble format %d, known up to %d", ErrVersion, dir, v, pebble.FormatNewest)
	}
	return nil
}

// options keep Pebble small: the view is a few hundred bytes an idle queue and two
// bytes a message, written in one batch every few seconds.
func options(cfg Config, fs vfs.FS, lock *pebble.Lock, log *slog.Logger) *pebble.Options {
	opts := &pebble.Options{
		FS:                 fs,
		ReadOnly:           cfg.ReadOnly,
		Lock:               lock,
		CacheSize:          defaultCacheBytes,
		FormatMajorVersion: pebbleFormat,
		MaxOpenFiles:       256,
		Logger:             pebbleLog{log},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.Warn("index: pebble background work", "err", err) },
			// The default ends the process; the read that found it tells its caller.
			DataCorruption: func(info pebble.DataCorruptionInfo) { log.Error("index: pebble found damage", "path", info.Path) },
		},
	}
	if cfg.CacheBytes > 0 {
		opts.CacheSize = cfg.CacheBytes
	}
	// A page is read once as a rule: reads must not set off compactions.
	opts.Experimental.ReadSamplingMultiplier = -1
	return opts
}

// pebbleLog hands Pebble's messages on. Its information is for those who debug.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("index: pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("index: pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble's state is undefined from here on. In a call of
// ours guard turns the panic into an error; on a goroutine of Pebble's it ends the
// process, which loses nothing that the log does not hold.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	fatal := &fatalError{text: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			fatal.causes = append(fatal.causes, err)
		}
	}
	panic(fatal)
}

// fatalError is what Fatalf panics with.
type fatalError struct {
	text   string
	causes []error
}

func (e *fatalError) Error() string   { return "pebble cannot go on: " + e.text }
func (e *fatalError) Unwrap() []error { return e.causes }

// guard calls into Pebble and returns its panics as errors: its fatal errors, and
// those with which it answers to damaged files.
func guard(what string, fn func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("index: %s: %w", what, r)
		default:
			err = fmt.Errorf("index: %s: pebble panicked: %v", what, r)
		}
	}()
	return fn()
}
