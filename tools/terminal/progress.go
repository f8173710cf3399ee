package terminal

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Unit is what a progress counts.
type Unit string

// Units. Any other word is one too.
const (
	Bytes    Unit = "bytes"
	Messages Unit = "messages"
	Records  Unit = "records"
)

// Progress is a line that tells how far something is, how fast it goes and how long it will take. Where there is no
// terminal it tells nothing and costs nothing. It may be used by several goroutines.
type Progress struct {
	bar *progressbar.ProgressBar // nil: nobody watches
}

// between is how often the line is drawn at most.
const between = 100 * time.Millisecond

// NewProgress begins a line about what is being done; total is how much there is to do, negative if unknown.
func NewProgress(w io.Writer, what string, total int64, unit Unit) *Progress {
	t := Of(w)
	if !t.IsTerminal() {
		return &Progress{}
	}
	return newProgress(t, what, total, unit)
}

func newProgress(t Terminal, what string, total int64, unit Unit) *Progress {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(t.Writer),
		progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(between),
		progressbar.OptionSetWidth(min(40, max(10, t.Width()-60))),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine: the line moves when work is done
		progressbar.OptionSetElapsedTime(total < 0),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(),
	}
	if unit == Bytes {
		options = append(options, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
	} else {
		options = append(options, progressbar.OptionShowIts(), progressbar.OptionSetItsString(string(unit)))
	}
	return &Progress{progressbar.NewOptions64(max(total, -1), options...)}
}

// Add tells that so much more is done. It takes a lock and the time: call it for a batch, not for each record.
func (p *Progress) Add(n int64) {
	if p.bar != nil {
		_ = p.bar.Add64(n) // a terminal that cannot be written to is not worth failing for
	}
}

// Close removes the line, done or not; a second Close does nothing.
func (p *Progress) Close() {
	if p.bar != nil {
		_ = p.bar.Exit()
		_ = p.bar.Clear()
		p.bar = nil
	}
}
