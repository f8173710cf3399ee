package tools

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/server/client"
	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/republish"
	"github.com/millrace-mq/millrace/tools/selection"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// replay is what the flags of 'millrace replay' say.
type replay struct {
	delivery  *delivery
	log       logSource
	archive   archiveSource
	broker    brokerSource
	asked     *selection.Selection
	fromURL   string
	speed     string
	rate      float64
	flatOut   bool
	noHeaders bool
	dryRun    bool
}

// ReplayCommand is 'millrace replay'.
func ReplayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "replay",
		Short:   "publish messages of the past again",
		GroupID: command.GroupHistory,
		Long: `Publish messages of the past again: from a data folder (--data), whose broker may run, from an archive (--archive), or copies
of what a queue of a running broker holds (--from-url and --from-queue). They go to a broker, Millrace or RabbitMQ, with
confirms, to where they were published, to an exchange (--to-exchange) or straight to a queue (--to-queue).

The pace is the original one: a message goes as long after the first as it was published after the first. --speed 10x goes
faster, --rate has so many a second, and --flat-out as many as the broker takes. Copies of a queue have no times and go
flat out. After a stop of more than a second the schedule moves; nothing is made up for.

Each message gets the headers x-millrace-lsn, the number of its record, and x-millrace-time, when the log took it in; all
else stays as it was, octet for octet. Dead letters, which the broker had published itself, are left out where messages
go as they were published.

--progress-file notes up to which record all is confirmed. The same command then goes on behind it: some messages may be sent
twice, none is left out. Ctrl-C waits for confirms, saves the file and ends with exit code 130. --dry-run sends nothing and
counts. Copies of a queue are fetched without acknowledgement and given back at the end: they stay, marked as
redelivered, and a quorum queue counts a delivery.`,
		Example: `
  millrace replay --since 1h --exchange orders --to-queue orders.again --declare --flat-out
  millrace replay --from 2026-01-02T15:00:00Z --to 2026-01-02T16:00:00Z --speed 10x --to-url amqp://test-broker/
  millrace replay --archive orders.archive --rate 500 --progress-file orders.progress
  millrace replay --from-url amqp://production/ --from-queue poison --to-queue poison.copy --declare
  millrace replay --since 1h --dry-run`,
	}
	r := &replay{}
	f := c.Flags()
	data := dataFlag(c)
	f.StringVar(&r.archive.path, "archive", "", "`file` of 'millrace log export' to replay instead of a data folder; - is standard input")
	f.StringVar(&r.fromURL, "from-url", "", "running `broker` to copy from instead, with --from-queue")
	f.StringVar(&r.broker.queue, "from-queue", "", "`queue` of that broker")
	r.delivery = deliveryFlags(c, "to-url")
	f.StringVar(&r.speed, "speed", "", "so many `times` faster than the messages came, as in 10x; the default is 1x")
	f.Float64Var(&r.rate, "rate", 0, "so many `messages` a second")
	f.BoolVar(&r.flatOut, "flat-out", false, "as fast as the broker takes them")
	f.BoolVar(&r.noHeaders, "no-headers", false, "add no headers")
	f.BoolVar(&r.dryRun, "dry-run", false, "send nothing; count by exchange and queues")
	f.StringVar(&r.delivery.config.Progress, "progress-file", "", "`file` that notes what is confirmed, to go on from there")
	f.BoolVar(&r.archive.damaged, "skip-damaged", false, "go on behind parts of the archive that are damaged")
	r.asked = selectionFlags(c)
	heldFlags(c, &r.log)
	r.log.command, r.archive.command, r.delivery.command = c, c, c
	c.RunE = func(c *cobra.Command, _ []string) error {
		now := time.Now()
		r.log.data, r.log.asked, r.log.now = *data, *r.asked, now
		r.archive.asked, r.archive.now, r.archive.chosen = *r.asked, now, asked(f) != ""
		if err := r.check(c); err != nil {
			return err
		}
		return r.run(c)
	}
	return c
}

