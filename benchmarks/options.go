package benchmarks

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are what the command line asks for.
type options struct {
	workloads []Workload
	url       string // "": a broker is started for each workload
	serverPID int
	data      string
	sync      string
	patience  time.Duration
	json      bool
	list      bool
}

// parseOptions reads the command line; pflag.ErrHelp asks for the usage text.
func parseOptions(args []string) (options, string, error) {
	var o options
	var change Workload
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	flags.Usage = func() {}
	name := flags.String("workload", "all", "what load to put on the broker; all for every one")
	flags.BoolVar(&o.list, "list", false, "list the workloads")
	flags.StringVar(&o.url, "url", "", "broker, amqp://user:password@host:port/vhost; without it one is started for each workload")
	flags.IntVar(&o.serverPID, "server-pid", 0, "process of the broker at --url, to report its CPU time and memory")
	flags.StringVar(&o.data, "data", "", "folder in which a broker started here keeps its data for the time being")
	flags.StringVar(&o.sync, "sync", "disk", "what a confirm of a broker started here stands for: disk or os")
	flags.DurationVar(&o.patience, "patience", defaultPatience, "give up when nothing has moved for so long")
	flags.BoolVar(&o.json, "json", false, "write one JSON document")
	for _, f := range workloadFlags() {
		switch field := f.field(&change).(type) {
		case *int:
			flags.IntVar(field, f.name, 0, f.usage)
		case *bool:
			flags.BoolVar(field, f.name, false, f.usage)
		}
	}
	usage := "Measure a broker.\n\nUsage: millrace bench [flags]\n\n" + flags.FlagUsages() +
		"\nThe flags from --messages on change the workloads chosen.\n\nWorkloads:\n" + listing()

	if err := flags.Parse(args); err != nil {
		return o, usage, err
	}
	if flags.NArg() > 0 {
		return o, usage, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.workloads = Catalogue()
	if *name != "all" {
		w, ok := findWorkload(*name)
		if !ok {
			return o, usage, fmt.Errorf("unknown workload %q", *name)
		}
		o.workloads = []Workload{w}
	}
	for i := range o.workloads {
		for _, f := range workloadFlags() {
			if flags.Changed(f.name) {
				f.set(&o.workloads[i], &change)
			}
		}
	}
	return o, usage, o.validate()
}

func (o *options) validate() error {
	var faults []error
	for i := range o.workloads {
		if err := o.workloads[i].Validate(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", o.workloads[i].Name, err))
		}
	}
	if o.url == "" && slices.ContainsFunc(o.workloads, func(w Workload) bool { return w.Fill }) {
		faults = append(faults, errors.New("--fill goes with --url: a broker started here ends with the run"))
	}
	if o.sync != "disk" && o.sync != "os" {
		faults = append(faults, fmt.Errorf("--sync is %q, not disk or os", o.sync))
	}
	if o.patience < time.Second {
		faults = append(faults, fmt.Errorf("--patience %v is less than a second", o.patience))
	}
	if o.serverPID < 0 || o.serverPID > 0 && o.url == "" {
		faults = append(faults, errors.New("--server-pid goes with --url"))
	}
	if o.url != "" {
		_, err := parseTarget(o.url)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// workloadFlag changes one field, of type int or bool, of the workloads that are run.
type workloadFlag struct {
	name, usage string
	field       func(*Workload) any // pointer to it
}

func workloadFlags() []workloadFlag {
	return []workloadFlag{
		{"messages", "messages to publish", func(w *Workload) any { return &w.Messages }},
		{"size", "size of a body in bytes", func(w *Workload) any { return &w.Size }},
		{"persistent", "messages survive a restart", func(w *Workload) any { return &w.Persistent }},
		{"window", "unconfirmed publishes of a producer; 0 asks for no confirms", func(w *Workload) any { return &w.Window }},
		{"rate", "messages published a second, latency is measured; 0 is as fast as it goes", func(w *Workload) any { return &w.Rate }},
		{"prefetch", "unacknowledged deliveries of a consumer; 0 is no limit", func(w *Workload) any { return &w.Prefetch }},
		{"ack-every", "deliveries to each acknowledgement", func(w *Workload) any { return &w.AckEvery }},
		{"auto-ack", "consume without acknowledgements", func(w *Workload) any { return &w.AutoAck }},
		{"producers", "connections that publish", func(w *Workload) any { return &w.Producers }},
		{"consumers", "connections that consume", func(w *Workload) any { return &w.Consumers }},
		{"queues", "queues; there must be a consumer for each", func(w *Workload) any { return &w.Queues }},
		{"fill", "only publish, and leave the queues and their messages; goes with --url", func(w *Workload) any { return &w.Fill }},
	}
}

// set copies the field.
func (f workloadFlag) set(to, from *Workload) {
	switch field := f.field(to).(type) {
	case *int:
		*field = *f.field(from).(*int)
	case *bool:
		*field = *f.field(from).(*bool)
	}
}

// listing words the catalogue.
func listing() string {
	var b strings.Builder
	for _, w := range Catalogue() {
		fmt.Fprintf(&b, "  %-14s %s\n", w.Name, w.Summary)
	}
	return b.String()
}
