package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 200, "how much: rounds of kills and flips, a tenth of the cut points")
	only := flag.String("part", "", "run only the parts whose names contain this")
	flag.Parse()
	if *rounds < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "crash: rounds are at least 1, and there are no arguments")
		os.Exit(2)
	}
	if !run(os.Stdout, parts(*rounds), *only) {
		os.Exit(1)
	}
}

// run runs the parts, prints the table and reports whether all is well.
func run(out io.Writer, parts []part, only string) bool {
	var done []outcome
	for _, p := range parts {
		if !strings.Contains(p.name, only) {
			continue
		}
		fmt.Fprintf(out, "== %s: go %s\n", p.name, strings.Join(p.args, " "))
		start := time.Now()
		text, err := exec.Command("go", p.args...).CombinedOutput()
		o := judge(p.name, string(text), err)
		o.took = time.Since(start)
		if o.fault != "" {
			fmt.Fprintf(out, "%s\n== %s: %s\n", text, p.name, o.fault)
		}
		done = append(done, o)
	}
	return report(out, done)
}
