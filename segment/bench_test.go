package segment

import (
	"fmt"
	"testing"
)

func BenchmarkBuild(b *testing.B) {
	for _, size := range []int{16, 1024, 16384} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body, header := make([]byte, size), make([]byte, 20)
			queues := []QueueID{1}
			var batch Batch
			b.SetBytes(int64(size))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n%64 == 0 {
					batch.Reset()
				}
				n++
				batch.BeginPublish(PublishHead{Queues: queues, Keys: testKeys, Header: header, BodySize: size})
				batch.AppendBody(body)
				batch.EndPublish()
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	var batch Batch
	for range 64 {
		publish(&batch, string(make([]byte, 1024)), 1)
	}
	for b.Loop() {
		batch.Seal(1, testEpoch, 1, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/record")
}

func BenchmarkDecodePublish(b *testing.B) {
	var batch Batch
	publish(&batch, string(make([]byte, 1024)), 1)
	r, err := RecordAt(batch.Seal(1, testEpoch, 1, 0), BatchHeaderSize)
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]QueueID, 0, 4)
	b.ReportAllocs()
	for b.Loop() {
		p, err := r.Publish()
		if err != nil {
			b.Fatal(err)
		}
		if dst, err = p.AppendQueues(dst[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheckFooter is what the first reader of a segment with 600,000 small records waits for, when its tables
// are cached.
func BenchmarkCheckFooter(b *testing.B) {
	const records = 600_000
	s := Summary{Epoch: testEpoch, First: 1, Last: records, End: HeaderSize}
	file := AppendScannedFooter(make([]byte, HeaderSize), s, make([]uint32, records), nil, HeaderSize)
	footer, err := ParseFooter(file, testEpoch)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := footer.Check(); err != nil {
			b.Fatal(err)
		}
	}
}
