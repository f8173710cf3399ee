package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// measure is 'millrace bench' itself.
func measure(ctx context.Context, args []string, out, errOut io.Writer) (int, error) {
	o, usage, done, err := parseOptions(args)
	if err != nil {
		return exitUsage, err
	}
	if done {
		_, err := io.WriteString(out, usage)
		return exitOK, err
	}
	files, err := openFiles(o.output)
	if err != nil {
		return exitFailed, err
	}
	r := report{out: out, json: o.output.json}
	var faults []error
	for _, w := range o.workloads {
		live := newLive(errOut, w.Name)
		results, err := measureOne(ctx, &o, w, func(t load.Tick) {
			live.show(t)
			files.tick(w.Name, t)
		})
		live.clear()
		for _, result := range results {
			r.add(result)
			files.result(result)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", w.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	faults = append(faults, files.close(), r.finish())
	if err := errors.Join(faults...); err != nil || r.failed() {
		return exitFailed, err
	}
	return exitOK, nil
}

// measureOne runs one workload, against the broker that is named or one of its own.
func measureOne(ctx context.Context, o *options, w load.Workload, ticks func(load.Tick)) (results []load.Result, err error) {
	broker, err := o.broker.Start(ctx, o.settings)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, broker.Stop()) }()
	m := load.Measurement{Workload: w, Address: broker.Address, Patience: o.patience, Ticks: ticks}
	if broker.Meter != nil {
		m.Meter = broker.Meter
	}
	return m.Run(ctx)
}
