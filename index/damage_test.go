package index

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/millrace-mq/millrace/segment"
)

// contents tells all that a store says of itself, or the error that keeps it from it.
func contents(fs vfs.FS) (text string, err error) {
	s, err := Open(Config{Dir: "index", FS: fs})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if faults := s.Check(); len(faults) > 0 {
		return "", errors.Join(faults...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mark %d\n", s.Mark())
	if err := s.Objects(func(k ObjectKey, v []byte) error {
		fmt.Fprintf(&b, "object %v %s\n", k, v)
		return nil
	}); err != nil {
		return "", err
	}
	for id := range segment.QueueID(4) {
		levels, err := s.LoadLevels(id)
		if errors.Is(err, ErrNoQueue) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, level := range slices.Sorted(maps.Keys(levels)) {
			q := levels[level]
			next, _ := q.NextDeadline()
			fmt.Fprintf(&b, "%v up to %d, next deadline %d:", q.levelID(), q.Last(), next)
			for e, ok := q.Next(); ok; e, ok = q.Next() {
				fmt.Fprintf(&b, " %d", e.LSN)
				if e.Deadline > 0 || e.Returns > 0 {
					fmt.Fprintf(&b, "(%d %d)", e.Deadline, e.Returns)
				}
			}
			if q.Err() != nil {
				return "", q.Err()
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String(), nil
}

func noFlush(*pebble.DB) error { return nil }

// script makes a small store of three checkpoints and calls after for each mark.
// The last one drops a queue. A flush brings tables and edits of the manifest.
func script(fs vfs.FS, flush func(*pebble.DB) error, after func(mark segment.LSN)) error {
	s, err := Open(Config{Dir: "index", FS: fs})
	if err != nil {
		return err
	}
	after(0)
	var queues []*Queue
	for _, id := range []levelID{{1, 0}, {2, 0}, {3, 0}, {2, 9}} {
		queues = append(queues, s.NewLevel(id.queue, id.level))
	}
	for mark := segment.LSN(100); mark <= 300; mark += 100 {
		c := s.Checkpoint()
		c.PutObject(ObjectKey{1, uint64(mark)}, fmt.Append(nil, "object of ", mark))
		for i, q := range queues {
			for lsn := range segment.LSN(90) {
				q.Push(Item{LSN: mark - 99 + lsn + segment.LSN(i), Size: 10, Deadline: int64(i) * int64(1000-lsn)})
			}
			q.SettleRange(0, mark-60)
			if e, ok := q.Next(); ok {
				q.RequeueCounted(e.Position)
			}
			c.Queue(q)
		}
		if mark == 300 {
			c.DropQueue(2)
		}
		if err := c.Commit(mark); err != nil {
			_ = s.Close()
			return err
		}
		after(mark)
		if mark < 300 { // the last checkpoint stays in Pebble's log
			if err := flush(s.db); err != nil {
				_ = s.Close()
				return err
			}
		}
	}
	return s.Close()
}

// states returns what a store may say of itself after each checkpoint.
func states(t *testing.T) map[segment.LSN]string {
	t.Helper()
	all := map[segment.LSN]string{}
	fs := vfs.NewCrashableMem()
	err := script(fs, (*pebble.DB).Flush, func(mark segment.LSN) {
		text, err := contents(fs.CrashClone(vfs.CrashCloneCfg{}))
		if err != nil {
			t.Fatal(err)
		}
		all[mark] = text
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCrashAtAnySyncLeavesACheckpoint clones the disk at each sync and at each
// creation, renaming and removal of a file.
func TestCrashAtAnySyncLeavesACheckpoint(t *testing.T) {
	want := states(t)
	mem := vfs.NewCrashableMem()
	var committed, clones atomic.Int64 // Pebble's goroutines come here as well
	committed.Store(-1)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo,
			errorfs.OpCreate, errorfs.OpRename, errorfs.OpRemove:
		default:
			return nil
		}
		// Half of the crashes keep some of what was not synced.
		cfg, n := vfs.CrashCloneCfg{}, clones.Add(1)
		if n%2 == 0 {
			cfg = vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, uint64(n)))}
		}
		least := committed.Load()
		got, err := contents(mem.CrashClone(cfg))
		if errors.Is(err, ErrCorrupt) && least < 0 {
			return nil // an interrupted making, to be begun again
		}
		known := false
		for mark, text := range want {
			known = known || got == text && int64(mark) >= least
		}
		if err != nil || !known {
			t.Errorf("crash before %v %s, %d committed: %v\n%s", op.Kind, op.Path, least, err, got)
		}
		return nil
	}))
	err := script(fs, (*pebble.DB).Flush, func(mark segment.LSN) { committed.Store(int64(mark)) })
	if err != nil {
		t.Fatal(err)
	}
	if clones.Load() < 20 {
		t.Errorf("only %d clones", clones.Load())
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", clones.Load(), clones.Load(), clones.Load())
}

// TestFullDiskLeavesACheckpoint lets every write fail from the n-th on, for each n.
// Pebble flushes nothing in it: a flush that fails is retried by a goroutine of its
// own, and a manifest that cannot be written ends the process.
func TestFullDiskLeavesACheckpoint(t *testing.T) {
	want := states(t)
	for n := int64(0); ; n++ {
		mem, committed := vfs.NewCrashableMem(), segment.LSN(0)
		var writes atomic.Int64
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && writes.Add(1) > n {
				return syscall.ENOSPC
			}
			return nil
		}))
		err := script(fs, noFlush, func(mark segment.LSN) { committed = mark })
		if err == nil && writes.Load() <= n {
			return // there are no more writes to fail
		}
		if errors.Is(err, ErrCorrupt) {
			t.Errorf("write %d: no space is taken for damage: %v", n, err)
		}
		got, err := contents(mem.CrashClone(vfs.CrashCloneCfg{}))
		if committed == 0 && errors.Is(err, ErrCorrupt) {
			continue // an interrupted making
		}
		if err != nil || got != want[committed] && got != want[committed+100] {
			t.Errorf("write %d failed, %d committed: %v\n%s", n, committed, err, got)
		}
	}
}

