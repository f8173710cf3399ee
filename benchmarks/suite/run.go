package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/server/client"
)

// Config says what is run.
type Config struct {
	Suite      Suite
	Contenders []contender.Contender
	Rounds     int
	Scale      float64  // of the numbers of messages; 1 is as they are
	Only       []string // workloads by name or id, or axes; none is all
	Settings   contender.Settings
	Generator  string // executable whose 'bench' is the neighbours of a workload
	Patience   time.Duration
	// Progress is told when a measurement begins, each second of it, and what it gave; each may be nil.
	Begin func(c Case, broker string, round int)
	Ticks func(load.Tick)
	End   func(c Case, broker string, results []load.Result, err error)
}

// Validate reports all faults together.
func (c *Config) Validate() error {
	var faults []error
	if len(c.Contenders) == 0 {
		faults = append(faults, errors.New("no broker to measure"))
	}
	names := map[string]bool{}
	for _, contender := range c.Contenders {
		if names[contender.Name] {
			faults = append(faults, fmt.Errorf("two brokers are named %s", contender.Name))
		}
		names[contender.Name] = true
	}
	if c.Rounds < 1 || c.Rounds > 1000 {
		faults = append(faults, fmt.Errorf("%d rounds are not between 1 and 1000", c.Rounds))
	}
	if !(c.Scale > 0 && c.Scale <= 1000) {
		faults = append(faults, fmt.Errorf("scale %v is not more than 0 and at most 1000", c.Scale))
	}
	return errors.Join(faults...)
}

// Outcome is what all rounds gave.
type Outcome struct {
	Suite    Suite
	Brokers  []string
	Versions []string // what each broker says of itself
	Rounds   int
	Rows     []*Row
}

// Row is a phase of a case: for each broker, in their order, a result of each round.
type Row struct {
	Case    Case
	Phase   string
	Results [][]load.Result
	Errors  []error // of each broker, those of its rounds together
}

// Run runs the suite. What goes wrong with one measurement is in its row, and the others go on; an error is
// that of the whole. When the context ends, the outcome is what was measured until then.
func Run(ctx context.Context, cfg Config) (*Outcome, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.Suite.scale(cfg.Scale, cfg.Only); err != nil {
		return nil, err
	}
	o := &Outcome{Suite: cfg.Suite, Rounds: cfg.Rounds}
	for _, c := range cfg.Contenders {
		o.Brokers = append(o.Brokers, c.Name)
	}
	o.Versions = make([]string, len(o.Brokers))
	for _, c := range cfg.Suite.Cases {
		rows := o.rowsOf(c)
		for round := range cfg.Rounds {
			for i := range cfg.Contenders {
				if c.CPUs > 0 && !cfg.Contenders[i].Started() {
					continue // nobody can tell it how many to use
				}
				cfg.take(ctx, c, i, round, o, rows)
				if ctx.Err() != nil {
					return o, context.Cause(ctx)
				}
			}
		}
	}
	return o, nil
}

// rowsOf makes the rows of a case.
func (o *Outcome) rowsOf(c Case) []*Row {
	phases := []string{""}
	if c.Workload.Mode == load.ModeBacklog {
		phases = []string{"publish", "drain"}
	}
	var rows []*Row
	for _, phase := range phases {
		rows = append(rows, &Row{
			Case: c, Phase: phase, Results: make([][]load.Result, len(o.Brokers)), Errors: make([]error, len(o.Brokers)),
		})
	}
	o.Rows = append(o.Rows, rows...)
	return rows
}

// take takes a case to a broker once.
func (cfg *Config) take(ctx context.Context, c Case, broker, round int, o *Outcome, rows []*Row) {
	name := cfg.Contenders[broker].Name
	if cfg.Begin != nil {
		cfg.Begin(c, name, round)
	}
	results, err := cfg.measure(ctx, c, &cfg.Contenders[broker], &o.Versions[broker])
	if ctx.Err() != nil {
		results, err = nil, nil // half of it tells nothing
	}
	for _, r := range results {
		for _, row := range rows {
			if row.Phase == r.Phase {
				row.Results[broker] = append(row.Results[broker], r)
			}
		}
	}
	for _, row := range rows {
		row.Errors[broker] = errors.Join(row.Errors[broker], err)
	}
	if cfg.End != nil {
		cfg.End(c, name, results, err)
	}
}

func (cfg *Config) measure(ctx context.Context, c Case, broker *contender.Contender, version *string) (results []load.Result, err error) {
	settings := cfg.Settings
	settings.CPUs = c.CPUs
	running, err := broker.Start(ctx, settings)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	if *version == "" {
		*version = running.Version
	}
	if *version == "" {
		if *version, err = client.Identify(ctx, running.Address, client.Config{Product: load.Product}); err != nil {
			return nil, err
		}
	}
	m := load.Measurement{Workload: c.Workload, Address: running.Address, Patience: cfg.Patience, Ticks: cfg.Ticks}
	if c.Beside != nil {
		return cfg.measureBeside(ctx, m, running.Meter, c.Beside)
	}
	if running.Meter != nil {
		m.Meter = running.Meter
	}
	return m.Run(ctx)
}

// Failed says whether any measurement went wrong or found faults.
func (o *Outcome) Failed() bool {
	for _, row := range o.Rows {
		if errors.Join(row.Errors...) != nil {
			return true
		}
		for _, results := range row.Results {
			for i := range results {
				if results[i].Failed() {
					return true
				}
			}
		}
	}
	return false
}
