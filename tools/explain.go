package tools

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/wal"
)

func explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain [LSN]",
		Short: "tell why a message went where it went, and what became of it",
		Long: "Tell why a message went where it went: the exchange, the bindings that matched at that time, the way through other\n" +
			"exchanges, and the queues. Then what became of it in each queue: who took it, and whether it was acknowledged, came back,\n" +
			"expired, was dropped, or was dead-lettered, and as which record it went on. What the log does not tell is said. The message\n" +
			"is given by the number of its record, which log cat shows, or by its message-id.",
		Example: `
  millrace log explain 4711 --data /var/lib/millrace
  millrace log explain 4711 --data /var/lib/millrace --follow          and what it went on as
  millrace log explain --message-id order-17 --data /var/lib/millrace
  millrace log explain 4711 --data /var/lib/millrace --json | jq 'select(.what == "event")'`,
		Args:              command.Args("[LSN]"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	id := c.Flags().String("message-id", "", "explain the messages with this `id` instead, the first ten")
	follow := c.Flags().Bool("follow", false, "explain what it went on as, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		var lsn segment.LSN
		switch {
		case len(args) == 1 && *id != "" || len(args) == 0 && *id == "":
			return command.Usagef("give the number of a record or --message-id")
		case len(args) == 1:
			n, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || n == 0 {
				return command.Usagef("%q is not the number of a record", args[0])
			}
			lsn = segment.LSN(n)
		}
		return explain(c, *data, lsn, *id, *follow, *asJSON)
	}
	return c
}

// mostExplained bounds how many messages are explained: each is a pass over the log.
const (
	mostExplained = 100
	mostOfID      = 10
	mostAgain     = 3
)

// explain explains messages one after the other.
func explain(c *cobra.Command, data string, lsn segment.LSN, id string, follow, asJSON bool) error {
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	todo := []segment.LSN{lsn}
	if id != "" {
		if todo, err = p.findID(c, id); err != nil {
			return err
		}
	}
	for i := 0; i < len(todo) && i < mostExplained; i++ {
		e, err := explainOne(c, p, todo[i])
		for again := 0; again < mostAgain && err == nil && !e.story.Ended() && e.old != p.isOld(todo[i]); again++ {
			// Its file was relocated while the log was read, and what told of its end may be gone.
			e, err = explainOne(c, p, todo[i])
		}
		if err != nil {
			return err
		}
		if i > 0 && !asJSON {
			fmt.Fprintln(c.OutOrStdout())
		}
		if err := e.print(c, asJSON); err != nil {
			return err
		}
		if !follow {
			continue
		}
		for _, event := range e.story.Events() {
			if event.Successor != 0 && !slices.Contains(todo, event.Successor) {
				todo = append(todo, event.Successor)
			}
		}
	}
	return p.end(c)
}

// findID finds the first messages that have an id.
func (p *past) findID(c *cobra.Command, id string) (found []segment.LSN, err error) {
	first := p.reader.First()
	p.begin(first)
	p.show(c, "look for it", first)
	for len(found) < mostOfID && p.next() {
		r := p.record()
		if r.Kind() != segment.KindPublish {
			continue
		}
		publish, err := r.Publish()
		if err != nil || !bytes.Contains(publish.Header, []byte(id)) {
			continue
		}
		header, err := amqp.ParseHeader(publish.Header)
		if err == nil && string(header.Shortstr(amqp.PropertyMessageID)) == id {
			found = append(found, r.LSN())
		}
	}
	p.progress.Close()
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no message in the log has the id %q", id)
	}
	return found, nil
}

// explanation is what is known of a message.
type explanation struct {
	record segment.Record
	when   time.Time
	names  *history.Topology // as of the end
	queues []segment.QueueID // that the record names
	old    bool              // its file was relocated
	route  router.Explanation[*history.Queue]
	fault  error // why there is no route
	story  *history.Story
	origin origin
	deaths map[segment.LSN]string // why it died, by successor
	last   segment.LSN            // how far the log was read
	end    time.Time
}

