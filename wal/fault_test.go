package wal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

var errDisk = errors.New("the disk broke")

// faulty is a disk whose operations fail on demand.
type faulty struct {
	write, sync, allocate atomic.Pointer[error]
	short                 atomic.Bool // writes stop half way without an error
	syncs                 atomic.Int64
}

func fail(p *atomic.Pointer[error], err error) { p.Store(&err) }

func (f *faulty) disk() Disk {
	return Disk{
		WriteAt: func(file *os.File, p []byte, offset int64) (int, error) {
			if err := f.write.Load(); err != nil {
				n, _ := file.WriteAt(p[:len(p)/2], offset)
				return n, *err
			}
			if f.short.Load() {
				return file.WriteAt(p[:len(p)/2], offset)
			}
			return file.WriteAt(p, offset)
		},
		Datasync: func(file *os.File) error {
			f.syncs.Add(1)
			if err := f.sync.Swap(nil); err != nil { // once: a retry would succeed
				return *err
			}
			return datasync(file)
		},
		Allocate: func(file *os.File, size int64, rest func(int64) error) error {
			if err := f.allocate.Load(); err != nil {
				return *err
			}
			return allocate(file, size, rest)
		},
	}
}

func tryAppend(l *Log, body string) error {
	var b segment.Batch
	addPublish(&b, body, 1)
	return l.Append(&b, nil)
}

func TestFailedWriteStopsTheLog(t *testing.T) {
	for _, c := range []struct {
		name string
		arm  func(f *faulty)
	}{
		{"input/output error", func(f *faulty) { fail(&f.write, errDisk) }},
		{"short write", func(f *faulty) { f.short.Store(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f faulty
			told := make(chan error, 2)
			l := openLog(t, Config{Dir: t.TempDir(), Disk: f.disk(), OnFailure: func(err error) { told <- err }})
			appendBodies(t, l, "kept")
			c.arm(&f)
			if err := tryAppend(l, "lost"); !errors.Is(err, ErrStopped) {
				t.Fatalf("append: %v", err)
			}
			f.write.Store(nil)
			f.short.Store(false)
			if err := tryAppend(l, "later"); !errors.Is(err, ErrStopped) {
				t.Fatalf("append after the failure: %v", err)
			}
			if err := <-told; !errors.Is(err, ErrStopped) {
				t.Fatalf("told %v", err)
			}
			if l.Last() != 1 {
				t.Fatalf("last %d", l.Last())
			}
			if err := l.Close(); !errors.Is(err, ErrStopped) {
				t.Fatalf("close: %v", err)
			}
			if len(told) != 0 {
				t.Fatal("told twice")
			}
			goOn(t, l.cfg.Dir, []string{"kept"})
			verify(t, l.cfg.Dir)
		})
	}
}

func TestFailedSyncStopsTheLogForGood(t *testing.T) {
	for _, level := range []Level{SyncDisk, SyncOS} {
		t.Run(level.String(), func(t *testing.T) {
			var f faulty
			told := make(chan error, 2)
			var announced atomic.Uint64
			l := openLog(t, Config{
				Dir: t.TempDir(), Sync: level, Disk: f.disk(),
				OnFailure: func(err error) { told <- err },
				OnSynced:  func(lsn segment.LSN) { announced.Store(uint64(lsn)) },
			})
			appendBodies(t, l, "one")
			if err := l.SyncTo(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			appendBodies(t, l, "two")
			fail(&f.sync, errDisk)
			if err := l.SyncTo(t.Context(), 2); !errors.Is(err, ErrStopped) || !errors.Is(err, errDisk) {
				t.Fatalf("sync: %v", err)
			}
			if err := <-told; !errors.Is(err, errDisk) {
				t.Fatalf("told %v", err)
			}
			syncs := f.syncs.Load()
			for range 3 {
				if err := tryAppend(l, "later"); !errors.Is(err, ErrStopped) || !errors.Is(err, errDisk) {
					t.Fatalf("append: %v", err)
				}
				if err := l.SyncTo(t.Context(), 2); !errors.Is(err, ErrStopped) {
					t.Fatalf("sync again: %v", err)
				}
			}
			if err := l.SyncTo(t.Context(), 1); err != nil {
				t.Fatalf("sync of what is synced: %v", err)
			}
			if durable := l.durable.Load(); durable != 1 || level == SyncDisk && (l.Synced() != 1 || announced.Load() > 1) {
				t.Fatalf("durable %d, synced %d, announced %d", durable, l.Synced(), announced.Load())
			}
			if err := l.Close(); !errors.Is(err, errDisk) {
				t.Fatalf("close: %v", err)
			}
			if f.syncs.Load() != syncs {
				t.Fatal("fdatasync was tried again")
			}
		})
	}
}

func TestFailedSyncOfARecoveredTailStopsStart(t *testing.T) {
	dir, _, _, _ := crashed(t, 0)
	var f faulty
	l := openOnly(t, Config{Dir: dir, Disk: f.disk()})
	fail(&f.sync, errDisk)
	if err := l.Start(); !errors.Is(err, errDisk) {
		t.Fatalf("start: %v", err)
	}
	if err := tryAppend(l, "later"); !errors.Is(err, ErrStopped) {
		t.Fatalf("append: %v", err)
	}
	if err := l.Close(); !errors.Is(err, errDisk) {
		t.Fatalf("close: %v", err)
	}
	goOn(t, dir, allBodies)
}

func TestFullDiskRefusesAppendsUntilThereIsRoom(t *testing.T) {
	for _, cause := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		t.Run(cause.Error(), func(t *testing.T) { testFullDisk(t, cause) })
	}
}

func testFullDisk(t *testing.T, cause error) {
	var f faulty
	logger, said := remembered()
	l := openLog(t, Config{Dir: t.TempDir(), Disk: f.disk(), Logger: logger})
	await(t, "spares", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.mu.spares) == readySpares
	})
	fail(&f.allocate, cause)
	var want []string
	text := strings.Repeat("x", 10000)
	for {
		err := tryAppend(l, text)
		if err == nil {
			want = append(want, text)
			continue
		}
		if !errors.Is(err, ErrFull) || !errors.Is(err, cause) || errors.Is(err, ErrStopped) {
			t.Fatalf("append: %v", err)
		}
		break
	}
	if err := tryAppend(l, text); !errors.Is(err, ErrFull) {
		t.Fatalf("append while full: %v", err)
	}
	// What is small enough still fits, and what is there can be synced.
	appendBodies(t, l, "small")
	want = append(want, "small")
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said(), "no room for another segment"); n != 1 {
		t.Errorf("the cause was told %d times:\n%s", n, said())
	}
	f.allocate.Store(nil)
	appendBodies(t, l, text)
	want = append(want, text)
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	closeLog(t, l)
}

