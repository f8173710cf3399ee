package terminal

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is where something is written to, be it a terminal or not. It is a value and may be copied.
type Terminal struct {
	io.Writer
	fd     int // -1: not a terminal
	colour bool
}

// Of finds out what a writer is. Colours are shown on a terminal, but for TERM=dumb and where NO_COLOR is set to
// anything (https://no-color.org).
func Of(w io.Writer) Terminal {
	t := Terminal{Writer: w, fd: -1}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		t.fd = int(file.Fd())
		t.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return t
}

// IsTerminal says whether somebody may be watching.
func (t Terminal) IsTerminal() bool { return t.fd >= 0 }

// HasColours says whether Paint colours.
func (t Terminal) HasColours() bool { return t.colour }

// Broken says whether a pipe has lost the one who read from it: nothing tells a program that writes nothing.
func (t Terminal) Broken() bool {
	file, ok := t.Writer.(*os.File)
	if !ok {
		return false
	}
	of := []unix.PollFd{{Fd: int32(file.Fd())}} // POLLERR is told without asking
	n, err := unix.Poll(of, 0)
	return err == nil && n == 1 && of[0].Revents&unix.POLLERR != 0
}

// Width is the number of columns; 0 is no limit, as for a pipe.
func (t Terminal) Width() int {
	if t.fd < 0 {
		return 0
	}
	width, _, err := term.GetSize(t.fd)
	if err != nil {
		return 0
	}
	return width
}

// Colour is how text is shown on a terminal that has colours.
type Colour string

// The colours in use: few, and each with one meaning.
const (
	Bold   Colour = "\x1b[1m"  // what a line is about
	Dim    Colour = "\x1b[2m"  // what may be passed over
	Red    Colour = "\x1b[31m" // faults
	Green  Colour = "\x1b[32m" // sound, delivered, acknowledged
	Yellow Colour = "\x1b[33m" // to be looked at
	Cyan   Colour = "\x1b[36m" // names of queues and exchanges
)

const plain = "\x1b[0m"

// Paint returns the text in the colour, or as it is where there are no colours.
func (t Terminal) Paint(c Colour, text string) string {
	if !t.colour || text == "" {
		return text
	}
	return string(c) + text + plain
}

// Coloured returns the terminal with colours turned on or off, whatever the environment says.
func (t Terminal) Coloured(on bool) Terminal {
	t.colour = on
	return t
}
