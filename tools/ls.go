package tools

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/wal"
)

// file is a line of 'millrace log ls --json'.
type file struct {
	Name       string    `json:"name"`
	Generation string    `json:"generation"` // active, sealed or old
	First      uint64    `json:"first"`      // its first record
	Last       uint64    `json:"last"`       // its last
	Records    int64     `json:"records"`    // that it holds
	Bytes      int64     `json:"bytes"`      // of the file
	Raw        int64     `json:"raw_bytes"`  // of what it holds, before compression
	Ratio      float64   `json:"ratio"`      // of raw bytes to the file's; 1 where nothing is compressed
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
}

func describe(info wal.SegmentInfo) file {
	f := file{
		Name: filepath.Base(info.Path), Generation: "active", First: uint64(info.Base), Last: uint64(info.Last),
		Records: int64(info.Last) - int64(info.Base) + 1, Bytes: info.Size, Raw: info.End, Ratio: 1,
		From: info.MinTime, To: info.MaxTime,
	}
	switch {
	case info.Old:
		f.Generation, f.Records, f.Raw = "old", int64(info.Records), info.Bytes
		f.Ratio = float64(info.Bytes) / float64(info.Size)
	case info.Sealed:
		f.Generation = "sealed"
	}
	return f
}

func lsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ls",
		Short: "list the files of the log",
		Long:  "List the files of the log, oldest first: what they hold, since when, and how well it is compressed.",
		Example: `
  millrace log ls --data /var/lib/millrace
  millrace log ls --data /var/lib/millrace --json | jq 'select(.generation == "old") | .ratio'`,
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return list(*data, *asJSON, c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// list prints a line for each file of the log, oldest first.
func list(data string, asJSON bool, out, errOut io.Writer) error {
	reader, err := wal.OpenReader(logOf(data))
	if err != nil {
		return err
	}
	defer reader.Close()
	files, faults := reader.Files(), reader.Faults()
	for _, fault := range faults {
		fmt.Fprintf(errOut, "millrace log ls: %s\n", fault)
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		for _, info := range files {
			if err := encoder.Encode(describe(info)); err != nil {
				return err
			}
		}
	} else {
		table(files, out)
	}
	if len(faults) > 0 {
		return command.ErrFaults
	}
	return nil
}

func table(files []wal.SegmentInfo, out io.Writer) {
	const when = "2006-01-02T15:04:05.000Z07:00"
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "generation\tfirst\tlast\trecords\tbytes\traw bytes\tratio\tfrom\tto\t")
	total := file{}
	for _, info := range files {
		f := describe(info)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%s\t%s\t\n", f.Generation, f.First, f.Last, f.Records, f.Bytes, f.Raw,
			f.Ratio, f.From.UTC().Format(when), f.To.UTC().Format(when))
		total.Records += f.Records
		total.Bytes += f.Bytes
		total.Raw += f.Raw
	}
	fmt.Fprintf(w, "files: %d\t\t\t%d\t%d\t%d\t\t\t\t\n", len(files), total.Records, total.Bytes, total.Raw)
	w.Flush()
}
