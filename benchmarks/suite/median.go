package suite

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// metric is a number of a result; NaN when it has none.
type metric func(*load.Result) float64

// median is the middle of what the rounds gave a broker, NaN if they gave nothing.
func (r *Row) median(broker int, of metric) float64 {
	var values []float64
	for i := range r.Results[broker] {
		if v := of(&r.Results[broker][i]); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return median(values)
}

// median of an even number is between the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// medians are those of all brokers.
func (r *Row) medians(of metric) []float64 {
	all := make([]float64, len(r.Results))
	for broker := range all {
		all[broker] = r.median(broker, of)
	}
	return all
}

// has says whether any broker has the number.
func (r *Row) has(of metric) bool {
	return slices.ContainsFunc(r.medians(of), func(v float64) bool { return !math.IsNaN(v) })
}

// id is the row's own of the ids of its case: the first is that of what is published, the second of the drain.
func (r *Row) id() string {
	ids := strings.Split(r.Case.Workload.ID, "/")
	if r.Phase == "drain" {
		return ids[len(ids)-1]
	}
	return ids[0]
}

// title names the row in a table or a chart.
func (r *Row) title() string {
	if r.Phase == "drain" {
		return "drain of that backlog"
	}
	if r.Phase == "publish" {
		return "persistent 1 KiB, confirmed, publish only"
	}
	return r.Case.Workload.Summary
}

// speed is what the row is about, a second: deliveries if there are any, publishes, or queues declared. Of a
// load with a rate it is none: the broker does not decide it.
func (r *Row) speed(result *load.Result) float64 {
	switch {
	case r.Case.Workload.Rate > 0:
		return math.NaN()
	case result.Declared > 0:
		return result.DeclareRate()
	case result.Delivered > 0:
		return result.DeliverRate()
	}
	return positive(result.PublishRate())
}

// cost is the broker's CPU time in microseconds.
func cost(result *load.Result) float64 {
	if result.Broker == nil {
		return math.NaN()
	}
	return result.PerMessage(result.Broker.CPU)
}

// generator is the load generator's CPU time in microseconds.
func generator(result *load.Result) float64 { return result.PerMessage(result.GeneratorCPU) }

// peak is the broker's largest resident set in MiB.
func peak(result *load.Result) float64 {
	if result.Broker == nil {
		return math.NaN()
	}
	return positive(float64(result.Broker.PeakRSS) / (1 << 20))
}

// growth is the memory of each connection or queue in KiB.
func growth(result *load.Result) float64 {
	if result.Growth == nil {
		return math.NaN()
	}
	return float64(result.Growth.Bytes) / (1 << 10) / float64(result.Growth.Count)
}

// declaring is how many seconds all declarations took.
func declaring(result *load.Result) float64 {
	if result.Declared == 0 {
		return math.NaN()
	}
	return result.Elapsed.Seconds()
}

// latencies of both kinds, in milliseconds.
func confirmed(of func(*load.Latency) time.Duration) metric {
	return func(r *load.Result) float64 { return milliseconds(r.Confirm, of) }
}

func delivered(of func(*load.Latency) time.Duration) metric {
	return func(r *load.Result) float64 { return milliseconds(r.EndToEnd, of) }
}

func milliseconds(l *load.Latency, of func(*load.Latency) time.Duration) float64 {
	if l == nil {
		return math.NaN()
	}
	return float64(of(l)) / 1e6
}

func positive(v float64) float64 {
	if v <= 0 {
		return math.NaN()
	}
	return v
}

// times is how many times the first broker is ahead of each other one; less is better of costs.
func times(values []float64, lessIsBetter bool) []float64 {
	ratios := make([]float64, 0, len(values))
	for _, v := range values[1:] {
		if lessIsBetter {
			ratios = append(ratios, v/values[0])
		} else {
			ratios = append(ratios, values[0]/v)
		}
	}
	return ratios
}
