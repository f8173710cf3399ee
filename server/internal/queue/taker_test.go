package queue_test

import (
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestLogIsToldWhoHadAMessage(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "a", Channel: ch, Limit: 3})
	f.consume(q, queue.Consumer{Tag: "b", Channel: ch, Limit: 3})
	f.push(q, 6) // in turn: 1, 3, 5 to a
	f.settle(ch, 0, true, queue.Acked)
	want(t, "in turn", f.takeTold(q), "a: ack 1-1, a: ack 3-3, a: ack 5-5, b: ack 2-2, b: ack 4-4, b: ack 6-6")
	f.push(q, 2)
	f.settle(ch, 7, false, queue.Rejected)
	f.settle(ch, 8, false, queue.Lost)
	want(t, "rejected", f.takeTold(q), "a: reject 7-7, b: drop 8-8")
	want(t, "started", strings.Join(f.started, " "), "a b")
}

func TestConsumersWhoTakeTurnsHaveTheRangesOfTheirOwn(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	one, two := queue.NewChannel(1, out), queue.NewChannel(2, out)
	f.consume(q, queue.Consumer{Tag: "a", Channel: one, Limit: 3})
	f.push(q, 3)
	f.consume(q, queue.Consumer{Tag: "b", Channel: two, Limit: 3})
	f.push(q, 3)
	for tag := range queue.Tag(3) { // 1, 4, 2, 5, 3, 6
		f.settle(one, tag+1, false, queue.Acked)
		f.settle(two, tag+1, false, queue.Acked)
	}
	want(t, "told", f.takeTold(q), "a: ack 1-3, b: ack 4-6")
}

func TestLogIsToldWhoTookByGet(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.get(q, ch, false) // takes nothing, so nobody is told
	f.settleDown()
	want(t, "started without having taken", len(f.started), 0)
	f.push(q, 3)
	f.get(q, ch, false)
	f.get(q, ch, true)
	f.get(q, ch, false)
	f.settle(ch, 1, false, queue.Acked)
	f.settle(ch, 3, false, queue.Acked)
	want(t, "told", f.takeTold(q), "get: noack 2-2, get: ack 1-1, get: ack 3-3")
	want(t, "started", strings.Join(f.started, " "), "get")
}

func TestLogIsToldWhatCameBack(t *testing.T) {
	f := newFixture(t)
	q, ch := consumed(f, "pptp")
	f.settle(ch, 2, true, queue.Returned) // and comes as 5 and 6
	f.settle(ch, 6, true, queue.Acked)
	want(t, "told", f.takeTold(q), "c: return 1-2, c: ack 4-4, c: ack 1-2")
	q, ch = consumed(f, "tp")
	f.settle(ch, 1, false, queue.Returned)
	want(t, "of a transient one", f.takeTold(q), "")
	ch.Close()
	want(t, "at the end of a channel", f.takeTold(q), "c: return 6-6")
}

func TestWhatIsGivenUpNamesWhoHadIt(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	r := queue.NoRules
	r.TTL, r.MaxLength = 100, 1
	q.SetRules(r, f.now)
	f.push(q, 2)
	f.now += 200
	q.Use(f.now)
	f.push(q, 1)
	want(t, "dropped and expired", f.takeTold(q), "nobody: drop 1-1, nobody: expire 2-2")
	r.DeadLetters = true
	q.SetRules(r, f.now)
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.dispatch()
	f.settle(ch, 1, false, queue.Rejected)
	deaths := f.agenda.TakeDeaths(nil)
	if len(deaths) != 1 || takerName(deaths[0].By) != "c" {
		t.Fatalf("deaths %+v", deaths)
	}
	deaths[0].Drop()
	want(t, "rejected and wanted nowhere", f.takeTold(q), "c: reject 3-3")
}

func TestConsumersThatComeAndGoLeaveNoTrace(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	for range 100 {
		f.consume(q, queue.Consumer{Tag: "c", Channel: ch}).Cancel()
	}
	f.settleDown()
	want(t, "started", len(f.started), 0)
	c := f.consume(q, queue.Consumer{Tag: "d", Channel: ch})
	f.push(q, 1)
	f.settleDown()
	c.Cancel()
	f.settle(ch, 1, false, queue.Acked)
	want(t, "of one that took something", f.takeTold(q), "d: ack 1-1")
}

func TestStartsAreTakenInPortions(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	for range 10 {
		f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	}
	want(t, "first", len(f.agenda.TakeStarts(nil, 7)), 7)
	want(t, "more to write", f.agenda.HasJournal(), true)
	want(t, "rest", len(f.agenda.TakeStarts(nil, 7)), 3)
	want(t, "rest", len(f.agenda.TakeStarts(nil, 7)), 0)
}

// While the disk is full nobody takes the journal, and a client can return the same message for ever.
func TestJournalIsBoundedByWhatIsInTheQueue(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 2)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.dispatch()
	for tag := range queue.Tag(100_000) {
		f.settle(ch, tag+1, false, queue.Returned)
	}
	f.settle(ch, 0, true, queue.Acked)
	ranges := 0
	q.TakeJournal(nil, func(_ *queue.Taker, reason segment.SettleReason, r []segment.Range) { ranges += len(r) })
	if ranges > 1<<16+2 {
		t.Errorf("%d ranges", ranges)
	}
}
