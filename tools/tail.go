package tools

import (
	"bytes"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/selection"
	"github.com/millrace-mq/millrace/tools/terminal"
)

func tailCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tail",
		Short: "show the last records of the log, and those that come",
		Long: "Show the last records of the log. With --follow it goes on with those that a running broker appends, until Ctrl-C,\n" +
			"which ends it well, or until the record or time that --to names. Flags that select records are those of log cat.",
		Example: `
  millrace log tail --data /var/lib/millrace
  millrace log tail --data /var/lib/millrace -f --queue orders --kind publish
  millrace log tail --data /var/lib/millrace -n 0 -f --json | jq -c 'select(.size > 100000) | .lsn'`,
	}
	data, asked, o := dataFlag(c), selectionFlags(c), outputFlags(c)
	follow := c.Flags().BoolP("follow", "f", false, "go on with what is appended")
	n := c.Flags().Uint64P("lines", "n", 10, "how many `records` to begin with")
	if err := c.Flags().MarkHidden("limit"); err != nil {
		panic(err) // it is not there: our own mistake, and every start would show it
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if asked.Limit > 0 {
			return command.Usagef("--limit is for log cat; --lines says how many records to begin with")
		}
		return tail(c, *data, asked, o, *n, *follow)
	}
	return c
}

// kept is a record that may be one of the last.
type kept struct {
	record segment.Record
	when   time.Time
	queues []segment.QueueID
}

// tail shows the last n records, and with follow those that come.
func tail(c *cobra.Command, data string, asked *selection.Selection, o *output, n uint64, follow bool) error {
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := newShown(c, p, asked, o)
	if err != nil {
		return err
	}
	past, err := s.last(n)
	if err == nil {
		err = s.out.Flush()
	}
	if err != nil {
		return unlessClosed(err)
	}
	if follow && !past && c.Context().Err() == nil {
		return s.follow(c)
	}
	tellFailed(c, s.filter)
	return p.end(c)
}

// last shows the last n records; past says that the selection ends before the log does. It looks for them in the last
// file, and in twice as many while these are not enough.
func (s *shown) last(n uint64) (past bool, err error) {
	p := s.past
	first, files := s.filter.Start(p.reader.Find), p.reader.Files()
	var last []kept
	for back := 1; ; back *= 2 {
		from := first
		if i := len(files) - back; i > 0 {
			from = max(from, files[i].Base)
		}
		if last, past = s.gather(from, n); uint64(len(last)) >= n || from == first || p.ctx.Err() != nil {
			break
		}
	}
	for _, k := range last {
		if err := s.show(k.record, k.when, k.queues); err != nil {
			return past, err
		}
	}
	return past, nil
}

// gather keeps the last n records from one on.
func (s *shown) gather(from segment.LSN, n uint64) (last []kept, past bool) {
	p := s.past
	p.begin(from)
	next := 0 // the oldest, once there are n
	for p.next() {
		if s.filter.Past(p.lsn(), p.when) {
			past = true
			break
		}
		if n == 0 || p.lsn() < from || !s.filter.Match(p.record(), p.when, p.queues) {
			continue
		}
		k := kept{bytes.Clone(p.record()), p.when, slices.Clone(p.queues)}
		if uint64(len(last)) < n {
			last = append(last, k)
			continue
		}
		last[next] = k
		next = (next + 1) % len(last)
	}
	return slices.Concat(last[next:], last[:next]), past
}

// lookEvery is how often a log that is followed is looked at; nothing tells of writes to a mapping.
const lookEvery = 50 * time.Millisecond

// follow shows what comes, until Ctrl-C.
func (s *shown) follow(c *cobra.Command) error {
	p := s.past
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		for p.next() {
			if s.filter.Past(p.lsn(), p.when) {
				return s.followed(c)
			}
			if err := s.see(); err != nil {
				return unlessClosed(err)
			}
		}
		if err := s.out.Flush(); err != nil {
			return unlessClosed(err)
		}
		if p.cursor.Err() != nil {
			return p.end(c)
		}
		select {
		case <-c.Context().Done():
			return s.followed(c)
		case <-again.C:
		}
		if terminal.Of(c.OutOrStdout()).Broken() {
			return nil
		}
		if err := p.reader.Refresh(); err != nil {
			return err
		}
	}
}

// followed ends what was followed. That somebody has had enough is no interruption.
func (s *shown) followed(c *cobra.Command) error {
	if err := s.out.Flush(); err != nil {
		return unlessClosed(err)
	}
	tellFailed(c, s.filter)
	return s.past.finish(c)
}
