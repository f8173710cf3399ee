package wal

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// BenchmarkReaderCursor is a pass over a log that is in the kernel's cache, checksums and all.
func BenchmarkReaderCursor(b *testing.B) {
	for _, size := range []int{100, 1024, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: benchSegmentSize, Disk: realDisk(), Sync: SyncOS})
			body := make([]byte, size)
			var batch segment.Batch
			for l.Written() < 200<<20 {
				fillBatch(&batch, max(1, 64<<10/size), size, body)
				if err := l.Append(&batch, nil); err != nil {
					b.Fatal(err)
				}
			}
			r, err := OpenReader(l.cfg.Dir)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			b.SetBytes(l.Written())
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c := r.Cursor(0)
				for c.Next() {
					n++
				}
				if c.Err() != nil || c.LSN() != l.Last() {
					b.Fatal(c.LSN(), c.Err())
				}
				c.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}

// BenchmarkReaderRefresh is a look at a log to which nothing was added.
func BenchmarkReaderRefresh(b *testing.B) {
	dir, _ := filled(b, 200<<20)
	r, err := OpenReader(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		if err := r.Refresh(); err != nil {
			b.Fatal(err)
		}
	}
}
