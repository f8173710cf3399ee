package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sum is what tests say of themselves.
type sum struct{ rounds, cuts, faults, looked, lost int }

// outcome is what became of a part.
type outcome struct {
	name    string
	took    time.Duration
	tests   int      // that passed, with those within others
	skipped []string // tests that looked for nothing: what they need is not there
	sum     sum
	fault   string // "" = it passed
}

var (
	sumLine  = regexp.MustCompile(`crash: (\d+) rounds, (\d+) cut points, (\d+) faults, (\d+) looked for, (\d+) lost`)
	testLine = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)
)

// judge reads the output of `go test -v`, whose error is given.
func judge(name, text string, err error) outcome {
	o, failed := outcome{name: name}, 0
	for _, m := range testLine.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "PASS":
			o.tests++
		case "FAIL":
			failed++
		case "SKIP":
			o.skipped = append(o.skipped, m[2])
		}
	}
	lines := sumLine.FindAllStringSubmatch(text, -1)
	for _, m := range lines {
		for i, n := range []*int{&o.sum.rounds, &o.sum.cuts, &o.sum.faults, &o.sum.looked, &o.sum.lost} {
			more, _ := strconv.Atoi(m[i+1])
			*n += more
		}
	}
	switch {
	case failed > 0:
		o.fault = fmt.Sprintf("%d tests failed", failed)
	case err != nil:
		o.fault = err.Error()
	case o.sum.lost > 0:
		o.fault = fmt.Sprintf("%d lost", o.sum.lost)
	case o.tests == 0 && len(o.skipped) > 0:
		o.fault = "all skipped"
	case len(lines) == 0:
		o.fault = "no test said what it did"
	}
	return o
}

// report prints the table, and reports whether all is well.
func report(out io.Writer, done []outcome) bool {
	row := func(name string, cells ...any) {
		fmt.Fprintf(out, "%-28s %6v %6v %7v %7v %10v %8v %14v %5v  %v\n", append([]any{name}, cells...)...)
	}
	fmt.Fprintln(out)
	row("part", "time", "tests", "skipped", "rounds", "cut points", "faults", "looked for", "lost", "")
	all, well := outcome{name: "TOTAL"}, len(done) > 0
	for _, o := range done {
		row(o.name, o.took.Round(time.Second), o.tests, len(o.skipped), o.sum.rounds, o.sum.cuts, o.sum.faults, o.sum.looked, o.sum.lost, strings.ToUpper(o.fault))
		all.took += o.took
		all.tests += o.tests
		all.skipped = append(all.skipped, o.skipped...)
		all.sum.rounds += o.sum.rounds
		all.sum.cuts += o.sum.cuts
		all.sum.faults += o.sum.faults
		all.sum.looked += o.sum.looked
		all.sum.lost += o.sum.lost
		well = well && o.fault == ""
	}
	row(all.name, all.took.Round(time.Second), all.tests, len(all.skipped), all.sum.rounds, all.sum.cuts, all.sum.faults, all.sum.looked, all.sum.lost, "")
	fmt.Fprintf(out, "messages lost: %d", all.sum.lost)
	if n := len(all.skipped); n > 0 {
		slices.Sort(all.skipped)
		fmt.Fprintf(out, "; not looked for by %d tests, which were skipped: %s", n, strings.Join(slices.Compact(all.skipped), ", "))
	}
	fmt.Fprintln(out)
	if !well {
		fmt.Fprintln(out, "not all is well: a part that failed may have lost what no test has counted")
	}
	return well
}
