package main_test

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// CONS-08
func TestWorkQueueSharesMessagesBetweenConsumers(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("work", queueSpec{})
	one, two := c.consumer(q, consumerSpec{noAck: true}), c.consumer(q, consumerSpec{noAck: true})
	c.sendAll("", q, "1", "2", "3", "4", "5", "6")
	one.wantBodies("1", "3", "5")
	two.wantBodies("2", "4", "6")
}

// QOS-02, QOS-04: who is busy gets no more, who is free gets the rest.
func TestPrefetchGivesTheWorkToTheFreeConsumer(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("work", queueSpec{})
	slowChannel, fastChannel := c.newChannel(), c.newChannel()
	slowChannel.qos(1)
	fastChannel.qos(1)
	slow := slowChannel.consumer(q, consumerSpec{})
	c.send("", q, "a long job")
	held := slow.wantBodies("a long job")[0]
	fast := fastChannel.consumer(q, consumerSpec{})
	for i := range 10 {
		c.send("", q, fmt.Sprint("job ", i))
	}
	for i := range 10 {
		job := fast.wantBodies(fmt.Sprint("job ", i))[0]
		if err := job.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	slow.wantNothing()
	if err := held.Ack(false); err != nil {
		t.Fatal(err)
	}
	c.sendAll("", q, "last", "last") // one each: both are free again
	slow.wantBodies("last")
	fast.wantBodies("last")
}

// QOS-02: a limit holds for the consumers that start after it, each alone.
func TestPrefetchIsPerConsumer(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	work := c.newChannel()
	work.qos(2)
	one := work.consumer(q, consumerSpec{})
	work.qos(3)
	two := work.consumer(q, consumerSpec{})
	for i := range 10 {
		c.send("", q, fmt.Sprint(i))
	}
	c.wantReady(q, 5)
	for range 2 {
		one.next()
	}
	for range 3 {
		two.next()
	}
	one.wantNothing()
	two.wantNothing()
}

// QOS-03, QOS-05: one limit for all consumers of the channel.
func TestGlobalPrefetchIsSharedByTheChannel(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	work := c.newChannel()
	one, two := work.consumer(q, consumerSpec{}), work.consumer(q, consumerSpec{})
	if err := work.Qos(3, 0, true); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		c.send("", q, fmt.Sprint(i))
	}
	c.wantReady(q, 7)
	if err := work.Qos(5, 0, true); err != nil {
		t.Fatal(err)
	}
	c.wantReady(q, 5)
	for range 5 {
		select {
		case <-one.deliveries:
		case <-two.deliveries:
		}
	}
	one.wantNothing()
	two.wantNothing()
}

// QOS-04
func TestPrefetchDoesNotLimitConsumersWithoutAcks(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.qos(1)
	consumer := c.consumer(q, consumerSpec{noAck: true})
	c.sendAll("", q, "1", "2", "3")
	consumer.wantBodies("1", "2", "3")
}

// QOS-01, CONS-01, CONS-04
func TestConsumeRefusals(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{})
	t.Run("prefetch size", func(t *testing.T) {
		own := b.connect(t)
		wantError(t, own.Qos(0, 10, false), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)")
	})
	t.Run("tag in use", func(t *testing.T) {
		// The library closes its consumer of that tag itself; ask in raw bytes.
		own, tapped := b.connectTapped(t, amqp.Config{})
		own.consumer(q, consumerSpec{tag: "t1"})
		payload := fmt.Sprintf("\x00\x3c\x00\x14\x00\x00%c%s\x02t1\x00\x00\x00\x00\x00", len(q), q)
		tapped.inject(t, frameMethod, 1, []byte(payload)...)
		own.wantConnectionClosed(530, "NOT_ALLOWED - attempt to reuse consumer tag 't1'")
	})
	t.Run("exclusive use", func(t *testing.T) {
		inUse := "ACCESS_REFUSED - queue '" + q + "' in vhost '/' in exclusive use"
		own := b.connect(t)
		own.consumer(q, consumerSpec{tag: "only", exclusive: true})
		_, err := own.newChannel().Consume(q, "", false, false, false, false, nil)
		wantError(t, err, 403, inUse)
		c.send("", q, "a get is allowed")
		if err := own.Cancel("only", false); err != nil {
			t.Fatal(err)
		}
		own.consumer(q, consumerSpec{})
		_, err = own.newChannel().Consume(q, "", false, true, false, false, nil)
		wantError(t, err, 403, inUse)
	})
}

// CONS-06
func TestCancelledConsumerKeepsWhatItHolds(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.qos(1)
	consumer := c.consumer(q, consumerSpec{tag: "tag"})
	c.sendAll("", q, "held", "next")
	held := consumer.wantBodies("held")[0]
	for range 2 { // the second time the tag is unknown, which is no error
		if err := c.Cancel("tag", false); err != nil {
			t.Fatal(err)
		}
	}
	consumer.wantEnded()
	if err := held.Ack(false); err != nil {
		t.Fatal(err)
	}
	c.wantReady(q, 1)
	c.wantBodies(q, "next")
}

