package queue_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestConsumerLimitBoundsWhatItHolds(t *testing.T) { // QOS-02, QOS-04
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 2})
	f.push(q, 5)
	want(t, "first", out.words(), "c:1 c:2")
	f.settle(ch, 1, false, queue.Acked)
	want(t, "one acked", out.words(), "c:3")
	f.settle(ch, 3, true, queue.Acked)
	want(t, "two acked", out.words(), "c:4 c:5")
}

func TestEachConsumerOfAChannelHasItsOwnLimit(t *testing.T) { // QOS-02
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "one", Channel: ch, Limit: 1})
	f.consume(q, queue.Consumer{Tag: "two", Channel: ch, Limit: 2})
	f.consume(q, queue.Consumer{Tag: "none", Channel: ch, NoAck: true, Limit: 1}) // not limited (QOS-04)
	f.push(q, 8)
	want(t, "deliveries", out.words(), "one:1 two:2 none:3 two:4 none:5 none:6 none:7 none:8")
}

func TestChannelLimitIsSharedByItsConsumers(t *testing.T) { // QOS-03
	f := newFixture(t)
	a, b, out := f.transient(), f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(a, queue.Consumer{Tag: "a", Channel: ch})
	ch.SetLimit(2)
	f.consume(b, queue.Consumer{Tag: "b", Channel: ch}) // future consumers too
	f.push(a, 2)
	f.push(b, 2)
	want(t, "up to the limit", out.words(), "a:1 a:2")
	f.settle(ch, 1, false, queue.Acked)
	want(t, "credit of one consumer serves the other", out.words(), "b:3")
	f.settle(ch, 0, true, queue.Acked)
	want(t, "all acked", out.words(), "b:4")
}

func TestBothLimitsMustPermit(t *testing.T) { // QOS-03
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	ch.SetLimit(3)
	f.consume(q, queue.Consumer{Tag: "two", Channel: ch, Limit: 2})
	f.push(q, 5)
	want(t, "the consumer's own", out.words(), "two:1 two:2")
	f.consume(q, queue.Consumer{Tag: "any", Channel: ch})
	want(t, "the shared one", out.words(), "any:3")
}

func TestChannelLimitTakesEffectAtOnce(t *testing.T) { // QOS-05
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	ch.SetLimit(1)
	f.push(q, 9)
	want(t, "limit 1", out.words(), "c:1")
	ch.SetLimit(4)
	f.dispatch()
	want(t, "raised to 4", out.words(), "c:2 c:3 c:4")
	ch.SetLimit(2) // pauses until fewer than two are held
	f.dispatch()
	for tag := range queue.Tag(2) {
		f.settle(ch, tag+1, false, queue.Acked)
	}
	want(t, "lowered to 2, two held", out.words(), "")
	f.settle(ch, 3, false, queue.Acked)
	want(t, "below the limit", out.words(), "c:5")
	ch.SetLimit(0)
	f.dispatch()
	want(t, "no limit", out.words(), "c:6 c:7 c:8 c:9")
}

func TestLoweredLimitIsReachedInOneStep(t *testing.T) { // QOS-05: the step from far above to far below
	f := newFixture(t)
	a, b, out := f.transient(), f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(a, queue.Consumer{Tag: "a", Channel: ch})
	f.consume(b, queue.Consumer{Tag: "b", Channel: ch})
	f.push(a, 10)
	ch.SetLimit(2)
	f.push(b, 2)
	out.take()
	f.settle(ch, 10, true, queue.Acked)
	want(t, "the other consumer's queue", out.words(), "b:11 b:12")
}

func TestGetCountsTowardsNoLimit(t *testing.T) { // QOS-04
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	ch.SetLimit(1)
	f.push(q, 3)
	if found, err := f.get(q, ch, false); !found || err != nil {
		t.Fatalf("get: %v, %v", found, err)
	}
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 1})
	want(t, "with a get unsettled", out.words(), "get:1 c:2")
	f.settle(ch, 1, false, queue.Acked)
	want(t, "settling the get frees nothing", out.words(), "")
	if found, err := f.get(q, ch, false); !found || err != nil {
		t.Errorf("get at the limit: %v, %v", found, err)
	}
}

func TestCreditOfACancelledConsumerReturnsToTheChannel(t *testing.T) {
	f := newFixture(t)
	q, out := f.transient(), newOutlet()
	ch := queue.NewChannel(1, out)
	ch.SetLimit(1)
	gone := f.consume(q, queue.Consumer{Tag: "gone", Channel: ch})
	f.consume(q, queue.Consumer{Tag: "stays", Channel: ch})
	f.push(q, 2)
	want(t, "first", out.words(), "gone:1")
	gone.Cancel()
	f.push(q, 1)
	want(t, "held by a cancelled consumer", out.words(), "")
	f.settle(ch, 1, false, queue.Acked)
	want(t, "settled", out.words(), "stays:2")
}
