package wal

import (
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// pageSize is what tests take away at once; also on a machine with larger pages.
var pageSize = int64(os.Getpagesize())

// forbid makes a range of a mapped file unreadable, as a disk does that gives an error, and returns what mends it.
func forbid(t testing.TB, s *segmentFile, from, to int64) (mend func()) {
	t.Helper()
	pages := s.mapping.Bytes()[from&^(pageSize-1) : min((to+pageSize-1)&^(pageSize-1), s.size)]
	protect := func(how int) {
		t.Helper()
		if err := unix.Mprotect(pages, how); err != nil {
			t.Fatal(err)
		}
	}
	protect(unix.PROT_NONE)
	return func() { t.Helper(); protect(unix.PROT_READ) }
}

// manyRelocated is a log opened anew of an old-generation file, a segment and the newest one, whose tables have several
// pages each. Of the old file's records every second is there.
func manyRelocated(t testing.TB) (l *Log, all []string, said func() string) {
	t.Helper()
	before := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	all = manyRecords(t, before, 3)
	relocate(t, before, 0, 0, every(2))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	logger, said := remembered()
	return openOnly(t, Config{Dir: before.cfg.Dir, SegmentSize: 1 << 20, Logger: logger}), all, said
}

// readEach reads the records of a file that are to be there, and returns those that gave an error.
func readEach(t testing.TB, l *Log, s *segmentFile, all []string) (failed map[segment.LSN]error) {
	t.Helper()
	failed = map[segment.LSN]error{}
	v := l.NewView()
	defer v.Release()
	for lsn := s.base; lsn <= s.lastLSN(); lsn++ {
		if s.old != nil && lsn%2 != 0 {
			continue
		}
		if err := v.Read(lsn, func(r segment.Record) error {
			if got := body(t, r); got != all[lsn-1] {
				t.Fatalf("record %d is %q", lsn, got)
			}
			return nil
		}); err != nil {
			failed[lsn] = err
		}
	}
	return failed
}

func tablesOf(t testing.TB, s *segmentFile) (from, to int64) {
	t.Helper()
	from = footerAt(s.mapping.Bytes()) + footerHead
	if to = s.size - segment.TrailerSize; to-from < 3*pageSize {
		t.Skip("pages are too large")
	}
	return from, to
}

// A file that cannot be read for a moment is read in the next.
func TestABlipOfTheDiskIsForgotten(t *testing.T) {
	l, all, _ := manyRelocated(t)
	for _, s := range l.list()[:2] {
		mend := forbid(t, s, 0, s.size)
		v := l.NewView()
		lsn := s.base + s.base%2
		wantUnreadable(t, v.Read(lsn, func(segment.Record) error { return nil }), s.path)
		wantUnreadable(t, v.Read(lsn, func(segment.Record) error { return nil }), s.path)
		v.Release()
		c := l.Cursor(s.base)
		if c.Next() {
			t.Errorf("a cursor went on to record %d", c.LSN())
		}
		wantUnreadable(t, c.Err(), s.path)
		c.Close()
		mend()
		if failed := readEach(t, l, s, all); len(failed) > 0 {
			t.Errorf("%s: %d records cannot be read after it is mended: %v", s.path, len(failed), failed)
		}
	}
}

func TestPagesThatCannotBeReadCostTheRecordsThere(t *testing.T) {
	for _, used := range []bool{false, true} {
		l, all, said := manyRelocated(t)
		for _, s := range l.list()[:2] {
			if used {
				readEach(t, l, s, all)
			}
			from, _ := tablesOf(t, s)
			mendTables := forbid(t, s, from+pageSize, from+pageSize+1)
			at := s.end.Load() / 2 &^ (pageSize - 1)
			mend := forbid(t, s, at, at+1)
			failed := readEach(t, l, s, all)
			for _, err := range failed {
				wantUnreadable(t, err, s.path)
			}
			most := int(pageSize / segment.RecordHeaderSize)
			if s.old != nil {
				most = s.old.head.Records() * 2 / 3 // one block of three
			}
			if len(failed) == 0 || len(failed) > most {
				t.Errorf("%s: %d records failed, want some and not more than %d", s.path, len(failed), most)
			}
			mend()
			if failed := readEach(t, l, s, all); len(failed) > 0 {
				t.Errorf("%s: %d records cannot be read after it is mended", s.path, len(failed))
			}
			mendTables()
		}
		if strings.Contains(said(), "records ") && strings.Contains(said(), "checksum mismatch") {
			t.Errorf("what could not be read passes for damaged: %s", said())
		}
	}
}

func TestTablesDamagedAfterTheirFirstUseAreMadeAnew(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, s *segmentFile, from, to int64){
		"noise": func(t *testing.T, s *segmentFile, from, to int64) {
			chance := rand.New(rand.NewPCG(3, 4))
			noise := make([]byte, to-from)
			for i := range noise {
				noise[i] = byte(chance.Uint32())
			}
			overwrite(t, s.path, from, noise)
		},
		"zeros":      func(t *testing.T, s *segmentFile, from, to int64) { overwrite(t, s.path, from, make([]byte, to-from)) },
		"unreadable": func(t *testing.T, s *segmentFile, from, to int64) { t.Cleanup(forbid(t, s, from+pageSize, to)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, all, said := manyRelocated(t)
			for _, s := range l.list()[:2] {
				if failed := readEach(t, l, s, all); len(failed) > 0 {
					t.Fatal(failed)
				}
				from, to := tablesOf(t, s)
				damage(t, s, from, to)
				if failed := readEach(t, l, s, all); len(failed) > 0 {
					t.Errorf("%s: %d records cannot be read", s.path, len(failed))
				}
				if n := strings.Count(said(), s.path+" at 0: footer made anew from the "); n != 1 {
					t.Errorf("%s is named %d times in\n%s", s.path, n, said())
				}
			}
		})
	}
}

