package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// storyOf is what the log tells of the messages of a queue, in its order: what happened to which body, and by whom.
func (f *fixture) storyOf(id segment.QueueID) []string {
	f.Helper()
	f.broker.FlushJournal()
	bodies, takers := map[segment.LSN]string{}, map[segment.LSN]string{0: "nobody"}
	var story []string
	if err := f.broker.EachRecord(func(r segment.Record, _ []segment.QueueID) {
		switch r.Kind() {
		case segment.KindPublish:
			p, err := r.Publish()
			if err != nil {
				f.Fatal(err)
			}
			bodies[r.LSN()] = string(p.Body)
		case segment.KindConsumer:
			t := f.table(r)
			if t["op"] != "consumer.start" {
				f.Fatalf("record %d: %v", r.LSN(), t)
			}
			name := fmt.Sprintf("%v of %v at %v on %v", t["tag"], t["user"], t["peer"], t["channel"])
			if t["connection"] != nil {
				name += fmt.Sprintf(" (%v)", t["connection"])
			}
			if t["since"] != nil {
				name += " since"
			}
			takers[r.LSN()] = name
		case segment.KindSettle:
			s, err := r.Settle()
			if err != nil {
				f.Fatal(err)
			}
			if s.Queue != id {
				return
			}
			for span := range s.Ranges() {
				for lsn := span.From; lsn <= span.To; lsn++ {
					if bodies[lsn] == "" {
						continue
					}
					word := fmt.Sprintf("%s %s by %s", s.Reason, bodies[lsn], takers[s.Consumer])
					if s.Successor != 0 {
						word += " became " + bodies[s.Successor]
					}
					story = append(story, word)
				}
			}
		}
	}); err != nil {
		f.Fatal(err)
	}
	return story
}

// table is the payload of a record of the broker's.
func (f *fixture) table(r segment.Record) amqp.Table {
	f.Helper()
	t, err := amqp.RawTable(r.Payload()).Decode()
	if err != nil {
		f.Fatalf("record %d: %v", r.LSN(), err)
	}
	return t
}

// idOf is the number of a queue.
func (f *fixture) idOf(name string) (id segment.QueueID) {
	f.Helper()
	if err := f.broker.EachRecord(func(r segment.Record, _ []segment.QueueID) {
		if r.Kind() == segment.KindTopology {
			if t := f.table(r); t["op"] == "queue.declare" && t["name"] == name {
				id = segment.QueueID(r.LSN())
			}
		}
	}); err != nil {
		f.Fatal(err)
	}
	return id
}

// count is how many records of a kind the log has.
func (f *fixture) count(kind segment.Kind) (n int) {
	f.Helper()
	f.broker.FlushJournal()
	if err := f.broker.EachRecord(func(r segment.Record, _ []segment.QueueID) {
		if r.Kind() == kind {
			n++
		}
	}); err != nil {
		f.Fatal(err)
	}
	return n
}

// openKeeping is open with a log that is kept whole.
func openKeeping(t testing.TB) *fixture {
	return openWith(t, broker.Config{RetainBytes: 1 << 30, Version: "1.2.3"})
}

func TestLogTellsWhatBecameOfAMessage(t *testing.T) {
	f := openKeeping(t)
	user := f.user("guest", "guest")
	user.Peer, user.Connection = "10.0.0.7:40000", "billing"
	c := f.clientOf(user, "/")
	c.durable("grave")
	name := c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "grave",
	}})
	c.consume(name, queue.Consumer{Tag: "worker"})
	c.send(name, "1", "2", "3", "4")
	want(t, "received", c.received(4), "1 2 3 4")
	c.ack(1, false)
	c.ch.Settle(amqp.BasicNackID, 2, false, queue.Returned)
	c.flush()
	want(t, "again", c.received(1), "2+")
	c.reject(3)
	c.f.eventually("dead letter", func() bool { return c.ready("grave") == 1 })
	c.ack(5, false)
	c.close()
	other := f.client()
	want(t, "got", other.drain(name), "4+")
	other.ack(1, false)

	const worker = " by worker of guest at 10.0.0.7:40000 on 1 (billing)"
	got := f.storyOf(f.idOf(name))
	for _, want := range []string{
		"ack 1" + worker, "return 2" + worker, "transfer 3" + worker + " became 3", "ack 2" + worker, "return 4" + worker,
		"ack 4 by <nil> of guest at <nil> on 1",
	} {
		if i := slices.Index(got, want); i >= 0 {
			got = slices.Delete(got, i, i+1)
		} else {
			t.Errorf("the log does not tell: %s", want)
		}
	}
	if len(got) > 0 {
		t.Errorf("the log tells more: %s", strings.Join(got, ", "))
	}
}

