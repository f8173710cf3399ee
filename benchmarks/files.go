package benchmarks

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// files are what a run writes beside its table. The first error of each is kept until close.
type files struct {
	csvFile, hdrFile *os.File // nil: not asked for
	csv              *csv.Writer
	hdr              *hdrhistogram.HistogramLogWriter
	start            time.Time
	err              error
}

// csvColumns are rates and microseconds of about a second each.
func csvColumns() []string {
	return []string{
		"workload", "phase", "measured", "seconds", "declared_per_s", "sent_per_s", "confirmed_per_s", "delivered_per_s",
		"confirm_p50_us", "confirm_p99_us", "confirm_max_us", "end_to_end_p50_us", "end_to_end_p99_us", "end_to_end_max_us",
	}
}

func openFiles(o output) (*files, error) {
	f := &files{start: time.Now()}
	if o.csv != "" {
		if f.csvFile, f.err = os.Create(o.csv); f.err != nil {
			return nil, f.err
		}
		f.csv = csv.NewWriter(f.csvFile)
		f.keep(f.csv.Write(csvColumns()))
	}
	if o.hdr != "" {
		file, err := os.Create(o.hdr)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.hdrFile, f.hdr = file, hdrhistogram.NewHistogramLogWriter(file)
		f.keep(f.hdr.OutputLogFormatVersion())
		f.keep(f.hdr.OutputComment("[Latencies in nanoseconds, by millrace bench]"))
		f.keep(f.hdr.OutputStartTime(f.start.UnixMilli()))
		f.keep(f.hdr.OutputLegend())
	}
	return f, f.err
}

func (f *files) keep(err error) {
	if f.err == nil {
		f.err = err
	}
}

// tick writes a line of the CSV file, at once: whoever looks at the file sees it grow.
func (f *files) tick(workload string, t load.Tick) {
	if f.csv == nil {
		return
	}
	line := []string{workload, t.Phase, strconv.FormatBool(!t.WarmUp), strconv.FormatFloat(t.At.Seconds(), 'f', 3, 64)}
	for _, n := range []uint64{t.Declared, t.Sent, t.Confirmed, t.Delivered} {
		line = append(line, strconv.FormatFloat(perSecond(n, t.Span), 'f', 1, 64))
	}
	for _, l := range []*load.Latency{t.Confirm, t.EndToEnd} {
		if l == nil {
			line = append(line, "", "", "")
			continue
		}
		for _, d := range []time.Duration{l.P50, l.P99, l.Max} {
			line = append(line, strconv.FormatFloat(float64(d)/1e3, 'f', 1, 64))
		}
	}
	f.keep(f.csv.Write(line))
	f.csv.Flush()
}

// result writes the histograms of a phase, each with a tag that names it.
func (f *files) result(r load.Result) {
	if f.hdr == nil {
		return
	}
	end := time.Now()
	for _, h := range []struct {
		kind      string
		histogram *hdrhistogram.Histogram
	}{{"confirm", r.ConfirmHistogram}, {"end-to-end", r.EndToEndHistogram}} {
		if h.histogram == nil || h.histogram.TotalCount() == 0 {
			continue
		}
		h.histogram.SetTag(r.Workload + "." + h.kind)
		h.histogram.SetStartTimeMs(end.Add(-r.Elapsed).UnixMilli())
		h.histogram.SetEndTimeMs(end.UnixMilli())
		f.keep(f.hdr.OutputIntervalHistogram(h.histogram))
	}
}

func (f *files) close() error {
	if f.csv != nil {
		f.csv.Flush()
		f.keep(f.csv.Error())
	}
	for _, file := range []*os.File{f.csvFile, f.hdrFile} {
		if file != nil {
			f.keep(file.Close())
		}
	}
	if f.err != nil {
		return fmt.Errorf("write what was measured: %w", f.err)
	}
	return nil
}
