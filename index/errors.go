package index

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

// ErrCorrupt marks a view that is damaged. The caller may delete the folder and
// rebuild the view from the log. What matches it matches segment.ErrCorrupt too.
var ErrCorrupt error = corrupt{}

type corrupt struct{}

func (corrupt) Error() string { return "index: view is damaged, to be rebuilt from the log" }

// Is puts the damage into the family of segment.ErrCorrupt.
func (corrupt) Is(target error) bool { return target == segment.ErrCorrupt }

// ErrOutdated marks a view that an older millrace wrote. It is of no use and not
// damaged, but what is to be done is the same: it matches ErrCorrupt.
var ErrOutdated error = outdated{}

type outdated struct{}

func (outdated) Error() string {
	return "index: view was written by an older millrace, to be rebuilt from the log"
}

// Is makes callers that rebuild what is damaged rebuild what is outdated.
func (outdated) Is(target error) bool { return target == ErrCorrupt || target == segment.ErrCorrupt }

var (
	// ErrVersion marks a view written by a newer millrace. It is no damage:
	// the folder must not be deleted because of it.
	ErrVersion = errors.New("index: view was written by a newer millrace")

	// ErrForeign marks a Pebble folder that holds something other than an index.
	ErrForeign = errors.New("index: folder holds a database that is not a millrace index")

	// ErrNoQueue says that the view holds nothing of a queue.
	ErrNoQueue = errors.New("index: no such queue in the view")

	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("index: store is closed")
)

// corruptf makes an error that matches ErrCorrupt and tells where and what.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCorrupt, fmt.Errorf(format, args...))
}

// readError wraps an error of a Pebble read, marking those that speak of damage.
func readError(where string, err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, where, err)
	}
	return fmt.Errorf("index: %s: %w", where, err)
}

// openError judges why Pebble could not open a folder that exists and whose lock
// is held. What the system refused (permissions, space, a read error) is no damage
// and must not tempt a caller to delete; a file that is missing is, and so is all
// that Pebble itself objects to.
func openError(dir string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	var fatal *fatalError // speaks of a write
	refused := errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist) || errors.As(err, &fatal)
	if refused && !pebble.IsCorruptionError(err) {
		return fmt.Errorf("index: open %s: %w", dir, err)
	}
	return fmt.Errorf("%w: open %s: %w", ErrCorrupt, dir, err)
}
