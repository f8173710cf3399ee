package tools

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/selection"
	"github.com/millrace-mq/millrace/tools/terminal"
	"github.com/millrace-mq/millrace/wal"
)

func queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue NAME",
		Short: "show what a queue held, now or at any time that the log has",
		Long: "Show what a queue held, oldest message first, without consuming anything: at the end of the log, or at a record or a time\n" +
			"with --at. That is what was routed to it and had not been settled; messages that were with consumers are among them.\n" +
			"The log is read from its beginning. A time before the oldest record that is kept cannot be travelled to: see --retain-time\n" +
			"of millrace serve.",
		Example: `
  millrace log queue orders --data /var/lib/millrace
  millrace log queue orders --data /var/lib/millrace --at 2026-01-02T15:04:05.123Z --limit 0
  millrace log queue orders --data /var/lib/millrace --vhost shop --at 4711 --json
  millrace log queue orders --data /var/lib/millrace --limit 0 --output raw`,
		Args: command.Args("NAME"),
	}
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return queueNames(c, c.Flag("vhost").Value.String()), cobra.ShellCompDirectiveNoFileComp
	}
	data, o := dataFlag(c), outputFlags(c)
	host := c.Flags().String("vhost", "", "virtual host of the queue (default: the only one with such a queue)")
	command.Values(c, "vhost", func() []string { return vhostNames(c) })
	at := c.Flags().String("at", "", "after which record (`LSN`), or at which time as in 2026-01-02T15:04:05.123Z (default: the end of the log)")
	limit := c.Flags().Int("limit", 10, "how many messages are shown, the oldest first; 0 is all")
	c.RunE = func(c *cobra.Command, args []string) error {
		m := moment{}
		if *at != "" {
			var err error
			if m.lsn, m.time, err = selection.Place("--at", *at); err != nil {
				return command.Usage(err)
			}
		}
		return showQueue(c, *data, args[0], *host, m, o, *limit)
	}
	return c
}

// moment is a record or a time, or neither: the end of the log.
type moment struct {
	lsn  segment.LSN
	time time.Time
}

// before reports whether the moment is before a record.
func (m moment) before(lsn segment.LSN, when time.Time) bool {
	return m.lsn != 0 && lsn > m.lsn || !m.time.IsZero() && when.After(m.time)
}

// queueState is the first line of 'millrace log queue --json'; messages follow as log cat has them.
type queueState struct {
	Kind      string            `json:"kind"` // queue
	VHost     string            `json:"vhost"`
	Name      string            `json:"name"`
	ID        segment.QueueID   `json:"id"`
	LSN       segment.LSN       `json:"lsn"` // the last record that was reckoned with
	Time      time.Time         `json:"time"`
	Durable   bool              `json:"durable"`
	Messages  uint64            `json:"messages"`
	Bytes     uint64            `json:"bytes"` // of their records
	Transient uint64            `json:"transient"`
	Delivered uint64            `json:"may_have_been_delivered"`
	Oldest    segment.LSN       `json:"oldest,omitempty"`
	Newest    segment.LSN       `json:"newest,omitempty"`
	Published uint64            `json:"published"` // in the log
	Left      map[string]uint64 `json:"left"`      // in the log, by reason
	// Complete is the first record from which on nothing is missing, with --at: of what was published before, the log
	// may have given up what has left the queue since.
	Complete segment.LSN `json:"complete_from,omitempty"`
}

// showQueue shows what a queue held.
func showQueue(c *cobra.Command, data, name, host string, at moment, o *output, limit int) error {
	format, err := o.parse()
	if err != nil {
		return err
	}
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	out := bufio.NewWriter(c.OutOrStdout())
	renderer, err := o.renderer(out, p)
	if err != nil {
		return err
	}
	contents, last, err := p.contents(c, at)
	if err != nil {
		return err
	}
	q, err := findQueue(p.topology, name, host, last)
	if err != nil {
		return err
	}
	held := contents.Queue(q.ID)
	state := stateOf(q, held, last)
	if at != (moment{}) {
		state.Complete = p.complete()
	}
	switch format {
	case render.JSON:
		err = render.NewEncoder(out).Encode(state)
	case render.Raw:
	default:
		err = state.print(out, terminal.Of(c.OutOrStdout()), q)
	}
	if err == nil {
		err = p.showHeld(c, renderer, out, held, limit, format)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return unlessClosed(err)
	}
	return p.end(c)
}

