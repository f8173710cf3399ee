package tools

import (
	"bufio"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/selection"
	"github.com/millrace-mq/millrace/tools/terminal"
)

func catCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cat",
		Short: "show records of the log",
		Long: "Show records of the log, oldest first: messages, and what became of them and of the queues. Without flags these are all.\n" +
			"Times are those at which the log took a record in.\n\n" +
			"An expression (--where) may ask for the fields " + fieldList() + ".",
		Example: `
  millrace log cat --data /var/lib/millrace --since 10m --queue orders
  millrace log cat --data /var/lib/millrace --from 2026-01-02T15:04:05.123Z --to 2026-01-02T15:05:00Z --kind publish,settle
  millrace log cat --data /var/lib/millrace --exchange shop --key 'order.*.eu' --header tenant=acme --limit 5
  millrace log cat --data /var/lib/millrace --where 'size > 1000 && headers["attempt"] > 3' --json | jq .properties
  millrace log cat --data /var/lib/millrace --body-regexp '"total":\s*-' --output raw`,
	}
	data, asked, o := dataFlag(c), selectionFlags(c), outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return cat(c, *data, asked, o) }
	return c
}

// cat shows what was asked for.
func cat(c *cobra.Command, data string, asked *selection.Selection, o *output) error {
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := newShown(c, p, asked, o)
	if err != nil {
		return err
	}
	from := s.filter.Start(p.reader.Find)
	p.begin(from)
	if !terminal.Of(c.OutOrStdout()).IsTerminal() { // where the records show how far it is
		p.show(c, "read", from)
	}
	for !s.filter.Done() && p.next() && !s.filter.Past(p.lsn(), p.when) {
		if err := s.see(); err != nil {
			return unlessClosed(err)
		}
	}
	if err := s.out.Flush(); err != nil {
		return unlessClosed(err)
	}
	tellFailed(c, s.filter)
	return p.end(c)
}

// shown is what a command shows of a past.
type shown struct {
	past     *past
	filter   *selection.Filter
	out      *bufio.Writer
	renderer *render.Renderer
}

func newShown(c *cobra.Command, p *past, asked *selection.Selection, o *output) (*shown, error) {
	s := &shown{past: p, out: bufio.NewWriterSize(c.OutOrStdout(), 64<<10)}
	var err error
	if s.filter, err = asked.Compile(time.Now(), p); err != nil {
		return nil, command.Usage(err)
	}
	s.renderer, err = o.renderer(s.out, p)
	return s, err
}

// see shows the present record if it was asked for.
func (s *shown) see() error {
	p := s.past
	if s.filter.Match(p.record(), p.when, p.queues) {
		if err := s.show(p.record(), p.when, p.queues); err != nil {
			return err
		}
	}
	if p.records%between == 0 {
		return s.out.Flush()
	}
	return nil
}

func (s *shown) show(r segment.Record, when time.Time, queues []segment.QueueID) error {
	return s.renderer.Write(render.Entry{Record: r, Time: when, Queues: queues})
}

// QueueName and VHostName know what things were called at the present record.
func (p *past) QueueName(id segment.QueueID) (string, bool) { return p.topology.QueueName(id) }

// VHostName is the name of a virtual host.
func (p *past) VHostName(id uint32) (string, bool) { return p.topology.VHostName(id) }
