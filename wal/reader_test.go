package wal

import (
	"context"
	"errors"
	"fmt"
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
				c := r.Cursor(0)
				for c.Next() {
					_ = c.Time()
					if c.Record().LSN() != c.LSN() {
						t.Errorf("record %d says that it is %d", c.LSN(), c.Record().LSN())
					}
					if err := checkNumbered(c.Record()); err != nil {
						t.Error(err)
					}
					// Each twelfth survives, for as long as it is within the last 3000.
					if c.LSN()%12 == 0 && c.Missed() > 0 && c.LSN() > l.Last() {
						t.Errorf("record %d beyond %d", c.LSN(), l.Last())
					}
				}
				if c.Err() != nil || c.Skipped() > 0 {
					t.Errorf("%d records skipped of a sound log: %v %v", c.Skipped(), c.Err(), r.Faults())
				}
				c.Close()
			}
		})
	}
	churn(t, l, 400)
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
