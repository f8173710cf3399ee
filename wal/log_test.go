package wal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

const testSegmentSize = 64 << 10

var testKeys = []byte("\x02ex\x03key")

// openLog opens and starts a log over dir and closes it with the test.
func openLog(t testing.TB, cfg Config) *Log {
	t.Helper()
	l := openOnly(t, cfg)
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

func openOnly(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.SegmentSize == 0 {
		cfg.SegmentSize = testSegmentSize
	}
	if cfg.Disk.Datasync == nil && cfg.Disk.Allocate == nil {
		cfg.Disk = unsyncedDisk()
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func addPublish(b *segment.Batch, body string, queues ...segment.QueueID) {
	b.BeginPublish(segment.PublishHead{Queues: queues, Keys: testKeys, Header: []byte("h"), BodySize: len(body)})
	b.AppendBody([]byte(body))
	b.EndPublish()
}

// appendBodies appends one batch and returns the number of its first record.
func appendBodies(t testing.TB, l *Log, bodies ...string) segment.LSN {
	t.Helper()
	var b segment.Batch
	for _, body := range bodies {
		addPublish(&b, body, 1)
	}
	var first segment.LSN
	if err := l.Append(&b, func(lsn segment.LSN) { first = lsn }); err != nil {
		t.Fatal(err)
	}
	return first
}

func body(t testing.TB, r segment.Record) string {
	t.Helper()
	p, err := r.Publish()
	if err != nil {
		t.Fatal(err)
	}
	return string(p.Body)
}

// bodies reads the whole log through a cursor, and checks that a Reader beside it finds the same.
func bodies(t testing.TB, l *Log) []string {
	t.Helper()
	got := bodiesOf(t, l.Cursor(0))
	r := openReader(t, l.cfg.Dir)
	defer r.Close()
	if seen := bodiesOf(t, r.Cursor(0)); !slices.Equal(seen, got) || r.Last() != l.Last() {
		t.Fatalf("reader has %d records, last %d, faults %v; the log has %d, last %d",
			len(seen), r.Last(), r.Faults(), len(got), l.Last())
	}
	return got
}

func bodiesOf(t testing.TB, c *Cursor) []string {
	t.Helper()
	var got []string
	defer c.Close()
	for c.Next() {
		if c.Record().Kind() == segment.KindPublish {
			got = append(got, body(t, c.Record()))
		}
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return got
}

func TestAppendedRecordsAreReadBack(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, Config{Dir: dir, Disk: realDisk()})
	var want []string
	for i := range 3000 {
		text := fmt.Sprintf("message %d", i)
		if lsn := appendBodies(t, l, text); lsn != segment.LSN(i+1) {
			t.Fatalf("record %d, want %d", lsn, i+1)
		}
		want = append(want, text)
	}
	if n := len(l.Segments()); n < 3 {
		t.Fatalf("%d segments: no rotation", n)
	}
	if err := l.SyncTo(t.Context(), l.Last()); err != nil || l.Synced() != l.Last() {
		t.Fatalf("synced %d of %d: %v", l.Synced(), l.Last(), err)
	}
	v := l.NewView()
	for i := range want {
		r, err := v.Record(segment.LSN(i + 1))
		if err != nil || body(t, r) != want[i] {
			t.Fatalf("record %d: %v", i+1, err)
		}
	}
	v.Release()
	if _, err := v.Record(3001); !errors.Is(err, ErrNotWritten) {
		t.Fatalf("record beyond the last: %v", err)
	}
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Fatalf("cursor gave %d records", len(got))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openOnly(t, Config{Dir: dir})
	if r := l.Recovery(); !r.Clean || r.Last != 3000 || len(r.Quarantined) != 0 || r.Dropped != 0 {
		t.Fatalf("recovery %+v", r)
	}
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Fatalf("after reopen: %d records", len(got))
	}
}
