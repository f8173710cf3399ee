package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recorder takes latencies of some connections. Their readers hold its lock while they handle what one
// read brought, so recording costs a lock for a read and not for a message.
type recorder struct {
	mu struct {
		sync.Mutex
		confirm, delivery *hdrhistogram.Histogram // since the last collect
	}
	from time.Duration // what was due before is not measured

	emptyConfirm, emptyDelivery *hdrhistogram.Histogram // take turns with those of mu; made by the first collect, whose caller has them
}

const (
	// maxLatency is what a latency is cut off at, in nanoseconds: 18 minutes.
	maxLatency = 1 << 40
	// latencyDigits is how exact a latency is: 0.1 %. Recording takes some 8 ns.
	latencyDigits = 3
	// maxRecorders bounds their memory: a quarter of a megabyte for each histogram.
	maxRecorders = 16
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency, latencyDigits) }

func newRecorder(from time.Duration) *recorder {
	r := &recorder{from: from}
	r.mu.confirm, r.mu.delivery = newHistogram(), newHistogram()
	return r
}

// confirmLocked records how long a publish, due at a time, waited for its confirm.
func (r *recorder) confirmLocked(due, now time.Duration) { r.recordLocked(r.mu.confirm, due, now) }

// deliveryLocked records how long a message, due at a time, was on its way.
func (r *recorder) deliveryLocked(due, now time.Duration) { r.recordLocked(r.mu.delivery, due, now) }

func (r *recorder) recordLocked(h *hdrhistogram.Histogram, due, now time.Duration) {
	if due < r.from {
		return
	}
	// It cannot fail: the value is in the histogram's range.
	_ = h.RecordValue(min(max(int64(now-due), 0), maxLatency))
}

// collect adds what was recorded since the last time. The lock is held to exchange the histograms and not to go through
// them: that takes a millisecond, which would count as the broker's latency.
func (r *recorder) collect(confirm, delivery *hdrhistogram.Histogram) {
	if r.emptyConfirm == nil {
		r.emptyConfirm, r.emptyDelivery = newHistogram(), newHistogram()
	}
	r.mu.Lock()
	r.mu.confirm, r.emptyConfirm = r.emptyConfirm, r.mu.confirm
	r.mu.delivery, r.emptyDelivery = r.emptyDelivery, r.mu.delivery
	r.mu.Unlock()
	confirm.Merge(r.emptyConfirm)
	delivery.Merge(r.emptyDelivery)
	r.emptyConfirm.Reset()
	r.emptyDelivery.Reset()
}
