package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// numberedBody is a body that tells of itself whose it is, as long as the number says.
func numberedBody(n int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("body %d;", n), 1+n%40))
}

// appendNumbered appends a batch of publishes with bodies from number n on.
func appendNumbered(t testing.TB, l *Log, n, count int) {
	t.Helper()
	var b segment.Batch
	for i := range count {
		body := numberedBody(n + i)
		b.BeginPublish(segment.PublishHead{Time: int64(n + i), Queues: []segment.QueueID{1, 2}, Keys: testKeys, BodySize: len(body)})
		b.AppendBody(body)
		b.EndPublish()
	}
	if err := l.Append(&b, nil); err != nil {
		t.Fatal(err)
	}
}

func openReader(t testing.TB, dir string) *Reader {
	t.Helper()
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// checkNumbered fails for a record whose body is not the one that was appended with its time.
func checkNumbered(r segment.Record) error {
	p, err := r.Publish()
	if err != nil {
		return err
	}
	if want := numberedBody(int(r.Time())); string(p.Body) != string(want) {
		return fmt.Errorf("record %d has body %.30q, not %.30q", r.LSN(), p.Body, want)
	}
	return nil
}

// drain reads what the cursor has.
func drain(t testing.TB, c *Cursor) (numbers []segment.LSN) {
	t.Helper()
	last, lastTime := segment.LSN(0), time.Time{}
	for c.Next() {
		if c.Record().LSN() != c.LSN() || c.LSN() <= last {
			t.Fatalf("record %d after %d says that it is %d", c.LSN(), last, c.Record().LSN())
		}
		if at := c.Time(); at.Before(lastTime) || at.UnixMilli() == 0 {
			t.Fatalf("record %d was taken in at %v, the one before at %v", c.LSN(), at, lastTime)
		} else {
			lastTime = at
		}
		if c.Record().Kind() == segment.KindPublish {
			if err := checkNumbered(c.Record()); err != nil {
				t.Fatal(err)
			}
		}
		last = c.LSN()
		numbers = append(numbers, last)
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return numbers
}

func TestReaderFollowsALogThatIsWritten(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	r := openReader(t, l.cfg.Dir)
	c := r.Cursor(0)
	defer c.Close()
	n, seen := 1, []segment.LSN{}
	for range 200 {
		appendNumbered(t, l, n, 3)
		n += 3
		if err := r.Refresh(); err != nil {
			t.Fatal(err)
		}
		if r.Last() != l.Last() || r.First() != l.First() {
			t.Fatalf("reader has records %d to %d, log %d to %d", r.First(), r.Last(), l.First(), l.Last())
		}
		seen = append(seen, drain(t, c)...)
	}
	if len(seen) != int(l.Last()) || c.Skipped() != 0 || c.Missed() != 0 {
		t.Errorf("%d of %d records, %d skipped, %d missed", len(seen), l.Last(), c.Skipped(), c.Missed())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(); err != nil {
		t.Fatal(err)
	}
	if again := r.Cursor(0); !slices.Equal(drain(t, again), seen) {
		t.Error("after the log was closed the reader has other records")
	}
	for _, info := range r.Files() {
		if !info.Sealed {
			t.Errorf("%s is not sealed, though the log is closed", info.Path)
		}
	}
	if faults := r.Faults(); len(faults) > 0 {
		t.Errorf("faults in a sound log: %v", faults)
	}
}

// While readers scan, the log appends, relocates, retires and uses files again as fast as it can.
func TestReaderNeverShowsAWrongRecordWhileFilesAreUsedAgain(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	done := make(chan struct{})
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			r, err := OpenReader(l.cfg.Dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for scanned := 0; ; scanned++ {
				select {
				case <-done:
					t.Logf("%d scans", scanned)
					return
				default:
				}
				if err := r.Refresh(); err != nil {
					t.Error(err)
					return
				}
				c, last, seen := r.Cursor(0), r.Last(), map[segment.LSN]bool{}
				for c.Next() {
					seen[c.LSN()] = true
					if c.Time().UnixMilli() == 0 {
						t.Errorf("record %d has no time", c.LSN())
					}
					if c.Record().LSN() != c.LSN() {
						t.Errorf("record %d says that it is %d", c.LSN(), c.Record().LSN())
					}
					if err := checkNumbered(c.Record()); err != nil {
						t.Error(err)
					}
				}
				// Each twelfth survives all relocations; what was retired meanwhile may be missed.
				for lsn := l.First(); lsn <= last; lsn++ {
					if lsn%12 == 0 && !seen[lsn] {
						t.Errorf("record %d was not seen; the log begins with %d", lsn, l.First())
					}
				}
				if c.Err() != nil || c.Skipped() > 0 {
					t.Errorf("%d records skipped of a sound log: %v %v", c.Skipped(), c.Err(), r.Faults())
				}
				c.Close()
			}
		})
	}
	churn(t, l, 120)
	close(done)
	running.Wait()
}

// churn appends, relocates and retires.
func churn(t *testing.T, l *Log, rounds int) {
	n := 1
	survives := func(r segment.Record, queues []segment.QueueID) ([]segment.QueueID, bool) {
		return queues, r.LSN()%12 == 0
	}
	for range rounds {
		for range 6 {
			appendNumbered(t, l, n, 10)
			n += 10
		}
		var sealed []SegmentInfo
		for _, s := range l.Segments() {
			if s.Sealed {
				sealed = append(sealed, s)
			}
		}
		if len(sealed) > 3 {
			_, err := l.Relocate(context.Background(), sealed[1].Base, sealed[len(sealed)-1].Last, survives, func() error { return nil })
			if err != nil && !errors.Is(err, ErrGone) {
				t.Fatal(err)
			}
		}
		if l.Last() > 3000 {
			if err := l.Retire(l.Last() - 3000); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Between the listing of a directory and the opening of its files these may all be relocated. What is left then looks
// like a log that ends before them.
func TestReaderListsAgainWhenAListedFileHasGone(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	for n := 1; len(l.Segments()) < 6; n++ {
		appendNumbered(t, l, n, 1)
	}
	awaitSealed(t, l, 5)
	stale, _, err := logFiles(l.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	r := openReader(t, l.cfg.Dir)
	relocate(t, l, 1, 4, every(3))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, file := range stale[1:5] {
		r.dropLocked(file.path)
	}
	if v, _, _ := r.surveyLocked(stale); !v.vanished {
		t.Error("files that have gone since they were listed are not missed")
	}
	if err := r.listLocked(); err != nil || r.Last() != l.Last() {
		t.Errorf("the log ends with %d, not %d: %v", r.Last(), l.Last(), err)
	}
}

// A cursor that stands in files which are relocated goes on with the file that stands for them.
func TestReaderCursorGoesOnWithTheFileThatHasTheRecordsNow(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	for n := 1; len(l.Segments()) < 8; n++ {
		appendNumbered(t, l, n, 1)
	}
	awaitSealed(t, l, 7)
	r := openReader(t, l.cfg.Dir)
	c := r.Cursor(0)
	defer c.Close()
	for range 5 {
		c.Next()
	}
	last := l.Segments()[5].Last
	relocate(t, l, 0, 5, every(3))
	// The files that were replaced are used again.
	for n := int(l.Last()) + 1; len(l.Segments()) < 14; n++ {
		appendNumbered(t, l, n, 1)
	}
	var want []segment.LSN
	for lsn := segment.LSN(6); lsn <= l.Last(); lsn++ {
		if lsn > last || lsn%3 == 0 {
			want = append(want, lsn)
		}
	}
	if err := r.Refresh(); err != nil {
		t.Fatal(err)
	}
	got := drain(t, c)
	got = slices.DeleteFunc(got, func(lsn segment.LSN) bool { return lsn <= last && lsn%3 != 0 }) // read from a file before it was wiped
	if !slices.Equal(got, want) || c.Skipped() > 0 {
		t.Errorf("%d records of %d, %d skipped, %d missed: %v", len(got), len(want), c.Skipped(), c.Missed(), r.Faults())
	}
}

// What was retired before a cursor came to it is passed over, and told.
func TestReaderCursorTellsWhatItMissed(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	for n := 1; len(l.Segments()) < 6; n++ {
		appendNumbered(t, l, n, 1)
	}
	awaitSealed(t, l, 5)
	r := openReader(t, l.cfg.Dir)
	c := r.Cursor(0)
	defer c.Close()
	if !c.Next() || c.LSN() != 1 {
		t.Fatal(c.LSN(), c.Err())
	}
	if err := l.Retire(l.Segments()[4].Last + 1); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(); err != nil {
		t.Fatal(err)
	}
	first := l.First()
	got := drain(t, c)
	if len(got) == 0 || got[len(got)-1] != l.Last() || c.Missed()+uint64(len(got))+1 != uint64(l.Last()) || c.Missed() > uint64(first) {
		t.Errorf("%d records read, %d missed of %d, first is %d", len(got), c.Missed(), l.Last(), first)
	}
}

// A file that cannot be read costs its records only, and a damaged one is told with its place.
func TestReaderPassesOverWhatIsDamagedAndTellsWhere(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	for n := 1; len(l.Segments()) < 5; n++ {
		appendNumbered(t, l, n, 1)
	}
	awaitSealed(t, l, 4)
	r := openReader(t, l.cfg.Dir)
	files := r.Files()
	flipInPlace(t, files[1].Path, segment.HeaderSize+segment.BatchHeaderSize+segment.RecordHeaderSize+3)
	ruined := ruinTablesInPlace(t, files[2].Path)
	cutShort(t, files[0].Path, segment.HeaderSize)
	c := r.Cursor(0)
	defer c.Close()
	got := drain(t, c)
	lost := int(files[0].Last) + 1
	if len(got) != int(l.Last())-lost || c.Skipped() != lost {
		t.Errorf("%d records of %d, %d skipped, should be %d (tables at %d)", len(got), l.Last(), c.Skipped(), lost, ruined)
	}
	told := fmt.Sprint(r.Faults())
	for _, path := range []string{files[0].Path, files[1].Path} {
		if !strings.Contains(told, path) {
			t.Errorf("%s is not among %s", path, told)
		}
	}
}

// ruinTablesInPlace is ruinTables of a file that is mapped.
func ruinTablesInPlace(t *testing.T, path string) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := footerAt(data) + footerHead
	overwrite(t, path, at, make([]byte, 64))
	return at
}

func TestReaderFindsByTime(t *testing.T) {
	l := openLog(t, Config{Dir: t.TempDir(), SegmentSize: minSegmentSize})
	for n := 1; len(l.Segments()) < 5; n++ {
		appendNumbered(t, l, n, 1)
	}
	awaitSealed(t, l, 4)
	relocate(t, l, 0, 1, every(2))
	r := openReader(t, l.cfg.Dir)
	c := r.Cursor(0)
	defer c.Close()
	before := time.Time{}
	for c.Next() {
		if at := c.Time(); at.After(before) {
			before = at
			if found := r.Find(at); found != c.LSN() || found != l.Find(at) {
				t.Fatalf("record %d was taken in at %v, found is %d, by the log %d", c.LSN(), at, found, l.Find(at))
			}
		}
	}
	if r.Find(time.Now().Add(time.Hour)) != l.Last()+1 {
		t.Error("found what is yet to come")
	}
}
