package benchmarks

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesAreRightToOnePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Minute)), 1, 300).Draw(t, "values")
		part := rapid.SampledFrom([]float64{0.5, 0.99, 0.999, 1}).Draw(t, "part")
		h := newHistogram()
		for _, v := range values {
			h.record(time.Duration(v))
		}
		slices.Sort(values)
		want := values[max(int(part*float64(len(values))+0.5), 1)-1]
		got := int64(h.quantile(part))
		if got < want || got > want+want/100+1 {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

func TestBucketsFollowEachOther(t *testing.T) {
	last := bucketOf(0)
	for bucket := range bucketOf(maxTracked) {
		if end := bucketEnd(bucket); bucketOf(end) != bucket || bucketOf(end+1) != bucket+1 {
			t.Fatalf("bucket %d is to end at %d, which is in bucket %d, and %d in %d", bucket, end, bucketOf(end), end+1, bucketOf(end+1))
		}
		last++
	}
	if last != bucketOf(maxTracked) {
		t.Errorf("%d buckets", last)
	}
}

func TestHistogramTakesAnyDuration(t *testing.T) {
	h := newHistogram()
	for _, d := range []time.Duration{-time.Second, 0, 1<<62 - 1} {
		h.record(d)
	}
	if h.total != 3 || h.quantile(0.3) != 0 || h.quantile(1) < maxTracked {
		t.Errorf("%d values, from %v to %v", h.total, h.quantile(0.3), h.quantile(1))
	}
	other := newHistogram()
	other.merge(h)
	if other.total != h.total || other.max != h.max || other.quantile(0.5) != h.quantile(0.5) {
		t.Error("merging into an empty histogram changes it")
	}
	if newHistogram().quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}
