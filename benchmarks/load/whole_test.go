package load

import (
	"runtime"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/server/client"
)

// startServer runs a server in this process until the test ends; a segmentSize of 0 is the default.
func startServer(tb testing.TB, segmentSize int64) client.Address {
	tb.Helper()
	s, err := server.Open(server.Config{Data: tb.TempDir(), Listen: "127.0.0.1:0", SegmentSize: segmentSize})
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	tb.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	a, err := client.ParseURL("amqp://"+s.Addr().String(), client.TLS{})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// BenchmarkWholePath runs each workload on a server in this process, over loopback: publish, route,
// append, sync, confirm, deliver, acknowledge. An operation is a message published; with a backlog, one
// published and later delivered, and the parts have metrics of their own. cpu-µs/msg is the whole
// process's, the generator's small part included; allocs/msg is the server's, since the generator has
// none per message (TestGeneratorAllocatesNothing).
func BenchmarkWholePath(b *testing.B) {
	for _, w := range Catalogue() {
		if w.Rate > 0 || w.Mode == ModeDeclare {
			continue // takes as long as it is told to, or sends nothing
		}
		b.Run(w.Name, func(b *testing.B) {
			b.StopTimer()
			w.Messages = b.N
			m := Measurement{Workload: w, Address: startServer(b, 0), Meter: &benchmarkMeter{b: b}}
			results, err := m.Run(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for _, r := range results {
				reportMetrics(b, r)
			}
		})
	}
}

func reportMetrics(b *testing.B, r Result) {
	if r.Failed() {
		b.Errorf("%s: %s", r.Title(), r.Trouble())
	}
	prefix := ""
	if r.Phase != "" {
		prefix = r.Phase + "-"
	}
	n := float64(b.N)
	b.ReportMetric(n/r.Elapsed.Seconds(), prefix+"msgs/s")
	b.ReportMetric(r.PerMessage(r.Broker.CPU), prefix+"cpu-µs/msg")
	b.ReportMetric(float64(r.Broker.Mallocs)/n, prefix+"allocs/msg")
}

// benchmarkMeter measures this process, and runs the benchmark's timer in the phases only.
type benchmarkMeter struct {
	b       *testing.B
	cpu     time.Duration
	mallocs uint64
}

func (m *benchmarkMeter) Begin() error {
	runtime.GC() // of setting up: not to be paid by the messages
	m.mallocs, m.cpu = mallocs(), ownCPU()
	m.b.StartTimer()
	return nil
}

func (m *benchmarkMeter) End() (contender.Usage, error) {
	m.b.StopTimer()
	return contender.Usage{CPU: ownCPU() - m.cpu, Mallocs: mallocs() - m.mallocs}, nil
}

func (m *benchmarkMeter) Resident() (int64, error) { return 0, nil }

func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}
