package wal

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

const benchSegmentSize = 64 << 20

var benchQueues = []segment.QueueID{1}

func fillBatch(b *segment.Batch, records, size int, body []byte) {
	b.Reset()
	for range records {
		b.BeginPublish(segment.PublishHead{Queues: benchQueues, Keys: testKeys, Header: body[:20], BodySize: size})
		b.AppendBody(body[:size])
		b.EndPublish()
	}
}

// retireBehind keeps a benchmark's log small, as a broker's consumers would.
func retireBehind(b *testing.B, l *Log) {
	if last := l.Last(); len(l.list()) > 4 {
		if err := l.Retire(last); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	body := make([]byte, 1024)
	for _, c := range []struct {
		level         Level
		records, size int
		wait          bool // for a sync after each batch
	}{
		{SyncOS, 64, 1024, false},
		{SyncOS, 64, 100, false},
		{SyncOS, 1024, 16, false},
		{SyncDisk, 64, 1024, false},
		{SyncDisk, 64, 1024, true},
	} {
		b.Run(fmt.Sprintf("%v/%dx%d/wait=%v", c.level, c.records, c.size, c.wait), func(b *testing.B) {
			l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: benchSegmentSize, Disk: realDisk(), Sync: c.level})
			var batch segment.Batch
			fillBatch(&batch, c.records, c.size, body)
			b.SetBytes(int64(batch.Len()))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				fillBatch(&batch, c.records, c.size, body)
				batch.Durable = true
				if err := l.Append(&batch, nil); err != nil {
					b.Fatal(err)
				}
				if c.wait {
					if err := l.SyncTo(b.Context(), l.Last()); err != nil {
						b.Fatal(err)
					}
				}
				n += c.records
				retireBehind(b, l)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkAppendLocked is what the append lock is held for: appending without building.
func BenchmarkAppendLocked(b *testing.B) {
	body := make([]byte, 1024)
	for _, c := range []struct{ records, size int }{{64, 1024}, {64, 100}} {
		b.Run(fmt.Sprintf("%dx%d", c.records, c.size), func(b *testing.B) {
			l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: benchSegmentSize, Disk: realDisk(), Sync: SyncOS})
			var batch segment.Batch
			fillBatch(&batch, c.records, c.size, body)
			b.SetBytes(int64(batch.Len()))
			for b.Loop() {
				if err := l.Append(&batch, nil); err != nil {
					b.Fatal(err)
				}
				retireBehind(b, l)
			}
		})
	}
}

// filled returns the directory of a closed log of n bytes in records of 1 KiB.
func filled(b *testing.B, bytes int64) (dir string, last segment.LSN) {
	b.Helper()
	l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: benchSegmentSize, Disk: realDisk(), Sync: SyncOS})
	body := make([]byte, 1024)
	var batch segment.Batch
	for l.Written() < bytes {
		fillBatch(&batch, 64, 1024, body)
		if err := l.Append(&batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	last = l.Last()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return l.cfg.Dir, last
}

func BenchmarkView(b *testing.B) {
	dir, last := filled(b, 100<<20)
	l := openOnly(b, Config{Dir: dir})
	v := l.NewView()
	lsn := segment.LSN(0)
	b.ReportAllocs()
	for b.Loop() {
		lsn++
		if _, err := v.Record(lsn); err != nil {
			b.Fatal(err)
		}
		if lsn == last {
			lsn = 0
			v.Release()
		}
	}
	v.Release()
}

func BenchmarkCursor(b *testing.B) {
	dir, _ := filled(b, 100<<20)
	l := openOnly(b, Config{Dir: dir})
	b.SetBytes(100 << 20)
	for b.Loop() {
		c := l.Cursor(0)
		for c.Next() {
		}
		if c.Err() != nil {
			b.Fatal(c.Err())
		}
		c.Close()
	}
}

func BenchmarkRecovery(b *testing.B) {
	for _, sealed := range []bool{true, false} {
		b.Run(fmt.Sprintf("sealed=%v", sealed), func(b *testing.B) {
			dir, _ := filled(b, 100<<20)
			if !sealed {
				for _, path := range segmentPaths(b, dir) {
					edit(b, path, unseal)
				}
			}
			b.SetBytes(100 << 20)
			for b.Loop() {
				l := openOnly(b, Config{Dir: dir})
				if len(l.Recovery().Quarantined) > 0 {
					b.Fatal(l.Recovery())
				}
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
