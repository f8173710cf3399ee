package wal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// contents is what the files of a directory hold, by name.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, path := range segmentPaths(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(path)] = string(data)
	}
	return found
}

func copied(t testing.TB, l *Log) (dir string, done Copied) {
	t.Helper()
	dir = t.TempDir()
	release := l.Hold()
	defer release()
	done, err := l.CopyTo(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, done
}

func TestACopyIsALogAndStaysOneWhileFilesAreUsedAgain(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 5)
	awaitSealed(t, l, 4)
	dir, done := copied(t, l)
	if done.Last != l.Last() || done.First != 1 || done.Linked != 4 || done.Files != 5 {
		t.Fatalf("copied %+v", done)
	}
	before := contents(t, dir)

	// Everything that was linked is retired, and segments for many more are needed.
	for range 4 {
		n := len(l.Segments())
		rotated(t, l, n+4)
		awaitSealed(t, l, n+3)
		if err := l.Retire(l.Last()); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	for name, data := range contents(t, dir) {
		if before[name] != data {
			t.Errorf("%s of the copy has changed", name)
		}
	}
	goOn(t, dir, want)
}

func TestALogThatIsHeldRetiresNothing(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	awaitSealed(t, l, 2)
	release := l.Hold()
	if err := l.Retire(l.Last()); err != nil || l.First() != 1 {
		t.Errorf("first is %d after a retirement: %v", l.First(), err)
	}
	release()
	if err := l.Retire(l.Last()); err != nil || l.First() == 1 {
		t.Errorf("first is %d after the release: %v", l.First(), err)
	}
	closeLog(t, l)
}

// What a killed process left has no footer and will be written to by the next start: it is copied, not linked.
func TestACopyOfALogThatWasNotStartedSharesNothingThatChanges(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 3)
	awaitSealed(t, l, 2)
	killed := clone(t, l.cfg.Dir)
	closeLog(t, l)
	found := openOnly(t, Config{Dir: killed})
	dir, done := copied(t, found)
	if done.Linked != 2 || done.Files != 3 {
		t.Fatalf("copied %+v", done)
	}
	if err := found.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	goOn(t, killed, want)
	for name, data := range contents(t, dir) {
		if before[name] != data {
			t.Errorf("%s of the copy has changed", name)
		}
	}
	goOn(t, dir, want)
}

func TestACopyEndsWithItsContextAndWithTheLog(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	release := l.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.CopyTo(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	release()
	closeLog(t, l)
	if _, err := l.CopyTo(t.Context(), t.TempDir()); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed log: %v", err)
	}
}

// A file that a copy shares is not among the spares that are used again, and its other name goes all the same.
func TestASpareWithAnotherNameIsNotWiped(t *testing.T) {
	dir := t.TempDir()
	spare, other := filepath.Join(dir, spareName(7)), filepath.Join(t.TempDir(), "other")
	text := slices.Repeat([]byte("x"), 64<<10)
	if err := errors.Join(os.WriteFile(spare, text, 0o640), os.Link(spare, other)); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, Config{Dir: dir})
	rotated(t, l, 4)
	awaitSealed(t, l, 3)
	closeLog(t, l)
	if got, err := os.ReadFile(other); err != nil || !slices.Equal(got, text) {
		t.Errorf("the other file has changed: %v", err)
	}
	if _, err := os.Stat(spare); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spare is still there: %v", err)
	}
}
