package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/limit"
)

const limitUsage = `Measure what the machine allows without a broker: a relay between two TCP connections, the same with a file on the
way, how long fdatasync takes, and how fast a file is written. CPU time is that of the relay's thread for each KiB.

Usage: millrace bench limit [flags]

Examples:
  millrace bench limit --data /var/lib/millrace

Flags:
`

// runLimit is 'millrace bench limit'.
func runLimit(ctx context.Context, args []string, out, _ io.Writer) (int, error) {
	flags := newFlags("limit")
	var cfg limit.Config
	flags.StringVar(&cfg.Data, "data", "", "folder on the disk in question")
	flags.DurationVar(&cfg.Time, "duration", 3*time.Second, "of each measurement")
	asJSON := flags.Bool("json", false, "write one JSON document instead of the table")
	done, err := parse(flags, args)
	if err == nil && cfg.Time <= 0 {
		err = errors.New("--duration is not more than 0")
	}
	if err != nil {
		return exitUsage, err
	}
	if done {
		_, err := io.WriteString(out, limitUsage+flags.FlagUsages())
		return exitOK, err
	}
	results, err := limit.Measure(ctx, cfg)
	if err != nil {
		return exitFailed, err
	}
	if *asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return exitOK, encoder.Encode(results)
	}
	fmt.Fprintf(out, "%-31s %9s %11s %10s %10s %10s\n", "", "MB/s", "CPU µs/KiB", "p50", "p99", "p99.9")
	for _, r := range results {
		fmt.Fprintf(out, "%-31s %9.0f %11s %10s %10s %10s  %s\n", r.Name, r.Bytes/1e6, cpuCell(r.KiBCPU), timeCell(r.P50), timeCell(r.P99), timeCell(r.P999), r.Note)
	}
	return exitOK, nil
}

func cpuCell(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

func timeCell(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return short(d).String()
}
