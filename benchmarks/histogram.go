package benchmarks

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is at most 1/128 of the value, so that recording
// is a few instructions and quantiles are right to 1 %.
type histogram struct {
	counts []uint64
	total  uint64
	max    time.Duration
}

const (
	bucketBits = 7 // 128 buckets for each power of two
	maxTracked = 1 << 40
)

func newHistogram() *histogram { return &histogram{counts: make([]uint64, bucketOf(maxTracked)+1)} }

func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(min(uint64(d), maxTracked))]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile returns a duration that the given part of all durations does not exceed: the upper end of
// its bucket.
func (h *histogram) quantile(part float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(part*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			return min(time.Duration(bucketEnd(i)), h.max)
		}
	}
	return h.max
}

// bucketOf numbers the buckets: one for each value below 256, then 128 for each power of two.
func bucketOf(value uint64) int {
	shift := max(bits.Len64(value)-bucketBits-1, 0)
	return shift<<bucketBits + int(value>>shift)
}

// bucketEnd is the largest value of a bucket.
func bucketEnd(bucket int) uint64 {
	shift := max(bucket>>bucketBits-1, 0)
	return uint64(bucket-shift<<bucketBits+1)<<shift - 1
}
