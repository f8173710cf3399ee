package tools

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/tools/selection"
)

// groupings are what totals may be taken by.
var groupings = []string{"kind", "queue", "exchange", "key", "time"}

// statFlags are what 'millrace log stat' is asked for.
type statFlags struct {
	by     []string
	words  int
	top    int
	bucket time.Duration
	asJSON bool
}

func statCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "stat",
		Short: "count what is in the log: by queue, exchange, routing key, and over time",
		Long: "Count what is in the log: records and bytes by kind, messages by the queues that they went to, by exchange and by the first\n" +
			"words of their routing key, and how many came over time. A message that went to two queues counts for both. Bytes of\n" +
			"messages are those of their bodies, those of records are what they take in the log. Flags that select records are\n" +
			"those of log cat.",
		Example: `
  millrace log stat --data /var/lib/millrace
  millrace log stat --data /var/lib/millrace --since 1h --by key,time --words 2 --bucket 1m
  millrace log stat --data /var/lib/millrace --json | jq 'select(.by == "queue") | [.name, .messages]'`,
	}
	data, asked, f := dataFlag(c), selectionFlags(c), statFlags{}
	c.Flags().StringSliceVar(&f.by, "by", groupings, "what to count by")
	command.List(c, "by", groupings...)
	c.Flags().IntVar(&f.words, "words", 1, "how many words of a routing key count as one")
	c.Flags().IntVar(&f.top, "top", 10, "how many lines a table has, the biggest first; 0 is all. JSON has all")
	c.Flags().DurationVar(&f.bucket, "bucket", 0, "how much time a line of the chart stands for (default: what makes some twenty of them)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "one JSON object a line")
	c.RunE = func(c *cobra.Command, _ []string) error { return stat(c, *data, asked, f) }
	return c
}

func (f *statFlags) check() error {
	for _, by := range f.by {
		if !slices.Contains(groupings, by) {
			return command.Usagef("--by %q: there are %s", by, strings.Join(groupings, ", "))
		}
	}
	if f.words < 1 {
		return command.Usagef("--words %d: a key is told by one word at least", f.words)
	}
	if f.bucket < 0 || f.bucket > 0 && f.bucket < time.Millisecond {
		return command.Usagef("--bucket %s: times have milliseconds", f.bucket)
	}
	return nil
}

// stat counts and prints the totals.
func stat(c *cobra.Command, data string, asked *selection.Selection, f statFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	p, err := openPast(c.Context(), data)
	if err != nil {
		return err
	}
	defer p.close()
	filter, err := asked.Compile(time.Now(), p)
	if err != nil {
		return command.Usage(err)
	}
	from := filter.Start(p.reader.Find)
	p.begin(from)
	p.show(c, "count", from)
	t := newTotals(f)
	for !filter.Done() && p.next() && !filter.Past(p.lsn(), p.when) {
		if filter.Match(p.record(), p.when, p.queues) {
			t.add(p.record(), p.when, p.queues)
		}
	}
	if p.progress != nil {
		p.progress.Close()
	}
	if err := c.Context().Err(); err != nil {
		return err
	}
	t.name(p.topology)
	if err := t.print(c, f); err != nil {
		return err
	}
	tellFailed(c, filter)
	return p.end(c)
}

// count is a line of the totals.
type count struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"` // of their bodies
}

func (n *count) add(bytes int) {
	n.Messages++
	n.Bytes += uint64(bytes)
}

// totals counts records. It is made for more than a million of them a second: whatever is counted by is remembered from
// the record before, since most come from where that one came from.
type totals struct {
	flags     statFlags
	all       count
	records   count // of all kinds; the bytes are those of the records
	kinds     [256]count
	queues    map[segment.QueueID]*count
	exchanges groups
	keys      groups
	times     buckets

	first, last segment.LSN
	from, to    time.Time
	queue       segment.QueueID // that ofQueue counts
	ofQueue     *count
	named       map[string][]line // by grouping
}

