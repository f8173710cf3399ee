package tools

import (
	"maps"
	"slices"
	"time"
)

// widths are those of buckets that nobody has chosen, each a multiple of the one before. Behind the last they double.
var widths = []time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

const (
	mostBuckets = 1 << 16 // while counting; then they are made wider
	fewBuckets  = 24      // of a chart whose buckets nobody has chosen
)

// buckets counts over time, in buckets as wide as it takes for them to be few.
type buckets struct {
	width  int64 // ms
	chosen bool
	counts map[int64]*count // by time over width

	at      int64
	present *count // of at; nil = none yet
}

func newBuckets(chosen time.Duration) buckets {
	b := buckets{width: max(chosen.Milliseconds(), 1), chosen: chosen > 0, counts: make(map[int64]*count)}
	return b
}

func (b *buckets) add(ms int64, bytes int) {
	if at := ms / b.width; b.present == nil || at != b.at {
		b.at, b.present = at, b.counts[at]
		if b.present == nil {
			b.present = new(count)
			b.counts[at] = b.present
		}
		if len(b.counts) > mostBuckets {
			b.present.add(bytes)
			b.widen()
			b.present = nil
			return
		}
	}
	b.present.add(bytes)
}

// widen makes the buckets as wide as the next width.
func (b *buckets) widen() {
	width := 2 * b.width
	if !b.chosen {
		for _, w := range slices.Backward(widths) {
			if w.Milliseconds() > b.width {
				width = w.Milliseconds()
			}
		}
	}
	merged := make(map[int64]*count, len(b.counts)/2)
	for at, n := range b.counts {
		into := merged[at*b.width/width]
		if into == nil {
			into = new(count)
			merged[at*b.width/width] = into
		}
		into.Messages += n.Messages
		into.Bytes += n.Bytes
	}
	b.width, b.counts = width, merged
}

// period is a bucket of a chart.
type period struct {
	from  time.Time
	width time.Duration
	count
}

// chart returns the buckets in their order, with those in which nothing came, unless these are very many.
func (b *buckets) chart() (periods []period) {
	if len(b.counts) == 0 {
		return nil
	}
	numbers := func() []int64 { return slices.Sorted(maps.Keys(b.counts)) }
	sorted := numbers()
	for !b.chosen && sorted[len(sorted)-1]-sorted[0] >= fewBuckets {
		b.widen()
		sorted = numbers()
	}
	add := func(at int64, n count) {
		periods = append(periods, period{time.UnixMilli(at * b.width).UTC(), time.Duration(b.width) * time.Millisecond, n})
	}
	for i, at := range sorted {
		if i > 0 && at-sorted[i-1] < mostBuckets {
			for empty := sorted[i-1] + 1; empty < at; empty++ {
				add(empty, count{})
			}
		}
		add(at, *b.counts[at])
	}
	return periods
}