// QUEUE-13, CONS-07
func TestDeletedQueueCancelsItsConsumers(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c, other := b.connect(t), b.connect(t)
	q := c.queue("q", queueSpec{})
	cancelled := c.NotifyCancel(make(chan string, 1))
	consumer := c.consumer(q, consumerSpec{tag: "tag"})
	c.send("", q, "held")
	held := consumer.wantBodies("held")[0]
	if _, err := other.QueueDelete(q, false, false, false); err != nil {
		t.Fatal(err)
	}
	if tag := await(t, "basic.cancel", cancelled).value; tag != "tag" {
		t.Errorf("cancelled %q", tag)
	}
	consumer.wantEnded()
	if err := held.Ack(false); err != nil {
		t.Fatal(err)
	}
	c.queue("another", queueSpec{}) // the channel lives: the ack was no error
}

// CONS-01
func TestServerNamesAConsumerWithoutATag(t *testing.T) {
	t.Parallel()
	c, tapped := newBroker(t).connectTapped(t, amqp.Config{})
	q := c.queue("q", queueSpec{})
	// The library makes tags of its own: ask in raw bytes, with nowait, and
	// read the tag in the delivery's place: the library drops it.
	c.send("", q, "body")
	tags := make(chan string, 1)
	report := func(tag string) { tags <- tag }
	tapped.onDeliver.Store(&report)
	payload := fmt.Sprintf("\x00\x3c\x00\x14\x00\x00%c%s\x00\x0a\x00\x00\x00\x00", len(q), q)
	tapped.inject(t, frameMethod, 1, []byte(payload)...)
	tag := await(t, "delivery", tags).value
	if rest, ok := strings.CutPrefix(tag, "amq.ctag-"); !ok || len(rest) != 22 {
		t.Errorf("consumer tag %q", tag)
	}
}

// CONS-11, ACK-01
func TestGetTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	if _, ok, err := c.Get(q, false); ok || err != nil {
		t.Fatalf("get from an empty queue: %v, %v", ok, err)
	}
	c.sendAll("", q, "one", "two", "three")
	first := c.wantBodies(q, "one")[0]
	if first.MessageCount != 2 || first.DeliveryTag != 1 || first.Redelivered || first.Exchange != "" || first.RoutingKey != q {
		t.Errorf("first get: %+v", first)
	}
	second, ok, err := c.Get(q, true)
	if err != nil || !ok || string(second.Body) != "two" || second.MessageCount != 1 || second.DeliveryTag != 2 {
		t.Errorf("second get: %+v, %v, %v", second, ok, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.channel = c.newChannel()
	c.wantBodies(q, "one", "three") // the second was settled by the get
}

// RPC over a queue of the client's own.
func TestRemoteCallsWithAReplyQueue(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	server := b.connect(t)
	requests := server.queue("double", queueSpec{})
	calls := server.consumer(requests, consumerSpec{})
	go answerCalls(server, calls)

	caller := b.connect(t)
	replies := caller.declare("", queueSpec{exclusive: true})
	answers := caller.consumer(replies, consumerSpec{noAck: true})
	callAll(t, caller, requests, replies, answers)
}

// REPLY-01 to REPLY-03
func TestRemoteCallsWithDirectReplyTo(t *testing.T) {
	t.Parallel()
	b := newBroker(t)

	server := b.connect(t)
	requests := server.queue("double", queueSpec{})
	calls := server.consumer(requests, consumerSpec{})
	go answerCalls(server, calls)

	caller := b.connect(t)
	const pseudo = "amq.rabbitmq.reply-to"
	answers := caller.consumer(pseudo, consumerSpec{noAck: true})
	callAll(t, caller, requests, pseudo, answers)

	_, err := caller.newChannel().Consume(pseudo, "", false, false, false, false, nil)
	wantError(t, err, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
	without := caller.newChannel()
	without.sendMessage("", requests, amqp.Publishing{ReplyTo: pseudo})
	without.wantClosed(406, "PRECONDITION_FAILED - fast reply consumer does not exist")
}

func answerCalls(server *client, calls *consumer) {
	for call := range calls.deliveries {
		answer := amqp.Publishing{CorrelationId: call.CorrelationId, Body: append(call.Body, call.Body...)}
		if server.Publish("", call.ReplyTo, false, false, answer) != nil || call.Ack(false) != nil {
			return
		}
	}
}

func callAll(t *testing.T, caller *client, requests, replyTo string, answers *consumer) {
	t.Helper()
	for i := range 20 {
		text, id := fmt.Sprint("call ", i), fmt.Sprint("id ", i)
		caller.sendMessage("", requests, amqp.Publishing{ReplyTo: replyTo, CorrelationId: id, Body: []byte(text)})
		if answer := answers.wantBodies(text + text)[0]; answer.CorrelationId != id {
			t.Fatalf("answer to %q, want %q", answer.CorrelationId, id)
		}
	}
}

// CONS-08
func TestConsumerOfHigherPriorityIsServedFirst(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{})
	c.qos(2)
	low := c.consumer(q, consumerSpec{})
	high := c.consumer(q, consumerSpec{args: amqp.Table{"x-priority": int32(10)}})
	c.sendAll("", q, "1", "2", "3")
	high.wantBodies("1", "2")
	low.wantBodies("3")
}
