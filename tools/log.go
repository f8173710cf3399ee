package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/wal"
)

const logUsage = `Look into a data folder's log.

Usage: millrace log ls [--data DIR] [--json]
       millrace log verify [--data DIR]

  ls       list the files of the log, oldest first: what they hold, since when, and how well it is compressed
  verify   check every checksum and footer, and name each fault with its place

Both may be used beside a running broker and change nothing.

Examples:
  millrace log ls --data /var/lib/millrace
  millrace log ls --data /var/lib/millrace --json | jq 'select(.generation == "old") | .ratio'
  millrace log verify --data /var/lib/millrace
`

// Log runs 'millrace log'.
func Log(_ context.Context, args []string, _ io.Reader, out, errOut io.Writer) int {
	flags := pflag.NewFlagSet("log", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	data := flags.String("data", "millrace-data", "data folder")
	asJSON := flags.Bool("json", false, "one JSON object a line")
	err := flags.Parse(args)
	what := flags.Arg(0)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(out, logUsage)
		return 0
	case err == nil && (flags.NArg() != 1 || what != "verify" && what != "ls"):
		err = errors.New("say what to do: ls or verify")
	case err == nil && what == "verify" && *asJSON:
		err = errors.New("--json goes with ls")
	}
	if err != nil {
		fmt.Fprintf(errOut, "millrace log: %s; see 'millrace log --help'\n", err)
		return 2
	}
	if what == "ls" {
		return list(*data, *asJSON, out, errOut)
	}
	return verify(*data, out, errOut)
}

// verify prints a line for each fault and a last line that counts.
func verify(data string, out, errOut io.Writer) int {
	report, err := wal.Verify(filepath.Join(data, "log"))
	if err != nil {
		fmt.Fprintf(errOut, "millrace log verify: %s\n", err)
		return 1
	}
	for _, fault := range report.Faults {
		fmt.Fprintln(out, fault)
	}
	for _, info := range report.Segments {
		if info.Old {
			f := describe(info)
			fmt.Fprintf(out, "%s: old generation, %d of records %d to %d, %d bytes stored in %d, %.1f : 1\n",
				info.Path, f.Records, f.First, f.Last, f.Raw, f.Bytes, f.Ratio)
		}
	}
	for _, path := range report.Superseded {
		fmt.Fprintf(out, "%s: superseded, the next start removes it\n", path)
	}
	fmt.Fprintf(out, "%d segments, %d records, %d faults\n", len(report.Segments), report.Records, len(report.Faults))
	if len(report.Faults) > 0 {
		return 1
	}
	return 0
}
