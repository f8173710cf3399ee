package tools

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/selection"
)

func importCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "send an archive's messages to a broker",
		Long: `Send the messages of an archive that 'millrace log export' wrote to a broker, Millrace or RabbitMQ, as fast as it takes
them, with confirms; FILE may be - for standard input. They go out as they are, in their order, to the virtual host of
--url.

An archive of what queues held (export --held) goes straight to the queues, through the default exchange by their names: so
each queue gets what it had, in the order it had it. Any other goes as it was published, to exchanges with routing keys. Flags
choose otherwise. Exchanges, and queues without --declare, must be there; bindings are not made. A time to live begins anew.

The exit code is 1 when messages reached no queue.`,
		Example: `
  millrace log import shipping.archive --url amqp://me:secret@test:5672/ --declare
  millrace log import orders.archive --to-queue orders.again --declare
  millrace log import orders.archive --key 'order.*.eu' --to-exchange orders`,
		Args: command.Args("FILE"),
	}
	s := &archiveSource{command: c}
	d := deliveryFlags(c, "url")
	selected := selection.Flags(c.Flags())
	c.Flags().BoolVar(&s.damaged, "skip-damaged", false, "go on behind parts of the archive that are damaged")
	c.RunE = func(c *cobra.Command, args []string) error {
		s.path, s.asked, s.now = args[0], *selected, time.Now()
		s.chosen = asked(c.Flags()) != ""
		if err := d.check(); err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
		d.throughQueues(&s.head)
		d.source = oneHost{s}
		return d.run(c.Context(), "import")
	}
	return c
}

// throughQueues sends an archive of what queues held to queues, unless the flags say otherwise.
func (d *delivery) throughQueues(head *archive.Head) {
	r := &d.config.Route
	if head.Content == archive.Held && !d.published && r.Exchange == nil && r.Queue == "" && r.Key == nil {
		r.Queues = true
	}
}
