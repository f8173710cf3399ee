package benchmarks

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// report shows results, each as soon as it is there, or as one JSON document at the end.
type report struct {
	out     io.Writer
	json    bool
	headed  bool
	results []load.Result
	notes   []string // that were shown
}

const (
	headFormat = "%-20s %12s %12s %9s %10s %10s %9s %9s  %s\n"
	rowFormat  = "%-20s %12s %12s %9s %10s %10.2f %9s %9s  %s\n"
)

// add shows a result.
func (r *report) add(result load.Result) {
	r.results = append(r.results, result)
	if r.json {
		return
	}
	if !r.headed {
		r.headed = true
		fmt.Fprintf(r.out, headFormat, "", "published", "delivered", "published", "broker", "generator", "peak", "w/o log", "")
		fmt.Fprintf(r.out, headFormat, "workload", "msg/s", "msg/s", "MB/s", "µs/msg", "µs/msg", "MiB", "MiB", "faults")
	}
	cpu, peak, anon := "-", "-", "-"
	if b := result.Broker; b != nil {
		cpu = strconv.FormatFloat(result.PerMessage(b.CPU), 'f', 2, 64)
		peak = mebibytes(b.PeakRSS)
		if b.PeakAnon > 0 {
			anon = mebibytes(b.PeakAnon)
		}
	}
	megabytes := "-"
	if result.PublishedBytes > 0 {
		megabytes = strconv.FormatFloat(perSecond(result.PublishedBytes, result.PublishTime)/1e6, 'f', 1, 64)
	}
	fmt.Fprintf(r.out, rowFormat, result.Title(), rate(result.PublishRate()), rate(result.DeliverRate()), megabytes,
		cpu, result.PerMessage(result.GeneratorCPU), peak, anon, result.Trouble())
	r.latency("confirm", result.Confirm)
	r.latency("end to end", result.EndToEnd)
	r.details(&result)
}

func (r *report) details(result *load.Result) {
	if result.Declared > 0 {
		fmt.Fprintf(r.out, "  %s queues declared in %v, %s a second\n", rate(float64(result.Declared)), short(result.Elapsed), rate(result.DeclareRate()))
	}
	if g := result.Growth; g != nil {
		fmt.Fprintf(r.out, "  %.1f KiB of the broker's memory for each %s\n", float64(g.Bytes)/1024/float64(g.Count), g.What)
	}
	if result.PerDelivery {
		fmt.Fprintln(r.out, "  costs are per delivery")
	}
	for _, note := range result.Unchecked {
		if !slices.Contains(r.notes, note) {
			r.notes = append(r.notes, note)
			fmt.Fprintf(r.out, "  not checked: %s\n", note)
		}
	}
}

func (r *report) latency(what string, l *load.Latency) {
	if l == nil {
		return
	}
	fmt.Fprintf(r.out, "  %-18s p50 %v  p90 %v  p99 %v  p99.9 %v  max %v\n", what,
		short(l.P50), short(l.P90), short(l.P99), short(l.P999), short(l.Max))
}

// finish writes the JSON document.
func (r *report) finish() error {
	if !r.json {
		return nil
	}
	encoder := json.NewEncoder(r.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		CPUs    int           `json:"cpus"`
		Go      string        `json:"go"`
		Results []load.Result `json:"results"`
	}{runtime.NumCPU(), runtime.Version(), r.results})
}

// failed reports whether any result has a fault.
func (r *report) failed() bool {
	return slices.ContainsFunc(r.results, func(result load.Result) bool { return result.Failed() })
}

func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// rate words a number with thousands parted; "-" is none at all.
func rate(n float64) string {
	if n == 0 {
		return "-"
	}
	digits := strconv.FormatFloat(n, 'f', 0, 64)
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