// check looks at the flags, and chooses the source.
func (r *replay) check(c *cobra.Command) error {
	flags, given := c.Flags(), 0
	for _, name := range []string{"data", "archive", "from-url"} {
		if flags.Changed(name) {
			given++
		}
	}
	if given > 1 {
		return command.Usagef("give one of --data, --archive and --from-url")
	}
	if err := r.delivery.check(); err != nil {
		return err
	}
	if err := r.pace(flags.Changed("rate")); err != nil {
		return err
	}
	r.delivery.config.Stamp = !r.noHeaders
	switch {
	case flags.Changed("archive"):
		r.delivery.source = &r.archive
		if err := r.archive.check(); err != nil {
			return err
		}
		if err := r.archive.open(); err != nil {
			return err
		}
		r.delivery.throughQueues(&r.archive.head)
	case flags.Changed("from-url") || flags.Changed("from-queue"):
		return r.fromBroker(c)
	default:
		r.delivery.source = &r.log
		if err := r.log.check(); err != nil {
			return err
		}
		if r.log.held {
			r.delivery.throughQueues(&archive.Head{Content: archive.Held})
		}
	}
	return nil
}

func (r *replay) fromBroker(c *cobra.Command) (err error) {
	if r.fromURL == "" || r.broker.queue == "" {
		return command.Usagef("--from-url and --from-queue belong together")
	}
	if words := asked(c.Flags(), "held", "at"); words != "" {
		return command.Usagef("%s: a running broker's queue is copied as a whole; export from its data folder to select", words)
	}
	if r.delivery.config.Progress != "" {
		return command.Usagef("--progress-file needs numbers of records, which a running broker does not tell")
	}
	r.broker.address, err = client.ParseURL(r.fromURL, r.delivery.trust)
	r.delivery.source = &r.broker
	return command.Usage(err)
}

// pace reads the flags that say how fast.
func (r *replay) pace(rated bool) error {
	given := 0
	for _, is := range []bool{r.speed != "", rated, r.flatOut} {
		if is {
			given++
		}
	}
	pace := &r.delivery.config.Pace
	switch {
	case given > 1:
		return command.Usagef("give one of --speed, --rate and --flat-out")
	case rated && !(r.rate > 0):
		return command.Usagef("--rate %v is no number of messages a second", r.rate)
	case rated:
		pace.Rate = r.rate
	case !r.flatOut:
		pace.Speed = 1
	}
	if r.speed != "" {
		speed, err := strconv.ParseFloat(strings.TrimSuffix(r.speed, "x"), 64)
		if err != nil || !(speed > 0) {
			return command.Usagef("--speed %q is no factor as in 10x or 0.5x", r.speed)
		}
		pace.Speed = speed
	}
	return nil
}

func (r *replay) run(c *cobra.Command) error {
	d, ctx := r.delivery, c.Context()
	if d.config.Progress != "" {
		begin := republish.Progress{Source: d.source.String(), Selection: asked(c.Flags(), "held", "at"), Target: d.target()}
		var err error
		if d.config.Begin, err = republish.LoadProgress(d.config.Progress, begin); err != nil {
			return err
		}
		d.source.skip(d.config.Begin.LSN, d.config.Begin.Messages)
	}
	plan := newPlan(&d.config)
	once := d.source == source(&r.broker) || r.archive.path == "-" // it cannot be read twice
	if r.dryRun || !once && terminal.Of(c.ErrOrStderr()).IsTerminal() {
		r.log.shown = "count"
		if err := d.source.each(ctx, plan.add); err != nil {
			return errors.Join(err, d.source.finish())
		}
		r.log.shown = ""
		d.total = int64(plan.totals.Messages)
	}
	if r.dryRun {
		return errors.Join(plan.tell(c.OutOrStdout(), d), d.source.finish())
	}
	d.source = oneHost{d.source}
	return d.run(ctx, "replay")
}
