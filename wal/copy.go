package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// Copied says what CopyTo has put into a folder.
type Copied struct {
	First, Last segment.LSN // Last = First-1 when the log is empty
	Files       int
	Linked      int   // of them, by hard link
	Bytes       int64 // of all files
}

// Hold keeps every file of the log where it is and as it is until release is called: nothing is retired, and a
// relocation waits. It waits for one that is under way. Appends go on; what they need room for meanwhile cannot come
// from files that nobody needs any more, so it should not be for long.
func (l *Log) Hold() (release func()) {
	l.relocating.Lock()
	l.retiring.Lock()
	l.held = true
	l.retiring.Unlock()
	return func() {
		l.retiring.Lock()
		l.held = false
		l.retiring.Unlock()
		l.relocating.Unlock()
	}
}

// CopyTo puts the log as of now into a folder, which must exist and be empty: files that will not change any more by
// hard link, where the file system allows that, all others up to the end of their last batch by copy. All of it is on
// disk when it returns. The caller holds the log (Hold), and may append meanwhile: the copy ends with the last record
// of when it began. It works on a log that was not started too.
//
// What shares its file with a copy is safe from us: files of the old generation and segments with a footer are not
// written to, and a file that has another name still is not used again (see makeSpare).
func (l *Log) CopyTo(ctx context.Context, dir string) (Copied, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.keeperCtx, cancel)()
	done := Copied{First: l.First()}
	parts, last := l.parts()
	done.Last = last
	for _, p := range parts {
		linked, err := p.copyTo(ctx, filepath.Join(dir, filepath.Base(p.path)))
		if err != nil {
			if l.keeperCtx.Err() != nil {
				err = errors.Join(ErrClosed, err)
			}
			return done, fmt.Errorf("copy of the log: %w", err)
		}
		done.Files++
		done.Bytes += p.size
		if linked {
			done.Linked++
		}
	}
	return done, syncDir(dir)
}

// part is a file of the log to be copied.
type part struct {
	path    string
	size    int64 // that counts
	changes bool  // it is, or will be, written to
}

// parts tells what makes up the log at one moment.
func (l *Log) parts() (parts []part, last segment.LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.list() {
		mend := func(c *candidate) bool { return c.path == s.path }
		p := part{path: s.path, size: s.size}
		if !s.sealed() || slices.ContainsFunc(l.found.unsealed, mend) {
			p.size, p.changes = s.end.Load(), true
		}
		if slices.ContainsFunc(l.found.headers, mend) {
			p.changes = true
		}
		if s.lastLSN() >= s.base { // else it has only been begun
			parts = append(parts, p)
		}
	}
	return parts, l.Last()
}

func (p part) copyTo(ctx context.Context, path string) (linked bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !p.changes {
		err := os.Link(p.path, path)
		if err == nil || !notLinkable(err) {
			return true, err
		}
	}
	return false, p.copyBytes(ctx, path)
}

// notLinkable reports whether a file has to be copied because its folder's file system, or the other one, does not link.
func notLinkable(err error) bool {
	for _, why := range []error{unix.EXDEV, unix.EMLINK, unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}

func (p part) copyBytes(ctx context.Context, path string) (err error) {
	const piece = 8 << 20 // between looks whether to go on
	from, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for rest := p.size; rest > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(to, from, min(rest, piece))
		if err != nil {
			return fmt.Errorf("copy %s at %d: %w", p.path, p.size-rest+n, err)
		}
		rest -= n
	}
	return datasync(to)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
