package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// mustHold opens a directory and checks that every record that want has is there, and none that nobody wrote.
func mustHold(t *testing.T, dir string, all []string, last, n segment.LSN) {
	t.Helper()
	l := openOnly(t, Config{Dir: dir})
	if r := l.Recovery(); len(r.Quarantined) > 0 || int(r.Last) != len(all) {
		t.Fatalf("recovery %+v", r)
	}
	check := func() {
		t.Helper()
		v := l.NewView()
		defer v.Release()
		for i, body := range all {
			lsn := segment.LSN(i + 1)
			r, err := v.Record(lsn)
			if err == nil {
				if p, err := r.Publish(); err != nil || string(p.Body) != body {
					t.Fatalf("record %d is another: %v", lsn, err)
				}
			} else if lsn > last || lsn%n == 0 || !errors.Is(err, ErrGone) {
				t.Fatalf("record %d: %v", lsn, err)
			}
		}
	}
	check()
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	check()
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) > 0 {
		t.Fatalf("left behind: %v", left)
	}
	closeLog(t, l)
}

// TestCrashAtEveryStepOfARelocation clones the directory before and after each write and sync of a relocation, and
// in ready, and opens each clone.
func TestCrashAtEveryStepOfARelocation(t *testing.T) {
	var mu sync.Mutex // guards what the disk's hooks use
	var cuts []string
	dir, clones, armed := t.TempDir(), t.TempDir(), false
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		if !armed {
			return
		}
		to := filepath.Join(clones, fmt.Sprint(len(cuts)))
		if err := os.Mkdir(to, 0o750); err != nil {
			t.Error(err)
		}
		cloneInto(t, dir, to)
		cuts = append(cuts, to)
	}
	disk := unsyncedDisk()
	disk.WriteAt = func(file *os.File, p []byte, at int64) (int, error) {
		if strings.HasSuffix(file.Name(), temporarySuffix) {
			cut()
			if _, err := file.WriteAt(p[:len(p)/2], at); err != nil {
				return 0, err
			}
			cut()
		}
		return file.WriteAt(p, at)
	}
	disk.Datasync = func(*os.File) error { cut(); return nil }
	l := openLog(t, Config{Dir: dir, Disk: disk})
	all := rotated(t, l, 6)
	relocate(t, l, 0, 1, every(2)) // so that an old-generation file is among the victims
	awaitSealed(t, l, 4)
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	await(t, "spares", func() bool { return sparesOf(l) == readySpares })
	infos := l.Segments()
	arm := func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		armed = on
	}
	arm(true)
	last := infos[2].Last
	if _, err := l.Relocate(t.Context(), 1, last, every(6), func() error { cut(); return nil }); err != nil {
		t.Fatal(err)
	}
	cut()
	arm(false)
	closeLog(t, l)
	if len(cuts) < 8 {
		t.Fatalf("%d cuts", len(cuts))
	}
	for i, at := range cuts {
		t.Run(fmt.Sprint(i), func(t *testing.T) { mustHold(t, at, all, last, 6) })
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", len(cuts), len(cuts), len(cuts)*len(all))
}

// relocated returns a log's directory with an old-generation file, and beside it a directory with what it was made
// from.
func relocatedLog(t *testing.T) (dir, before string, old name, all []string) {
	t.Helper()
	l := openLog(t, Config{Dir: t.TempDir()})
	all = rotated(t, l, 5)
	awaitSealed(t, l, 4)
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	before = clone(t, l.cfg.Dir)
	relocate(t, l, 0, 2, every(2))
	closeLog(t, l)
	return l.cfg.Dir, before, name{oldKind, 1, l.recoveryLast(t), 0}, all
}

// recoveryLast is the last record of the log's first old-generation file.
func (l *Log) recoveryLast(t *testing.T) segment.LSN {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(l.cfg.Dir, "*"+oldSuffix))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	return parseName(filepath.Base(paths[0])).last
}

func (n name) path(dir string) string { return filepath.Join(dir, oldName(n.base, n.last)) }