// origin is what a message was before it was dead-lettered, or held back; zero if it is not told.
type origin struct {
	lsn   segment.LSN
	queue segment.QueueID
}

// explainOne reads the log from the message's file on, until nothing more can happen to it.
func explainOne(c *cobra.Command, p *past, lsn segment.LSN) (*explanation, error) {
	if p.reader.Last() == 0 {
		return nil, errEmpty
	}
	if first, last := p.reader.First(), p.reader.Last(); lsn < first || lsn > last {
		return nil, fmt.Errorf("record %d is not in the log, which has %d to %d", lsn, first, last)
	}
	p.begin(p.base(lsn) - 1) // a settlement may name a consumer of the file before its own
	p.show(c, "follow the message", lsn)
	e := &explanation{story: history.NewStory(lsn), deaths: make(map[segment.LSN]string)}
	for !e.story.Ended() && p.next() {
		r := p.record()
		if r.LSN() < lsn {
			continue
		}
		if r.LSN() == lsn {
			if r.Kind() != segment.KindPublish {
				return nil, fmt.Errorf("record %d is of kind %s and no message; 'millrace log cat --from %d --to %d' shows it", lsn, r.Kind(), lsn, lsn)
			}
			e.begin(p)
		} else if e.record == nil {
			break
		}
		if err := e.story.Apply(r, p.when, p.queues, p.topology); err != nil {
			p.fault(err)
		}
		e.cameFrom(r, lsn)
		e.last, e.end = r.LSN(), p.when
	}
	p.progress.Close()
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	if e.record == nil {
		if err := p.end(c); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("record %d is not in the log any more: no queue held it when its file was relocated", lsn)
	}
	e.names = p.topology
	e.died(p)
	return e, nil
}

// begin is called with the message.
func (e *explanation) begin(p *past) {
	e.record, e.when, e.queues = bytes.Clone(p.record()), p.when, slices.Clone(p.queues)
	e.route, e.fault = p.topology.Explain(e.record)
	e.old = p.isOld(p.lsn())
}

// isOld reports whether a record is in a file of the old generation.
func (p *past) isOld(lsn segment.LSN) bool {
	return slices.ContainsFunc(p.reader.Files(), func(info wal.SegmentInfo) bool {
		return info.Old && info.Base <= lsn && lsn <= info.Last
	})
}

// cameFrom looks for the settlement that says what the message was before. It stands in the batch of the message, behind
// it.
func (e *explanation) cameFrom(r segment.Record, lsn segment.LSN) {
	if r.Flags()&segment.FlagSuccessor == 0 || e.origin.lsn != 0 {
		return
	}
	s, err := r.Settle()
	if err != nil || s.Successor != lsn {
		return
	}
	for at := range s.Ranges() {
		e.origin = origin{at.From, s.Queue}
		break
	}
}

// died finds out from its successors why a message died.
func (e *explanation) died(p *past) {
	for _, event := range e.story.Events() {
		if event.Successor == 0 {
			continue
		}
		cursor := p.reader.Cursor(event.Successor)
		if cursor.Next() && cursor.LSN() == event.Successor {
			e.deaths[event.Successor] = deathReason(cursor.Record())
		}
		cursor.Close()
	}
}

// deathReason is why the message died that a record is the successor of, by its newest death; empty if it has none.
func deathReason(r segment.Record) string {
	p, err := r.Publish()
	if err != nil {
		return ""
	}
	header, err := amqp.ParseHeader(p.Header)
	if err != nil {
		return ""
	}
	table, _ := header.Headers()
	value, _, err := table.Lookup("x-death")
	deaths, ok := value.Array()
	if err != nil || !ok || !deaths.Next() {
		return ""
	}
	death, _ := deaths.Value().Table()
	reason, _, _ := death.Lookup("reason")
	text, _ := reason.Longstr()
	return string(text)
}
