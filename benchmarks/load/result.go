package load

import (
	"fmt"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a phase of a workload gave. Durations are in nanoseconds when it is encoded.
type Result struct {
	Workload  string `json:"workload"`
	ID        string `json:"id,omitempty"`
	Phase     string `json:"phase,omitempty"` // publish or drain, of a workload with a backlog
	Declared  uint64 `json:"declared,omitempty"`
	Published uint64 `json:"published"` // with confirms: those confirmed
	Delivered uint64 `json:"delivered"`
	// PublishedBytes is the sum of the bodies published, about, if their sizes vary.
	PublishedBytes uint64 `json:"published_bytes"`

	PublishTime time.Duration `json:"publish_time"` // until the last publish was confirmed or taken
	Elapsed     time.Duration `json:"elapsed"`      // until the last delivery too

	GeneratorCPU time.Duration `json:"generator_cpu"`
	Broker       *Cost         `json:"broker,omitempty"` // nil when the process is not known
	Growth       *Growth       `json:"growth,omitempty"`
	PerDelivery  bool          `json:"per_delivery,omitempty"` // costs are per delivery

	Confirm  *Latency `json:"confirm_latency,omitempty"`
	EndToEnd *Latency `json:"end_to_end_latency,omitempty"`

	ConfirmHistogram  *hdrhistogram.Histogram `json:"-"` // in nanoseconds
	EndToEndHistogram *hdrhistogram.Histogram `json:"-"`

	// Neighbour is what another load did meanwhile; nil: there was none.
	Neighbour *Neighbour `json:"neighbour,omitempty"`

	Faults    Faults   `json:"faults"`
	Left      uint64   `json:"left"` // messages in the queues after all had been delivered and acknowledged
	Unchecked []string `json:"unchecked,omitempty"`
	// Interrupted says that the run ended before its time.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Cost is what the broker's processes used.
type Cost struct {
	CPU      time.Duration `json:"cpu"`
	PeakRSS  int64         `json:"peak_rss"`  // with the log's mapped files
	PeakAnon int64         `json:"peak_anon"` // without
	Mallocs  uint64        `json:"mallocs,omitempty"`
}

// Neighbour is another load on the same broker.
type Neighbour struct {
	CPU         time.Duration `json:"cpu"` // of its generator, while this one was measured
	PublishRate float64       `json:"publish_rate"`
	DeliverRate float64       `json:"deliver_rate"`
}

// Growth is how much more memory the broker held because of so many things.
type Growth struct {
	What  string `json:"what"`
	Count int    `json:"count"`
	Bytes int64  `json:"bytes"`
}

// Latency is a distribution in short.
type Latency struct {
	Mean time.Duration `json:"mean"`
	P50  time.Duration `json:"p50"`
	P90  time.Duration `json:"p90"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p999"`
	Max  time.Duration `json:"max"`
}

// summarise returns nil for an empty histogram.
func summarise(h *hdrhistogram.Histogram) *Latency {
	if h.TotalCount() == 0 {
		return nil
	}
	at := func(percent float64) time.Duration { return time.Duration(h.ValueAtQuantile(percent)) }
	return &Latency{
		Mean: time.Duration(h.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max()),
	}
}

// Failed reports whether the broker did what it must not.
func (r *Result) Failed() bool { return r.Faults.Any() || r.Left > 0 }

// Title names workload and phase.
func (r *Result) Title() string {
	if r.Phase == "" {
		return r.Workload
	}
	return r.Workload + " " + r.Phase
}

// Trouble words what went wrong; "none" is nothing.
func (r *Result) Trouble() string {
	var found []string
	for _, f := range []struct {
		name  string
		count uint64
	}{
		{"lost", r.Faults.Lost},
		{"duplicated", r.Faults.Duplicated},
		{"reordered", r.Faults.Reordered},
		{"misrouted", r.Faults.Misrouted},
		{"foreign", r.Faults.Foreign},
		{"refused", r.Faults.Refused},
		{"left", r.Left},
	} {
		if f.count > 0 {
			found = append(found, fmt.Sprintf("%d %s", f.count, f.name))
		}
	}
	if len(found) == 0 {
		return "none"
	}
	return strings.Join(found, ", ")
}

// messages is what costs are divided by: publishes, and deliveries where there are none.
func (r *Result) messages() uint64 {
	switch {
	case r.PerDelivery:
		return max(r.Delivered, 1)
	case r.Declared > 0:
		return r.Declared
	case r.Published > 0:
		return r.Published
	}
	return max(r.Delivered, 1)
}

// PerMessage is a share of a time in microseconds.
func (r *Result) PerMessage(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e3 / float64(r.messages())
}

// PublishRate, DeliverRate and DeclareRate are a second; 0 is none.
func (r *Result) PublishRate() float64 { return perSecond(r.Published, r.PublishTime) }

// DeliverRate is deliveries a second.
func (r *Result) DeliverRate() float64 { return perSecond(r.Delivered, r.Elapsed) }

// DeclareRate is queues declared a second.
func (r *Result) DeclareRate() float64 { return perSecond(r.Declared, r.Elapsed) }

func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