// putBack copies the segments that the old-generation file replaced into dir, but for those to leave out.
func putBack(t *testing.T, from, dir string, last segment.LSN, without ...int) (paths []string) {
	t.Helper()
	for i, path := range segmentPaths(t, from) {
		if parseName(filepath.Base(path)).base > last || slices.Contains(without, i) {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(to, data, 0o640); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, to)
	}
	return paths
}

func TestVictimsLeftByACrashAreSuperseded(t *testing.T) {
	for _, c := range []struct {
		name    string
		without []int
	}{
		{"all there", nil},
		{"the first removed", []int{0}},
		{"the middle removed", []int{1}},
		{"the last alone", []int{0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, before, old, all := relocatedLog(t)
			paths := putBack(t, before, dir, old.last, c.without...)
			if report := verify(t, dir); len(report.Superseded) != len(paths) {
				t.Fatalf("superseded: %v", report.Superseded)
			}
			l := openOnly(t, Config{Dir: dir})
			if got := bodies(t, l); !slices.Equal(got, survivors(all, old.last, 2)) {
				t.Fatalf("%d records", len(got))
			}
			if _, err := os.Stat(paths[0]); err != nil {
				t.Fatalf("open changed the directory: %v", err)
			}
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there: %v", path, err)
				}
			}
			closeLog(t, l)
		})
	}
}

func TestADamagedOldFileLosesAgainstItsVictims(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	dir, before, old, all := relocatedLog(t)
	info, err := os.Stat(old.path(dir))
	if err != nil {
		t.Fatal(err)
	}
	size := int(info.Size())
	for _, at := range []int{60, segment.HeaderSize + 60, segment.HeaderSize + 100 + chance.IntN(1000), size - 1000, size - 60} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			dir := clone(t, dir)
			edit(t, old.path(dir), flip(at))
			putBack(t, before, dir, old.last)
			l := openOnly(t, Config{Dir: dir})
			if at == segment.HeaderSize+60 { // a block's header, of which the footer says the same: it is sound, and counts
				if got := bodies(t, l); !slices.Equal(got, survivors(all, old.last, 2)) {
					t.Fatalf("%d records", len(got))
				}
				if err := l.Start(); err != nil {
					t.Fatal(err)
				}
				closeLog(t, l)
				return
			}
			if got := bodies(t, l); !slices.Equal(got, all) {
				t.Fatalf("%d of %d records", len(got), len(all))
			}
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(old.path(dir)); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("the damaged file is still there: %v", err)
			}
			if aside, _ := filepath.Glob(filepath.Join(dir, "*.old.dropped-*")); len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
			closeLog(t, l)
		})
	}
}

