package benchmarks

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/server/client"
)

// options are what 'millrace bench' is asked for.
type options struct {
	workloads []load.Workload
	broker    contender.Contender
	settings  contender.Settings
	patience  time.Duration
	output    output
}

// output says what is written beside the table.
type output struct {
	json bool
	hdr  string // a file; "" is none
	csv  string
}

const measureText = `Measure a broker that speaks AMQP 0-9-1, with a load of your making or a named one.

Without --workload the load is one producer, one queue, one consumer, transient bodies of 1 KiB through the default
exchange, 1,000 deliveries ahead and an acknowledgement for each hundred, for 10 s; flags change that.

Each body of 16 bytes or more carries its producer and number. Messages lost, duplicated, reordered, misrouted or
left over are reported, and any of them makes the exit code 1. Ctrl-C ends a run early: what there was until then is shown,
queues are deleted, and the exit code is 130; a second Ctrl-C ends it at once.`

const measureExample = `
  millrace bench                                     10 s of 1 KiB messages on a broker started for it
  millrace bench --url amqp://guest:guest@host:5672 --persistent --window 1000 --duration 30s --server-pid 4711
  millrace bench --url amqp://host --producers 4 --consumers 4 --queues 4 --size 100:70,1000:25,65536:5
  millrace bench --url amqp://host --rate 5000 --persistent --window 1000 --hdr latency.hlog --csv seconds.csv
  millrace bench --url amqp://host --exchange topic --bindings 1000 --queues 10 --consumers 10
  millrace bench --url amqp://host --queue-arg x-queue-type=quorum --persistent --window 100
  millrace bench --url amqp://host --publish-only --messages 1000000 && millrace bench --url amqp://host --consume-only
  millrace bench --workload W3,W9                    named ones; all for every one; flags change them`

// declareOptions declares the flags, and returns what reads them once they are parsed.
func declareOptions(flags *pflag.FlagSet) (resolve func() (options, error)) {
	var o options
	names := flags.StringSlice("workload", nil, "start from named workloads, by name or W number; all for every one")
	url := flags.String("url", "", "broker, amqp://user:password@host:port/vhost, amqps:// for TLS; without it one is started for each workload")
	var trust client.TLS
	flags.StringVar(&trust.CA, "tls-ca", "", "file of certificates to trust at amqps://")
	flags.BoolVar(&trust.Insecure, "tls-insecure", false, "take any certificate at amqps://")
	pids := flags.String("server-pid", "", "processes of the broker at --url, with commas; their children count too: reports CPU time and memory")
	flags.StringVar(&o.settings.Data, "data", "", "folder in which a broker started here keeps its data for the time being")
	flags.StringVar(&o.settings.Sync, "sync", "disk", "what a confirm of a broker started here stands for: disk or os")
	flags.DurationVar(&o.patience, "patience", load.DefaultPatience, "give up when nothing has moved for so long")
	flags.BoolVar(&o.output.json, "json", false, "write one JSON document instead of the table")
	flags.StringVar(&o.output.hdr, "hdr", "", "write latencies to this file, in HdrHistogram's log format")
	flags.StringVar(&o.output.csv, "csv", "", "write a line a second to this file")
	load := newLoadFlags(flags)

	return func() (options, error) {
		var err error
		o.workloads, err = load.workloads(*names)
		faults := []error{err, o.locate(*url, *pids, trust)}
		for i := range o.workloads {
			if err := o.workloads[i].Validate(); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", o.workloads[i].Name, err))
			}
		}
		faults = append(faults, o.validate(*url))
		return o, errors.Join(faults...)
	}
}

// locate finds the broker.
func (o *options) locate(url, pids string, trust client.TLS) (err error) {
	if url == "" {
		o.broker, err = contender.Parse(contender.Itself, trust)
		if pids != "" {
			err = errors.Join(err, errors.New("--server-pid goes with --url"))
		}
		return err
	}
	ids, pidErr := contender.ParsePIDs(pids)
	address, err := client.ParseURL(url, trust)
	o.broker = contender.At(address, ids)
	return errors.Join(err, pidErr)
}

