package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/tools/command"
)

// measureCommand is 'millrace bench' itself.
func measureCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "bench", Short: "measure a broker", Long: measureText, Example: measureExample, GroupID: command.GroupBroker,
	}
	resolve := declareOptions(c.Flags())
	command.Folder(c, "data")
	command.Choices(c, "sync", "disk", "os")
	command.Choices(c, "exchange", "default", "direct", "fanout", "topic", "headers")
	command.List(c, "workload", workloadNames()...)
	c.Args = command.Args()
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := resolve()
		if err != nil {
			return command.Usage(err)
		}
		return measure(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// measure runs the workloads, one after the other.
func measure(ctx context.Context, o options, out, errOut io.Writer) error {
	files, err := openFiles(o.output)
	if err != nil {
		return err
	}
	r := report{out: out, json: o.output.json}
	var faults []error
	for _, w := range o.workloads {
		live := newLive(errOut, w.Name)
		var ticks func(load.Tick)
		if live.out != nil || files.csv != nil {
			ticks = func(t load.Tick) {
				live.show(t)
				files.tick(w.Name, t)
			}
		}
		results, err := measureOne(ctx, &o, w, ticks)
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
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if r.failed() {
		return command.ErrFaults
	}
	return nil
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
