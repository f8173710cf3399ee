package suite

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace-mq/millrace/benchmarks/chart"
)

// The charts of workloads side by side; the others are named after their axis.
const (
	chartRate    = "rate"
	chartCost    = "cpu"
	chartLatency = "latency"
)

// picture is a chart that can be written.
type picture interface {
	Write(w io.Writer, format chart.Format) error
}

func chartName(axis string) string {
	return "by-" + strings.ToLower(strings.ReplaceAll(axis, " ", "-"))
}

// charts are all that there is something to draw for, by name.
func (r *Report) charts() map[string]picture {
	all := map[string]picture{}
	add := func(name string, d *chart.Dots) {
		if len(d.Rows) > 0 {
			d.Series = r.Brokers
			all[name] = d
		}
	}
	plain := r.rowsOn("")
	add(chartRate, &chart.Dots{
		Title: "Messages a second", Subtitle: "delivered, or published where nothing is consumed, or queues declared; logarithmic, further right is better",
		Rows: r.dots(plain, false, func(row *Row) metric { return row.speed }), Format: compact,
	})
	add(chartCost, &chart.Dots{
		Title: "CPU time of the broker for each message", Subtitle: "microseconds, user and system, of all its processes; logarithmic, further left is better",
		Rows: r.dots(plain, true, func(*Row) metric { return cost }), Format: micro,
	})
	add(chartLatency, &chart.Dots{
		Title: "Latency at a fixed rate", Subtitle: "milliseconds from when a message was due, open loop; logarithmic, further left is better",
		Rows: r.latencyDots(plain), Format: milli,
	})
	add(chartNeighbours, &chart.Dots{
		Title: "Latency beside bad neighbours", Subtitle: "milliseconds from when a message was due, 2,000 a second; logarithmic, further left is better",
		Rows: r.neighbourDots(), Format: milli,
	})
	for _, axis := range r.axes() {
		if axis == axisNeighbours {
			continue
		}
		all[chartName(axis)] = r.lines(axis)
	}
	return all
}

// micro words microseconds, milli milliseconds: in the unit above where there are a thousand.
func micro(v float64) string {
	if v >= 999.5 {
		return milli(v / 1000)
	}
	return digits(v) + " µs"
}

func milli(v float64) string {
	if v >= 999.5 {
		return digits(v/1000) + " s"
	}
	return digits(v) + " ms"
}

func (r *Report) dots(rows []*Row, lessIsBetter bool, of func(*Row) metric) (dots []chart.Row) {
	for _, row := range rows {
		if !row.has(of(row)) {
			continue
		}
		medians := row.medians(of(row))
		dots = append(dots, chart.Row{Name: row.id(), Note: row.title(), Values: medians, Remark: remark(medians, lessIsBetter)})
	}
	return dots
}

// remark is how many times the first broker is ahead, if there is one other.
func remark(medians []float64, lessIsBetter bool) string {
	if len(medians) != 2 {
		return ""
	}
	return factor(times(medians, lessIsBetter)[0])
}

func (r *Report) latencyDots(rows []*Row) (dots []chart.Row) {
	names := []string{"p50", "p99", "p99.9"}
	for _, row := range rows {
		for _, kind := range kinds() {
			for i, p := range percentiles() {
				of := kind.of(p)
				if !row.has(of) {
					continue
				}
				medians := row.medians(of)
				dots = append(dots, chart.Row{
					Name: row.id(), Note: kind.name + ", " + names[i], Values: medians, Remark: remark(medians, true),
				})
			}
		}
	}
	return dots
}

func (r *Report) lines(axis string) picture {
	l := &chart.Lines{
		Title: "CPU time by " + axis, Subtitle: "microseconds of the broker for each message; logarithmic, lower is better",
		Across: axis, Series: r.Brokers, Format: micro, Values: make([][]float64, len(r.Brokers)),
	}
	for _, row := range r.rowsOn(axis) {
		l.Places = append(l.Places, row.Case.Place)
		for broker, v := range row.medians(cost) {
			l.Values[broker] = append(l.Values[broker], v)
		}
	}
	return l
}

func writeChart(dir, name string, p picture) error {
	for _, format := range []chart.Format{chart.SVG, chart.PNG} {
		file, err := os.Create(filepath.Join(dir, name+"."+string(format)))
		if err != nil {
			return err
		}
		if err := errors.Join(p.Write(file, format), file.Close()); err != nil {
			return err
		}
	}
	return nil
}
