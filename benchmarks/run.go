package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

const (
	exitOK     = 0
	exitFailed = 1 // a run did not end, or the broker lost, doubled or reordered messages
	exitUsage  = 2
)

// Run runs 'millrace bench' and returns its exit code.
func Run(ctx context.Context, args []string, _ io.Reader, out, errOut io.Writer) int {
	o, usage, err := parseOptions(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		io.WriteString(out, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(errOut, "millrace bench: %s; see 'millrace bench --help'\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitUsage
	case o.list:
		io.WriteString(out, listing())
		return exitOK
	}
	r := report{out: out, json: o.json}
	code := exitOK
	for _, w := range o.workloads {
		results, err := measure(ctx, &o, w)
		for _, result := range results {
			r.add(result)
		}
		if err != nil {
			fmt.Fprintf(errOut, "millrace bench: %s: %v\n", w.Name, err)
			code = exitFailed
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := r.finish(); err != nil {
		fmt.Fprintf(errOut, "millrace bench: %v\n", err)
		return exitFailed
	}
	if r.failed() {
		return exitFailed
	}
	return code
}

// measure runs one workload, against the broker that is named or one of its own.
func measure(ctx context.Context, o *options, w Workload) (results []Result, err error) {
	m := measurement{workload: w, patience: o.patience}
	if o.url != "" {
		if m.target, err = parseTarget(o.url); err != nil {
			return nil, err
		}
		if o.serverPID > 0 {
			m.meter = newProcessMeter(o.serverPID)
		}
		return m.run(ctx)
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	broker, err := startChild(ctx, childConfig{executable: executable, parent: o.data, sync: o.sync})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, broker.stop()) }()
	m.target, m.meter = broker.target, newProcessMeter(broker.pid())
	return m.run(ctx)
}
