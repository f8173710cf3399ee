package suite

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/chart"
	"github.com/millrace-mq/millrace/benchmarks/load"
)

// axisNeighbours has places, but no order: what is beside the workload that is measured.
const (
	axisNeighbours  = "neighbours"
	chartNeighbours = "neighbours"
)

const neighboursText = `2,000 persistent messages of 1 KiB a second, confirmed and acknowledged each, with connections and a queue of their own. Milliseconds
from when a message was due, p50 / p99, and in brackets how many times those of the same workload alone; the goal is 2. The neighbour is
a process of its own with the lowest priority (nice 19): it gets the processor time that nobody else wants, so what the measured workload
feels of it is what the broker does for it. Processors are shares of one CPU of the broker / of the measuring generator / of the neighbour
while it was measured%s. With the machine's CPUs all busy some of the latency is the wait for one: shares that add up to
all CPUs say so. Memory is the broker's peak in MiB without mapped files / with them.`

// neighbours is the table of a workload beside others.
func (r *Report) neighbours() []section {
	rows := r.rowsOn(axisNeighbours)
	t := newTable(2, "neighbour", "broker", "end to end", "confirm", "MiB", "CPUs", "neighbour publishes/s", "takes/s")
	for _, row := range rows {
		for broker, name := range r.Brokers {
			t.row(row.Case.Place, name, besideAlone(row, rows[0], broker, delivered), besideAlone(row, rows[0], broker, confirmed),
				thousands(row.median(broker, peakAnon))+" / "+thousands(row.median(broker, peak)), row.shares(broker),
				thousands(row.median(broker, ofNeighbour(func(n *load.Neighbour) float64 { return n.PublishRate }))),
				thousands(row.median(broker, ofNeighbour(func(n *load.Neighbour) float64 { return n.DeliverRate }))))
		}
	}
	text := fmt.Sprintf(neighboursText, fmt.Sprintf(", of %d", runtime.NumCPU()))
	kinds := newTable(3, "neighbour", "is", "millrace bench")
	for _, row := range rows {
		if n := row.Case.Beside; n != nil {
			kinds.row(row.Case.Place, n.Summary, "`"+strings.Join(n.Flags, " ")+"`")
		}
	}
	return []section{
		{title: "Beside bad neighbours", text: strings.ReplaceAll(text, "\n", " "), table: t, chart: chartNeighbours},
		{title: "The neighbours", table: kinds},
	}
}

// besideAlone words p50 / p99, and how many times those of the first row they are.
func besideAlone(row, alone *Row, broker int, of func(func(*load.Latency) time.Duration) metric) string {
	var values, ratios []string
	for _, p := range percentiles()[:2] {
		v := row.median(broker, of(p))
		values = append(values, thousands(v))
		ratios = append(ratios, factor(v/alone.median(broker, of(p))))
	}
	text := strings.Join(values, " / ")
	if row != alone {
		text += " (" + strings.Join(ratios, " / ") + ")"
	}
	return text
}

// shares words the processors that broker, generator and neighbour used.
func (r *Row) shares(broker int) string {
	var parts []string
	for _, cpu := range []func(*load.Result) float64{
		func(result *load.Result) float64 {
			if result.Broker == nil {
				return math.NaN()
			}
			return result.Broker.CPU.Seconds()
		},
		func(result *load.Result) float64 { return result.GeneratorCPU.Seconds() },
		ofNeighbour(func(n *load.Neighbour) float64 { return n.CPU.Seconds() }),
	} {
		share := r.median(broker, func(result *load.Result) float64 { return cpu(result) / result.Elapsed.Seconds() })
		if math.IsNaN(share) {
			parts = append(parts, "–")
		} else {
			parts = append(parts, fmt.Sprintf("%.2f", share))
		}
	}
	return strings.Join(parts, " / ")
}

func ofNeighbour(of func(*load.Neighbour) float64) metric {
	return func(r *load.Result) float64 {
		if r.Neighbour == nil {
			return math.NaN()
		}
		return of(r.Neighbour)
	}
}

// peakAnon is the broker's largest resident set without mapped files in MiB.
func peakAnon(result *load.Result) float64 {
	if result.Broker == nil {
		return math.NaN()
	}
	return positive(float64(result.Broker.PeakAnon) / (1 << 20))
}

// neighbourDots are the latencies beside each neighbour.
func (r *Report) neighbourDots() (dots []chart.Row) {
	for _, row := range r.rowsOn(axisNeighbours) {
		for _, kind := range kinds() {
			for i, name := range []string{"p50", "p99"} {
				if of := kind.of(percentiles()[i]); row.has(of) {
					medians := row.medians(of)
					dots = append(dots, chart.Row{Name: row.Case.Place, Note: kind.name + ", " + name, Values: medians, Remark: remark(medians, true)})
				}
			}
		}
	}
	return dots
}
