package benchmarks

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// report shows results, each as soon as it is there, or as one JSON document at the end.
type report struct {
	out     io.Writer
	json    bool
	headed  bool
	results []Result
}

const (
	headFormat = "%-20s %12s %12s %10s %10s %9s %9s  %s\n"
	rowFormat  = "%-20s %12s %12s %10s %10.2f %9s %9s  %s\n"
)

// add shows a result.
func (r *report) add(result Result) {
	r.results = append(r.results, result)
	if r.json {
		return
	}
	if !r.headed {
		r.headed = true
		fmt.Fprintf(r.out, headFormat, "", "published", "delivered", "broker", "generator", "peak", "w/o log", "")
		fmt.Fprintf(r.out, headFormat, "workload", "msg/s", "msg/s", "µs/msg", "µs/msg", "MiB", "MiB", "faults")
	}
	cpu, peak, anon := "-", "-", "-"
	if b := result.Broker; b != nil {
		cpu = strconv.FormatFloat(result.perMessage(b.CPU), 'f', 2, 64)
		peak, anon = mebibytes(b.PeakRSS), mebibytes(b.PeakAnon)
	}
	fmt.Fprintf(r.out, rowFormat, result.title(), rate(result.Published, result.PublishTime), rate(result.Delivered, result.Elapsed),
		cpu, result.perMessage(result.GeneratorCPU), peak, anon, result.faults())
	r.latency("confirm", result.Confirm)
	r.latency("end to end", result.EndToEnd)
}

func (r *report) latency(what string, l *Latency) {
	if l == nil {
		return
	}
	fmt.Fprintf(r.out, "  %-18s p50 %v  p99 %v  p99.9 %v  max %v\n", what, short(l.P50), short(l.P99), short(l.P999), short(l.Max))
}

// finish writes the JSON document.
func (r *report) finish() error {
	if !r.json {
		return nil
	}
	encoder := json.NewEncoder(r.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		CPUs    int      `json:"cpus"`
		Go      string   `json:"go"`
		Results []Result `json:"results"`
	}{runtime.NumCPU(), runtime.Version(), r.results})
}

// failed reports whether any result has a fault.
func (r *report) failed() bool {
	for i := range r.results {
		if r.results[i].Failed() {
			return true
		}
	}
	return false
}

func (r *Result) title() string {
	if r.Phase == "" {
		return r.Workload
	}
	return r.Workload + " " + r.Phase
}

// faults words what went wrong.
func (r *Result) faults() string {
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

// rate words a number a second with thousands parted; "-" is none at all.
func rate(n uint64, d time.Duration) string {
	if n == 0 {
		return "-"
	}
	digits := strconv.FormatFloat(perSecond(n, d), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) }

// short rounds a duration to three digits or so.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
