package tools

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/wal"
)

func verifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "check every checksum and footer, and name each fault with its place",
		Long: "Read the whole log, check every checksum and footer, and name each fault with file, position and record. For each\n" +
			"file of the old generation it is told what its records take and in how many bytes they are stored. The exit code is 1\n" +
			"if there is a fault.",
		Example: `
  millrace log verify --data /var/lib/millrace`,
	}
	data := dataFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return verify(*data, c.OutOrStdout()) }
	return c
}

// verify prints a line for each fault and a last line that counts.
func verify(data string, out io.Writer) error {
	report, err := wal.Verify(logOf(data))
	if err != nil {
		return err
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
		return command.ErrFaults
	}
	return nil
}
