package wal

import (
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
