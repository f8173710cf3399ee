package suite

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/server/client"
)

func TestMedianIsInTheMiddle(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 100}, 3.5},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("%v: %v", test.values, got)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
}

func TestRatiosSayHowFarTheFirstIsAhead(t *testing.T) {
	if got := times([]float64{100, 50, 200}, false); !slices.Equal(got, []float64{2, 0.5}) {
		t.Errorf("more is better: %v", got)
	}
	if got := times([]float64{2, 50, 1}, true); !slices.Equal(got, []float64{25, 0.5}) {
		t.Errorf("less is better: %v", got)
	}
	for v, want := range map[float64]string{25: "25×", 2: "2.0×", 0.55: "0.6×", math.NaN(): "–", math.Inf(1): "–", 9.97: "10×", 12_370: "12,370×"} {
		if got := factor(v); got != want {
			t.Errorf("%v: %s", v, got)
		}
	}
}

func TestNumbersAreWorded(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.123456: "0.123", 1.5: "1.50", 19: "19.0", 73.26: "73.3", 1234567.8: "1,234,568", 999: "999", math.NaN(): "–",
	} {
		if got := thousands(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0.5: "0.5 µs", 999.9: "1 ms", 2030: "2.03 ms", 11_417_000: "11.4 s"} {
		if got := micro(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.55: "0.55", 2: "2", 88_000: "88 k", 1_016_138: "1.02 M", 999_900: "1 M", 12.34: "12.3"} {
		if got := compact(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestSuitesAreValid(t *testing.T) {
	for _, s := range All() {
		names := map[string]bool{}
		for _, c := range s.Cases {
			if err := c.Workload.Validate(); err != nil {
				t.Errorf("%s: %v", c.Workload.Name, err)
			}
			if names[c.Workload.Name] || (c.Axis == "") != (c.Place == "") {
				t.Errorf("%s: %+v", s.Name, c)
			}
			names[c.Workload.Name] = true
		}
		if found, err := Find(s.Name); err != nil || found.Summary != s.Summary {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if _, err := Find("nonsense"); err == nil {
		t.Error("a suite that nobody knows")
	}
	ids := ""
	for _, c := range Compare().Cases {
		ids += c.Workload.ID + " "
	}
	if ids != "W1 W2 W3 W4/W5 W6 W7 W8 W9 W10 W11 W12 " {
		t.Errorf("workloads %s", ids)
	}
}

func TestPlacesAreWholeNumbers(t *testing.T) {
	var places []string
	for _, c := range Scaling().Cases {
		places = append(places, c.Place)
	}
	const want = "1 2 1 10 100 1,000 16 256 4 KiB 64 KiB 1 MiB 1 10 100 1,000 10,000 0 100 1,000 10,000 0 100 1,000 10,000 0 100 1,000 10,000 0 100 1,000 10,000 0 10,000 100,000 1,000,000 10,000,000"
	if got := strings.Join(places, " "); got != want {
		t.Errorf("places %s", got)
	}
}

func TestSuitesAreCutToWhatIsNamed(t *testing.T) {
	s := Compare()
	if err := s.scale(0.01, []string{"w5", "confirm-1k"}); err != nil || len(s.Cases) != 2 || s.Cases[0].Workload.Messages != 10_000 {
		t.Errorf("%+v, %v", s.Cases, err)
	}
	s = Scaling()
	if err := s.scale(1e-9, []string{"bindings"}); err != nil || len(s.Cases) != 5 || s.Cases[4].Workload.Messages != 100 {
		t.Errorf("%+v, %v", s.Cases, err)
	}
	if err := s.scale(1, []string{"W77"}); err == nil {
		t.Error("a workload that nobody knows")
	}
}

// sample is an outcome of two brokers and two rounds.
func sample(t *testing.T) *Report {
	t.Helper()
	result := func(rate uint64, cpu time.Duration) load.Result {
		return load.Result{
			Published: rate, Delivered: rate, PublishTime: time.Second, Elapsed: time.Second,
			Broker: &load.Cost{CPU: cpu * time.Duration(rate), PeakRSS: 100 << 20},
		}
	}
	find := func(name string) load.Workload {
		w, ok := load.Find(name)
		if !ok {
			t.Fatal(name)
		}
		return w
	}
	o := &Outcome{Suite: Suite{Name: "test"}, Brokers: []string{"fast", "slow"}, Versions: []string{"fast", "Slow 3.10"}, Rounds: 3}
	row := o.rowsOf(Case{Workload: find("W3")})[0]
	row.Results[0] = []load.Result{result(300_000, 2000), result(100_000, 9000), result(200_000, 3000)}
	row.Results[1] = []load.Result{result(20_000, 60_000)}
	paced := o.rowsOf(Case{Workload: find("W9")})[0]
	r := result(5000, 100_000)
	r.EndToEnd = &load.Latency{P50: 120 * time.Microsecond, P99: 800 * time.Microsecond, P999: 3 * time.Millisecond}
	paced.Results[0] = []load.Result{r}
	paced.Errors[1] = errors.New("no luck")
	backlog := o.rowsOf(Case{Workload: find("W4")})
	backlog[0].Results[0], backlog[1].Results[0] = []load.Result{result(7, 1)}, []load.Result{result(8, 1)}
	backlog[1].Results[0][0].Faults.Lost = 3
	declared := o.rowsOf(Case{Workload: find("W11")})[0]
	declared.Results[0] = []load.Result{{Declared: 10_000, Elapsed: 2 * time.Second, Growth: &load.Growth{What: "queue", Count: 10_000, Bytes: 20_480_000}}}
	for i, cpu := range []time.Duration{2000, 3000} {
		scaled := o.rowsOf(Case{Workload: load.Base(), Axis: "bindings", Place: []string{"1", "10"}[i]})[0]
		scaled.Results[0] = []load.Result{result(1000, cpu)}
	}
	return &Report{Outcome: o, Title: "Test", Notes: []string{"on a machine"}}
}

func TestReportHasMediansAndRatios(t *testing.T) {
	r := sample(t)
	text := r.Markdown(true)
	for _, want := range []string{
		"# Test", "- on a machine", "- slow is Slow 3.10", "medians of 3 rounds",
		"| W3 | persistent 1 KiB, confirmed, window 1,000 | 200,000 | 20,000 | 10× |",
		"| W3 | persistent 1 KiB, confirmed, window 1,000 | 3.00 | 60.0 | 20× |",
		"| W9 | persistent 1 KiB, confirmed, 5,000 a second: end to end | 0.120 / 0.800 / 3.00 | – / – / – |",
		"| W4 | persistent 1 KiB, confirmed, publish only | 7.00 | – | – |", "| W5 | drain of that backlog | 8.00 | – | – |",
		"| W11 | 10,000 durable queues declared | 5,000 | – | – |",
		"| W11 | 10,000 durable queues declared | 2.00 | – | – |",
		"## By bindings", "| 10 | 1,000 | 3.00 | 1.50 | 100 |",
		"![rate](rate.svg)", "![by-bindings](by-bindings.svg)",
		"- slow, paced-1k: no luck", "- fast, backlog-1k, round 1: 3 lost",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if !r.Failed() {
		t.Error("faults are no failure")
	}
}

func TestReportIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	r := sample(t)
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.md", "results.json", "rate.svg", "rate.png", "cpu.svg", "latency.png", "by-bindings.svg", "by-bindings.png"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Write(filepath.Join(dir, "report.md")); err == nil {
		t.Error("a file is no folder")
	}
}

func TestConfigNamesAllFaults(t *testing.T) {
	c, err := contender.Parse("amqp://h", client.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	err = (&Config{Rounds: 0, Scale: -1, Contenders: []contender.Contender{c, c}}).Validate()
	for _, want := range []string{"two brokers", "rounds", "scale"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
	if err := (&Config{Rounds: 1, Scale: 1}).Validate(); err == nil {
		t.Error("nobody to measure")
	}
}

// A broker that does not answer costs its row, not the others.
func TestSuiteGoesOnWithoutABroker(t *testing.T) {
	c, err := contender.Parse("amqp://127.0.0.1:1", client.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	ended := 0
	o, err := Run(t.Context(), Config{
		Suite: Compare(), Contenders: []contender.Contender{c}, Rounds: 1, Scale: 1, Only: []string{"W1", "W2"},
		End: func(Case, string, []load.Result, error) { ended++ },
	})
	if err != nil || ended != 2 || !o.Failed() || o.Rows[0].Errors[0] == nil {
		t.Errorf("%d ended, %+v, %v", ended, o, err)
	}
}
