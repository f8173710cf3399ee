package benchmarks

import "time"

// Result is what a phase of a workload gave. Durations are in nanoseconds when it is encoded.
type Result struct {
	Workload  string `json:"workload"`
	Phase     string `json:"phase,omitempty"` // publish or drain, of a workload with a backlog
	Published uint64 `json:"published"`       // with confirms: those confirmed
	Delivered uint64 `json:"delivered"`

	PublishTime time.Duration `json:"publish_time"` // until the last publish was confirmed or taken
	Elapsed     time.Duration `json:"elapsed"`      // until the last delivery too

	GeneratorCPU time.Duration `json:"generator_cpu"`
	Broker       *Cost         `json:"broker,omitempty"` // nil when the process is not known

	Confirm  *Latency `json:"confirm_latency,omitempty"`
	EndToEnd *Latency `json:"end_to_end_latency,omitempty"`

	Faults Faults `json:"faults"`
	Left   uint64 `json:"left"` // messages in the queues after all had been delivered and acknowledged
}

// Cost is what the broker's process used.
type Cost struct {
	CPU      time.Duration `json:"cpu"`
	PeakRSS  int64         `json:"peak_rss"`  // with the log's mapped files
	PeakAnon int64         `json:"peak_anon"` // without
	Mallocs  uint64        `json:"mallocs,omitempty"`
}

// Latency is a distribution in short.
type Latency struct {
	P50  time.Duration `json:"p50"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p999"`
	Max  time.Duration `json:"max"`
}

func summarise(h *histogram) *Latency {
	if h.total == 0 {
		return nil
	}
	return &Latency{P50: h.quantile(0.5), P99: h.quantile(0.99), P999: h.quantile(0.999), Max: h.max}
}

// Failed reports whether the broker did what it must not.
func (r *Result) Failed() bool { return r.Faults.Any() || r.Left > 0 }

// messages is what costs are divided by: publishes, and deliveries where there are none.
func (r *Result) messages() uint64 {
	if r.Published > 0 {
		return r.Published
	}
	return max(r.Delivered, 1)
}

// perMessage is a share of a time in microseconds.
func (r *Result) perMessage(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e3 / float64(r.messages())
}

func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
