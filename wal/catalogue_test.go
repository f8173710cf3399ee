package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// stating is a log whose segments begin with a catalogue of so many bytes, unless catalogues would be too much of it.
func stating(bytes int) Config {
	var stated segment.Batch
	stated.Append(segment.KindCatalogue, 0, 0, 7, []byte(strings.Repeat("c", bytes)))
	return Config{Catalogue: func() []*segment.Batch { return []*segment.Batch{&stated} }}
}

// continuing tells which files do not begin with a catalogue, and checks that the others do.
func continuing(t testing.TB, l *Log) (without []bool) {
	t.Helper()
	v := l.NewView()
	defer v.Release()
	for _, info := range l.Segments() {
		r, err := v.Record(info.Base)
		if begins := err == nil && r.Kind() == segment.KindCatalogue; begins == info.Continues {
			t.Errorf("%s: begins with a catalogue is %v, continues is %v (%v)", info.Path, begins, info.Continues, err)
		}
		without = append(without, info.Continues)
	}
	return without
}

func TestCataloguesAreASmallShareOfTheLog(t *testing.T) {
	for _, bytes := range []int{50, 1000, 3000} {
		cfg := stating(bytes)
		cfg.Dir = t.TempDir()
		l := openLog(t, cfg)
		rotated(t, l, 40)
		stated := 0
		for _, without := range continuing(t, l) {
			if !without {
				stated += bytes
			}
		}
		if most := int(l.Written())/32 + 2*bytes; stated > most {
			t.Errorf("%d bytes of catalogues in %d, want at most %d", stated, l.Written(), most)
		}
		if bytes == 50 && stated != 40*bytes {
			t.Errorf("small catalogues do not begin every segment, but %d of 40", stated/bytes)
		}
		closeLog(t, l)
	}
}

func TestWhatIsLeftOfALogBeginsWithACatalogue(t *testing.T) {
	cfg := stating(5000) // in every few segments
	cfg.Dir = t.TempDir()
	l := openLog(t, cfg)
	rotated(t, l, 12)
	awaitSealed(t, l, 11)
	continues := continuing(t, l)
	if !continues[1] || !slices.Contains(continues[1:], false) {
		t.Fatalf("files without a catalogue: %v", continues)
	}
	check := func(floor segment.LSN) {
		t.Helper()
		if err := l.SyncTo(t.Context(), l.Last()); err != nil { // a catalogue that could be lost counts for nothing
			t.Fatal(err)
		}
		before := l.Segments()
		if err := l.Retire(floor); err != nil {
			t.Fatal(err)
		}
		want := l.First()
		for _, info := range before { // the last one that begins with a catalogue and has nothing needed before it
			if !info.Continues && info.Base <= floor {
				want = info.Base
			}
		}
		if first := l.Segments()[0]; first.Continues || first.Base != want {
			t.Fatalf("with floor %d the log begins with %+v, want record %d", floor, first, want)
		}
	}
	for _, info := range l.Segments()[:6] {
		check(info.Last + 1)
		check(info.Last)
	}
	closeLog(t, l)

	l = openLog(t, cfg) // headers tell it again
	rotated(t, l, 9)
	awaitSealed(t, l, 8)
	continuing(t, l)
	relocate(t, l, 1, 3, every(5))
	relocate(t, l, 0, 1, every(5))
	if again := continuing(t, l); again[0] {
		t.Error("a relocation has lost the catalogue that the log begins with")
	}
	dir := clone(t, cfg.Dir)
	closeLog(t, l)
	cfg.Dir = dir
	l = openLog(t, cfg)
	continuing(t, l)
	check(l.Last())
	closeLog(t, l)
}

// Files are given up one by one, and a process may end after each: what has a catalogue shall not go before what needs
// it.
func TestCrashInTheMidstOfRetirementLeavesACatalogue(t *testing.T) {
	for _, first := range []string{"segment", "old generation"} {
		t.Run(first, func(t *testing.T) {
			dir := t.TempDir()
			cuts := retirementCuts{t: t, dir: dir}
			cfg := stating(5000)
			cfg.Dir, cfg.Disk = dir, unsyncedDisk()
			cfg.Disk.Datasync = cuts.sync
			l := openLog(t, cfg)
			rotated(t, l, 12)
			awaitSealed(t, l, 11)
			if first == "old generation" {
				relocate(t, l, 0, 1, every(5))
			}
			if err := l.SyncTo(t.Context(), l.Last()); err != nil {
				t.Fatal(err)
			}
			l.retiring.Lock()
			gone := l.unneeded(l.Last())
			l.retiring.Unlock()
			if len(gone) < 3 || !gone[1].continues || gone[0].old == nil != (first == "segment") {
				t.Fatalf("%d files to be retired", len(gone))
			}
			if err := l.Retire(l.Last()); err != nil {
				t.Fatal(err)
			}
			begins, want := l.First(), bodies(t, l)
			closeLog(t, l)
			for i, dir := range cuts.all(gone[1:]) {
				wantRetired(t, fmt.Sprint("cut ", i), dir, cfg, begins, want)
			}
		})
	}
}

// retirementCuts clones a log's directory at its syncs while files are given up together.
type retirementCuts struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex // guards dirs
	dirs []string
}