func (o *options) validate(url string) error {
	var faults []error
	for _, w := range o.workloads {
		if url == "" && (w.Mode == load.ModePublish && w.QueueName != "" || w.Mode == load.ModeConsume) {
			faults = append(faults, errors.New("--consume-only and --queue-name with --publish-only go with --url: a broker started here ends with the run"))
			break
		}
	}
	if o.patience < time.Second {
		faults = append(faults, fmt.Errorf("--patience %v is less than a second", o.patience))
	}
	return errors.Join(append(faults, contender.CheckSync(o.settings.Sync))...)
}

// loadFlags change workloads.
type loadFlags struct {
	flags     *pflag.FlagSet
	change    load.Workload // what the flags say
	exchange  string
	arguments []string
	only      struct{ publish, consume, backlog bool }
}

func newLoadFlags(flags *pflag.FlagSet) *loadFlags {
	f := &loadFlags{flags: flags}
	c := &f.change
	flags.IntVar(&c.Messages, "messages", 0, "messages to publish, or with --consume-only to consume at most")
	flags.DurationVar(&c.Duration, "duration", 0, "publish for so long instead")
	flags.DurationVar(&c.WarmUp, "warm-up", 0, "run for so long before anything is measured")
	flags.Var(&c.Size, "size", "of bodies: 1024, a range 100-5000, or shares 100:70,1000:25,64KiB:5")
	flags.IntVar(&c.Producers, "producers", 0, "who publishes")
	flags.IntVar(&c.Consumers, "consumers", 0, "who consumes; --queues if it is more")
	flags.IntVar(&c.Connections, "connections", 0, "connections that producers and consumers share, a channel each; 0 is one for each")
	flags.IntVar(&c.Queues, "queues", 0, "queues")
	flags.StringVar(&c.QueueName, "queue-name", "", "name of the queue; with several, .0, .1, … stand behind it; such queues are deleted before and after, but not with --consume-only")
	flags.StringArrayVar(&f.arguments, "queue-arg", nil, "argument of the queues, x-queue-type=quorum; may be repeated")
	flags.IntVar(&c.IdleQueues, "idle-queues", 0, "more queues, which are declared and not used")
	flags.StringVar(&f.exchange, "exchange", "", "default, direct, fanout, topic or headers")
	flags.IntVar(&c.Bindings, "bindings", 0, "bindings of a direct, topic or headers exchange, spread over the queues")
	flags.IntVar(&c.IdleBindings, "idle-bindings", 0, "more bindings of such an exchange, which no message matches")
	flags.StringArrayVar(&c.BindingKeys, "binding-key", nil, "key or pattern of a binding; may be repeated; the queues take turns")
	flags.StringArrayVar(&c.RoutingKeys, "routing-key", nil, "key of messages; may be repeated, they take turns")
	flags.BoolVar(&c.Persistent, "persistent", false, "messages survive a restart")
	flags.IntVar(&c.Window, "window", 0, "unconfirmed publishes of a producer; 0 asks for no confirms")
	flags.IntVar(&c.Rate, "rate", 0, "messages a second of all producers, whatever the broker does: latency counts from when each was due; 0 is as fast as it goes")
	flags.BoolVar(&c.Latency, "latency", false, "measure latency without a rate too, from when each was sent")
	flags.IntVar(&c.Prefetch, "prefetch", 0, "unacknowledged deliveries of a consumer; 0 is no limit")
	flags.IntVar(&c.AckEvery, "ack-every", 0, "deliveries to each acknowledgement")
	flags.IntVar(&c.ConsumerRate, "consumer-rate", 0, "deliveries a second that all consumers take together; 0 is as fast as they come")
	flags.BoolVar(&c.StopReading, "stop-reading", false, "consumers take nothing from their sockets once they have begun, as clients that hang")
	flags.BoolVar(&c.AutoAck, "auto-ack", false, "consume without acknowledgements")
	flags.IntVar(&c.Prefill, "prefill", 0, "messages in the queues before the measurement begins; consumers then keep in step with producers, so that they stay")
	flags.BoolVar(&f.only.backlog, "backlog", false, "publish everything, then consume it")
	flags.BoolVar(&f.only.publish, "publish-only", false, "only publish, and leave the queues and what is in them")
	flags.BoolVar(&f.only.consume, "consume-only", false, "only consume and count, from queues that are there")
	return f
}

