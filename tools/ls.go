package tools

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
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
	*use                 // nil with --quick
}

// use is what queues still hold of a file.
type use struct {
	LiveRecords uint64 `json:"live_records"`
	Live        int64  `json:"live_bytes"`     // of records that queues hold
	Dead        int64  `json:"dead_bytes"`     // of all else, in a file that holds such records or is written to
	Retained    int64  `json:"retained_bytes"` // of a file that queues hold nothing of: it is kept as history
	Pins        []pin  `json:"pins"`           // who holds, the queue with the most records first
}

// pin is a queue that holds records of a file.
type pin struct {
	VHost   string          `json:"vhost"`
	Queue   string          `json:"queue"`
	ID      segment.QueueID `json:"queue_id"`
	Records uint64          `json:"records"`
	AtMost  bool            `json:"at_most,omitempty"` // what left it has no record
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
		Short: "list the files of the log, and who needs them",
		Long: "List the files of the log, oldest first: what they hold, since when, how well it is compressed, and which queues hold how many\n" +
			"records of them. Live is what queues hold; dead is what nobody needs of a file of which something is needed, or which is\n" +
			"written to; retained is what is kept as history only, or goes with the next checkpoint. For this the log is read once; --quick\n" +
			"leaves it out.",
		Example: `
  millrace log ls --data /var/lib/millrace
  millrace log ls --data /var/lib/millrace --quick
  millrace log ls --data /var/lib/millrace --json | jq 'select(.live_bytes > 0) | .pins[0].queue'`,
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	quick := c.Flags().Bool("quick", false, "read the ends of the files only: not what queues hold of them")
	c.RunE = func(c *cobra.Command, _ []string) error { return list(c, *data, *asJSON, *quick) }
	return c
}

// list prints a line for each file of the log, oldest first.
func list(c *cobra.Command, data string, asJSON, quick bool) error {
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	var contents *history.Contents
	if !quick && len(p.reader.Files()) > 0 {
		if contents, _, err = p.contents(c, moment{}); err != nil {
			return err
		}
	}
	files := make([]file, 0, len(p.reader.Files()))
	for _, info := range p.reader.Files() {
		files = append(files, describe(info))
	}
	if contents != nil {
		p.uses(files, contents)
	}
	out := c.OutOrStdout()
	if asJSON {
		encoder := render.NewEncoder(out)
		for _, f := range files {
			if err := encoder.Encode(f); err != nil {
				return err
			}
		}
	} else if _, err := io.WriteString(out, table(files, contents != nil, terminal.Of(out))); err != nil {
		return err
	}
	return p.end(c)
}

// uses finds out what queues hold of files, which are in order.
func (p *past) uses(files []file, contents *history.Contents) {
	spans := make([]history.Span, len(files))
	for i, f := range files {
		spans[i] = history.Span{First: segment.LSN(f.First), Last: segment.LSN(f.Last)}
	}
	for i, held := range contents.Use(spans) {
		u := &use{LiveRecords: held.Records, Live: min(int64(held.Bytes), files[i].Raw), Pins: []pin{}}
		if rest := files[i].Raw - u.Live; u.LiveRecords > 0 || files[i].Generation == "active" {
			u.Dead = rest
		} else {
			u.Retained = rest
		}
		for _, by := range held.Pins {
			made := pin{Queue: fmt.Sprintf("#%d", by.Queue), ID: by.Queue, Records: by.Records}
			if q := p.topology.Queue(by.Queue); q != nil {
				made.VHost, made.Queue, made.AtMost = q.Host, q.String(), !q.Durable
			}
			u.Pins = append(u.Pins, made)
		}
		slices.SortStableFunc(u.Pins, func(a, b pin) int { return cmp.Compare(b.Records, a.Records) })
		files[i].use = u
	}
}

// table lists files for people; with their use if that is known.
func table(files []file, used bool, t terminal.Terminal) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(generation, first, last, records, bytes, raw, ratio any, u *use, from, to, pins string) {
		fmt.Fprintf(w, "%v\t%v\t%v\t%v\t%v\t%v\t%v\t", generation, first, last, records, bytes, raw, ratio)
		if u != nil {
			fmt.Fprintf(w, "%d\t%d\t%d\t", u.Live, u.Dead, u.Retained)
		}
		fmt.Fprintf(w, "%s\t%s\t", from, to)
		if pins != "" {
			fmt.Fprintf(w, "  %s", pins)
		}
		fmt.Fprintln(w)
	}
	usedHead := ""
	if used {
		usedHead = "live\tdead\tretained\t"
	}
	fmt.Fprintf(w, "generation\tfirst\tlast\trecords\tbytes\traw bytes\tratio\t%sfrom\tto\t", usedHead)
	if used {
		fmt.Fprint(w, "  held by")
	}
	fmt.Fprintln(w)
	total, most := file{}, false
	if used {
		total.use = &use{}
	}
	for _, f := range files {
		line(f.Generation, f.First, f.Last, f.Records, f.Bytes, f.Raw, fmt.Sprintf("%.1f", f.Ratio), f.use,
			f.From.UTC().Format(render.TimeFormat), f.To.UTC().Format(render.TimeFormat), f.use.pins())
		total.Records += f.Records
		total.Bytes += f.Bytes
		total.Raw += f.Raw
		if f.use != nil {
			total.Live += f.Live
			total.Dead += f.Dead
			total.Retained += f.Retained
			most = most || slices.ContainsFunc(f.Pins, func(by pin) bool { return by.AtMost })
		}
	}
	line(fmt.Sprintf("files: %d", len(files)), "", "", total.Records, total.Bytes, total.Raw, "", total.use, "", "", "")
	w.Flush()
	var b strings.Builder
	for _, l := range strings.SplitAfter(text.String(), "\n") {
		if l != "" {
			b.WriteString(strings.TrimRight(l, " \n") + "\n")
		}
	}
	var out strings.Builder
	writeTable(&out, t, b.String())
	if most {
		out.WriteString("* at most: the queue does not survive a restart, and what left it has no record\n")
	}
	return out.String()
}

// pins names the queues that hold most of a file.
func (u *use) pins() string {
	if u == nil {
		return ""
	}
	const few = 3
	var texts []string
	for _, by := range u.Pins[:min(few, len(u.Pins))] {
		mark := ""
		if by.AtMost {
			mark = "*"
		}
		texts = append(texts, fmt.Sprintf("%s %d%s", shownName(by.Queue), by.Records, mark))
	}
	if left := len(u.Pins) - few; left > 0 {
		texts = append(texts, fmt.Sprintf("%d more", left))
	}
	return strings.Join(texts, ", ")
}