func (c *retirementCuts) sync(file *os.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if markers, _ := filepath.Glob(filepath.Join(c.dir, "*"+retiredSuffix)); file.Name() == c.dir && len(markers) > 0 {
		c.dirs = append(c.dirs, clone(c.t, c.dir))
	}
	return nil
}

// all are the clones, and what the first would be with more and more of the others gone.
func (c *retirementCuts) all(others []*segmentFile) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dirs) < 2 {
		c.t.Fatalf("%d syncs of the directory while files were given up", len(c.dirs))
	}
	dirs := slices.Clone(c.dirs)
	for n := range others {
		dir := clone(c.t, c.dirs[0])
		for _, s := range others[:n+1] {
			if err := os.Remove(filepath.Join(dir, filepath.Base(s.path))); err != nil {
				c.t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// wantRetired checks that a log begins with a record, for Verify, a Reader and Open, and that a start leaves nothing of
// what was before it.
func wantRetired(t *testing.T, what, dir string, cfg Config, first segment.LSN, want []string) {
	t.Helper()
	if report := verify(t, dir); report.First != first || len(report.Superseded) == 0 {
		t.Errorf("%s: verify begins with record %d, want %d; superseded: %v", what, report.First, first, report.Superseded)
	}
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.First() != first {
		t.Errorf("%s: a reader begins with record %d, want %d", what, r.First(), first)
	}
	cfg.Dir, cfg.Disk = dir, unsyncedDisk()
	l := openLog(t, cfg)
	got := bodies(t, l)
	if l.First() != first || continuing(t, l)[0] || !slices.Equal(got[:len(want)], want) || len(l.Recovery().Quarantined) > 0 {
		t.Errorf("%s: %d records from %d, want %d from %d; %+v", what, len(got), l.First(), len(want), first, l.Recovery())
	}
	closeLog(t, l)
	if report := verify(t, dir); len(report.Superseded) > 0 {
		t.Errorf("%s: left behind: %v", what, report.Superseded)
	}
}

// What a name says of older files holds only where there are newer ones: else it would take away the whole log.
func TestFilesGivenUpAreNotRemovedWhenNoneIsBehindThem(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	closeLog(t, l)
	paths := segmentPaths(t, l.cfg.Dir)
	if err := os.Rename(paths[0], filepath.Join(l.cfg.Dir, retiredName(1, l.Last()))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: l.cfg.Dir}); err == nil || !strings.Contains(err.Error(), "put the missing files of the log back") {
		t.Errorf("open: %v", err)
	}
	if _, err := Verify(l.cfg.Dir); err == nil {
		t.Error("verify finds nothing wrong")
	}
	if left := segmentPaths(t, l.cfg.Dir); !slices.Equal(left, paths[1:]) {
		t.Errorf("left: %v", left)
	}
}

// A process may end between the pieces of a catalogue: nothing in the file tells that more was to come.
func TestFileWithNothingButACatalogueIsNotTakenToBeginWithAWholeOne(t *testing.T) {
	cfg := stating(50) // in each
	cfg.Dir = t.TempDir()
	l := openLog(t, cfg)
	appendBodies(t, l, "one")
	closeLog(t, l)
	l = openLog(t, cfg) // whose second file has nothing else yet
	cfg.Dir = clone(t, l.cfg.Dir)
	closeLog(t, l)
	for range 2 { // the second time its header tells it
		l = openLog(t, cfg)
		if files := l.Segments(); files[0].Continues || !files[1].Continues || files[2].Continues {
			t.Errorf("files: %+v", files)
		}
		closeLog(t, l)
	}
	verify(t, cfg.Dir)
}

func TestLogThatHasStoppedGivesNothingUp(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	awaitSealed(t, l, 2)
	l.fail(errors.New("the disk is gone"))
	if err := l.Retire(l.Last()); err != nil || l.First() != 1 {
		t.Errorf("log begins with %d, %v", l.First(), err)
	}
}

func TestCatalogueThatIsNotSyncedLetsNothingGo(t *testing.T) {
	cfg := stating(50) // in each
	cfg.Dir, cfg.Sync = t.TempDir(), SyncOS
	l := openLog(t, cfg)
	rotated(t, l, 2)
	awaitSealed(t, l, 1)
	second := l.Segments()[1].Base
	l.durable.Store(uint64(second) - 1)
	if err := l.Retire(l.Last()); err != nil || l.First() != 1 {
		t.Fatalf("before its sync: log begins with %d, %v", l.First(), err)
	}
	if err := errors.Join(l.SyncTo(t.Context(), l.Last()), l.Retire(l.Last())); err != nil || l.First() != second {
		t.Fatalf("after it: log begins with %d, want %d, %v", l.First(), second, err)
	}
	closeLog(t, l)
}

func TestFileWithADamagedHeaderIsNotTakenToBeginWithACatalogue(t *testing.T) {
	cfg := stating(3000)
	cfg.Dir = t.TempDir()
	l := openLog(t, cfg)
	rotated(t, l, 12)
	awaitSealed(t, l, 11)
	want := continuing(t, l)[:11]
	closeLog(t, l)
	for _, path := range segmentPaths(t, cfg.Dir)[:11] {
		edit(t, path, flip(100))
	}
	for range 2 { // the second time the headers have been written anew
		l = openLog(t, cfg)
		if got := continuing(t, l)[:11]; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		closeLog(t, l)
	}
}