func TestFailedCommitIsPermanent(t *testing.T) {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	s, err := Open(Config{Dir: "index", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	q := s.NewQueue(1)
	fill(q, 1, 3*chunkSlots)
	checkpoint(t, s, 1, q)
	checkpoint(t, s, 1, q)
	full.Store(true)
	fill(q, 3*chunkSlots+1, 10)
	commit := func() error {
		c := s.Checkpoint()
		c.Queue(q)
		return c.Commit(2)
	}
	if err := commit(); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrCorrupt) {
		t.Errorf("commit on a full disk: %v", err)
	}
	full.Store(false)
	if err := commit(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("commit after a failed one: %v", err)
	}
	if s.Mark() != 1 || !q.Dirty() {
		t.Errorf("mark %d, dirty %t after failed commits", s.Mark(), q.Dirty())
	}
	if n := len(lsns(q)); n != 3*chunkSlots+10 {
		t.Errorf("%d entries, error %v", n, q.Err())
	}
	checkQueue(t, q)
	t.Logf("close: %v", s.Close())
}

func fileNames(t *testing.T, fs vfs.FS, match string) []string {
	t.Helper()
	all, err := fs.List("index")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range all {
		if strings.Contains(name, match) {
			names = append(names, "index/"+name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("no file like %q in %v", match, all)
	}
	return names
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsReportedOrHarmless damages each kind of file in each way. A store may
// say that it is damaged, or be one of its checkpoints: never anything else.
func TestDamageIsReportedOrHarmless(t *testing.T) {
	good := slices.Collect(func(yield func(string) bool) {
		for _, text := range states(t) {
			if !yield(text) {
				return
			}
		}
	})
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if len(b) > 0 {
				b[at*(len(b)-1)/100] ^= 0x41
			}
			return b
		}
	}
	damages := map[string]func([]byte) []byte{
		"deleted":    nil,
		"emptied":    func([]byte) []byte { return []byte{} },
		"half":       func(b []byte) []byte { return b[:len(b)/2] },
		"cut":        func(b []byte) []byte { return b[:max(len(b)-1, 0)] },
		"lengthened": func(b []byte) []byte { return append(b, "garbage garbage garbage"...) },
		"zeroed":     func(b []byte) []byte { return make([]byte, len(b)) },
		"noise":      func(b []byte) []byte { return slices.Repeat([]byte{0xa5}, len(b)) },
	}
	for at := 0; at <= 100; at += 2 {
		damages[fmt.Sprintf("flipped at %d%%", at)] = flip(at)
	}
	kinds := []string{".sst", ".log", "MANIFEST-", "OPTIONS-", "marker.manifest", "marker.format-version"}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for name, damage := range damages {
				fs := vfs.NewMem()
				if err := script(fs, (*pebble.DB).Flush, func(segment.LSN) {}); err != nil {
					t.Fatal(err)
				}
				for _, file := range fileNames(t, fs, kind) {
					data := readFile(t, fs, file)
					if err := fs.Remove(file); err != nil {
						t.Fatal(err)
					}
					if damage != nil {
						writeFile(t, fs, file, damage(data))
					}
				}
				got, err := contents(fs)
				if err != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s: not reported as damage: %v", name, err)
				}
				if err == nil && !slices.Contains(good, got) {
					t.Errorf("%s: store says\n%s", name, got)
				}
			}
		})
	}
	n := len(kinds) * len(damages)
	t.Logf("crash: 1 rounds, 0 cut points, %d faults, %d looked for, 0 lost", n, n)
}