// mostGroups bounds the prefixes of keys that are told apart.
const mostGroups = 1 << 18

// groups counts by a virtual host and a name.
type groups struct {
	hosts  map[uint32]map[string]*count
	others count // beyond mostGroups
	n      int

	host    uint32
	name    []byte
	present *count // that of host and name; nil = none yet
}

func (g *groups) add(host uint32, name []byte, bytesOf int) {
	if g.present == nil || g.host != host || !bytes.Equal(g.name, name) {
		g.present = g.find(host, name)
		g.host, g.name = host, append(g.name[:0], name...)
	}
	g.present.add(bytesOf)
}

func (g *groups) find(host uint32, name []byte) *count {
	names := g.hosts[host]
	if names == nil {
		names = make(map[string]*count)
		g.hosts[host] = names
	}
	if found := names[string(name)]; found != nil {
		return found
	}
	if g.n == mostGroups {
		return &g.others
	}
	g.n++
	made := new(count)
	names[string(name)] = made
	return made
}

func newTotals(f statFlags) *totals {
	return &totals{
		flags: f, queues: make(map[segment.QueueID]*count),
		exchanges: groups{hosts: make(map[uint32]map[string]*count)}, keys: groups{hosts: make(map[uint32]map[string]*count)},
		times: newBuckets(f.bucket),
	}
}

// add counts a record.
func (t *totals) add(r segment.Record, when time.Time, queues []segment.QueueID) {
	kind := r.Kind()
	t.records.add(len(r))
	t.kinds[kind].add(len(r))
	if t.first == 0 {
		t.first, t.from = r.LSN(), when
	}
	t.last, t.to = r.LSN(), when
	if kind != segment.KindPublish {
		return
	}
	p, err := r.Publish()
	if err != nil {
		return // it is counted with its kind
	}
	size := len(p.Body)
	t.all.add(size)
	t.times.add(when.UnixMilli(), size)
	for _, id := range queues {
		if t.queue != id || t.ofQueue == nil {
			t.queue, t.ofQueue = id, t.queues[id]
			if t.ofQueue == nil {
				t.ofQueue = new(count)
				t.queues[id] = t.ofQueue
			}
		}
		t.ofQueue.add(size)
	}
	exchange, key := amqp.Keys(p.Keys).Split()
	t.exchanges.add(r.VHost(), exchange, size)
	t.keys.add(r.VHost(), prefixOf(key, t.flags.words), size)
}

// prefixOf is the first words of a routing key.
func prefixOf(key []byte, words int) []byte {
	at := 0
	for range words {
		i := bytes.IndexByte(key[at:], '.')
		if i < 0 {
			return key
		}
		at += i + 1
	}
	return key[:at-1]
}

// line is a line of a table.
type line struct {
	host, name string
	count
}

// name finds the names, biggest first.
func (t *totals) name(names *history.Topology) {
	t.named = make(map[string][]line)
	for kind, n := range t.kinds {
		if n.Messages > 0 {
			t.named["kind"] = append(t.named["kind"], line{name: segment.Kind(kind).String(), count: n})
		}
	}
	for id, n := range t.queues {
		l := line{name: fmt.Sprintf("#%d", id), count: *n}
		if q := names.Queue(id); q != nil {
			l.host, l.name = q.Host, q.String()
		}
		t.named["queue"] = append(t.named["queue"], l)
	}
	for by, g := range map[string]*groups{"exchange": &t.exchanges, "key": &t.keys} {
		for host, of := range g.hosts {
			hostName, _ := names.VHostName(host)
			for name, n := range of {
				t.named[by] = append(t.named[by], line{host: hostName, name: name, count: *n})
			}
		}
		if g.others.Messages > 0 {
			t.named[by] = append(t.named[by], line{name: "(all others)", count: g.others})
		}
	}
	for _, lines := range t.named {
		slices.SortFunc(lines, func(a, b line) int {
			return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.host, b.host), cmp.Compare(a.name, b.name))
		})
	}
}
