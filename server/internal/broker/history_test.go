package broker_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/tools/history"
	"github.com/millrace-mq/millrace/wal"
)

// The tools read the broker's records by the names of their fields, without its code. These tests hold them to it.

// past is what package history makes of a folder.
type past struct {
	t        testing.TB
	topology *history.Topology
	contents *history.Contents
	stories  map[string]*history.Story // by body
}

func (f *fixture) reader() *wal.Reader {
	f.Helper()
	r, err := wal.OpenReader(filepath.Join(f.cfg.Data, "log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { r.Close() })
	return r
}

// readPast folds the log of the stopped broker, from a record on.
func (f *fixture) readPast(from segment.LSN) *past {
	f.Helper()
	l := f.reader()
	p := &past{f, history.NewTopology(), history.NewContents(), make(map[string]*history.Story)}
	cursor := l.Cursor(from)
	defer cursor.Close()
	for cursor.Next() {
		p.apply(cursor)
	}
	if err := cursor.Err(); err != nil {
		f.Fatal(err)
	}
	if unknown := p.topology.Unknown(); len(unknown) > 0 {
		f.Errorf("operations that the tools do not know: %v", unknown)
	}
	return p
}

func (p *past) apply(cursor *wal.Cursor) {
	p.t.Helper()
	r := cursor.Record()
	when := cursor.Time()
	var queues []segment.QueueID
	err := p.topology.Apply(r, when)
	if r.Kind() == segment.KindPublish && err == nil {
		if queues, err = cursor.Queues(nil); err == nil {
			publish, _ := r.Publish()
			if body := string(publish.Body); p.stories[body] == nil {
				p.stories[body] = history.NewStory(r.LSN())
			}
			p.explain(r, queues)
		}
	}
	if err == nil {
		err = p.contents.Apply(r, queues, p.topology)
	}
	for _, story := range p.stories {
		if err == nil {
			err = story.Apply(r, when, queues, p.topology)
		}
	}
	if err != nil {
		p.t.Fatalf("record %d, %s: %v", r.LSN(), r.Kind(), err)
	}
}

// explain holds the explanation of a route against what the record says of it.
func (p *past) explain(r segment.Record, queues []segment.QueueID) {
	p.t.Helper()
	e, err := p.topology.Explain(r)
	if err != nil {
		p.t.Fatalf("record %d: %v", r.LSN(), err)
	}
	var want, got []segment.QueueID
	for _, id := range queues {
		if q := p.topology.Queue(id); q == nil || q.Keeps == "" {
			want = append(want, id)
		}
	}
	for _, q := range e.Queues {
		got = append(got, q.ID)
	}
	if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		p.t.Errorf("record %d went to %v, and is explained as %v: %+v", r.LSN(), want, got, e.Steps)
	}
}

// holds is how many messages the queue of a name holds that exists.
func (p *past) holds(name string) int {
	p.t.Helper()
	for _, q := range p.topology.Find("/", name) {
		if q.Exists() {
			return int(p.contents.Queue(q.ID).Count())
		}
	}
	p.t.Errorf("no queue %q", name)
	return -1
}

// tale is what became of the message of a body: what happened, and in which queue.
func (p *past) tale(body string) string {
	p.t.Helper()
	var words []string
	for _, e := range p.stories[body].Events() {
		name, _ := p.topology.QueueName(e.Queue)
		word := fmt.Sprintf("%s in %s", e.What, name)
		if e.Successor != 0 {
			word += " as a later record"
			if e.Successor <= p.stories[body].Events()[0].LSN || e.Successor >= e.LSN {
				p.t.Errorf("successor %d of %+v", e.Successor, e)
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// described lists a topology.
func described(t *history.Topology) string {
	var out strings.Builder
	for id, name := range t.VHosts() {
		fmt.Fprintf(&out, "vhost %d %s\n", id, name)
		r := t.Router(id)
		for x := range r.Exchanges() {
			fmt.Fprintf(&out, "exchange %+v\n", x)
		}
		for b := range r.Bindings() {
			fmt.Fprintf(&out, "binding %+v\n", b)
		}
	}
	for q := range t.Queues() {
		if q.Exists() {
			fmt.Fprintf(&out, "queue %d %d %s %v %v %v %v %v %s\n", q.ID, q.VHost, q, q.Durable, q.Exclusive, q.AutoDelete, q.Quorum, q.Arguments, q.Keeps)
		}
	}
	return out.String()
}

// busyPast makes a broker with some of everything in its topology.
func busyPast(f *fixture) *client {
	c := f.client()
	c.durableExchange("logs", "topic")
	c.durableExchange("all", "fanout")
	c.durableExchange("strict", "direct")
	c.durableExchange("heads", "headers")
	c.exchange(broker.ExchangeDeclaration{Name: "hash", Type: "x-consistent-hash", Durable: true, Arguments: amqp.Table{"hash-header": "h"}})
	c.exchange(broker.ExchangeDeclaration{Name: "passing", Type: "direct", AutoDelete: true})
	c.delayedExchange("later", "direct", "due", "k")
	f.policy("^strict$", amqp.Table{"alternate-exchange": "all"})
	c.queue(broker.QueueDeclaration{Name: "dying", Durable: true, Arguments: amqp.Table{"x-dead-letter-exchange": "all"}})
	c.durableBound("logs", "a", "a.#")
	c.durableBound("all", "b", "")
	c.durableBound("passing", "c", "k")
	if err := c.BindExchange("logs", "all", "*.b", nil); err != nil {
		f.Fatal(err)
	}
	if err := c.BindQueue("heads", "a", "", amqp.Table{"x-match": "any", "n": int32(1)}); err != nil {
		f.Fatal(err)
	}
	c.bind("hash", "a", "1")
	c.bind("hash", "b", "3")
	c.queue(broker.QueueDeclaration{Name: "fleeting"})
	return c
}

func TestHistoryTellsTheTopologyAndTheRoutesOfTheBroker(t *testing.T) {
	f := open(t)
	c := busyPast(f)
	for i, to := range []struct{ exchange, key string }{
		{"logs", "a.b"},
		{"logs", "x.b"},
		{"logs", "x"},
		{"strict", "k"},
		{"heads", ""},
		{"hash", "k"},
		{"hash", "l"},
		{"passing", "k"},
		{"", "a"},
		{"", "nobody"},
		{"later", "k"},
	} {
		for n := range 3 {
			p := persistent
			p.Headers = amqp.Table{"n": int32(n), "h": fmt.Sprint(n)}
			if n == 2 {
				p.Headers["CC"] = []any{"fleeting", "a.b", "due"}
			}
			c.stage(c.ch, to.exchange, to.key, p, fmt.Sprint("route ", i, n))
		}
	}
	c.flush()
	if err := c.UnbindQueue("passing", "c", "k", nil); err != nil {
		t.Fatal(err)
	}
	f.dropPolicy("^strict$", false)
	c.stage(c.ch, "strict", "k", persistent, "nowhere")
	c.flush()
	want := map[string]int{}
	for _, name := range []string{"a", "b", "c", "due", "fleeting"} {
		want[name] = c.ready(name)
	}
	f.stop()

	p := f.readPast(1)
	for name, n := range want {
		if got := p.holds(name); got != n {
			t.Errorf("%s holds %d, want %d", name, got, n)
		}
	}
	f.start() // it begins a segment, with a catalogue of all
	f.stop()
	whole := f.readPast(1)
	files := f.reader().Files()
	// Where the beginning is gone, the catalogue says the same.
	late := f.readPast(files[len(files)-1].Base)
	if got, want := described(late.topology), described(whole.topology); got != want || !strings.Contains(got, "queue") {
		t.Errorf("from the last catalogue\n%s\nfrom the beginning\n%s", got, want)
	}
	if fleeting := whole.topology.Find("/", "fleeting"); len(fleeting) != 1 || fleeting[0].Exists() {
		t.Errorf("after a restart: %+v", fleeting)
	}
}

func TestHistoryTellsWhatBecameOfMessages(t *testing.T) {
	f := open(t)
	c := busyPast(f)
	c.send("a", "acked", "kept")
	c.send("dying", "rejected", "also rejected")
	c.durable("full")
	c.send("full", "purged")
	if _, err := c.Take("a", c.ch, false); err != nil {
		t.Fatal(err)
	}
	c.received(1)
	c.ack(1, false)
	c.drain("dying")
	c.ch.Settle(amqp.BasicRejectID, 3, false, queue.Rejected)
	c.flush()
	c.awaitReady("b", 1)
	c.ch.Settle(amqp.BasicRejectID, 2, false, queue.Rejected)
	c.flush()
	c.awaitReady("b", 2)
	if _, err := c.Purge("full"); err != nil {
		t.Fatal(err)
	}
	c.send("c", "deleted")
	if _, err := c.DeleteQueue("c", false, false); err != nil {
		t.Fatal(err)
	}
	c.durable("c")
	f.stop()

	p := f.readPast(1)
	for body, want := range map[string]string{
		"acked":         "published in a, handed-out in a, ack in a",
		"kept":          "published in a", // the horizon fell back
		"rejected":      "published in dying, handed-out in dying, transfer in dying as a later record",
		"also rejected": "published in dying, handed-out in dying, transfer in dying as a later record",
		"purged":        "published in full, purge in full",
		"deleted":       "published in c, queue-deleted in c",
	} {
		if got := p.tale(body); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if generations := p.topology.Find("/", "c"); len(generations) != 2 || generations[0].Exists() || !generations[1].Exists() {
		t.Errorf("generations of c: %+v", generations)
	}
	if p.holds("a") != 1 || p.holds("b") != 2 || p.holds("c") != 0 || p.holds("dying") != 0 {
		t.Errorf("held: a %d, b %d, c %d, dying %d", p.holds("a"), p.holds("b"), p.holds("c"), p.holds("dying"))
	}
}