// put returns what stores a value behind the back of a closed store.
func put(key, payload []byte, version byte) func(t *testing.T, fs vfs.FS) {
	return func(t *testing.T, fs vfs.FS) {
		db, err := pebble.Open("index", &pebble.Options{FS: fs, FormatMajorVersion: pebbleFormat, Logger: quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		value := sealValue(key, append([]byte{version}, payload...))
		if err := errors.Join(db.Set(key, value, pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOlderViewIsToBeRebuilt: a caller that knows of damage alone rebuilds it too.
func TestOlderViewIsToBeRebuilt(t *testing.T) {
	for version := range byte(formatVersion) {
		fs := vfs.NewMem()
		if err := script(fs, (*pebble.DB).Flush, func(segment.LSN) {}); err != nil {
			t.Fatal(err)
		}
		put([]byte{prefixFormat}, append([]byte(formatMagic), version, 0, 0, 0), valueVersion)(t, fs)
		_, err := contents(fs)
		for _, family := range []error{ErrOutdated, ErrCorrupt, segment.ErrCorrupt} {
			if !errors.Is(err, family) {
				t.Errorf("version %d: %v does not match %v", version, err, family)
			}
		}
		if errors.Is(err, ErrVersion) {
			t.Errorf("version %d: %v is taken for a newer one", version, err)
		}
	}
}

func TestNewerViewIsRefusedAndNotCalledDamaged(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, fs vfs.FS){
		"layout": put([]byte{prefixFormat}, append([]byte(formatMagic), formatVersion+1, 0, 0, 0), valueVersion),
		"format": put([]byte{prefixFormat}, []byte("anything"), valueVersion+1),
		"value":  put(appendMetaKey(nil, levelID{queue: 1}), []byte("anything"), valueVersion+1),
		"pebble": func(t *testing.T, fs vfs.FS) {
			name := fileNames(t, fs, pebbleFormatMarker)[0]
			at := strings.LastIndex(name, ".")
			if err := fs.Rename(name, fmt.Sprintf("%s.%03d", name[:at], pebble.FormatNewest+1)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		fs := vfs.NewMem()
		if err := script(fs, (*pebble.DB).Flush, func(segment.LSN) {}); err != nil {
			t.Fatal(err)
		}
		change(t, fs)
		if _, err := contents(fs); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type quiet struct{ pebbleLog }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func TestForeignDatabaseIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	db, err := pebble.Open("index", &pebble.Options{FS: fs, FormatMajorVersion: pebbleFormat, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("somebody's"), []byte("data"), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := contents(fs); !errors.Is(err, ErrForeign) || errors.Is(err, ErrCorrupt) {
		t.Errorf("opened somebody's database: %v", err)
	}
}

func TestLockedFolderIsNotCalledDamaged(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	if _, err := Open(Config{Dir: dir}); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("second open: %v", err)
	}
}

func TestUnreadableDiskIsNotCalledDamaged(t *testing.T) {
	mem := vfs.NewMem()
	if err := script(mem, (*pebble.DB).Flush, func(segment.LSN) {}); err != nil {
		t.Fatal(err)
	}
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EACCES, syscall.EMFILE} {
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpOpen && strings.Contains(op.Path, "MANIFEST") {
				return errno
			}
			return nil
		}))
		if _, err := contents(fs); !errors.Is(err, errno) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	_, err := Open(Config{CacheBytes: -1})
	if err == nil || !strings.Contains(err.Error(), "folder") || !strings.Contains(err.Error(), "cache") {
		t.Errorf("got %v", err)
	}
}
