package wal

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// jsonBody is about 1 KiB of what applications send.
func jsonBody(i int, chance *rand.Rand) string {
	body := fmt.Sprintf(`{"order":%d,"customer":"c-%08x","lines":[`, i, chance.Uint32())
	for n := 0; len(body) < 950; n++ {
		body += fmt.Sprintf(`{"sku":"%06d","name":"article %d","quantity":%d,"price":%d.%02d,"currency":"EUR"},`,
			chance.IntN(1e6), chance.IntN(5000), 1+chance.IntN(9), chance.IntN(300), chance.IntN(100))
	}
	return body[:len(body)-1] + `],"state":"open"}`
}

// filledWithJSON is a log of full segments of JSON bodies, and the last record of the first two.
func filledWithJSON(b *testing.B) (*Log, segment.LSN) {
	l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: 64 << 20, Disk: realDisk()})
	chance := rand.New(rand.NewPCG(8, 9))
	var batch segment.Batch
	for i := 0; len(l.Segments()) < 3; i++ {
		batch.Reset()
		for range 100 {
			addPublish(&batch, jsonBody(i, chance), 1)
		}
		if err := l.Append(&batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	awaitSealed(b, l, 2)
	if err := l.SyncTo(b.Context(), l.Last()); err != nil {
		b.Fatal(err)
	}
	return l, l.Segments()[1].Last
}

// BenchmarkRelocate replaces two segments of which every fourth record survives, syncs included. MB/s are of what
// is read.
func BenchmarkRelocate(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		l, last := filledWithJSON(b)
		b.StartTimer()
		done, err := l.Relocate(b.Context(), 1, last, every(4), func() error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.SetBytes(done.ReadBytes)
		b.ReportMetric(float64(l.Segments()[0].Bytes)/float64(done.WrittenBytes), "ratio")
		l.Close()
		b.StartTimer()
	}
}

// BenchmarkViewOld reads records of an old-generation file one behind the other, and where each needs its block
// decompressed.
func BenchmarkViewOld(b *testing.B) {
	l, last := filledWithJSON(b)
	if _, err := l.Relocate(b.Context(), 1, last, every(4), func() error { return nil }); err != nil {
		b.Fatal(err)
	}
	s := l.list()[0]
	footer := &s.old.head
	for _, c := range []struct {
		name string
		cold bool
	}{{"in-order", false}, {"cold", true}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			v := l.NewView()
			i := 0
			for b.Loop() {
				if c.cold {
					b.StopTimer()
					l.cache.forget(s)
					i += 997
					b.StartTimer()
				}
				i++
				if _, err := v.Record(footer.Record(i % footer.Records()).LSN); err != nil {
					b.Fatal(err)
				}
				v.Release()
			}
		})
	}
}
