package definitions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Faulty says what is wrong with a file: all of it, in the order of the file.
type Faulty struct{ faults []fault }

type fault struct {
	where Where
	text  string
}

// mostTold is how many faults an error names, and how many notes are made.
const mostTold = 10

// Error returns a fault a line, as in
//
//	definitions.json:12:7: queues[3].arguments.x-message-ttl: expected integer, got longstr
func (e *Faulty) Error() string { return strings.Join(tell(e.faults), "\n") }

// tell words what was found, in the order of the file, and counts what would be too much. A file of many
// megabytes is searched for the place of each line.
func tell(found []fault) []string {
	sorted := slices.SortedStableFunc(slices.Values(found), func(a, b fault) int { return cmp.Compare(a.where.at, b.where.at) })
	var lines []string
	for _, f := range sorted[:min(len(sorted), mostTold)] {
		lines = append(lines, f.where.String()+": "+f.text)
	}
	if more := len(sorted) - mostTold; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// Err returns the faults as an error, or nil if there are none.
func (e *Faulty) Err() error {
	if len(e.faults) == 0 {
		return nil
	}
	return e
}

// Add adds a fault of something that stands in a file.
func (e *Faulty) Add(where Where, format string, args ...any) {
	e.faults = append(e.faults, fault{where, fmt.Sprintf(format, args...)})
}

// Where is a place in a file. Line and column are found out when somebody wants to read them.
type Where struct {
	document *document
	at       int // offset
	path     string
}

// String returns the place for people, as in definitions.json:12:7: queues[3].
func (w Where) String() string {
	if w.document == nil {
		return "definitions"
	}
	l, c := line(w.document.data, w.at)
	text := fmt.Sprintf("%s:%d:%d", w.document.file, l, c)
	if w.path != "" {
		text += ": " + w.path
	}
	return text
}