// contents folds the log from its beginning up to a moment, and tells the last record of that.
func (p *past) contents(c *cobra.Command, at moment) (contents *history.Contents, last history.Moment, err error) {
	first := p.reader.First()
	p.begin(first)
	p.show(c, "read", first)
	contents = history.NewContents()
	old := p.oldFiles()
	for p.until = at; p.next(); {
		if err := contents.Apply(p.record(), p.queues, p.topology); err != nil {
			p.fault(err)
		}
		last = history.Moment{LSN: p.lsn(), Time: p.when}
	}
	p.correct(contents, old)
	p.progress.Close()
	if err := p.ctx.Err(); err != nil {
		return nil, last, err
	}
	if p.reader.Last() == 0 {
		return nil, last, errEmpty
	}
	if last.LSN == 0 {
		return nil, last, fmt.Errorf("the log has nothing of that time any more: its first record is %d", p.reader.First())
	}
	return contents, last, nil
}

// oldFiles are the files of the old generation, by path.
func (p *past) oldFiles() map[string]wal.SegmentInfo {
	files := make(map[string]wal.SegmentInfo)
	for _, info := range p.reader.Files() {
		if info.Old {
			files[info.Path] = info
		}
	}
	return files
}

// correct drops from the contents what a running broker has given up while they were read: the settlements that would
// have told may have gone with it.
func (p *past) correct(contents *history.Contents, known map[string]wal.SegmentInfo) {
	const rounds = 10 // a broker relocates more slowly than this looks for it
	for range rounds {
		if first := p.reader.First(); first > 1 {
			contents.Keep(history.NewSurvivors(history.Span{First: 1, Last: first - 1}))
		}
		fresh := false
		for path, info := range p.oldFiles() {
			if _, ok := known[path]; ok || p.ctx.Err() != nil {
				continue
			}
			fresh, known[path] = true, info
			p.survivors(contents, history.Span{First: info.Base, Last: info.Last})
		}
		if !fresh {
			return
		}
	}
}

// survivors corrects the contents by what a file of the old generation has.
func (p *past) survivors(contents *history.Contents, span history.Span) {
	s := history.NewSurvivors(span)
	cursor := p.reader.Cursor(span.First)
	defer cursor.Close()
	var queues []segment.QueueID
	for cursor.Next() && cursor.LSN() <= span.Last {
		if cursor.Record().Kind() != segment.KindPublish {
			continue
		}
		if queues, _ = cursor.Queues(queues[:0]); len(queues) > 0 { // what cannot be read was told when it was read first
			s.Add(cursor.LSN(), queues)
		}
	}
	contents.Keep(s)
}

// complete is the first record from which on the log tells of everything that was in queues at any time: what was before
// and has left its queue may be gone.
func (p *past) complete() segment.LSN {
	from := max(p.reader.First(), 1)
	for _, info := range p.reader.Files() {
		if info.Old {
			from = info.Last + 1
		}
	}
	return from
}

// findQueue finds the queue of a name, in the one virtual host that has it if none is given.
func findQueue(t *history.Topology, name, host string, at history.Moment) (*history.Queue, error) {
	var found []*history.Queue
	var gone *history.Queue
	for q := range t.Queues() {
		if q.Name != name || q.Keeps != "" || host != "" && q.Host != host {
			continue
		}
		if q.Exists() {
			found = append(found, q)
		} else {
			gone = q
		}
	}
	as := fmt.Sprintf("as of record %d, %s", at.LSN, at.Time.UTC().Format(render.TimeFormat))
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var hosts []string
		for _, q := range found {
			hosts = append(hosts, shownName(q.Host))
		}
		return nil, command.Usagef("there are queues %q in the virtual hosts %s; say which with --vhost", name, strings.Join(hosts, ", "))
	case gone != nil:
		return nil, fmt.Errorf("no queue %q exists %s: it was deleted by record %d, %s; --at shows what it held before", name, as, gone.Deleted.LSN, gone.Deleted.Time.UTC().Format(render.TimeFormat))
	}
	return nil, fmt.Errorf("no queue %q exists %s", name, as)
}