func TestDamageInAnOldFileCostsNoMoreThanItsBlock(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	var all []string
	chance := rand.New(rand.NewPCG(3, 4))
	for i := 0; len(l.Segments()) < 4; i++ {
		noise := make([]byte, 3000)
		for j := range noise {
			noise[j] = byte('a' + chance.IntN(26))
		}
		all = append(all, fmt.Sprintf("%06d %s", i, noise))
		appendBodies(t, l, all[i])
	}
	relocate(t, l, 0, 2, every(2))
	last := l.Segments()[0].Last
	path, footer := l.Segments()[0].Path, l.list()[0].old.head
	var blocks []segment.OldBlock
	for i := range footer.Blocks() {
		blocks = append(blocks, footer.Block(i))
	}
	end, size := int(footer.End), int(l.Segments()[0].Size)
	closeLog(t, l)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		lost   []int // blocks
		faults bool
	}{
		{"block header", flip(int(blocks[1].Offset) - 40), nil, false},
		{"block", flip(int(blocks[1].Offset) + 500), []int{1}, true},
		{"first and last block", func(p []byte) []byte {
			return flip(int(blocks[0].Offset) + 9)(flip(end - 100)(p))
		}, []int{0, len(blocks) - 1}, true},
		{"footer", flip(end + 30), nil, true},
		{"footer's magic", flip(end), nil, true},
		{"footer's table", flip(size - 200), nil, true},
		{"trailer", flip(size - 50), nil, true},
		{"footer cut off", func(p []byte) []byte { return p[:end] }, nil, true},
		{"footer and a block", func(p []byte) []byte {
			return flip(size - 50)(flip(int(blocks[2].Offset) + 77)(p))
		}, []int{2}, true},
		{"cut in a block", func(p []byte) []byte { return p[:blocks[len(blocks)-1].Offset+20] }, []int{len(blocks) - 1}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := clone(t, l.cfg.Dir)
			edit(t, filepath.Join(dir, filepath.Base(path)), c.change)
			isLost := func(lsn segment.LSN) bool {
				return slices.ContainsFunc(c.lost, func(i int) bool {
					return lsn >= blocks[i].First && (i+1 == len(blocks) || lsn < blocks[i+1].First)
				})
			}
			report, err := Verify(dir)
			if err != nil || (len(report.Faults) > 0) != c.faults {
				t.Fatalf("verify: %v, %v", err, report.Faults)
			}
			l := openOnly(t, Config{Dir: dir})
			v := l.NewView()
			defer v.Release()
			for i, body := range all {
				lsn := segment.LSN(i + 1)
				r, err := v.Record(lsn)
				switch {
				case lsn <= last && isLost(lsn):
					if !errors.Is(err, segment.ErrCorrupt) && (lsn%2 == 0 || !errors.Is(err, ErrGone)) {
						t.Fatalf("record %d, which is lost: %v", lsn, err)
					}
				case lsn <= last && lsn%2 == 1:
					if !errors.Is(err, ErrGone) && !errors.Is(err, segment.ErrCorrupt) {
						t.Fatalf("record %d, which is gone: %v", lsn, err)
					}
				case err != nil:
					t.Fatalf("record %d: %v", lsn, err)
				default:
					if p, err := r.Publish(); err != nil || string(p.Body) != body {
						t.Fatalf("record %d is another: %v", lsn, err)
					}
				}
			}
			v.Release()
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			appendBodies(t, l, "the log goes on")
			if len(c.lost) > 0 {
				if err := l.SyncTo(t.Context(), l.Last()); err != nil {
					t.Fatal(err)
				}
				_, err := l.Relocate(t.Context(), 1, last, every(1), func() error { return nil })
				if !errors.Is(err, segment.ErrCorrupt) {
					t.Fatalf("a damaged file was relocated: %v", err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestADamagedOldHeaderIsWrittenAnew(t *testing.T) {
	dir, _, old, all := relocatedLog(t)
	edit(t, old.path(dir), flip(60))
	l := openLog(t, Config{Dir: dir})
	if r := l.Recovery(); len(r.Quarantined) != 1 || r.Quarantined[0].To >= r.Quarantined[0].From {
		t.Fatalf("recovery %+v", r)
	}
	if got := bodies(t, l); !slices.Equal(got, survivors(all, old.last, 2)) {
		t.Fatalf("%d records", len(got))
	}
	closeLog(t, l)
}

func TestAnUnreadableOldFileIsForAPersonToDecide(t *testing.T) {
	dir, _, old, all := relocatedLog(t)
	edit(t, old.path(dir), func(p []byte) []byte { return p[:100] })
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "--repair") {
		t.Fatalf("open: %v", err)
	}
	l := openLog(t, Config{Dir: dir, Repair: true})
	if r := l.Recovery(); len(r.Quarantined) != 1 || r.Quarantined[0].From != 1 || r.Quarantined[0].To != old.last {
		t.Fatalf("recovery %+v", r)
	}
	if got := bodies(t, l); !slices.Equal(got, all[old.last:]) {
		t.Fatalf("%d records", len(got))
	}
	closeLog(t, l)
}

func TestFutureVersionOfAnOldFileStopsOpen(t *testing.T) {
	dir, _, old, _ := relocatedLog(t)
	editVersion(t, old.path(dir))
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, segment.ErrVersion) || !strings.Contains(err.Error(), old.path(dir)) {
		t.Fatalf("open: %v", err)
	}
}

func TestARenamedOldFileIsRefused(t *testing.T) {
	dir, _, old, _ := relocatedLog(t)
	other := name{oldKind, 1, old.last - 1, 0}
	if err := os.Rename(old.path(dir), other.path(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "renamed") {
		t.Fatalf("open: %v", err)
	}
}
