package wal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// cutShort takes the end of a file away that is mapped: reading there is a bus error.
func cutShort(t *testing.T, path string, to int64) {
	t.Helper()
	if err := os.Truncate(path, to); err != nil {
		t.Fatal(err)
	}
}

// sealedLog returns a log whose first segment is sealed, and that segment.
func sealedLog(t *testing.T) (*Log, SegmentInfo) {
	t.Helper()
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 3)
	awaitSealed(t, l, 2)
	return l, l.Segments()[0]
}

func wantUnreadable(t *testing.T, err error, path string) {
	t.Helper()
	if !errors.Is(err, ErrUnreadable) || errors.Is(err, segment.ErrCorrupt) || !strings.Contains(err.Error(), path+" at ") {
		t.Errorf("error %v, want one that names a place of %s", err, path)
	}
}

func TestBytesThatCannotBeBroughtInAreAnErrorForEveryReader(t *testing.T) {
	l, cut := sealedLog(t)
	cutShort(t, cut.Path, segment.HeaderSize)
	length := func(r segment.Record) error { _, err := r.Publish(); return err }
	v := l.NewView()
	wantUnreadable(t, v.Read(cut.Base, length), cut.Path)
	if err := v.Read(cut.Last+1, length); err != nil {
		t.Errorf("record of a sound segment: %v", err)
	}
	v.Release()

	c := l.Cursor(cut.Base)
	if c.Next() {
		t.Error("cursor read what is not there")
	}
	wantUnreadable(t, c.Err(), cut.Path)
	c.Close()

	if lsn := l.Find(time.UnixMilli(1)); lsn != cut.Last+1 {
		t.Errorf("search by time found record %d, want %d", lsn, cut.Last+1)
	}
	if err := tryAppend(l, "goes on"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	report, err := Verify(l.cfg.Dir)
	if err != nil || report.Err() == nil || !strings.Contains(report.Err().Error(), cut.Path) {
		t.Errorf("verify: %v, %v", report.Err(), err)
	}
}

// Of a file that Verify reads before it knows where the log ends, a page that cannot be read is a fault of that file
// alone: the scan of all would stop at it.
func TestVerifyTellsTheFileThatCannotBeReadFromTheOthers(t *testing.T) {
	dir, path, _, _ := crashed(t, 0)
	c, err := openFile(path, parseName(filepath.Base(path)), anyShard, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.mapping.Release()
	cutShort(t, path, segment.HeaderSize)
	found := mappingsOf([]*candidate{c})
	wantUnreadable(t, guarded(found, func() error { scanUnsealed([]*candidate{c}); return nil }), path)
	wantUnreadable(t, guarded(found, func() error { c.bringIn(); return nil }), path)
	if report, err := Verify(dir); err != nil || report.Records != 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

func TestCursorPassesOverWhatCannotBeReadWhenToldToRepair(t *testing.T) {
	l, cut := sealedLog(t)
	l.cfg.Repair = true
	cutShort(t, cut.Path, segment.HeaderSize)
	c := l.Cursor(0)
	defer c.Close()
	n := 0
	for c.Next() {
		if c.LSN() <= cut.Last {
			t.Fatalf("record %d was read", c.LSN())
		}
		n++
	}
	if c.Err() != nil || c.Skipped() != int(cut.Last-cut.Base+1) || n != int(l.Last()-cut.Last) {
		t.Errorf("%d read, %d passed over, error %v", n, c.Skipped(), c.Err())
	}
}

// The record was checked when the view gave it; what fails then is its use.
func TestFaultInTheUseOfARecordIsAnError(t *testing.T) {
	l, cut := sealedLog(t)
	v := l.NewView()
	defer v.Release()
	err := v.Read(cut.Base, func(r segment.Record) error {
		cutShort(t, cut.Path, 0)
		_ = r.Valid()
		return nil
	})
	wantUnreadable(t, err, cut.Path)
}

func TestPanicThatIsNoFaultOfADiskIsNotCaught(t *testing.T) {
	l, cut := sealedLog(t)
	v := l.NewView()
	defer v.Release()
	for name, bug := range map[string]func(segment.Record) error{
		"panic":         func(segment.Record) error { panic("a bug") },
		"nil pointer":   func(segment.Record) error { var s *segmentFile; _ = s.base; return nil },
		"out of bounds": func(r segment.Record) error { _ = r[len(r)]; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("was caught")
				}
			}()
			_ = v.Read(cut.Base, bug)
		})
	}
}

func TestFooterThatCannotBeReadBackStopsTheLog(t *testing.T) {
	var f faulty
	disk := f.disk()
	failed := make(chan error, 1)
	l := openOnly(t, Config{Dir: t.TempDir(), SegmentSize: testSegmentSize, Disk: disk, OnFailure: func(err error) { failed <- err }})
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	appendBodies(t, l, "one")
	if err := l.SyncTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	sync := l.disk.Datasync
	path := l.Segments()[0].Path
	l.disk.Datasync = func(file *os.File) error {
		defer os.Truncate(path, segment.HeaderSize)
		return sync(file)
	}
	if err := l.Close(); !errors.Is(err, ErrUnreadable) {
		t.Errorf("close: %v", err)
	}
}

func TestFlippedByteInASegmentSealedByThisProcessIsFound(t *testing.T) {
	l, hit := sealedLog(t)
	v := l.NewView()
	defer v.Release()
	flipInPlace(t, hit.Path, l.list()[0].places.Load().footer.At(0)+segment.RecordHeaderSize+40)
	if _, err := v.Record(hit.Base); !errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	if _, err := v.Record(hit.Base + 1); hit.Last > hit.Base && err != nil {
		t.Errorf("the next record: %v", err)
	}
}

// What is synced may have left memory and come back from the disk, in the segment that is being written too.
func TestFlippedByteOfASyncedRecordIsFoundInTheActiveSegment(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	appendBodies(t, l, "hit by the flip", "beside it")
	if err := l.SyncTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	v := l.NewView()
	defer v.Release()
	if _, err := v.Record(1); err != nil {
		t.Fatal(err)
	}
	active := l.list()[0]
	flipInPlace(t, active.path, active.places.Load().offsets.At(0)+segment.RecordHeaderSize+20)
	if _, err := v.Record(1); !errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	if _, err := v.Record(2); err != nil {
		t.Errorf("the next record: %v", err)
	}
}

// flipInPlace changes a byte of a file that is mapped.
func flipInPlace(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{b[0] ^ 1}, at); err != nil {
		t.Fatal(err)
	}
}

// Neither tables nor blocks of an old-generation file are in memory for good, and what could not be brought in is no
// verdict: the file is read when it can be.
func TestOldFileThatCannotBeBroughtInIsAnErrorUntilItCan(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir()})
	rotated(t, l, 4)
	relocate(t, l, 0, 1, every(2))
	hit := l.Segments()[0]
	whole, err := os.ReadFile(hit.Path)
	if err != nil {
		t.Fatal(err)
	}
	read := func() error {
		v := l.NewView()
		defer v.Release()
		return v.Read(2, func(r segment.Record) error { _, err := r.Publish(); return err })
	}
	cutShort(t, hit.Path, 0)
	wantUnreadable(t, read(), hit.Path)
	_, err = l.Relocate(t.Context(), hit.Base, hit.Last, every(1), func() error { return nil })
	wantUnreadable(t, err, hit.Path)
	if err := os.WriteFile(hit.Path, whole, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil {
		t.Errorf("after the file is whole again: %v", err)
	}
	closeLog(t, l)
}
