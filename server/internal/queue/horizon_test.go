package queue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestNothingIsHandedOutBeforeTheLogKnows(t *testing.T) {
	f := newFixture(t)
	q, out := f.queue(queue.Declaration{Durable: true}), newOutlet()
	f.push(q, 2)
	want(t, "journal of a queue nobody consumes", f.takeWritten(q), "")

	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out), NoAck: false})
	want(t, "before the journal is written", out.words(), "")
	wantCounts(t, q, 2, 0)
	if !f.agenda.HasJournal() {
		t.Fatal("nobody asks for a horizon")
	}
	want(t, "journal", f.takeWritten(q), "horizon open")
	want(t, "after it", out.words(), "c:1 c:2")
	f.push(q, 2)
	want(t, "the horizon is open for what comes", out.words(), "c:3 c:4")
	want(t, "journal", f.takeWritten(q), "")
}

func TestGetWaitsForTheHorizonToo(t *testing.T) {
	f := newFixture(t)
	q, out := f.queue(queue.Declaration{Durable: true}), newOutlet()
	ch := queue.NewChannel(1, out)
	if found, err := f.get(q, ch, false); found || err != nil {
		t.Errorf("get from an empty queue: %v, %v", found, err)
	}
	f.push(q, 1)
	if found, err := f.get(q, ch, false); found || !errors.Is(err, queue.ErrBehindHorizon) {
		t.Fatalf("get before the journal is written: %v, %v", found, err)
	}
	wantCounts(t, q, 1, 0)
	want(t, "journal", f.takeWritten(q), "horizon open")
	if found, err := f.get(q, ch, false); !found || err != nil {
		t.Fatalf("get: %v, %v", found, err)
	}
	want(t, "delivery", out.words(), "get:1")
}

func TestQueuesThatEndWithTheBrokerHaveNoHorizon(t *testing.T) {
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	c := f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.push(q, 2)
	want(t, "deliveries", out.words(), "c:1 c:2")
	f.settle(ch, 1, false, queue.Acked)
	f.settle(ch, 2, false, queue.Rejected)
	c.Cancel()
	q.Rest()
	f.push(q, 1)
	want(t, "purged", q.Purge(), 1)
	want(t, "journal", f.takeWritten(q), "")
	if to, ok := q.NextHorizon(); ok {
		t.Errorf("horizon %d", to)
	}
	q.TakeJournal(nil, func(_ *queue.Taker, reason segment.SettleReason, ranges []segment.Range) {
		t.Errorf("the queue gathers a journal that nobody takes: %d %v", reason, ranges)
	})
}

func TestHorizonFallsWhenTheLastConsumerLeaves(t *testing.T) { // ACK-07
	f := newFixture(t)
	q, out := f.queue(queue.Declaration{Durable: true}), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 3)
	a := f.consume(q, queue.Consumer{Tag: "a", Channel: ch, Limit: 1})
	b := f.consume(q, queue.Consumer{Tag: "b", Channel: ch, Limit: 1})
	want(t, "journal", f.takeWritten(q), "horizon open")
	a.Cancel()
	want(t, "one of two leaves", f.takeWritten(q), "")
	b.Cancel()
	want(t, "the last leaves", f.takeWritten(q), "horizon 2")
	f.push(q, 1)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 1})
	want(t, "the next comes", f.takeWritten(q), "horizon open")
}

func TestHorizonStaysWhenAConsumerComesBeforeTheFallIsWritten(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	a := f.consume(q, queue.Consumer{Tag: "a", Channel: ch})
	a.Cancel()
	b := f.consume(q, queue.Consumer{Tag: "b", Channel: ch})
	f.push(q, 2)
	want(t, "journal", f.takeWritten(q), "")
	want(t, "deliveries", out.words(), "b:1 b:2")
	b.Cancel()
	want(t, "journal", f.takeWritten(q), "horizon 2")
}

