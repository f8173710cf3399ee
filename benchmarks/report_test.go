package benchmarks

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func sampleResult() Result {
	return Result{
		Workload: "confirm-1k", Published: 1_000_000, Delivered: 1_000_000,
		PublishTime: 4 * time.Second, Elapsed: 5 * time.Second, GeneratorCPU: 500 * time.Millisecond,
		Broker:  &Cost{CPU: 2 * time.Second, PeakRSS: 300 << 20, PeakAnon: 40 << 20},
		Confirm: &Latency{P50: 1234567, P99: 2 * time.Millisecond, P999: 3 * time.Millisecond, Max: 4 * time.Millisecond},
	}
}

func TestReportIsATable(t *testing.T) {
	var out strings.Builder
	r := report{out: &out}
	r.add(sampleResult())
	drain := Result{Workload: "backlog-1k", Phase: "drain", Delivered: 500, Elapsed: time.Second, GeneratorCPU: time.Millisecond}
	drain.Faults = Faults{Lost: 3, Reordered: 1}
	drain.Left = 2
	r.add(drain)
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	const want = `                        published    delivered     broker  generator      peak   w/o log  
workload                    msg/s        msg/s     µs/msg     µs/msg       MiB       MiB  faults
confirm-1k                250,000      200,000       2.00       0.50       300        40  none
  confirm            p50 1.23ms  p99 2ms  p99.9 3ms  max 4ms
backlog-1k drain                -          500          -       2.00         -         -  3 lost, 1 reordered, 2 left
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !r.failed() {
		t.Error("a report with faults is no failure")
	}
}

func TestReportIsJSON(t *testing.T) {
	var out strings.Builder
	r := report{out: &out, json: true}
	r.add(sampleResult())
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	var got struct {
		CPUs    int
		Go      string
		Results []Result
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if got.CPUs < 1 || got.Go == "" || len(got.Results) != 1 || got.Results[0].Broker.CPU != 2*time.Second {
		t.Errorf("got %+v", got)
	}
	if r.failed() {
		t.Error("a report without faults is a failure")
	}
}

func TestRatesArePartedInThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "-", 1: "1", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := rate(n, time.Second); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestShortDurationsKeepThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 999: "999ns", 1234: "1.23µs", 96_543_210: "96.5ms", 2 * time.Second: "2s"} {
		if got := short(d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
