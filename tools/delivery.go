package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/server/client"
	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/republish"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// localBroker is where messages go unless another broker is named.
const localBroker = "amqp://guest:guest@127.0.0.1:5672/"

// delivery sends messages to a broker, as the flags of a command say.
type delivery struct {
	command   *cobra.Command
	source    source
	url       string
	trust     client.TLS
	exchange  string
	key       string
	queue     string
	published bool
	config    republish.Config
	unrouted  bool // messages that reach no queue are no failure
	asJSON    bool
	total     int64 // messages that will be sent; 0: not known
}

// deliveryFlags gives a command the flags that say where messages go; the one for the broker has a name of its own.
func deliveryFlags(c *cobra.Command, broker string) *delivery {
	d := &delivery{command: c}
	f := c.Flags()
	f.StringVar(&d.url, broker, localBroker, "broker that messages go to, amqp://user:password@host:port/vhost, amqps:// for TLS")
	tlsFlags(c, &d.trust)
	f.BoolVar(&d.published, "as-published", false, "send each message to the exchange that it was published to, with its key")
	f.BoolVar(&d.config.Route.Queues, "to-queues", false, "send each message straight to the queues that it went to, by their names")
	f.StringVar(&d.queue, "to-queue", "", "send all messages straight to the queue of this `name`")
	f.StringVar(&d.exchange, "to-exchange", "", "send all messages to the exchange of this `name`, with their keys; '' is the default exchange")
	f.StringVar(&d.key, "to-key", "", "send messages with this routing `key` instead of their own")
	f.BoolVar(&d.config.Declare, "declare", false, "declare queues that are missing, as durable ones; only where messages go straight to queues")
	f.IntVar(&d.config.Window, "window", 1000, "publishes that may wait for their confirm")
	f.BoolVar(&d.config.DeadLetters, "dead-letters", false, "with --as-published, send dead letters too: without it they are left out, for the broker makes its own")
	f.BoolVar(&d.config.WithoutUserID, "without-user-id", false, "leave the user-id property out, which must be the user who logs in")
	f.BoolVar(&d.unrouted, "allow-unrouted", false, "messages that reach no queue are no failure")
	f.BoolVar(&d.asJSON, "json", false, "one JSON object a line")
	return d
}

// tlsFlags gives a command the flags that say whom to trust.
func tlsFlags(c *cobra.Command, trust *client.TLS) {
	c.Flags().StringVar(&trust.CA, "tls-ca", "", "`file` of certificates to trust at amqps://")
	c.Flags().BoolVar(&trust.Insecure, "tls-insecure", false, "take any certificate at amqps://")
}

// check looks at the flags.
func (d *delivery) check() error {
	flags, given := d.command.Flags(), 0
	for _, name := range []string{"as-published", "to-queues", "to-queue", "to-exchange"} {
		if flags.Changed(name) {
			given++
		}
	}
	r := &d.config.Route
	r.Queue = d.queue
	switch {
	case given > 1:
		return command.Usagef("give one of --as-published, --to-queues, --to-queue and --to-exchange")
	case flags.Changed("to-queue") && d.queue == "":
		return command.Usagef("--to-queue names no queue")
	case flags.Changed("to-key") && (r.Queues || r.Queue != ""):
		return command.Usagef("--to-key is for messages that are routed; with --to-queue and --to-queues they are not")
	case d.config.Window < 1:
		return command.Usagef("--window %d is less than one publish", d.config.Window)
	}
	if flags.Changed("to-exchange") {
		r.Exchange = &d.exchange
	}
	if flags.Changed("to-key") {
		r.Key = &d.key
	}
	var err error
	d.config.Address, err = client.ParseURL(d.url, d.trust)
	d.config.Product = product
	return command.Usage(err)
}

// target words where messages go.
func (d *delivery) target() string {
	r, where := &d.config.Route, ", as they were published"
	switch {
	case r.Queues:
		where = ", to their queues"
	case r.Queue != "":
		where = ", to queue " + r.Queue
	case r.Exchange != nil:
		where = ", to exchange " + named(*r.Exchange)
	}
	if r.Key != nil {
		where += ", with key " + strconv.Quote(*r.Key)
	}
	return d.config.Address.String() + where
}

// named is what people call an exchange.
func named(exchange string) string {
	if exchange == "" {
		return "(default)"
	}
	return exchange
}

// run sends all messages of the source and tells what came of it.
func (d *delivery) run(ctx context.Context, what string) error {
	total := d.total
	if total == 0 {
		total = -1
	}
	errOut := d.command.ErrOrStderr()
	progress := terminal.NewProgress(errOut, what, total, terminal.Messages)
	defer progress.Close()
	d.config.Confirmed = progress.Add
	d.config.Blocked = func(reason string) {
		if reason != "" {
			tell(d.command, "the broker takes no messages now: %s; waiting", reason)
		} else {
			tell(d.command, "the broker takes messages again")
		}
	}
	sender, err := republish.Open(ctx, d.config)
	if err != nil {
		return err
	}
	err = d.source.each(ctx, func(m *archive.Message) error { return sender.Send(ctx, m) })
	result, finished := sender.Finish(ctx)
	if err == nil || errors.Is(finished, err) {
		err = finished
	}
	progress.Close()
	faults := d.source.finish()
	if err == nil || result.Publishes > 0 {
		if told := d.tell(d.command.OutOrStdout(), &result, err); err == nil {
			err = told
		}
	}
	if err == nil && result.Lost() > 0 && !d.unrouted {
		faults = command.ErrFaults
	}
	if err != nil {
		return err
	}
	return faults
}

// sentMessages is what came of messages, as --json tells it.
type sentMessages struct {
	Target    string            `json:"target"`
	Messages  uint64            `json:"messages"`  // confirmed
	Publishes uint64            `json:"publishes"` // made for them
	BodyBytes uint64            `json:"body_bytes"`
	Last      uint64            `json:"last"` // all up to this record are confirmed
	Unrouted  map[string]uint64 `json:"unrouted,omitempty"`
	Nowhere   uint64            `json:"nowhere,omitempty"`
	Letters   uint64            `json:"dead_letters_left_out,omitempty"`
	Complete  bool              `json:"complete"`
}

func (d *delivery) tell(out io.Writer, r *republish.Result, failed error) error {
	if d.asJSON {
		return render.NewEncoder(out).Encode(sentMessages{
			d.target(), r.Messages, r.Publishes, r.BodyBytes, uint64(r.Last), r.Unrouted, r.Nowhere, r.Letters, failed == nil,
		})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d messages, %d bytes of bodies: confirmed by %s\n", r.Messages, r.BodyBytes, d.target())
	if failed != nil && r.Last != 0 {
		fmt.Fprintf(&text, "all up to record %d are confirmed\n", r.Last)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Unrouted)) {
		fmt.Fprintf(&text, "reached no queue: %d to %s\n", r.Unrouted[name], name)
	}
	if r.Nowhere > 0 {
		fmt.Fprintf(&text, "%d messages had gone to no queue that has a name\n", r.Nowhere)
	}
	_ = tellLetters(&text, r.Letters)
	_, err := io.WriteString(out, text.String())
	return err
}

// tellLetters tells of dead letters that are left out.
func tellLetters(out io.Writer, letters uint64) error {
	if letters == 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "dead letters left out: %d; --dead-letters sends them too\n", letters)
	return err
}
