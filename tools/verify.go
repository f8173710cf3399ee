package tools

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
	"github.com/millrace-mq/millrace/wal"
)

func verifyCommand(offline Offline) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "check every checksum, footer and the index, and name each fault with its place",
		Long: "Read the whole log, check every checksum and footer, and name each fault with file, position and record. For each\n" +
			"file of the old generation it is told what its records take and in how many bytes they are stored. Where no broker\n" +
			"runs, the index is held against the log: both must have the same messages in the same queues. The exit code is 1\n" +
			"if there is a fault.\n\n" +
			"With --repair, and no broker on the folder, a damaged file of the log is replaced by one that holds all records of\n" +
			"it that are sound, a file in which nothing can be read by one that holds none, and a damaged index is made anew.\n" +
			"What is replaced goes to a folder quarantine-TIME in the data folder, with a report: nothing is deleted. What was\n" +
			"damaged is lost, and told. A repair that was interrupted can be done again.",
		Example: `
  millrace log verify --data /var/lib/millrace
  millrace log verify --data /var/lib/millrace --json | jq 'select(.kind == "fault")'
  millrace log verify --data /var/lib/millrace --repair`,
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	repair := c.Flags().Bool("repair", false, "replace what is damaged, and keep it in a folder quarantine-TIME")
	c.RunE = func(c *cobra.Command, _ []string) error {
		v := &verification{command: c, data: *data, offline: offline, asJSON: *asJSON}
		if *repair {
			return v.repair()
		}
		return v.run()
	}
	return c
}

// verification is one run of 'millrace log verify'.
type verification struct {
	command *cobra.Command
	data    string
	offline Offline
	asJSON  bool
}

// verified is a line of 'millrace log verify --json'.
type verified struct {
	Kind   string  `json:"kind"` // fault, old, superseded or summary
	File   string  `json:"file,omitempty"`
	Offset *int64  `json:"offset,omitempty"`
	Record uint64  `json:"record,omitempty"`
	Queue  string  `json:"queue,omitempty"`
	ID     uint64  `json:"queue_id,omitempty"`
	Reason string  `json:"reason,omitempty"`
	Raw    int64   `json:"raw_bytes,omitempty"`
	Bytes  int64   `json:"bytes,omitempty"`
	Ratio  float64 `json:"ratio,omitempty"`

	Segments *int       `json:"segments,omitempty"`
	Records  *int       `json:"records,omitempty"`
	Faults   *int       `json:"faults,omitempty"`
	Index    indexState `json:"index,omitempty"`
	Queues   int        `json:"queues,omitempty"`
	Messages uint64     `json:"messages,omitempty"`
}

func faultOfLog(f *wal.Fault) verified {
	return verified{Kind: "fault", File: f.Path, Offset: &f.Offset, Record: uint64(f.LSN), Reason: f.Reason}
}

func faultOfIndex(f *indexFault) verified {
	return verified{Kind: "fault", File: f.Path, Queue: f.Name, ID: uint64(f.Queue), Reason: f.Reason}
}

// run reads log and index and tells what is wrong with them.
func (v *verification) run() error {
	report, err := v.log()
	if err != nil {
		return err
	}
	checked, err := checkIndex(v.command, v.data)
	if err != nil && v.command.Context().Err() != nil {
		return err
	}
	if err != nil { // it is no fault that it cannot be looked at
		tell(v.command, "the index was not looked at: %s", command.Line(err))
		checked.State = ""
	}
	return v.tell(report, checked)
}

// log checks the log.
func (v *verification) log() (wal.Report, error) {
	reader, err := wal.OpenReader(logOf(v.data))
	total := int64(-1)
	if err == nil {
		total = 0
		for _, info := range reader.Files() {
			total += info.Size
		}
		reader.Close()
	}
	progress := terminal.NewProgress(v.command.ErrOrStderr(), "verify", total, terminal.Bytes)
	defer progress.Close()
	return wal.VerifyWatched(logOf(v.data), func(bytes int64) error {
		progress.Add(bytes)
		return v.command.Context().Err()
	})
}

// tell prints a line for each fault and a last line that counts.
func (v *verification) tell(report wal.Report, checked indexReport) error {
	out := v.command.OutOrStdout()
	faults := len(report.Faults) + len(checked.Faults)
	if v.asJSON {
		if err := tellJSON(out, report, checked, faults); err != nil {
			return err
		}
	} else {
		tellLines(out, report, checked, faults)
	}
	if faults > 0 {
		return command.ErrFaults
	}
	return nil
}

func tellLines(out io.Writer, report wal.Report, checked indexReport, faults int) {
	for _, fault := range report.Faults {
		fmt.Fprintln(out, fault)
	}
	for _, fault := range checked.Faults {
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
	switch {
	case checked.State == indexLooked && len(checked.Faults) == 0:
		fmt.Fprintf(out, "index: %d queues, %d messages, as in the log\n", checked.Queues, checked.Messages)
	case checked.State != "" && checked.State != indexLooked:
		fmt.Fprintf(out, "index: %s\n", checked.State)
	}
	fmt.Fprintf(out, "%d segments, %d records, %d faults\n", len(report.Segments), report.Records, faults)
}

func tellJSON(out io.Writer, report wal.Report, checked indexReport, faults int) error {
	var lines []verified
	for _, f := range report.Faults {
		lines = append(lines, faultOfLog(&f))
	}
	for _, f := range checked.Faults {
		lines = append(lines, faultOfIndex(&f))
	}
	for _, info := range report.Segments {
		if info.Old {
			f := describe(info)
			lines = append(lines, verified{Kind: "old", File: info.Path, Raw: f.Raw, Bytes: f.Bytes, Ratio: f.Ratio})
		}
	}
	for _, path := range report.Superseded {
		lines = append(lines, verified{Kind: "superseded", File: path})
	}
	segments := len(report.Segments)
	lines = append(lines, verified{
		Kind: "summary", Segments: &segments, Records: &report.Records, Faults: &faults,
		Index: checked.State, Queues: checked.Queues, Messages: checked.Messages,
	})
	encoder := render.NewEncoder(out)
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
