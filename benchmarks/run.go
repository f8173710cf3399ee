package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

const (
	exitOK     = 0
	exitFailed = 1 // a run did not end, or the broker lost, doubled or reordered messages
	exitUsage  = 2
)

// Run runs 'millrace bench' and returns its exit code.
func Run(ctx context.Context, args []string, _ io.Reader, out, errOut io.Writer) int {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) (int, error){
		"list": list, "run": runSuite, "limit": runLimit,
	}
	name := "bench"
	command := measure
	if len(args) > 0 && commands[args[0]] != nil {
		command = commands[args[0]]
		name, args = "bench "+args[0], args[1:]
	}
	code, err := command(ctx, args, out, errOut)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		if code == exitUsage {
			text += fmt.Sprintf("; see 'millrace %s --help'", name)
		}
		fmt.Fprintf(errOut, "millrace %s: %s\n", name, text)
	}
	return code
}

// newFlags makes a set that prints nothing by itself.
func newFlags(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	flags.Usage = func() {}
	return flags
}

// parse reads arguments, of which those beside flags must be as many as there are names. done says that help was asked for.
func parse(flags *pflag.FlagSet, args []string, names ...string) (done bool, err error) {
	err = flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return true, nil
	case err != nil:
		return false, err
	case flags.NArg() > len(names):
		return false, fmt.Errorf("unexpected argument %q", flags.Arg(len(names)))
	case flags.NArg() < len(names):
		return false, fmt.Errorf("%s is missing", names[flags.NArg()])
	}
	return false, nil
}

const listUsage = `List the workloads and the suites.

Usage: millrace bench list
`

func list(_ context.Context, args []string, out, _ io.Writer) (int, error) {
	flags := newFlags("list")
	done, err := parse(flags, args)
	if err != nil {
		return exitUsage, err
	}
	if done {
		_, err := io.WriteString(out, listUsage)
		return exitOK, err
	}
	_, err = fmt.Fprintf(out, "Workloads, for 'millrace bench --workload NAME':\n%s\nSuites, for 'millrace bench run SUITE':\n%s", workloadList(), suiteList())
	return exitOK, err
}

// workloadList words the catalogue.
func workloadList() string {
	var b strings.Builder
	for _, w := range load.Catalogue() {
		fmt.Fprintf(&b, "  %-6s %-17s %s\n", w.ID, w.Name, w.Summary)
	}
	return b.String()
}
