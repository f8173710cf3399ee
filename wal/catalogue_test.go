package wal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	cfg := stating(5000)
	cfg.Dir = t.TempDir()
	l := openLog(t, cfg)
	rotated(t, l, 12)
	awaitSealed(t, l, 11)
	relocate(t, l, 0, 1, every(5))
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	var cuts []string
	l.disk.Datasync = func(file *os.File) error {
		if file.Name() == cfg.Dir {
			cuts = append(cuts, clone(t, cfg.Dir))
		}
		return nil
	}
	l.retiring.Lock()
	gone := l.unneeded(l.Last())
	l.retiring.Unlock()
	if len(gone) < 3 || !gone[1].continues || gone[0].old == nil {
		t.Fatalf("%d files to be retired", len(gone))
	}
	if err := l.Retire(l.Last()); err != nil {
		t.Fatal(err)
	}
	first, want := l.First(), bodies(t, l)
	closeLog(t, l)
	if len(cuts) < 2 {
		t.Fatalf("%d syncs of the directory", len(cuts))
	}
	for n := range len(gone) { // so many of the others have gone
		dir := clone(t, cuts[0])
		for _, s := range gone[1 : 1+min(n, len(gone)-1)] {
			if err := os.Remove(filepath.Join(dir, filepath.Base(s.path))); err != nil {
				t.Fatal(err)
			}
		}
		cuts = append(cuts, dir)
	}
	for i, dir := range cuts {
		verify(t, dir)
		r, err := OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		if r.First() != first {
			t.Errorf("cut %d: a reader begins with record %d, want %d", i, r.First(), first)
		}
		r.Close()
		cfg.Dir = dir
		l := openLog(t, cfg)
		if got := bodies(t, l); l.First() != first || continuing(t, l)[0] || !slices.Equal(got[:len(want)], want) || len(l.Recovery().Quarantined) > 0 {
			t.Errorf("cut %d: %d records from %d, want %d from %d; %+v", i, len(got), l.First(), len(want), first, l.Recovery())
		}
		closeLog(t, l)
		if left, _ := filepath.Glob(filepath.Join(dir, "*"+retiredSuffix)); len(left) > 0 {
			t.Errorf("cut %d: left behind: %v", i, left)
		}
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
