package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// timeout is for what is expected not to happen within a moment.
func timeout(t testing.TB) <-chan time.Time {
	t.Helper()
	return time.After(2 * time.Second)
}

func TestSettlementsTakeEffectWithTheFlush(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.queue(broker.QueueDeclaration{Name: "q"})
	c.send(q, "a", "b", "c", "d")
	c.consume(q, queue.Consumer{Tag: "c", Limit: 2})
	want(t, "first", c.received(2), "a b")
	c.ch.Settle(amqp.BasicAckID, 1, false, queue.Acked)
	if !c.ch.HasSettles() {
		t.Error("nothing is staged")
	}
	want(t, "before the flush", len(c.sink.take()), 0)
	c.flush()
	want(t, "after it", c.received(1), "c")
	if c.ch.HasSettles() {
		t.Error("still staged")
	}
	c.ch.Settle(amqp.BasicNackID, 2, false, queue.Returned)
	if err := c.FlushSettles(); err != nil {
		t.Fatal(err)
	}
	want(t, "returned", c.received(1), "b+")
}

func TestUnknownTagFailsItsChannelOnly(t *testing.T) { // ACK-02
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.queue(broker.QueueDeclaration{Name: "q"})
	c.send(q, "a", "b", "c")
	two, three := c.channel(2), c.channel(3)
	for _, ch := range []*broker.Channel{c.ch, two, three} {
		if found, err := c.Take(q, ch, false); !found || err != nil {
			t.Fatalf("get: %v, %v", found, err)
		}
	}
	c.ch.Settle(amqp.BasicAckID, 1, false, queue.Acked)        // fine
	two.Settle(amqp.BasicNackID, 7, false, queue.Returned)     // fails
	two.Settle(amqp.BasicAckID, 1, false, queue.Acked)         // dropped
	two.Settle(amqp.BasicRejectID, 9, false, queue.Rejected)   // not told: the channel is gone
	three.Settle(amqp.BasicRejectID, 2, false, queue.Rejected) // fails too
	c.stage(c.ch, "", q, persistent, "published beside")
	err := c.Flush()
	var failed broker.SettleErrors
	if !errors.As(err, &failed) || len(failed) != 2 {
		t.Fatalf("flush: %v", err)
	}
	want(t, "channels", [2]uint16{failed[0].Channel, failed[1].Channel}, [2]uint16{2, 3})
	wantError(t, failed[0].Err, amqp.PreconditionFailed, amqp.BasicNackID, "unknown delivery tag 7")
	wantError(t, failed[1].Err, amqp.PreconditionFailed, amqp.BasicRejectID, "unknown delivery tag 2")
	want(t, "unsettled", []int{c.ch.Unsettled(), two.Unsettled(), three.Unsettled()}, []int{0, 1, 1})
	want(t, "ready", c.ready(q), 1)
	c.flush() // the failure has been told
}

func TestClosedChannelReturnsWhatItHolds(t *testing.T) { // ERR-05
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.send(q, "a", "b")
	two := c.channel(2)
	c.consume(q, queue.Consumer{Tag: "c", Channel: two.Channel})
	want(t, "delivered", c.received(2), "a b")
	two.Close()
	want(t, "again", c.drain(q), "a+ b+")
}

func TestRecoverAnswersBeforeItDeliversAgain(t *testing.T) { // ACK-06
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.queue(broker.QueueDeclaration{Name: "q"})
	c.send(q, "a", "b")
	c.consume(q, queue.Consumer{Tag: "c"})
	want(t, "first", c.received(2), "a b")
	delivered := -1
	c.ch.Recover(func() { delivered = len(c.sink.take()) })
	want(t, "delivered before the answer", delivered, 0)
	want(t, "again", c.received(2), "a+ b+")
}

func TestConsumeAnswersBeforeItDelivers(t *testing.T) { // CONS-02
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.queue(broker.QueueDeclaration{Name: "q"})
	c.send(q, "a")
	delivered := -1
	consumer := &queue.Consumer{Tag: "c", Channel: c.ch.Channel}
	if err := c.Consume(q, consumer, func() { delivered = len(c.sink.take()) }); err != nil {
		t.Fatal(err)
	}
	want(t, "delivered before the answer", delivered, 0)
	want(t, "delivered", c.received(1), "a")
	if c.Ended(consumer) {
		t.Error("the subscription has ended")
	}
	c.CancelConsumer(consumer)
	if !c.Ended(consumer) {
		t.Error("the subscription has not ended")
	}
}

func TestAcksOfADeletedQueueAreHarmless(t *testing.T) { // ACK-09, QUEUE-13
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.send(q, "a", "b")
	c.consume(q, queue.Consumer{Tag: "mine"})
	want(t, "delivered", c.received(2), "a b")
	other := f.client()
	other.consume(q, queue.Consumer{Tag: "theirs"})
	if n, err := f.client().DeleteQueue(q, false, false); n != 0 || err != nil {
		t.Fatalf("delete: %d, %v", n, err)
	}
	want(t, "told", c.sink.cancels()+", "+other.sink.cancels(), "1:mine, 1:theirs")
	c.ack(1, false)
	c.ack(0, true)
	c.durable("q") // the same name is another queue
	want(t, "ready", c.ready("q"), 0)
}
