package benchmarks

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

func sampleResult() load.Result {
	return load.Result{
		Workload: "confirm-1k", Published: 1_000_000, Delivered: 1_000_000, PublishedBytes: 1 << 30,
		PublishTime: 4 * time.Second, Elapsed: 5 * time.Second, GeneratorCPU: 500 * time.Millisecond,
		Broker:  &load.Cost{CPU: 2 * time.Second, PeakRSS: 300 << 20, PeakAnon: 40 << 20},
		Confirm: &load.Latency{P50: 1234567, P90: 1500 * time.Microsecond, P99: 2 * time.Millisecond, P999: 3 * time.Millisecond, Max: 4 * time.Millisecond},
	}
}

func TestReportIsATable(t *testing.T) {
	var out strings.Builder
	r := report{out: &out}
	r.add(sampleResult())
	drain := load.Result{Workload: "backlog-1k", Phase: "drain", Delivered: 500, Elapsed: time.Second, GeneratorCPU: time.Millisecond}
	drain.Faults = load.Faults{Lost: 3, Reordered: 1}
	drain.Left, drain.Unchecked = 2, []string{"order"}
	r.add(drain)
	r.add(load.Result{
		Workload: "declare-10k", Declared: 10_000, Elapsed: 2 * time.Second, GeneratorCPU: time.Millisecond,
		Growth: &load.Growth{What: "queue", Count: 10_000, Bytes: 10_000 << 11}, Unchecked: []string{"order"},
	})
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	const want = `                        published    delivered published     broker  generator      peak   w/o log  
workload                    msg/s        msg/s      MB/s     µs/msg     µs/msg       MiB       MiB  faults
confirm-1k                250,000      200,000     268.4       2.00       0.50       300        40  none
  confirm            p50 1.23ms  p90 1.5ms  p99 2ms  p99.9 3ms  max 4ms
backlog-1k drain                -          500         -          -       2.00         -         -  3 lost, 1 reordered, 2 left
  not checked: order
declare-10k                     -            -         -          -       0.10         -         -  none
  10,000 queues declared in 2s, 5,000 a second
  2.0 KiB of the broker's memory for each queue
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
		Results []load.Result
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
	for n, want := range map[float64]string{0: "-", 1: "1", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := rate(n); got != want {
			t.Errorf("%v: %q, want %q", n, got, want)
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
