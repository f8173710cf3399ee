package suite

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// section is a table with its heading, and the chart that goes with it.
type section struct {
	title, text string
	table       *table
	chart       string
}

func (r *Report) sections() []section {
	var all []section
	plain := r.rowsOn("")
	if len(plain) > 0 {
		all = append(all, r.compared(plain)...)
	}
	for _, axis := range r.axes() {
		if axis == axisNeighbours {
			all = append(all, r.neighbours()...)
			continue
		}
		all = append(all, r.scaled(axis))
	}
	return slices.DeleteFunc(all, func(s section) bool { return s.table == nil })
}

// axes are what is varied, in the order of the cases.
func (r *Report) axes() (axes []string) {
	for _, row := range r.Rows {
		if axis := row.Case.Axis; axis != "" && !slices.Contains(axes, axis) {
			axes = append(axes, axis)
		}
	}
	return axes
}

func (r *Report) rowsOn(axis string) (rows []*Row) {
	for _, row := range r.Rows {
		if row.Case.Axis == axis {
			rows = append(rows, row)
		}
	}
	return rows
}

// compared are the tables of workloads side by side.
func (r *Report) compared(rows []*Row) []section {
	return []section{
		{
			title: "Rate", text: "Messages delivered a second, or published where nothing is consumed, or queues declared. More is better.",
			table: r.sideBySide(rows, more, func(row *Row) metric { return row.speed }), chart: chartRate,
		},
		{
			title: "CPU time of the broker", text: "Microseconds for each message published, user and system, of all of its processes; of a drain and of a fan-out for each delivery, of declarations for each queue. Less is better.",
			table: r.sideBySide(rows, less, func(*Row) metric { return cost }), chart: chartCost,
		},
		{
			title: "Latency", text: "Milliseconds at a fixed rate, open loop: counted from the time that a message was due. p50 / p99 / p99.9. Less is better.",
			table: r.latencies(rows), chart: chartLatency,
		},
		{
			title: "Memory", text: "The largest resident set in MiB, mapped files among it; of several processes the sum. Less is better.",
			table: r.sideBySide(rows, less, func(*Row) metric { return peak }),
		},
		{
			title: "Memory of each", text: "KiB by which the resident set grew for each queue or connection. Less is better.",
			table: r.sideBySide(rows, less, func(*Row) metric { return growth }),
		},
		{
			title: "Time of declarations", text: "Seconds for all of them, one after another. Less is better.",
			table: r.sideBySide(rows, less, func(*Row) metric { return declaring }),
		},
		{
			title: "The load generator", text: "Its own CPU time in microseconds a message: what it takes from the broker where they share the machine.",
			table: r.sideBySide(rows, neither, func(*Row) metric { return generator }),
		},
	}
}

// better says what of a number is better.
type better int

const (
	neither better = iota
	more
	less
)

// sideBySide is a table of one number, with how many times the first broker is ahead of each other one.
func (r *Report) sideBySide(rows []*Row, better better, of func(*Row) metric) *table {
	title := append([]string{"", "workload"}, r.Brokers...)
	for _, other := range r.Brokers[1:] {
		if better != neither {
			title = append(title, r.Brokers[0]+" : "+other)
		}
	}
	var t *table
	for _, row := range rows {
		if !row.has(of(row)) {
			continue
		}
		if t == nil {
			t = newTable(2, title...)
		}
		medians := row.medians(of(row))
		cells := []string{row.id(), row.title()}
		for _, v := range medians {
			cells = append(cells, thousands(v))
		}
		if better != neither {
			for _, ratio := range times(medians, better == less) {
				cells = append(cells, factor(ratio))
			}
		}
		t.row(cells...)
	}
	return t
}

// percentiles are those that tables show.
func percentiles() []func(*load.Latency) time.Duration {
	return []func(*load.Latency) time.Duration{
		func(l *load.Latency) time.Duration { return l.P50 },
		func(l *load.Latency) time.Duration { return l.P99 },
		func(l *load.Latency) time.Duration { return l.P999 },
	}
}

// kinds are the two latencies.
type kind struct {
	name string
	of   func(func(*load.Latency) time.Duration) metric
}

func kinds() []kind { return []kind{{"end to end", delivered}, {"confirm", confirmed}} }

func (r *Report) latencies(rows []*Row) *table {
	var t *table
	for _, row := range rows {
		for _, kind := range kinds() {
			if !row.has(kind.of(percentiles()[0])) {
				continue
			}
			if t == nil {
				t = newTable(2, append([]string{"", "latency"}, r.Brokers...)...)
			}
			cells := []string{row.id(), row.title() + ": " + kind.name}
			for broker := range r.Brokers {
				var parts []string
				for _, p := range percentiles() {
					parts = append(parts, thousands(row.median(broker, kind.of(p))))
				}
				cells = append(cells, strings.Join(parts, " / "))
			}
			t.row(cells...)
		}
	}
	return t
}

// scaled is the table of one axis: rates, costs, and how much the cost has grown from the first place.
func (r *Report) scaled(axis string) section {
	title := []string{axis}
	for _, name := range r.Brokers {
		title = append(title, name+": messages/s", "CPU µs/message", "of the first", "peak MiB")
	}
	t := newTable(0, title...)
	rows := r.rowsOn(axis)
	for _, row := range rows {
		cells := []string{row.Case.Place}
		for broker := range r.Brokers {
			now := row.median(broker, cost)
			cells = append(cells, thousands(row.median(broker, row.speed)), thousands(now),
				thousands(now/firstCost(rows, broker)), thousands(row.median(broker, peak)))
		}
		t.row(cells...)
	}
	return section{title: "By " + axis, table: t, chart: chartName(axis)}
}

func firstCost(rows []*Row, broker int) float64 {
	for _, row := range rows {
		if v := row.median(broker, cost); !math.IsNaN(v) {
			return v
		}
	}
	return math.NaN()
}