func overwrite(t testing.TB, path string, at int64, bytes []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(bytes, at); err != nil {
		t.Fatal(err)
	}
}

// What is not synced is delivered unchecked, but not once the log has stopped: the kernel may have dropped it.
func TestEveryRecordIsCheckedOnceTheLogHasStopped(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), Sync: SyncOS, Disk: unsyncedDisk()})
	appendBodies(t, l, "written and not synced")
	s := l.list()[0]
	flipInPlace(t, s.path, s.places.Load().offsets.At(0)+segment.RecordHeaderSize+20)
	l.fail(errDisk)
	v := l.NewView()
	defer v.Release()
	if _, err := v.Record(1); !errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
}

// former gives a file the trailer of the layout before this.
func former(data []byte) []byte {
	trailer := data[len(data)-segment.TrailerSize:]
	copy(trailer, "MTRAIL_1")
	sum := crc32.Checksum(trailer[:36], crc32.MakeTable(crc32.Castagnoli))
	copy(trailer[36:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
	return data
}

func TestFootersOfTheFormerLayoutAreNoDamage(t *testing.T) {
	dir, _, old, all := relocatedLog(t)
	for _, path := range append(segmentPaths(t, dir), old.path(dir)) {
		edit(t, path, former)
	}
	for range 2 {
		logger, said := remembered()
		l := openOnly(t, Config{Dir: dir, Logger: logger})
		if r := l.Recovery(); len(r.Quarantined) > 0 || int(r.Last) != len(all) {
			t.Fatalf("recovery %+v", r)
		}
		if got := bodies(t, l); !slices.Equal(got, survivors(all, old.last, 2)) {
			t.Errorf("%d records of %d", len(got), len(survivors(all, old.last, 2)))
		}
		if err := errors.Join(l.Start(), l.Close()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said(), "corruption") {
			t.Error(said())
		}
		verify(t, dir)
	}
}

// An epoch is believed only where a checksum vouches for it: the next segment's would have to be above it.
func TestEpochOfAnUnsoundTrailerIsNotBelieved(t *testing.T) {
	dir, _, old, _ := relocatedLog(t)
	edit(t, old.path(dir), func(data []byte) []byte {
		data[41] ^= 1 // in the header
		for i := range 8 {
			data[len(data)-segment.TrailerSize+8+i] = 0xFF
		}
		return data
	})
	l := openOnly(t, Config{Dir: dir, Repair: true})
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	if infos := l.Segments(); infos[len(infos)-1].Epoch>>32 > 100 {
		t.Errorf("epoch %x", infos[len(infos)-1].Epoch)
	}
	l.Close()
}

func TestRecordsLostAreCounted(t *testing.T) {
	r := Recovery{Quarantined: []Quarantine{{From: 5, To: 4}, {From: 7, To: 7}, {From: 10, To: 19}}}
	if r.Lost() != 11 {
		t.Errorf("%d records lost, want 11", r.Lost())
	}
}
