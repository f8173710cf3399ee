package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

const footerHead = 80 // bytes; docs/format.md

// footerAt is where the footer of a sealed file begins.
func footerAt(file []byte) int64 {
	return int64(binary.LittleEndian.Uint64(file[len(file)-segment.TrailerSize+16:]))
}

// ruinTables fills the tables of a file's footer with noise and returns where they begin.
func ruinTables(t testing.TB, path string) (at int64) {
	t.Helper()
	edit(t, path, func(data []byte) []byte {
		at = footerAt(data) + footerHead
		chance := rand.New(rand.NewPCG(1, 2))
		for i := at; i < int64(len(data)-segment.TrailerSize); i++ {
			data[i] = byte(chance.Uint32())
		}
		return data
	})
	return at
}

// remembered returns a logger and what it has written.
func remembered() (*slog.Logger, func() string) {
	var lines struct {
		sync.Mutex
		bytes.Buffer
	}
	logger := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		lines.Lock()
		defer lines.Unlock()
		return lines.Write(p)
	}), nil))
	return logger, func() string {
		lines.Lock()
		defer lines.Unlock()
		return lines.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// With the tables of all but the newest segment ruined Open finds nothing amiss: it has read none, so it takes as long
// for many records as for few.
func TestOpenReadsNoTables(t *testing.T) {
	dir, _, old, all := relocatedLog(t)
	paths := allButNewest(t, dir, old)
	for _, path := range paths {
		ruinTables(t, path)
	}
	logger, said := remembered()
	l := openOnly(t, Config{Dir: dir, Logger: logger})
	if r := l.Recovery(); !r.Clean || len(r.Quarantined) > 0 || int(r.Last) != len(all) {
		t.Fatalf("recovery %+v", r)
	}
	if strings.Contains(said(), "corruption") {
		t.Errorf("open noticed: %s", said())
	}
	if got := bodies(t, l); !slices.Equal(got, survivors(all, old.last, 2)) {
		t.Errorf("%d records of %d", len(got), len(survivors(all, old.last, 2)))
	}
	for _, path := range paths {
		if n := strings.Count(said(), path+" at 0: footer made anew from the "); n != 1 {
			t.Errorf("%s is named %d times in\n%s", path, n, said())
		}
	}
	report, err := Verify(dir)
	if err != nil || report.First != 1 || report.Last != l.Last() {
		t.Fatalf("verify: %+v, %v", report, err)
	}
	for _, path := range paths {
		if !slices.ContainsFunc(report.Faults, func(f Fault) bool { return f.Path == path && strings.Contains(f.Reason, "footer's tables") }) {
			t.Errorf("verify does not name %s: %v", path, report.Faults)
		}
	}
	if len(report.Faults) != len(paths) {
		t.Errorf("verify: %v", report.Faults)
	}
}

// allButNewest names the files of a log whose tables Open does not read.
func allButNewest(t testing.TB, dir string, old name) []string {
	t.Helper()
	paths := segmentPaths(t, dir)
	return append(paths[:len(paths)-1], old.path(dir))
}

func TestManyReadersNeedDamagedTablesAtOnce(t *testing.T) {
	dir, _, old, all := relocatedLog(t)
	ruined := allButNewest(t, dir, old)
	for _, path := range ruined {
		ruinTables(t, path)
	}
	logger, said := remembered()
	l := openOnly(t, Config{Dir: dir, Logger: logger})
	var readers sync.WaitGroup
	for i := range 16 {
		readers.Go(func() {
			v := l.NewView()
			defer v.Release()
			chance := rand.New(rand.NewPCG(uint64(i), 0))
			for range 200 {
				lsn := 1 + segment.LSN(chance.IntN(len(all)))
				r, err := v.Record(lsn)
				if lsn <= old.last && lsn%2 != 0 {
					if !errors.Is(err, ErrGone) {
						t.Errorf("record %d, which is gone: %v", lsn, err)
					}
				} else if err != nil || body(t, r) != all[lsn-1] {
					t.Errorf("record %d: %v", lsn, err)
				}
				if chance.IntN(10) == 0 {
					v.Release()
				}
			}
		})
	}
	readers.Wait()
	if n := strings.Count(said(), "made anew"); n != len(ruined) {
		t.Errorf("%d files were made anew:\n%s", n, said())
	}
}

func TestDamagedTablesAndRecordsCostTheRecords(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	all := rotated(t, l, 3)
	awaitSealed(t, l, 2)
	infos := l.Segments()
	closeLog(t, l)
	ruinTables(t, infos[0].Path)
	edit(t, infos[0].Path, func(data []byte) []byte {
		offsets, _ := batches(t, data)
		data[offsets[2]+segment.BatchHeaderSize+200] ^= 1 // in a body
		last := offsets[len(offsets)-1]
		clear(data[last : last+segment.BatchHeaderSize+64])
		return data
	})
	logger, said := remembered()
	l = openLog(t, Config{Dir: l.cfg.Dir, Logger: logger})
	v := l.NewView()
	for i, want := range all {
		lsn := segment.LSN(i + 1)
		r, err := v.Record(lsn)
		switch {
		case lsn == 3, lsn == infos[0].Last:
			if !errors.Is(err, segment.ErrCorrupt) || !strings.Contains(err.Error(), infos[0].Path) {
				t.Errorf("record %d, which is lost: %v", lsn, err)
			}
		case err != nil || body(t, r) != want:
			t.Errorf("record %d: %v", lsn, err)
		}
	}
	v.Release()
	if strings.Count(said(), "corruption in synced records") != 3 || !strings.Contains(said(), "records 3 to 3: record checksum mismatch") {
		t.Errorf("said\n%s", said())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// The disk gives the batches and not the tables, and later neither.
func TestTablesThatCannotBeReadAreMadeAnew(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: 1 << 20})
	var all []string
	for len(l.Segments()) < 3 {
		var some []string
		for range 100 {
			some = append(some, fmt.Sprint(len(all)+len(some)))
		}
		appendBodies(t, l, some...)
		all = append(all, some...)
	}
	relocate(t, l, 0, 0, every(2))
	old, sealed := l.Segments()[0], l.Segments()[1]
	closeLog(t, l)
	for name, c := range map[string]SegmentInfo{"segment": sealed, "old-generation file": old} {
		lsn := c.Base + c.Base%2
		for _, whole := range []bool{false, true} {
			folder := clone(t, l.cfg.Dir)
			path := filepath.Join(folder, filepath.Base(c.Path))
			l := openOnly(t, Config{Dir: folder, SegmentSize: 1 << 20})
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lost := (footerAt(file) + segment.HeaderSize - 1) &^ (segment.HeaderSize - 1) // all behind: a bus error
			if whole {
				lost = segment.HeaderSize
			}
			if lost+segment.TrailerSize > int64(len(file)) {
				t.Fatalf("%s: the footer fits its page", name)
			}
			cutShort(t, path, lost)
			v := l.NewView()
			err = v.Read(lsn, func(r segment.Record) error {
				if body(t, r) != all[lsn-1] {
					t.Errorf("%s: other bytes", name)
				}
				return nil
			})
			switch {
			case whole:
				wantUnreadable(t, err, path)
			case err != nil:
				t.Errorf("%s without footer: %v", name, err)
			}
			v.Release()
			l.Close()
		}
	}
}
