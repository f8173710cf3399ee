package wal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// manyRecords fills segments of a log of 1 MiB each until it has so many, with records small enough for tables of
// several pages. It returns the bodies.
func manyRecords(t testing.TB, l *Log, segments int) (all []string) {
	t.Helper()
	for len(l.Segments()) < segments {
		var some []string
		for range 100 {
			some = append(some, fmt.Sprint(len(all)+len(some)))
		}
		appendBodies(t, l, some...)
		all = append(all, some...)
	}
	return all
}

// tearFooter takes a page of a footer's tables away, and leaves its head and the trailer.
func tearFooter(t testing.TB, path string) {
	t.Helper()
	edit(t, path, func(data []byte) []byte {
		from := (footerAt(data) + footerHead + 4095) &^ 4095
		if from+4096 > int64(len(data)-segment.TrailerSize) {
			t.Fatalf("%s: no page holds nothing but tables", path)
		}
		clear(data[from : from+4096])
		return data
	})
}

// A footer is one write of several pages and a sync: when the power is cut in between, any of them may be missing.
func TestFooterTornByAPowerCutIsWrittenAnew(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	all := manyRecords(t, l, 3)
	awaitSealed(t, l, 2)
	sealing := clone(t, l.cfg.Dir) // while the keeper seals the second
	sealed := segmentPaths(t, sealing)[1]
	appendBodies(t, l, slices.Repeat([]string{"more"}, 5000)...)
	for range 5000 {
		all = append(all, "more")
	}
	closeLog(t, l)
	paths := segmentPaths(t, l.cfg.Dir)
	for name, c := range map[string]struct {
		dir, path string
		count     int
		damage    bool // in a synced record of the same segment
	}{
		"keeper":        {sealing, sealed, len(all) - 5000, false},
		"close":         {clone(t, l.cfg.Dir), paths[len(paths)-1], len(all), false},
		"and an impact": {clone(t, l.cfg.Dir), paths[len(paths)-1], len(all), true},
	} {
		t.Run(name, func(t *testing.T) {
			path := strings.Replace(c.path, l.cfg.Dir, c.dir, 1)
			tearFooter(t, path)
			if c.damage {
				edit(t, path, func(data []byte) []byte {
					offsets, _ := batches(t, data)
					data[offsets[len(offsets)-1]+segment.BatchHeaderSize+40] ^= 1
					return data
				})
			}
			if !c.damage {
				verify(t, c.dir)
			}
			logger, said := remembered()
			l := openOnly(t, Config{Dir: c.dir, SegmentSize: 1 << 20, Logger: logger})
			if r := l.Recovery(); r.Clean || int(r.Last) != c.count || (len(r.Quarantined) > 0) != c.damage || (r.Lost() == 1) != c.damage {
				t.Fatalf("recovery %+v, of %d", r, c.count)
			}
			if strings.Contains(said(), "corruption") != c.damage || !strings.Contains(said(), "footer was not written completely") {
				t.Errorf("said %s", said())
			}
			if err := l.Start(); err != nil {
				t.Fatal(err)
			}
			lost := 0
			v := l.NewView()
			for i, want := range all[:c.count] {
				if r, err := v.Record(segment.LSN(i + 1)); err != nil {
					lost++
				} else if body(t, r) != want {
					t.Fatalf("record %d is %q", i+1, body(t, r))
				}
			}
			v.Release()
			if want := map[bool]int{true: 1}[c.damage]; lost != want {
				t.Errorf("%d records lost, want %d", lost, want)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if !c.damage {
				verify(t, c.dir)
			}
			again := openOnly(t, Config{Dir: c.dir, Logger: logger})
			if r := again.Recovery(); !r.Clean || int(r.Last) != c.count || len(r.Quarantined) > 0 {
				t.Errorf("recovery after a repair %+v", r)
			}
			again.Close()
		})
	}
}

// loseFooter takes a sector away of a footer that was written and not synced, or leaves it as it is.
func loseFooter(t testing.TB, dir string, footer []byte, at int64, chance *rand.Rand) (torn bool) {
	t.Helper()
	const sector = 512
	end := at + int64(len(footer))
	from := max(at, (at+chance.Int64N(end-at))&^(sector-1))
	for _, path := range segmentPaths(t, dir) {
		edit(t, path, func(data []byte) []byte {
			if chance.IntN(4) > 0 && int64(len(data)) >= end && bytes.Equal(data[at:end], footer) {
				clear(data[from:min(end, (from+sector)&^(sector-1))])
				torn = true
			}
			return data
		})
	}
	return torn
}
