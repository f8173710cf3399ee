package queue_test

import (
	"errors"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestTagsCountEveryHandOut(t *testing.T) { // ACK-01
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch, other := queue.NewChannel(1, out), queue.NewChannel(2, out)
	f.push(q, 4)
	take := func(ch *queue.Channel, noAck bool) queue.Tag {
		if found, err := f.get(q, ch, noAck); !found || err != nil {
			t.Fatalf("get: %v, %v", found, err)
		}
		return out.take()[0].Tag
	}
	want(t, "first", take(ch, true), queue.Tag(1))
	want(t, "after a no-ack", take(ch, false), queue.Tag(2))
	want(t, "another channel", take(other, false), queue.Tag(1))
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, NoAck: true})
	want(t, "deliver follows get", out.take()[0].Tag, queue.Tag(3))
}

// heldTags makes a channel that has been given tags 1 to 6, of which 3 was no-ack and 5 is acked.
func heldTags(f *fixture) (*queue.Queue, *queue.Channel, *outlet) {
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 6)
	for tag := range 6 {
		if found, err := f.get(q, ch, tag+1 == 3); !found || err != nil {
			f.Fatalf("get: %v, %v", found, err)
		}
	}
	out.take()
	f.settle(ch, 5, false, queue.Acked)
	return q, ch, out
}

func TestOnlyOutstandingTagsCanBeSettled(t *testing.T) { // ACK-02, ACK-03
	for _, test := range []struct {
		name     string
		tag      queue.Tag
		multiple bool
		left     int // unsettled afterwards; -1 is an unknown tag
	}{
		{"one", 2, false, 3},
		{"the last", 6, false, 3},
		{"no-ack", 3, false, -1},
		{"settled", 5, false, -1},
		{"never issued", 7, false, -1},
		{"far away", 1 << 63, false, -1},
		{"zero", 0, false, -1},
		{"up to one", 1, true, 3},
		{"up to one in the middle", 4, true, 1},
		{"up to the last", 6, true, 0},
		{"all", 0, true, 0},
		{"up to a no-ack", 3, true, -1},
		{"up to a settled one", 5, true, -1},
		{"up to one never issued", 7, true, -1},
	} {
		for _, outcome := range []queue.Outcome{queue.Acked, queue.Rejected, queue.Returned} {
			t.Run(test.name, func(t *testing.T) {
				f := newFixture(t)
				q, ch, _ := heldTags(f)
				err := ch.Settle(test.tag, test.multiple, outcome)
				if test.left < 0 {
					if !errors.Is(err, queue.ErrUnknownTag) {
						t.Errorf("error %v", err)
					}
					wantCounts(t, q, 0, 4)
					want(t, "unsettled", ch.Unsettled(), 4)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				want(t, "unsettled", ch.Unsettled(), test.left)
				ready := 0
				if outcome == queue.Returned {
					ready = 4 - test.left
				}
				wantCounts(t, q, ready, test.left)
			})
		}
	}
}

func TestSettlingAllOfNothingIsNoError(t *testing.T) { // ACK-03
	ch := queue.NewChannel(1, newOutlet())
	for _, outcome := range []queue.Outcome{queue.Acked, queue.Rejected, queue.Returned} {
		if err := ch.Settle(0, true, outcome); err != nil {
			t.Errorf("outcome %d: %v", outcome, err)
		}
		if err := ch.Settle(0, false, outcome); !errors.Is(err, queue.ErrUnknownTag) {
			t.Errorf("outcome %d, not multiple: %v", outcome, err)
		}
	}
}

func TestTagOfAnotherChannelIsUnknown(t *testing.T) { // ACK-09
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	f.push(q, 1)
	if err := queue.NewChannel(2, out).Settle(1, false, queue.Acked); !errors.Is(err, queue.ErrUnknownTag) {
		t.Errorf("error %v", err)
	}
	wantCounts(t, q, 0, 1)
}

func TestReturnedMessagesKeepTheirPlace(t *testing.T) { // ACK-04
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch, other := queue.NewChannel(1, out), queue.NewChannel(2, out)
	c := f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.push(q, 5)
	out.take()
	c.Cancel()
	f.push(q, 2)
	for _, tag := range []queue.Tag{4, 1, 2} {
		f.settle(ch, tag, false, queue.Returned)
	}
	f.consume(q, queue.Consumer{Tag: "d", Channel: other})
	want(t, "deliveries", out.words(), "d:1+ d:2+ d:4+ d:6 d:7")
	f.settle(ch, 3, false, queue.Returned)
	want(t, "one more", out.words(), "d:3+")
}

func TestReturnedMessageGoesToTheNextInTurn(t *testing.T) {
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	a, b := queue.NewChannel(1, out), queue.NewChannel(2, out)
	f.consume(q, queue.Consumer{Tag: "a", Channel: a})
	f.consume(q, queue.Consumer{Tag: "b", Channel: b})
	f.push(q, 1)
	f.settle(a, 1, false, queue.Returned)
	want(t, "deliveries", out.words(), "a:1 b:1+")
}

func TestRejectedMessagesAreGone(t *testing.T) { // ACK-05
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 2})
	f.push(q, 3)
	f.settle(ch, 2, true, queue.Rejected)
	want(t, "deliveries", out.words(), "c:1 c:2 c:3")
	wantCounts(t, q, 0, 1)
}