func stateOf(q *history.Queue, held *history.Held, last history.Moment) queueState {
	s := queueState{
		Kind: "queue", VHost: q.Host, Name: q.Name, ID: q.ID, LSN: last.LSN, Time: last.Time.UTC(), Durable: q.Durable,
		Messages: held.Count(), Bytes: held.Bytes(), Transient: held.Transient(), Delivered: held.Delivered(), Published: held.Published,
		Left: make(map[string]uint64),
	}
	s.Oldest, s.Newest = held.Ends()
	for reason, n := range held.Left {
		if n > 0 {
			s.Left[segment.SettleReason(reason).String()] = n
		}
	}
	return s
}

// print prints the state for people.
func (s *queueState) print(out io.Writer, t terminal.Terminal, q *history.Queue) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Queue %s in vhost %s, after record %d, %s\n", t.Paint(terminal.Cyan, shownName(s.Name)), shownName(s.VHost), s.LSN, s.Time.Format(render.TimeFormat))
	fmt.Fprintf(&b, "  %s", t.Paint(terminal.Bold, counted(s.Messages, "message")))
	if s.Messages > 0 {
		fmt.Fprintf(&b, ", %d bytes in the log, the oldest is record %d, the newest %d", s.Bytes, s.Oldest, s.Newest)
		fmt.Fprintf(&b, "\n  %s", s.delivered())
	}
	fmt.Fprintf(&b, "\n  in the log %s came to it", counted(s.Published, "message"))
	for _, reason := range slices.Sorted(maps.Keys(s.Left)) {
		fmt.Fprintf(&b, ", %d left it by %s", s.Left[reason], reason)
	}
	b.WriteByte('\n')
	if s.Complete > 1 {
		fmt.Fprintf(&b, "  %s of what was published before record %d, the log may have given up what has left the queue since\n", t.Paint(terminal.Yellow, "Note:"), s.Complete)
	}
	if !q.Durable {
		fmt.Fprintf(&b, "  %s the queue does not survive a restart: what left it has no record, so it may have held less\n", t.Paint(terminal.Yellow, "Note:"))
	} else if s.Transient > 0 {
		fmt.Fprintf(&b, "  %s %d of them are transient: some may have left without a record\n", t.Paint(terminal.Yellow, "Note:"), s.Transient)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(out, b.String())
	return err
}

// delivered says how many may be with consumers, which the log knows no better.
func (s *queueState) delivered() string {
	switch s.Delivered {
	case 0:
		return "none of them has been handed to a consumer"
	case s.Messages:
		return "any of them may be with a consumer, or have been"
	}
	return fmt.Sprintf("the first %d of them may be with a consumer, or have been; the others have not", s.Delivered)
}

// showHeld shows messages, the oldest first.
func (p *past) showHeld(c *cobra.Command, renderer *render.Renderer, out io.Writer, held *history.Held, limit int, format render.Format) error {
	var queues []segment.QueueID
	var cursor *wal.Cursor
	n, gone := 0, 0
	for lsn := range held.LSNs() {
		if limit > 0 && n == limit {
			break
		}
		if n++; n%between == 0 && p.ctx.Err() != nil {
			break
		}
		if cursor == nil || cursor.LSN()+1 != lsn {
			if cursor != nil {
				cursor.Close()
			}
			cursor = p.reader.Cursor(lsn)
		}
		if !cursor.Next() || cursor.LSN() != lsn {
			gone++
			continue
		}
		var err error
		if queues, err = cursor.Queues(queues[:0]); err == nil {
			err = renderer.Write(render.Entry{Record: cursor.Record(), Time: cursor.Time(), Queues: queues})
		}
		if err != nil {
			cursor.Close()
			return err
		}
	}
	if cursor != nil {
		cursor.Close()
	}
	if left := held.Count() - uint64(n); left > 0 && p.ctx.Err() == nil && format == render.Human {
		fmt.Fprintf(out, "… %s more; --limit 0 shows all\n", counted(left, "message"))
	}
	if gone > 0 {
		tell(c, "%d messages could not be shown: the broker has given them up meanwhile, or they are damaged", gone)
	}
	return nil
}
