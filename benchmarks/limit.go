package benchmarks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/benchmarks/limit"
	"github.com/millrace-mq/millrace/tools/command"
)

const limitText = `Measure what the machine allows without a broker: a relay between two TCP connections, the same with a file on the
way, how long fdatasync takes, and how fast a file is written. CPU time is that of the relay's thread for each KiB.`

// limitCommand is 'millrace bench limit'.
func limitCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "limit", Short: "measure what the machine allows without a broker", Long: limitText,
		Example: "  millrace bench limit --data /var/lib/millrace",
	}
	var cfg limit.Config
	c.Flags().StringVar(&cfg.Data, "data", "", "folder on the disk in question")
	c.Flags().DurationVar(&cfg.Time, "duration", 3*time.Second, "of each measurement")
	asJSON := c.Flags().Bool("json", false, "write one JSON document instead of the table")
	command.Folder(c, "data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if cfg.Time <= 0 {
			return command.Usagef("--duration is not more than 0")
		}
		return runLimit(c.Context(), cfg, *asJSON, c.OutOrStdout())
	}
	return c
}

func runLimit(ctx context.Context, cfg limit.Config, asJSON bool, out io.Writer) error {
	results, err := limit.Measure(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	}
	fmt.Fprintf(out, "%-31s %9s %11s %10s %10s %10s\n", "", "MB/s", "CPU µs/KiB", "p50", "p99", "p99.9")
	for _, r := range results {
		fmt.Fprintf(out, "%-31s %9.0f %11s %10s %10s %10s  %s\n", r.Name, r.Bytes/1e6, cpuCell(r.KiBCPU), timeCell(r.P50), timeCell(r.P99), timeCell(r.P999), r.Note)
	}
	return nil
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
