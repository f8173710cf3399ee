package benchmarks

import (
	"fmt"
	"io"

	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// live is the line that tells how it goes. Where there is no terminal it tells nothing.
type live struct {
	out   io.Writer // nil: nobody watches
	title string
}

func newLive(out io.Writer, title string) *live {
	if !terminal.Of(out).IsTerminal() {
		return &live{}
	}
	return &live{out, title}
}

// clearLine moves to the line's beginning and empties it.
const clearLine = "\r\x1b[K"

// show replaces the line.
func (l *live) show(t load.Tick) {
	if l.out != nil {
		fmt.Fprint(l.out, clearLine+l.line(t))
	}
}

// clear removes the line.
func (l *live) clear() {
	if l.out != nil {
		fmt.Fprint(l.out, clearLine)
	}
}

func (l *live) line(t load.Tick) string {
	text := l.title
	if t.Phase != "" {
		text += " " + t.Phase
	}
	if t.WarmUp {
		text += " (not measured)"
	}
	text += fmt.Sprintf("  %.0f s", t.At.Seconds())
	for _, part := range []struct {
		name  string
		count uint64
	}{{"declared", t.Declared}, {"sent", t.Sent}, {"confirmed", t.Confirmed}, {"delivered", t.Delivered}} {
		if part.count > 0 {
			text += fmt.Sprintf("  %s %s/s", part.name, rate(perSecond(part.count, t.Span)))
		}
	}
	for _, part := range []struct {
		name    string
		latency *load.Latency
	}{{"confirm", t.Confirm}, {"end to end", t.EndToEnd}} {
		if part.latency != nil {
			text += fmt.Sprintf("  %s p50 %v p99 %v", part.name, short(part.latency.P50), short(part.latency.P99))
		}
	}
	return text
}
