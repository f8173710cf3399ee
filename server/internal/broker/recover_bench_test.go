package broker_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/server/internal/broker"
)

// BenchmarkRecover is a start after kill -9 with so many persistent messages of 16 bytes in one queue, all behind the
// last checkpoint. The log is in the kernel's cache.
func BenchmarkRecover(b *testing.B) {
	bodies := make([]string, 1000)
	for i := range bodies {
		bodies[i] = "sixteen bytes .."
	}
	for _, messages := range []int{100_000, 400_000} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) {
			f := openWith(b, broker.Config{SegmentSize: 64 << 20, CheckpointBytes: 1 << 40})
			c := f.client()
			q := c.durable("q")
			for range messages / len(bodies) {
				c.send(q, bodies...)
			}
			for b.Loop() {
				b.StopTimer()
				cfg := f.cfg
				cfg.Data = f.copyData()
				unix.Sync() // a start syncs what it finds, and the copy's age is not what is measured
				b.StartTimer()
				recovered, err := broker.Open(cfg)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if n := recovered.Recovery().Messages; n != messages {
					b.Fatalf("%d messages", n)
				}
				if err := recovered.Close(); err != nil {
					b.Fatal(err)
				}
				os.RemoveAll(cfg.Data)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages), "ns/message")
		})
	}
}