func TestRetireMakesRoomOnAFullDisk(t *testing.T) {
	var f faulty
	l := openLog(t, Config{Dir: t.TempDir(), Disk: f.disk()})
	text := strings.Repeat("x", 10000)
	fill := func() {
		t.Helper()
		for {
			if err := tryAppend(l, text); errors.Is(err, ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	fail(&f.allocate, error(unix.ENOSPC))
	fill()
	await(t, "a sealed segment", func() bool { return len(l.Segments()) == 1 || l.Segments()[0].Sealed })
	if len(l.Segments()) == 1 { // no spare was ready when the disk filled
		f.allocate.Store(nil)
		rotated(t, l, 2)
		fail(&f.allocate, error(unix.ENOSPC))
		fill()
		await(t, "a sealed segment", func() bool { return l.Segments()[0].Sealed })
	}
	if err := l.Retire(l.Last()); err != nil {
		t.Fatal(err)
	}
	if err := tryAppend(l, text); err != nil {
		t.Fatalf("append after retiring: %v", err)
	}
	closeLog(t, l)
}

// An append that waits for a spare could only be refused for ever.
func TestFailedWriteOfASpareStopsTheLog(t *testing.T) {
	var f faulty
	told := make(chan error, 1)
	l := openLog(t, Config{Dir: t.TempDir(), Disk: f.disk(), OnFailure: func(err error) { told <- err }})
	fail(&f.allocate, error(unix.EIO))
	var want []string
	text := strings.Repeat("x", 10000)
	var err error
	for err == nil {
		if err = tryAppend(l, text); err == nil {
			want = append(want, text)
		}
	}
	if !errors.Is(err, ErrStopped) || !errors.Is(err, unix.EIO) || errors.Is(err, ErrFull) {
		t.Errorf("append: %v", err)
	}
	if err := <-told; !errors.Is(err, unix.EIO) {
		t.Errorf("told %v", err)
	}
	f.allocate.Store(nil)
	if err := tryAppend(l, "small"); !errors.Is(err, ErrStopped) {
		t.Errorf("append after the failure: %v", err)
	}
	if err := l.Close(); !errors.Is(err, ErrStopped) {
		t.Errorf("close: %v", err)
	}
	goOn(t, l.cfg.Dir, want)
}

func TestStartFailsWithoutASpare(t *testing.T) {
	for _, cause := range []error{unix.EIO, unix.EMFILE} {
		var f faulty
		fail(&f.allocate, cause)
		l := openOnly(t, Config{Dir: t.TempDir(), SegmentSize: testSegmentSize, Disk: f.disk()})
		if err := l.Start(); !errors.Is(err, cause) || errors.Is(err, ErrFull) != (cause == unix.EMFILE) {
			t.Errorf("start: %v", err)
		}
	}
}

func TestRemovedSpareIsNotMissed(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	await(t, "spares", func() bool { return sparesOf(l) == readySpares })
	closeLog(t, l)
	l = openOnly(t, Config{Dir: l.cfg.Dir})
	spares, err := filepath.Glob(filepath.Join(l.cfg.Dir, "spare-*"))
	if err != nil || len(spares) == 0 {
		t.Fatal(spares, err)
	}
	for _, path := range spares {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	appendBodies(t, l, "one")
	closeLog(t, l)
}
