package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

func awaitSealed(t testing.TB, l *Log, n int) {
	t.Helper()
	await(t, "sealed segments", func() bool {
		for _, info := range l.Segments()[:n] {
			if !info.Sealed {
				return false
			}
		}
		return true
	})
}

func TestRetireRemovesThePrefixBelowTheFloor(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	want := rotated(t, l, 5)
	awaitSealed(t, l, 4)
	infos := l.Segments()
	if err := l.Retire(infos[2].Last); err != nil { // that record is still needed
		t.Fatal(err)
	}
	if first := l.First(); first != infos[2].Base {
		t.Fatalf("first is %d, want %d", first, infos[2].Base)
	}
	v := l.NewView()
	if _, err := v.Record(infos[2].Base - 1); !errors.Is(err, ErrGone) {
		t.Fatalf("retired record: %v", err)
	}
	v.Release()
	if err := l.Retire(l.Last() + 1); err != nil {
		t.Fatal(err)
	}
	if got := l.Segments(); len(got) != 1 || got[0].Base != infos[4].Base {
		t.Fatalf("segments left: %+v", got)
	}
	closeLog(t, l)
	goOn(t, l.cfg.Dir, want[infos[4].Base-1:])
}

func TestFilesAreUsedAgainAndStaleBytesNeverRead(t *testing.T) {
	made := 0
	l := openLog(t, Config{Dir: t.TempDir(), Disk: Disk{Allocate: func(file *os.File, size int64, rest func(int64) error) error {
		made++
		return allocate(file, size, rest)
	}}})
	next := segment.LSN(1)
	for i := range 2000 {
		next = appendBodies(t, l, fmt.Sprintf("%d %s", i, strings.Repeat("z", 400))) + 1
		if i%100 == 0 {
			awaitSealed(t, l, len(l.Segments())-1)
			if err := l.Retire(next); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.SyncTo(t.Context(), l.Last()); err != nil {
		t.Fatal(err)
	}
	dir := clone(t, l.cfg.Dir)
	want := bodies(t, l)
	closeLog(t, l)
	if made > 8 {
		t.Errorf("%d files made for a log that holds two", made)
	}
	again := openOnly(t, Config{Dir: dir})
	if got := bodies(t, again); !slices.Equal(got, want) || again.Recovery().Dropped != 0 {
		t.Fatalf("%d records, want %d; %+v", len(got), len(want), again.Recovery())
	}
}

func TestAReaderKeepsItsRecordsThroughRetirement(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	awaitSealed(t, l, 2)
	v := l.NewView()
	r, err := v.Record(1)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(r)
	if err := l.Retire(l.Last()); err != nil {
		t.Fatal(err)
	}
	rotated(t, l, 8)
	if !bytes.Equal(r, before) {
		t.Fatal("record changed under its reader")
	}
	if _, err := v.Record(2); err != nil {
		t.Fatalf("another record of the segment held: %v", err)
	}
	v.Release()
	if _, err := v.Record(1); !errors.Is(err, ErrGone) {
		t.Fatalf("after release: %v", err)
	}
	closeLog(t, l)
}

func TestACursorOvertakenByRetirementSaysSo(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 4)
	awaitSealed(t, l, 3)
	c := l.Cursor(1)
	defer c.Close()
	if !c.Next() {
		t.Fatal(c.Err())
	}
	if err := l.Retire(l.Last()); err != nil {
		t.Fatal(err)
	}
	for c.Next() {
	}
	if !errors.Is(c.Err(), ErrGone) {
		t.Fatalf("cursor ended with %v", c.Err())
	}
	closeLog(t, l)
}

func TestACursorFollowsAppends(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	c := l.Cursor(0)
	defer c.Close()
	for i := range 500 {
		text := fmt.Sprint(i, strings.Repeat("c", i))
		if c.Next() {
			t.Fatalf("record %d before it was written", c.Record().LSN())
		}
		appendBodies(t, l, text)
		if !c.Next() || body(t, c.Record()) != text {
			t.Fatalf("record %d: %v", i+1, c.Err())
		}
	}
	closeLog(t, l)
}

// TestEverythingAtOnce is for the race detector: appenders, readers at random, cursors, syncs and
// retirement side by side.
func TestEverythingAtOnce(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize, Disk: realDisk()})
	const perAppender = 600
	var appenders, others sync.WaitGroup
	for a := range 3 {
		appenders.Go(func() {
			var b segment.Batch
			for i := range perAppender {
				b.Reset()
				for k := range i%4 + 1 {
					addPublish(&b, fmt.Sprintf("%d %d %d %s", a, i, k, strings.Repeat("r", i%300)), 1)
				}
				b.Durable = i%10 == 0
				if err := l.Append(&b, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	running := func() bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	for seed := range uint64(2) {
		others.Go(func() { readAtRandom(t, l, rand.New(rand.NewPCG(seed, 1)), running) })
	}
	others.Go(func() { followWithCursor(t, l, running) })
	others.Go(func() {
		for running() {
			if err := l.SyncTo(t.Context(), l.Last()); err != nil {
				t.Error(err)
				return
			}
			if err := l.Retire(l.Last() - min(l.Last(), 300)); err != nil {
				t.Error(err)
				return
			}
			_ = l.Find(time.Now().Add(-time.Millisecond))
			_ = l.Segments()
		}
	})
	appenders.Wait()
	close(done)
	others.Wait()
	want := segment.LSN(3 * (perAppender / 4) * (1 + 2 + 3 + 4))
	if l.Last() != want {
		t.Errorf("last is %d, want %d", l.Last(), want)
	}
	closeLog(t, l)
}

func readAtRandom(t *testing.T, l *Log, chance *rand.Rand, running func() bool) {
	v := l.NewView()
	defer v.Release()
	for running() {
		first, last := l.First(), l.Last()
		if last == 0 {
			continue
		}
		lsn := min(first, last) + segment.LSN(chance.Uint64N(uint64(last-min(first, last)+1)))
		r, err := v.Record(lsn)
		switch {
		case errors.Is(err, ErrGone):
		case err != nil:
			t.Error(err)
			return
		case r.LSN() != lsn || !r.Valid():
			t.Errorf("record %d is not what was written", lsn)
			return
		}
		if chance.IntN(20) == 0 {
			v.Release()
		}
	}
}

func followWithCursor(t *testing.T, l *Log, running func() bool) {
	c := l.Cursor(0)
	defer func() { c.Close() }()
	for running() {
		for c.Next() {
			if !c.Record().Valid() || c.Record().LSN() > l.Last() {
				t.Errorf("record %d is not what was written", c.Record().LSN())
				return
			}
		}
		if errors.Is(c.Err(), ErrGone) {
			c.Close()
			c = l.Cursor(0)
		} else if c.Err() != nil {
			t.Error(c.Err())
			return
		}
	}
}

// An appender that takes each spare as soon as it is made must not keep the keeper from sealing what it left.
func TestSegmentsAreSealedWhileAppendsUseUpTheSpares(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	var batch segment.Batch
	body := strings.Repeat("x", minSegmentSize/2)
	for range 200 {
		batch.Reset()
		addPublish(&batch, body, 1)
		if err := l.Append(&batch, nil); err != nil {
			t.Fatal(err)
		}
		unsealed := 0
		for _, s := range l.Segments() {
			if !s.Sealed {
				unsealed++
			}
		}
		// What waits, what the spares became since somebody looked, and the active one.
		if most := mostUnsealed + readySpares + 2; unsealed > most {
			t.Fatalf("%d segments are not sealed, more than %d", unsealed, most)
		}
	}
	closeLog(t, l)
}

// The syncer wakes the keeper when it has synced what waits to be sealed, though nothing else happens and nobody
// asks for syncs.
func TestTheLastSegmentsAreSealedWithoutFurtherAppends(t *testing.T) {
	for _, level := range []Level{SyncDisk, SyncOS} {
		l := openLog(t, Config{Dir: t.TempDir(), Sync: level})
		for range 20 {
			n := len(l.Segments())
			for i := 0; len(l.Segments()) == n; i++ {
				appendBodies(t, l, strings.Repeat("x", 1000))
			}
			awaitSealed(t, l, n)
		}
		closeLog(t, l)
	}
}
