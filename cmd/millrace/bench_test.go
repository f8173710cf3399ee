package main_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// benchRun is what 'millrace bench --json' says.
type benchRun struct {
	Results []struct {
		Workload, Phase                string
		Declared, Published, Delivered uint64
		Broker                         *struct{ CPU, PeakRSS int64 }
		Confirm                        *struct{ P99 int64 } `json:"confirm_latency"`
		EndToEnd                       *struct{ P99 int64 } `json:"end_to_end_latency"`
		Unchecked                      []string
	}
}

func benchJSON(t *testing.T, args ...string) benchRun {
	t.Helper()
	got := millrace(t, append([]string{"bench", "--json"}, args...)...)
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("millrace bench %s: code %d: %s", strings.Join(args, " "), got.code, got.stderr)
	}
	var run benchRun
	if err := json.Unmarshal([]byte(got.stdout), &run); err != nil || len(run.Results) == 0 {
		t.Fatalf("%v in\n%s", err, got.stdout)
	}
	return run
}

// The load generator works with any broker: RabbitMQ too, when the environment names one.
func TestBenchMeasuresABroker(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	cases := map[string]struct {
		args                 []string
		published, delivered uint64
	}{
		"plain":     {[]string{"--messages", "500"}, 500, 500},
		"confirmed": {[]string{"--messages", "500", "--persistent", "--window", "20", "--latency", "--size", "16-3000"}, 500, 500},
		"fanout":    {[]string{"--messages", "200", "--exchange", "fanout", "--queues", "3"}, 200, 600},
		"direct":    {[]string{"--messages", "200", "--exchange", "direct", "--queues", "3", "--bindings", "5"}, 200, 200},
		"topic": {[]string{
			"--messages", "200", "--exchange", "topic", "--queues", "2", "--binding-key", "a.#", "--binding-key", "*.b", "--routing-key", "a.b", "--routing-key", "c",
		}, 200, 200},
		"headers":  {[]string{"--messages", "200", "--exchange", "headers", "--queues", "3"}, 200, 200},
		"channels": {[]string{"--messages", "400", "--producers", "4", "--queues", "4", "--connections", "2", "--window", "10"}, 400, 400},
		"quorum":   {[]string{"--messages", "200", "--persistent", "--window", "50", "--queue-arg", "x-queue-type=quorum"}, 200, 200},
		"rate":     {[]string{"--messages", "300", "--rate", "3000", "--window", "300", "--ack-every", "1"}, 300, 300},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			got := benchJSON(t, append(row.args, "--url", b.URL)...).Results[0]
			if got.Published != row.published || got.Delivered != row.delivered || len(got.Unchecked) > 0 {
				t.Errorf("%+v", got)
			}
			if wants := name == "rate" || name == "confirmed"; wants != (got.Confirm != nil) || wants != (got.EndToEnd != nil) {
				t.Errorf("latencies of %+v", got)
			}
		})
	}
}

func TestBenchPublishesAndConsumesAlone(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	queue := "millrace-bench-test." + t.Name()
	published := benchJSON(t, "--url", b.URL, "--publish-only", "--messages", "300", "--window", "50", "--queue-name", queue).Results[0]
	consumed := benchJSON(t, "--url", b.URL, "--consume-only", "--queue-name", queue).Results[0]
	if published.Published != 300 || consumed.Delivered != 300 || len(consumed.Unchecked) == 0 {
		t.Errorf("published %+v, consumed %+v", published, consumed)
	}
	if _, err := b.connect(t).QueueDelete(queue, false, false, false); err != nil {
		t.Error(err)
	}
}

func TestBenchStartsABrokerOfItsOwn(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	dir := t.TempDir()
	seconds, histograms := filepath.Join(dir, "seconds.csv"), filepath.Join(dir, "latency.hlog")
	run := benchJSON(t, "--data", dir, "--workload", "w4,W9", "--messages", "200", "--csv", seconds, "--hdr", histograms)
	if len(run.Results) != 3 {
		t.Fatalf("%+v", run)
	}
	publish, drain, paced := run.Results[0], run.Results[1], run.Results[2]
	if publish.Phase != "publish" || publish.Published != 200 || drain.Delivered != 200 || paced.Confirm == nil || paced.Broker == nil {
		t.Errorf("%+v", run)
	}
	file, err := os.Open(seconds)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if lines, err := csv.NewReader(file).ReadAll(); err != nil || len(lines) < 4 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	if log, err := os.ReadFile(histograms); err != nil || !strings.Contains(string(log), "paced-1k.end-to-end") {
		t.Errorf("%v of\n%s", err, log)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBenchComparesBrokers(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	got := millrace(t, "bench", "run", "compare", "--against", "one=millrace", "--against", "two=millrace,sync=os", "--data", dir,
		"--only", "W3,W11", "--scale", "0.001", "--rounds", "2", "--out", out)
	if got.code != 0 || !strings.Contains(got.stdout, "| one | two | one : two |") {
		t.Fatalf("%+v", got)
	}
	for _, name := range []string{"report.md", "results.json", "rate.png", "cpu.svg"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBenchTellsTheMachinesLimits(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	got := millrace(t, "bench", "limit", "--duration", "20ms", "--data", t.TempDir())
	if got.code != 0 || !strings.Contains(got.stdout, "fdatasync") || !strings.Contains(got.stdout, "relay with a file") {
		t.Errorf("%+v", got)
	}
}

func TestBenchReachesABrokerByTLS(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	a := newAuthority(t)
	b := startBroker(t, t.TempDir(), a.serverFlags(t)...).overTLS()
	got := benchJSON(t, "--url", b.URL, "--tls-ca", a.write(t, "ca.pem", "CERTIFICATE", a.certificate.Raw), "--messages", "300", "--window", "30").Results[0]
	if got.Published != 300 || got.Delivered != 300 {
		t.Errorf("%+v", got)
	}
	millrace(t, "bench", "--url", b.URL, "--messages", "1").wantRefusal(t, 1, "certificate")
	benchJSON(t, "--url", b.URL, "--tls-insecure", "--messages", "10")
}

func TestBenchMeasuresBesideANeighbour(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	got := millrace(t, "bench", "run", "neighbours", "--against", "millrace", "--data", t.TempDir(), "--only", "beside-deaf", "--scale", "0.01")
	if got.code != 0 || !strings.Contains(got.stdout, "| deaf | millrace |") {
		t.Errorf("%+v", got)
	}
}