func TestConsumerThatComesBetweenFallAndItsWritingWaits(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "a", Channel: ch}).Cancel()
	f.push(q, 2)

	// The journal writer has taken the fall and is about to write it: from here on the log may say that
	// nothing was handed out.
	f.agenda.TakeJournal(nil)
	to, ok := q.NextHorizon()
	if !ok || to != 0 {
		t.Fatalf("horizon %d, %v; want a fall to 0", to, ok)
	}
	f.consume(q, queue.Consumer{Tag: "b", Channel: ch})
	want(t, "before the rise is written", out.words(), "")
	q.RaiseHorizon(to) // the fall is written
	f.dispatch()
	want(t, "after the fall is written", out.words(), "")
	want(t, "journal", f.takeWritten(q), "horizon open")
	want(t, "after the rise is written", out.words(), "b:1 b:2")
}

func TestHorizonRunsAheadInABacklog(t *testing.T) {
	f := newFixture(t)
	q, out := f.queue(queue.Declaration{Durable: true}), newOutlet()
	// Three messages, far apart in the log: much else was written between them.
	const apart = 3 << 19
	for range 3 {
		f.last += apart
		f.add(q, f.last, 1, false)
	}
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	f.dispatch()
	var wants []string
	for rounds := 0; f.agenda.HasJournal() && rounds < 5; rounds++ {
		f.write()
		f.dispatch()
		wants = append(wants, out.words())
	}
	want(t, "deliveries, from write to write", strings.Join(wants, " | "), "c:1572864 | c:3145728 | c:4718592")
	want(t, "journal", f.takeWritten(q), "horizon 2621440, horizon 4194304, horizon open")
}

func TestRecoveredQueueKnowsWhatMayHaveBeenHandedOut(t *testing.T) { // ACK-07, DUR-01
	f := newFixture(t)
	d := queue.Declaration{ID: 77, Name: "q", Durable: true}
	entries := f.store.NewQueue(d.ID)
	q := queue.New(d, entries, f.agenda)
	for lsn := range segment.LSN(6) {
		f.add(q, lsn+1, 1, lsn+1 == 3)
	}
	entries.SetHorizon(4) // as the replay found it
	if err := q.Recovered(); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, q, 5, 0) // the transient one is gone

	out := newOutlet()
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	want(t, "up to the horizon that the log has", out.words(), "c:1+ c:2+ c:4+")
	want(t, "journal", f.takeWritten(q), "horizon open")
	want(t, "beyond it", out.words(), "c:5 c:6")
}

func TestRecoveryFromAnOpenHorizonDoesNotTaintWhatComesLater(t *testing.T) { // ACK-07
	f := newFixture(t)
	d := queue.Declaration{ID: 78, Name: "q", Durable: true}
	entries := f.store.NewQueue(d.ID)
	q := queue.New(d, entries, f.agenda)
	f.add(q, 1, 1, false)
	entries.SetHorizon(openHorizon)
	if err := q.Recovered(); err != nil {
		t.Fatal(err)
	}
	f.add(q, 2, 1, false)                 // handed to nobody
	if err := q.Recovered(); err != nil { // the next crash
		t.Fatal(err)
	}
	out := newOutlet()
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	f.settleDown()
	want(t, "deliveries", out.words(), "c:1+ c:2")
}

func TestFallenHorizonDoesNotTaintWhatComesLater(t *testing.T) { // ACK-07
	f := newFixture(t)
	q, out := f.queue(queue.Declaration{Durable: true}), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 1)
	f.consume(q, queue.Consumer{Tag: "a", Channel: ch})
	f.settleDown()
	ch.Close()
	f.settleDown()
	f.push(q, 1) // after the consumer left: handed to nobody
	if err := q.Recovered(); err != nil {
		t.Fatal(err)
	}
	out.take()
	f.consume(q, queue.Consumer{Tag: "b", Channel: queue.NewChannel(2, out)})
	f.settleDown()
	want(t, "deliveries after a restart", out.words(), "b:1+ b:2")
}
