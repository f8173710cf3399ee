package queue_test

import (
	"errors"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestConsumersAreServedInTurnMessageByMessage(t *testing.T) { // CONS-08
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	for _, tag := range []string{"a", "b", "c"} {
		f.consume(q, queue.Consumer{Tag: tag, Channel: queue.NewChannel(1, out), NoAck: true})
	}
	f.push(q, 4)
	want(t, "first burst", out.words(), "a:1 b:2 c:3 a:4")
	f.push(q, 1)
	f.push(q, 1)
	want(t, "the turn goes on from burst to burst", out.words(), "b:5 c:6")
}

func TestConsumerWithoutCreditIsPassedOver(t *testing.T) { // CONS-08, QOS-02
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	slow := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "slow", Channel: slow, Limit: 1})
	f.consume(q, queue.Consumer{Tag: "fast", Channel: queue.NewChannel(2, out), NoAck: true})
	f.push(q, 4)
	want(t, "deliveries", out.words(), "slow:1 fast:2 fast:3 fast:4")
	f.settle(slow, 1, false, queue.Acked)
	f.push(q, 2)
	want(t, "after the ack", out.words(), "slow:5 fast:6")
}

func TestTurnSurvivesCancelOfAnyConsumer(t *testing.T) {
	for _, test := range []struct {
		cancel string
		after  string
	}{
		// The turn is b's: a has had message 1.
		{"a", "b:2 c:3 b:4 c:5"},
		{"b", "c:2 a:3 c:4 a:5"},
		{"c", "b:2 a:3 b:4 a:5"},
	} {
		t.Run(test.cancel, func(t *testing.T) {
			f := newFixture(t)
			q, out := f.transient(), newOutlet()
			consumers := map[string]*queue.Consumer{}
			for _, tag := range []string{"a", "b", "c"} {
				consumers[tag] = f.consume(q, queue.Consumer{Tag: tag, Channel: queue.NewChannel(1, out), NoAck: true})
			}
			f.push(q, 1)
			out.take()
			consumers[test.cancel].Cancel()
			f.push(q, 4)
			want(t, "deliveries", out.words(), test.after)
		})
	}
}

func TestExclusiveConsumerExcludesOthers(t *testing.T) { // CONS-04
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	plain := f.consume(q, queue.Consumer{Tag: "plain", Channel: ch})

	if err := q.Consume(&queue.Consumer{Tag: "x", Channel: ch, Exclusive: true}); !errors.Is(err, queue.ErrExclusiveUse) {
		t.Errorf("exclusive consumer beside another: %v", err)
	}
	plain.Cancel()
	exclusive := f.consume(q, queue.Consumer{Tag: "x", Channel: ch, Exclusive: true})
	for _, c := range []queue.Consumer{{Tag: "y", Channel: ch}, {Tag: "z", Channel: ch, Exclusive: true}} {
		if err := q.Consume(&c); !errors.Is(err, queue.ErrExclusiveUse) {
			t.Errorf("consumer %s beside an exclusive one: %v", c.Tag, err)
		}
		if c.Queue() != nil {
			t.Errorf("refused consumer %s has a queue", c.Tag)
		}
	}
	want(t, "consumers", q.Consumers(), 1)

	f.push(q, 1)
	want(t, "deliveries", out.words(), "x:1")
	exclusive.Cancel()
	f.push(q, 1)
	if found, err := f.get(q, ch, true); !found || err != nil {
		t.Errorf("get: %v, %v", found, err)
	}
	f.consume(q, queue.Consumer{Tag: "y", Channel: ch})
	f.consume(q, queue.Consumer{Tag: "y2", Channel: ch})
}

func TestGetIsAllowedBesideAnExclusiveConsumer(t *testing.T) { // CONS-04
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "x", Channel: ch, Exclusive: true, Limit: 1})
	f.push(q, 2)
	out.take()
	if found, err := f.get(q, queue.NewChannel(2, out), false); !found || err != nil {
		t.Fatalf("get: %v, %v", found, err)
	}
	want(t, "delivery", out.words(), "get:2")
}

func TestCancelKeepsWhatTheConsumerHolds(t *testing.T) { // CONS-06
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	c := f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.push(q, 2)
	out.take()

	c.Cancel()
	c.Cancel() // twice is once
	f.push(q, 1)
	want(t, "after the cancel", out.words(), "")
	wantCounts(t, q, 1, 2)
	want(t, "consumers", q.Consumers(), 0)
	if c.Queue() != nil {
		t.Error("a cancelled consumer has a queue")
	}
	f.settle(ch, 1, false, queue.Acked)
	f.settle(ch, 2, false, queue.Returned)
	wantCounts(t, q, 2, 0)
	f.consume(q, queue.Consumer{Tag: "d", Channel: ch})
	want(t, "the next consumer", out.words(), "d:2+ d:3")
}