// workloads are those that are named, or one of the flags' own making, as the flags change them.
func (f *loadFlags) workloads(names []string) ([]load.Workload, error) {
	var chosen []load.Workload
	for _, name := range names {
		if name == "all" {
			chosen = append(chosen, load.Catalogue()...)
			continue
		}
		w, ok := load.Find(name)
		if !ok {
			return nil, fmt.Errorf("unknown workload %q; 'millrace bench list' lists them", name)
		}
		chosen = append(chosen, w)
	}
	if len(names) == 0 {
		chosen = []load.Workload{load.Base()}
	}
	if err := f.prepare(); err != nil {
		return nil, err
	}
	for i := range chosen {
		f.apply(&chosen[i])
	}
	return chosen, nil
}

// prepare reads the flags whose text is not their value.
func (f *loadFlags) prepare() (err error) {
	if f.change.Arguments, err = parseArguments(f.arguments); err != nil {
		return err
	}
	f.change.Exchange = load.ExchangeKind(strings.ToLower(f.exchange))
	switch f.change.Exchange {
	case "", load.ExchangeDefault, load.ExchangeDirect, load.ExchangeFanout, load.ExchangeTopic, load.ExchangeHeaders:
	default:
		return fmt.Errorf("--exchange is %q, not default, direct, fanout, topic or headers", f.exchange)
	}
	modes := 0
	for mode, on := range map[load.Mode]bool{
		load.ModeBacklog: f.only.backlog, load.ModePublish: f.only.publish, load.ModeConsume: f.only.consume,
	} {
		if on {
			f.change.Mode = mode
			modes++
		}
	}
	if modes > 1 {
		return errors.New("--backlog, --publish-only and --consume-only exclude each other")
	}
	return nil
}

// apply copies the fields whose flags are given, and sees to what follows from them.
func (f *loadFlags) apply(w *load.Workload) {
	c := &f.change
	given := f.flags.Changed
	for name, set := range map[string]func(){
		"messages":      func() { w.Messages = c.Messages },
		"duration":      func() { w.Duration = c.Duration },
		"warm-up":       func() { w.WarmUp = c.WarmUp },
		"size":          func() { w.Size = c.Size },
		"producers":     func() { w.Producers = c.Producers },
		"consumers":     func() { w.Consumers = c.Consumers },
		"connections":   func() { w.Connections = c.Connections },
		"queues":        func() { w.Queues = c.Queues },
		"queue-name":    func() { w.QueueName = c.QueueName },
		"queue-arg":     func() { w.Arguments = c.Arguments },
		"idle-queues":   func() { w.IdleQueues = c.IdleQueues },
		"exchange":      func() { w.Exchange = c.Exchange },
		"bindings":      func() { w.Bindings = c.Bindings },
		"idle-bindings": func() { w.IdleBindings = c.IdleBindings },
		"consumer-rate": func() { w.ConsumerRate = c.ConsumerRate },
		"stop-reading":  func() { w.StopReading = c.StopReading },
		"binding-key":   func() { w.BindingKeys = c.BindingKeys },
		"routing-key":   func() { w.RoutingKeys = c.RoutingKeys },
		"persistent":    func() { w.Persistent = c.Persistent },
		"window":        func() { w.Window = c.Window },
		"rate":          func() { w.Rate = c.Rate },
		"latency":       func() { w.Latency = c.Latency },
		"prefetch":      func() { w.Prefetch = c.Prefetch },
		"ack-every":     func() { w.AckEvery = c.AckEvery },
		"auto-ack":      func() { w.AutoAck = c.AutoAck },
		"prefill":       func() { w.Prefill = c.Prefill },
	} {
		if given(name) {
			set()
		}
	}
	if f.only.backlog || f.only.publish || f.only.consume {
		w.Mode = c.Mode
	}
	if given("duration") && !given("messages") {
		w.Messages = 0
	}
	if given("messages") && !given("duration") {
		w.Duration = 0
	}
	if w.Messages == 0 && w.Duration == 0 && !given("messages") && w.Mode != load.ModeConsume && w.Mode != load.ModeDeclare {
		w.Duration = defaultDuration
	}
	if given("queues") && !given("consumers") && w.Consumers < w.Queues {
		w.Consumers = w.Queues
	}
	if !given("ack-every") && w.Prefetch > 0 {
		w.AckEvery = min(w.AckEvery, w.Prefetch)
	}
	if !given("bindings") && (given("exchange") || given("queues")) && w.Bindings < w.Queues {
		w.Bindings = w.Queues
	}
}

// defaultDuration is how long a workload publishes if nothing says how much.
const defaultDuration = 10 * time.Second