func TestLogTellsWhoseTransactionSettledAMessage(t *testing.T) {
	f := openKeeping(t)
	c := f.client()
	c.durable("q")
	if err := c.ch.SelectTx(); err != nil {
		t.Fatal(err)
	}
	other := f.client()
	other.send("q", "1")
	want(t, "got", c.drain("q"), "1")
	c.ack(1, false)
	if err := c.ch.Commit(); err != nil {
		t.Fatal(err)
	}
	want(t, "story", strings.Join(f.storyOf(f.idOf("q")), ", "), "ack 1 by <nil> of guest at <nil> on 1")
}

// What a segment tells can be read without those before the last, which may be gone.
func TestConsumerIsNamedAgainInEachSegmentInWhichItSettles(t *testing.T) {
	f := openKeeping(t)
	c := f.client()
	c.durable("q")
	c.consume("q", queue.Consumer{Tag: "c"})
	body := strings.Repeat("x", 64<<10)
	for range 20 { // five segments
		c.send("q", body)
		want(t, "received", len(c.received(1)), len(body))
		c.ack(0, true)
		f.broker.FlushJournal()
	}
	named, segments, last, since := map[segment.LSN]int{}, 0, segment.LSN(0), 0
	if err := f.broker.EachRecord(func(r segment.Record, _ []segment.QueueID) {
		switch r.Kind() {
		case segment.KindCatalogue:
			segments++
		case segment.KindConsumer:
			named[r.LSN()], last = segments, r.LSN()
			if f.table(r)["since"] != nil {
				since++
			}
		case segment.KindSettle:
			s, _ := r.Settle()
			if s.Consumer == 0 || named[s.Consumer] < segments-1 {
				t.Errorf("record %d, in segment %d, names its consumer by record %d, of segment %d", r.LSN(), segments, s.Consumer, named[s.Consumer])
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if segments < 5 || len(named) < segments-1 || len(named) > segments+1 || since != len(named)-1 {
		t.Errorf("%d segments, %d records of the consumer until %d, %d of them not its first", segments, len(named), last, since)
	}
}

func TestManyStartsAreOneRecordEach(t *testing.T) {
	f := openKeeping(t)
	c := f.client()
	c.durable("q")
	const many = 2000
	for i := range many {
		c.consume("q", queue.Consumer{Tag: fmt.Sprint(i)})
	}
	f.eventually("all named", func() bool { return f.count(segment.KindConsumer) == many })
}

func TestClientThatComesAndGoesWritesNoMoreThanHorizons(t *testing.T) {
	f := openKeeping(t)
	c := f.client()
	c.durable("q")
	for range 2000 {
		c.CancelConsumer(c.consume("q", queue.Consumer{Tag: "c"}))
	}
	if named, horizons := f.count(segment.KindConsumer), f.count(segment.KindHorizon); named > horizons+1 {
		t.Errorf("%d records of consumers beside %d horizons", named, horizons)
	}
}

func TestConsumersOfWhatEndsWithTheBrokerAreNotNamed(t *testing.T) {
	f := openKeeping(t)
	c := f.client()
	name := c.queue(broker.QueueDeclaration{Name: "passing"})
	c.consume(name, queue.Consumer{Tag: "c"})
	c.send(name, "1")
	want(t, "received", c.received(1), "1")
	c.ack(1, false)
	want(t, "records", f.count(segment.KindConsumer)+f.count(segment.KindSettle), 0)
}

func TestLogTellsWhenTheBrokerStarted(t *testing.T) {
	f := openKeeping(t)
	f.restart()
	f.crash()
	var starts []string
	if err := f.broker.EachRecord(func(r segment.Record, _ []segment.QueueID) {
		if r.Kind() == segment.KindStart {
			t := f.table(r)
			starts = append(starts, fmt.Sprintf("%v %v %v", t["op"], t["version"], t["clean"]))
		}
	}); err != nil {
		t.Fatal(err)
	}
	want(t, "starts", strings.Join(starts, ", "), "broker.start 1.2.3 true, broker.start 1.2.3 true, broker.start 1.2.3 false")
}

func TestRelocationDropsWhatOnlyTellsHistory(t *testing.T) {
	f := openWith(t, smallFiles)
	c := f.client()
	c.durable("slow")
	c.durable("q")
	c.send("slow", "kept")
	c.consume("q", queue.Consumer{Tag: "c"})
	for range 800 {
		c.send("q", strings.Repeat("x", 200))
		c.ch.Settle(amqp.BasicNackID, c.sinkTag(), false, queue.Returned)
		c.flush()
		c.sinkTag()
		c.ack(0, true)
	}
	f.broker.FlushJournal()
	before := f.count(segment.KindConsumer)
	f.pass()
	f.relocated()
	if after := f.count(segment.KindConsumer); before < 3 || after > before/2 {
		t.Errorf("%d records of consumers of %d after a relocation", after, before)
	}
	c.close()
	f.crash(loseIndex)
	want(t, "kept", f.client().drain("slow"), "kept")
}