func TestRecoverReturnsEverythingOfTheChannel(t *testing.T) { // ACK-06
	f := newFixture(t)
	a, b, out := f.transient(), f.transient(), newOutlet()
	ch, other := queue.NewChannel(1, out), queue.NewChannel(2, out)
	f.consume(a, queue.Consumer{Tag: "a", Channel: ch})
	f.consume(b, queue.Consumer{Tag: "o", Channel: other})
	f.push(a, 2)
	f.push(b, 1)
	if found, err := f.get(b, ch, false); found || err != nil {
		t.Fatalf("get: %v, %v", found, err)
	}
	f.settle(ch, 1, false, queue.Acked)
	out.take()
	ch.Recover()
	wantCounts(t, a, 1, 0)
	wantCounts(t, b, 0, 1) // the other channel's
	f.dispatch()
	d := out.take()
	if len(d) != 1 || d[0].LSN != 2 || !d[0].Redelivered || d[0].Tag != 3 {
		t.Errorf("deliveries after recover: %+v", d)
	}
	want(t, "unsettled", ch.Unsettled(), 1)
}

func TestCloseReturnsEverythingAndEndsConsumers(t *testing.T) { // ERR-05
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch, other := queue.NewChannel(1, out), queue.NewChannel(2, out)
	f.consume(q, queue.Consumer{Tag: "a", Channel: ch})
	f.consume(q, queue.Consumer{Tag: "b", Channel: ch})
	f.push(q, 4)
	out.take()
	f.settle(ch, 2, false, queue.Acked)
	ch.Close()
	f.dispatch()
	want(t, "consumers", q.Consumers(), 0)
	wantCounts(t, q, 3, 0)
	f.consume(q, queue.Consumer{Tag: "o", Channel: other})
	want(t, "deliveries", out.words(), "o:1+ o:3+ o:4+")
	ch.Close() // twice is once
	wantCounts(t, q, 0, 3)
}

func TestPurgeTakesOnlyWhatIsReady(t *testing.T) { // QUEUE-14
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 2})
	f.push(q, 5)
	want(t, "purged", q.Purge(), 3)
	want(t, "purged again", q.Purge(), 0)
	wantCounts(t, q, 0, 2)
	f.settle(ch, 0, true, queue.Returned)
	want(t, "what was held", out.words(), "c:1 c:2 c:1+ c:2+")
}

func TestRedeliveredIsOfTheMessageNotOfTheConsumer(t *testing.T) { // ACK-07
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 2)
	if found, err := f.get(q, ch, false); !found || err != nil {
		t.Fatalf("get: %v, %v", found, err)
	}
	f.settle(ch, 1, false, queue.Returned)
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(2, out)})
	want(t, "deliveries", out.words(), "get:1 c:1+ c:2")
}

// What a policy changes between the two steps of a commit does not bring a message back.
func TestTransactionSettlesWhatTheLogWasNotTold(t *testing.T) {
	f, out := newFixture(t), newOutlet()
	q := f.durable()
	r := queue.NoRules
	r.DeadLetters = true
	q.SetRules(r, f.now)
	ch := queue.NewChannel(1, out)
	f.push(q, 2)
	f.get(q, ch, false)
	f.get(q, ch, false)
	if err := ch.Reserve(1, false, queue.Rejected); err != nil {
		t.Fatal(err)
	}
	if err := ch.Reserve(2, false, queue.Acked); err != nil {
		t.Fatal(err)
	}
	told := ""
	ch.Reserved(func(_ *queue.Queue, _ *queue.Taker, reason segment.SettleReason, lsn segment.LSN) {
		told += reasons[reason]
	})
	want(t, "told to the log", told, "ack")
	q.SetRules(queue.NoRules, f.now) // a policy takes the exchange away
	ch.Commit()
	f.dispatch()
	wantCounts(t, q, 0, 0)
	want(t, "journal", f.takeWritten(q), "reject 1-1")
}
