package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/benchmarks/suite"
	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/tools/command"
)

// bench runs 'millrace bench'.
func bench(ctx context.Context, args []string, out, errOut io.Writer) int {
	return command.Run(ctx, command.Root("test", Command()), command.Streams{Out: out, Err: errOut}, append([]string{"bench"}, args...))
}

// startServer runs a server in this process until the test ends.
func startServer(t *testing.T) (host string) {
	t.Helper()
	s, err := server.Open(server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s.Addr().String()
}

func TestBenchReportsJSON(t *testing.T) {
	var out, errOut bytes.Buffer
	args := []string{"--url", "amqp://" + startServer(t), "--workload", "confirm-1k", "--messages", "300", "--json"}
	if code := bench(t.Context(), args, &out, &errOut); code != command.ExitOK {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	var got struct{ Results []load.Result }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 1 || got.Results[0].Published != 300 || got.Results[0].Delivered != 300 {
		t.Errorf("got %+v", got.Results)
	}
}

func TestBenchExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	host := startServer(t)
	tests := []struct {
		name string
		ctx  context.Context
		args []string
		want int
		says string
	}{
		{"help", t.Context(), []string{"--help"}, command.ExitOK, "Examples:"},
		{"help of run", t.Context(), []string{"run", "--help"}, command.ExitOK, "--against"},
		{"help of limit", t.Context(), []string{"limit", "--help"}, command.ExitOK, "--duration"},
		{"help of list", t.Context(), []string{"list", "--help"}, command.ExitOK, "bench list"},
		{"list", t.Context(), []string{"list"}, command.ExitOK, "connections-1000"},
		{"usage", t.Context(), []string{"--workload", "nonsense"}, command.ExitUsage, "millrace bench: unknown workload"},
		{"usage of run", t.Context(), []string{"run"}, command.ExitUsage, "SUITE is missing; see 'millrace bench run --help'"},
		{"usage of limit", t.Context(), []string{"limit", "--duration", "0s"}, command.ExitUsage, "--duration"},
		{"argument", t.Context(), []string{"extra"}, command.ExitUsage, `unexpected argument "extra"`},
		{"arguments of run", t.Context(), []string{"run", "compare", "x"}, command.ExitUsage, `unexpected argument "x"`},
		{"usage of list", t.Context(), []string{"list", "all"}, command.ExitUsage, "unexpected argument"},
		{"nobody listens", t.Context(), []string{"--url", "amqp://127.0.0.1:1", "--workload", "confirm-1k"}, command.ExitFailed, "127.0.0.1:1"},
		{"wrong password", t.Context(), []string{"--url", "amqp://guest:wrong@" + host, "--messages", "1"}, command.ExitFailed, "log in"},
		{"no such queue", t.Context(), []string{"--url", "amqp://" + host, "--consume-only", "--queue-name", "nobody's"}, command.ExitFailed, "nobody's"},
		{"interrupted", cancelled, []string{"--url", "amqp://" + host}, command.ExitInterrupted, "interrupted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if code := bench(test.ctx, test.args, &out, &errOut); code != test.want {
				t.Errorf("exit code %d, want %d: %s", code, test.want, &errOut)
			}
			if said := out.String() + errOut.String(); !strings.Contains(said, test.says) {
				t.Errorf("%q is not said:\n%s", test.says, said)
			}
		})
	}
}

func TestSuiteIsRunOnBrokersInTurns(t *testing.T) {
	dir := t.TempDir()
	var out, errOut bytes.Buffer
	args := []string{
		"run", "compare", "--against", "a=amqp://" + startServer(t), "--against", "b=amqp://" + startServer(t),
		"--only", "W1,w4,W6", "--scale", "0.0001", "--rounds", "2", "--out", dir, "--note", "a note",
	}
	if code := bench(t.Context(), args, &out, &errOut); code != command.ExitOK {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	for _, want := range []string{"a note", "| a : b |", "| W1 |", "| W4 |", "| W5 |", "| W6 |", "No message was lost", "medians of 2 rounds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	for _, name := range []string{"report.md", "results.json", "rate.svg", "rate.png"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	lines := strings.Split(strings.TrimSpace(errOut.String()), "\n")
	if len(lines) != 16 || !strings.Contains(lines[0], " a ") || !strings.Contains(lines[1], " b ") {
		t.Errorf("not in turns, four results each, twice:\n%s", &errOut)
	}
}

// What neighbours are told must be what 'millrace bench' understands.
func TestNeighboursAreLoads(t *testing.T) {
	for _, c := range suite.Neighbours().Cases {
		if c.Beside != nil {
			parsed(t, append([]string{"--url", "amqp://h"}, c.Beside.Flags...)...)
		}
	}
}
