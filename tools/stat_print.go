package tools

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// statTotal, statLine and statPeriod are the lines of 'millrace log stat --json'.
type statTotal struct {
	By          string      `json:"by"` // total
	Records     uint64      `json:"records"`
	RecordBytes uint64      `json:"record_bytes"`
	Messages    uint64      `json:"messages"`
	Bytes       uint64      `json:"bytes"`
	First       segment.LSN `json:"first"`
	Last        segment.LSN `json:"last"`
	From        time.Time   `json:"from"`
	To          time.Time   `json:"to"`
}

type statLine struct {
	By    string `json:"by"` // queue, exchange or key
	VHost string `json:"vhost,omitempty"`
	Name  string `json:"name"`
	count
}

type statKind struct {
	By      string `json:"by"` // kind
	Name    string `json:"name"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

type statPeriod struct {
	By        string    `json:"by"` // time
	From      time.Time `json:"from"`
	Seconds   float64   `json:"seconds"`
	PerSecond float64   `json:"per_second"`
	count
}

func (t *totals) print(c *cobra.Command, f statFlags) error {
	if f.asJSON {
		return t.printJSON(c.OutOrStdout(), f)
	}
	out := terminal.Of(c.OutOrStdout())
	var b strings.Builder
	if t.records.Messages == 0 {
		b.WriteString("no records\n")
	} else {
		fmt.Fprintf(&b, "records %d to %d, %s to %s\n", t.first, t.last, t.from.UTC().Format(render.TimeFormat), t.to.UTC().Format(render.TimeFormat))
		fmt.Fprintf(&b, "%s, %d bytes; %s, %d bytes\n", counted(t.records.Messages, "record"), t.records.Bytes, counted(t.all.Messages, "message"), t.all.Bytes)
	}
	for _, by := range f.by {
		if by == "time" {
			t.printChart(&b, out)
		} else if len(t.named[by]) > 0 {
			t.printTable(&b, out, by, f)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (t *totals) printTable(b *strings.Builder, out terminal.Terminal, by string, f statFlags) {
	lines := t.named[by]
	head, counted := by, "messages"
	switch {
	case by == "kind":
		counted = "records"
	case by == "key" && f.words == 1:
		head = "first word of the routing key"
	case by == "key":
		head = fmt.Sprintf("first %d words of the routing key", f.words)
	}
	hosts := false // more than one
	for _, l := range lines {
		hosts = hosts || l.host != lines[0].host
	}
	left := 0
	if f.top > 0 && len(lines) > f.top {
		left, lines = len(lines)-f.top, lines[:f.top]
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\tbytes\t  %s\n", counted, head)
	for _, l := range lines {
		name := shownName(l.name)
		if hosts && l.host != "" {
			name += " in " + shownName(l.host)
		}
		fmt.Fprintf(w, "%d\t%d\t  %s\n", l.Messages, l.Bytes, name)
	}
	w.Flush()
	b.WriteByte('\n')
	writeTable(b, out, table.String())
	if left > 0 {
		fmt.Fprintf(b, "  … %d more\n", left)
	}
}

// printChart prints a line for each bucket: how many came, how fast, and a bar.
func (t *totals) printChart(b *strings.Builder, out terminal.Terminal) {
	periods := t.times.chart()
	if len(periods) == 0 {
		return
	}
	most := uint64(0)
	for _, p := range periods {
		most = max(most, p.Messages)
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "messages\tper second\t  in %s from\n", shortDuration(periods[0].width))
	for _, p := range periods {
		fmt.Fprintf(w, "%d\t%s\t  %s\n", p.Messages, perSecond(p), p.from.Format(render.TimeFormat))
	}
	w.Flush()
	lines := strings.SplitAfter(strings.TrimSuffix(table.String(), "\n"), "\n")
	widest := 0
	for _, l := range lines {
		widest = max(widest, len(strings.TrimSuffix(l, "\n")))
	}
	room := 40
	if width := out.Width(); width > 0 {
		room = max(10, width-widest-3)
	}
	b.WriteByte('\n')
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\n")
		if i == 0 {
			fmt.Fprintf(b, "%s\n", out.Paint(terminal.Dim, l))
			continue
		}
		bar := bar(periods[i-1].Messages, most, room)
		if bar != "" {
			l += strings.Repeat(" ", widest-len(l)+2) + out.Paint(terminal.Cyan, bar)
		}
		b.WriteString(l + "\n")
	}
}

// bar draws n of most in so many columns, with eighths of one; what is there at all can be seen.
func bar(n, most uint64, columns int) string {
	if n == 0 {
		return ""
	}
	eighths := max(1, int(float64(n)/float64(most)*float64(columns)*8+0.5))
	b := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return b
}

func perSecond(p period) string {
	rate := float64(p.Messages) / p.width.Seconds()
	if rate > 0 && rate < 10 {
		return fmt.Sprintf("%.2f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

// shortDuration is a duration without the zeros at its end: 5m and not 5m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// writeTable writes lines of which the first is the head.
func writeTable(b *strings.Builder, out terminal.Terminal, table string) {
	head, rest, _ := strings.Cut(table, "\n")
	fmt.Fprintf(b, "%s\n%s", out.Paint(terminal.Dim, head), rest)
}

// counted is a number of things.
func counted(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// shownName is a name for people: nothing that a terminal would obey, and nothing that is not seen.
func shownName(name string) string {
	quoted := strconv.Quote(name)
	if name == "" || quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}

func (t *totals) printJSON(out io.Writer, f statFlags) error {
	encoder := render.NewEncoder(out)
	err := encoder.Encode(statTotal{
		By: "total", Records: t.records.Messages, RecordBytes: t.records.Bytes, Messages: t.all.Messages, Bytes: t.all.Bytes,
		First: t.first, Last: t.last, From: t.from.UTC(), To: t.to.UTC(),
	})
	encode := func(line any) {
		if err == nil {
			err = encoder.Encode(line)
		}
	}
	for _, by := range f.by {
		for _, l := range t.named[by] {
			if by == "kind" {
				encode(statKind{by, l.name, l.Messages, l.Bytes})
			} else {
				encode(statLine{by, l.host, l.name, l.count})
			}
		}
		if by != "time" {
			continue
		}
		for _, p := range t.times.chart() {
			encode(statPeriod{by, p.from, p.width.Seconds(), float64(p.Messages) / p.width.Seconds(), p.count})
		}
	}
	return err
}
