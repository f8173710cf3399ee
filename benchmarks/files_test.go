package benchmarks

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

func TestFilesHoldSecondsAndHistograms(t *testing.T) {
	dir := t.TempDir()
	o := output{csv: filepath.Join(dir, "seconds.csv"), hdr: filepath.Join(dir, "latency.hlog")}
	f, err := openFiles(o)
	if err != nil {
		t.Fatal(err)
	}
	f.tick("w", load.Tick{At: time.Second, Span: time.Second, WarmUp: true, Sent: 5, Confirmed: 4, Delivered: 3})
	f.tick("w", load.Tick{At: 1500 * time.Millisecond, Span: 500 * time.Millisecond, Sent: 50, EndToEnd: &load.Latency{P50: 1500, P99: 2000, Max: 3000}})
	h := hdrhistogram.New(1, int64(time.Hour), 3)
	for range 10 {
		if err := h.RecordValue(int64(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	f.result(load.Result{Workload: "w", Elapsed: time.Second, EndToEndHistogram: h, ConfirmHistogram: hdrhistogram.New(1, 10, 1)})
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	wantCSV(t, o.csv)
	log, err := os.ReadFile(o.hdr)
	if err != nil {
		t.Fatal(err)
	}
	read, err := hdrhistogram.NewHistogramLogReader(bytes.NewReader(log)).NextIntervalHistogram()
	if err != nil || read == nil || read.TotalCount() != 10 || read.Tag() != "w.end-to-end" {
		t.Errorf("%+v, %v of\n%s", read, err, log)
	}
	if strings.Contains(string(log), "confirm,") {
		t.Errorf("a histogram of nothing was written:\n%s", log)
	}
}

func wantCSV(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil || len(lines) != 3 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for i, want := range []string{
		strings.Join(csvColumns(), " "),
		"w  false 1.000 0.0 5.0 4.0 3.0      ",
		"w  true 1.500 0.0 100.0 0.0 0.0    1.5 2.0 3.0",
	} {
		if got := strings.Join(lines[i], " "); got != want {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
}

func TestFilesThatCannotBeMadeAreNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no folder", "file")
	for _, o := range []output{{csv: missing}, {hdr: missing}} {
		if _, err := openFiles(o); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("error %v", err)
		}
	}
}

func TestLiveLineTellsHowItGoes(t *testing.T) {
	l := live{title: "w3"}
	got := l.line(load.Tick{
		Phase: "publish", At: 3 * time.Second, Span: 500 * time.Millisecond, WarmUp: true, Sent: 1000, Confirmed: 500,
		Confirm: &load.Latency{P50: 1234, P99: 5678},
	})
	if want := "w3 publish (not measured)  3 s  sent 2,000/s  confirmed 1,000/s  confirm p50 1.23µs p99 5.68µs"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var out bytes.Buffer
	silent := newLive(&out, "w")
	silent.show(load.Tick{})
	silent.clear()
	if out.Len() > 0 {
		t.Errorf("where there is no terminal it says %q", &out)
	}
}
