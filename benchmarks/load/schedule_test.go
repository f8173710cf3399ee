package load

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// TestScheduleSetsTheTotal: how many messages a producer sends, of a share of 100, by what is limited.
func TestScheduleSetsTheTotal(t *testing.T) {
	const second = time.Second
	tests := []struct {
		name   string
		timing timing
		pace   pacer
		want   uint64
	}{
		{"a number", timing{start: second, measured: second}, pacer{start: second}, 100},
		{"a time, unpaced", timing{start: second, measured: second, until: 3 * second}, pacer{start: second}, unlimited},
		{"a warm-up, unpaced", timing{start: second, measured: 2 * second}, pacer{start: second}, unlimited},
		{"a time at a rate", timing{start: second, measured: second, until: 3 * second}, pacer{second, 10 * time.Millisecond}, 200},
		{"a warm-up at a rate", timing{start: second, measured: 2 * second}, pacer{second, 10 * time.Millisecond}, 200},
		{"its turn comes later", timing{start: second, measured: second, until: 3 * second}, pacer{second + 5*time.Millisecond, 10 * time.Millisecond}, 200},
		{"its turn never comes", timing{start: second, measured: second, until: 3 * second}, pacer{4 * second, 10 * time.Millisecond}, 0},
	}
	for _, test := range tests {
		p := producer{share: 100}
		p.schedule(test.timing, test.pace)
		if p.total != test.want {
			t.Errorf("%s: %d, want %d", test.name, p.total, test.want)
		}
	}
}

func TestUnpacedProducerStopsWhenTheTimeIsUp(t *testing.T) {
	p := producer{share: 100}
	p.schedule(timing{until: time.Second}, pacer{})
	p.now = time.Second - 1
	if p.fixTotal(7); p.total != unlimited {
		t.Errorf("before its time the total is %d", p.total)
	}
	p.now = time.Second
	if p.fixTotal(9); p.total != 9 {
		t.Errorf("total %d", p.total)
	}
	p.schedule(timing{measured: time.Second}, pacer{})
	if p.fixTotal(5); p.total != 105 {
		t.Errorf("after the warm-up the total is %d", p.total)
	}
}

// TestLatencyCountsFromWhenItWasDue: a sender that was kept for a second sends what was due meanwhile, and
// each message is charged with its own delay.
func TestLatencyCountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		p := &producer{pace: pacer{interval: 100 * time.Millisecond}, clock: c, total: unlimited}
		time.Sleep(time.Second)
		limit, err := p.allowance(0)
		if err != nil || limit != 11 {
			t.Fatalf("%d may be sent, %v", limit, err)
		}
		r := newRecorder(300 * time.Millisecond) // the first three are the warm-up's
		r.mu.Lock()
		for n := range limit {
			r.deliveryLocked(time.Duration(p.stamp(n).due), c.now())
		}
		r.mu.Unlock()
		confirm, delivery := newHistogram(), newHistogram()
		r.collect(confirm, delivery)
		wantLatency(t, delivery, 8, 0, 700*time.Millisecond)
		r.collect(confirm, delivery) // nothing is counted twice
		wantLatency(t, delivery, 8, 0, 700*time.Millisecond)
	})
}

func wantLatency(t *testing.T, h *hdrhistogram.Histogram, count int64, least, most time.Duration) {
	t.Helper()
	off := func(got int64, want time.Duration) bool { return !h.ValuesAreEquivalent(got, int64(want)) }
	if h.TotalCount() != count || off(h.Min(), least) || off(h.Max(), most) {
		t.Errorf("%d values from %v to %v", h.TotalCount(), time.Duration(h.Min()), time.Duration(h.Max()))
	}
}

// TestRecorderTakesAnyLatency: neither a clock that jumps nor a broker that sleeps breaks it.
func TestRecorderTakesAnyLatency(t *testing.T) {
	r := newRecorder(0)
	r.mu.Lock()
	for _, now := range []time.Duration{-time.Hour, 0, 1000 * time.Hour} {
		r.confirmLocked(0, now)
	}
	r.mu.Unlock()
	confirm, delivery := newHistogram(), newHistogram()
	r.collect(confirm, delivery)
	if confirm.TotalCount() != 3 || delivery.TotalCount() != 0 {
		t.Errorf("%d and %d values", confirm.TotalCount(), delivery.TotalCount())
	}
	if l := summarise(confirm); l.P50 != 0 || l.Max < maxLatency-maxLatency/500 {
		t.Errorf("%+v", l)
	}
}

// TestProducersAreWokenInTurn: each is told of all that is due, and nobody waits for one that does not listen.
func TestProducersAreWokenInTurn(t *testing.T) {
	c := newClock()
	producers := make([]*producer, 3)
	for i := range producers {
		p := &producer{number: uint16(i), wake: make(chan struct{}, 1), clock: c}
		p.total = uint64(5 - i/2) // the last one has one message less
		p.pace = pacer{start: time.Duration(i) * time.Microsecond, interval: 3 * time.Microsecond}
		producers[i] = p
	}
	wakeInTurn(t.Context(), producers, c)
	for i, p := range producers {
		if len(p.wake) != 1 || p.pace.ready(c.now()) < p.total {
			t.Errorf("producer %d: %d wake-ups, %d of %d are due", i, len(p.wake), p.pace.ready(c.now()), p.total)
		}
	}
}