func TestAutoDeleteQueueIsOrphanedByItsLastConsumer(t *testing.T) { // QUEUE-11
	f := newFixture(t)
	out := newOutlet()
	one, two := queue.NewChannel(1, out), queue.NewChannel(2, out)
	q := f.queue(queue.Declaration{AutoDelete: true})
	plain := f.transient()

	if found, err := f.get(q, one, true); found || err != nil {
		t.Fatalf("get from an empty queue: %v, %v", found, err)
	}
	want(t, "after a get", len(f.agenda.TakeOrphaned()), 0)

	a := f.consume(q, queue.Consumer{Tag: "a", Channel: one})
	f.consume(q, queue.Consumer{Tag: "b", Channel: two})
	other := f.consume(plain, queue.Consumer{Tag: "c", Channel: one})
	a.Cancel()
	other.Cancel()
	want(t, "while another consumes", len(f.agenda.TakeOrphaned()), 0)
	two.Close()
	if orphans := f.agenda.TakeOrphaned(); len(orphans) != 1 || orphans[0] != q {
		t.Errorf("orphans %v, want the auto-delete queue", orphans)
	}
	want(t, "asked again", len(f.agenda.TakeOrphaned()), 0)
}

func TestDeleteEndsConsumersAndMakesSettlingHarmless(t *testing.T) { // QUEUE-13, ACK-09
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	one, two := queue.NewChannel(1, out), queue.NewChannel(2, out)
	a := f.consume(q, queue.Consumer{Tag: "a", Channel: one, Exclusive: false})
	b := f.consume(q, queue.Consumer{Tag: "b", Channel: two, Limit: 1})
	f.push(q, 4)
	want(t, "before", out.words(), "a:1 b:2 a:3 a:4")
	f.settle(one, 1, false, queue.Acked)

	ended := q.Delete()
	if len(ended) != 2 || ended[0] != a || ended[1] != b {
		t.Errorf("ended consumers %v", ended)
	}
	if a.Queue() != nil || b.Queue() != nil || !q.Deleted() || q.Consumers() != 0 {
		t.Error("the queue or its consumers live on")
	}
	f.push(q, 1) // routed before the deletion (CONF-06)
	f.settle(one, 2, false, queue.Acked)
	f.settle(one, 0, true, queue.Returned)
	f.settle(two, 1, false, queue.Rejected)
	want(t, "unsettled", one.Unsettled()+two.Unsettled(), 0)
	want(t, "deliveries of a deleted queue", out.words(), "")
	want(t, "journal of a deleted queue", f.takeWritten(q), "")
	if err := one.Settle(2, false, queue.Acked); !errors.Is(err, queue.ErrUnknownTag) {
		t.Errorf("settled twice: %v", err)
	}
	a.Cancel()
	one.Close()
	two.Close()
}

func TestDeleteWhileScheduledDeliversNothing(t *testing.T) {
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	f.consume(q, queue.Consumer{Tag: "a", Channel: queue.NewChannel(1, out)})
	f.last++
	f.add(q, f.last, 1, false)
	q.Delete()
	f.dispatch()
	want(t, "deliveries", out.words(), "")
}

func TestConsumerOfAnotherQueueOnTheChannelSurvivesADelete(t *testing.T) {
	f := newFixture(t)
	gone, stays, out := f.transient(), f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	ch.SetLimit(1)
	f.consume(gone, queue.Consumer{Tag: "gone", Channel: ch})
	f.consume(stays, queue.Consumer{Tag: "stays", Channel: ch})
	f.push(gone, 1)
	f.push(stays, 1)
	want(t, "under the shared limit", out.words(), "gone:1")
	gone.Delete()
	f.settle(ch, 1, false, queue.Acked)
	want(t, "the credit comes back", out.words(), "stays:2")
}

func TestOutletWithoutRoomIsPassedOverUntilResume(t *testing.T) { // FLOW-03
	f := newFixture(t)
	q := f.transient()
	narrow, wide := newOutlet(), newOutlet()
	narrow.room = 2
	ch := queue.NewChannel(1, narrow)
	f.consume(q, queue.Consumer{Tag: "n", Channel: ch, NoAck: true})
	f.push(q, 3)
	want(t, "as much as there is room", narrow.words(), "n:1 n:2")
	wantCounts(t, q, 1, 0)

	f.consume(q, queue.Consumer{Tag: "w", Channel: queue.NewChannel(1, wide), NoAck: true})
	f.push(q, 1)
	want(t, "another outlet", wide.words(), "w:3 w:4")
	wide.room = 0
	f.push(q, 2)
	want(t, "no room anywhere", narrow.words()+wide.words(), "")

	narrow.room = 1
	f.dispatch()
	want(t, "before anybody said so", narrow.words(), "")
	ch.Resume()
	f.dispatch()
	want(t, "after Resume", narrow.words(), "n:5")
	wantCounts(t, q, 1, 0)
}

func TestGetIsNotHeldBackByRoomAndTellsWhatRemains(t *testing.T) { // CONS-11
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 3)
	for i, noAck := range []bool{false, true, false} {
		if found, err := f.get(q, ch, noAck); !found || err != nil {
			t.Fatalf("get: %v, %v", found, err)
		}
		d := out.take()[0]
		if d.Tag != queue.Tag(i+1) || d.Remaining != uint32(2-i) || d.Consumer != nil || d.Channel != ch || d.Size != uint32(i+1) {
			t.Errorf("delivery %d: %+v", i, d)
		}
	}
	if found, err := f.get(q, ch, false); found || err != nil {
		t.Errorf("get from an empty queue: %v, %v", found, err)
	}
	wantCounts(t, q, 0, 2)
}
