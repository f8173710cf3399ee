package main_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ACK-04, ACK-07
func TestRequeuedMessagesReturnToTheirPlace(t *testing.T) {
	t.Parallel()
	for name, requeue := range map[string]func(amqp.Delivery) error{
		"nack":   func(d amqp.Delivery) error { return d.Nack(false, true) },
		"reject": func(d amqp.Delivery) error { return d.Reject(true) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newBroker(t).connect(t)
			q := c.queue("q", queueSpec{})
			c.sendAll("", q, "0", "1", "2", "3", "4")
			held := c.wantBodies(q, "0", "1", "2")
			for _, i := range []int{2, 0, 1} {
				if err := requeue(held[i]); err != nil {
					t.Fatal(err)
				}
			}
			c.wantReady(q, 5)
			for i, message := range c.wantBodies(q, "0", "1", "2", "3", "4") {
				if message.Redelivered != (i < 3) {
					t.Errorf("message %d: redelivered is %v", i, message.Redelivered)
				}
			}
		})
	}
}

// ACK-04, to a consumer: what came back goes before what still waits.
func TestRequeuedMessageGoesBeforeTheWaitingOnes(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.qos(1)
	consumer := c.consumer(q, consumerSpec{})
	c.sendAll("", q, "first", "second")
	if err := consumer.wantBodies("first")[0].Nack(false, true); err != nil {
		t.Fatal(err)
	}
	again := consumer.wantBodies("first")[0]
	if !again.Redelivered {
		t.Error("not marked as redelivered")
	}
	if err := again.Ack(false); err != nil {
		t.Fatal(err)
	}
	if consumer.wantBodies("second")[0].Redelivered {
		t.Error("a first delivery is marked as redelivered")
	}
}

// ACK-03
func TestSettlingSeveralAtOnce(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	cases := map[string]struct {
		settle func(*channel, []amqp.Delivery) error
		left   []string // after the channel closed
	}{
		"nack multiple with requeue": {
			func(_ *channel, held []amqp.Delivery) error { return held[2].Nack(true, true) },
			[]string{"0", "1", "2", "3", "4"},
		},
		"nack multiple": {
			func(_ *channel, held []amqp.Delivery) error { return held[2].Nack(true, false) },
			[]string{"3", "4"},
		},
		"ack multiple": {
			func(_ *channel, held []amqp.Delivery) error { return held[2].Ack(true) },
			[]string{"3", "4"},
		},
		"ack one, then multiple": {
			func(_ *channel, held []amqp.Delivery) error {
				if err := held[1].Ack(false); err != nil {
					return err
				}
				return held[3].Ack(true)
			},
			[]string{"4"},
		},
		"tag 0 is everything": {
			func(ch *channel, _ []amqp.Delivery) error { return ch.Ack(0, true) },
			nil,
		},
		"tag 0 of nothing": {
			func(ch *channel, _ []amqp.Delivery) error {
				if err := ch.Ack(0, true); err != nil {
					return err
				}
				return ch.Ack(0, true)
			},
			nil,
		},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			c := b.connect(t)
			q := c.declare("settle "+name, queueSpec{})
			c.sendAll("", q, "0", "1", "2", "3", "4")
			settler := c.newChannel()
			held := settler.wantBodies(q, "0", "1", "2", "3", "4")
			if err := row.settle(settler, held); err != nil {
				t.Fatal(err)
			}
			if err := settler.Close(); err != nil {
				t.Fatal(err)
			}
			c.wantReady(q, len(row.left))
			c.wantBodies(q, row.left...)
		})
	}
}

// ACK-03: those above the tag stay with their consumer.
func TestNackMultipleLeavesTheLaterOnes(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.sendAll("", q, "0", "1", "2", "3")
	held := c.wantBodies(q, "0", "1", "2", "3")
	if err := held[1].Nack(true, true); err != nil {
		t.Fatal(err)
	}
	c.wantReady(q, 2)
	for _, message := range c.wantBodies(q, "0", "1") {
		if !message.Redelivered {
			t.Errorf("%s is not marked as redelivered", message.Body)
		}
	}
}

// ACK-05
func TestRejectWithoutRequeueDiscards(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	c.sendAll("", q, "rejected", "nacked", "kept")
	held := c.wantBodies(q, "rejected", "nacked")
	if err := held[0].Reject(false); err != nil {
		t.Fatal(err)
	}
	if err := held[1].Nack(false, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.channel = c.newChannel()
	c.wantBodies(q, "kept")
	c.wantReady(q, 0)
}

// ACK-02, ACK-03, ACK-09
func TestUnknownDeliveryTags(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{})
	cases := map[string]struct {
		settle func(*channel) error
		tag    string
	}{
		"never given":              {func(ch *channel) error { return ch.Ack(5, false) }, "5"},
		"never given, nack":        {func(ch *channel) error { return ch.Nack(5, false, true) }, "5"},
		"never given, reject":      {func(ch *channel) error { return ch.Reject(5, true) }, "5"},
		"never given, multiple":    {func(ch *channel) error { return ch.Ack(5, true) }, "5"},
		"tag 0, not multiple":      {func(ch *channel) error { return ch.Ack(0, false) }, "0"},
		"settled before":           {settleTwice(q, false, false), "1"},
		"settled before, multiple": {settleTwice(q, false, true), "1"},
		"of a get without ack":     {settleTwice(q, true, false), "1"},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			c.send("", q, "body")
			ch := c.newChannel()
			if err := row.settle(ch); err != nil {
				t.Fatal(err)
			}
			ch.wantClosed(406, "PRECONDITION_FAILED - unknown delivery tag "+row.tag)
		})
	}
}

// settleTwice gets a message and acks its tag once too often.
func settleTwice(queue string, noAck, multiple bool) func(*channel) error {
	return func(ch *channel) error {
		message, _, err := ch.Get(queue, noAck)
		if err != nil {
			return err
		}
		if !noAck {
			err = ch.Ack(message.DeliveryTag, false)
		}
		if err != nil {
			return err
		}
		return ch.Ack(message.DeliveryTag, multiple)
	}
}

// ACK-06
func TestRecoverRequeuesWhatTheChannelHolds(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{})
	c.sendAll("", q, "0", "1", "2")
	consumer := c.consumer(q, consumerSpec{})
	consumer.wantBodies("0", "1", "2")
	//lint:ignore SA1019 old programs use basic.recover
	c.must(c.Recover(true))
	for _, message := range consumer.wantBodies("0", "1", "2") {
		if !message.Redelivered {
			t.Errorf("%s is not marked as redelivered", message.Body)
		}
	}
	//lint:ignore SA1019 see above
	wantError(t, b.connect(t).Recover(false), 540, "NOT_IMPLEMENTED - requeue=false")
}

// ERR-05, ERR-09: whatever ends a channel gives back what it held.
func TestEndedChannelGivesItsMessagesBack(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	watcher := b.connect(t)
	for name, end := range map[string]func(*client, *tap){
		"channel closed":    func(c *client, _ *tap) { _ = c.Close() },
		"channel error":     func(c *client, _ *tap) { _ = c.Ack(77, false) },
		"connection closed": func(c *client, _ *tap) { c.close() },
		"connection lost":   func(_ *client, tapped *tap) { _ = tapped.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			q := watcher.declare("ended "+name, queueSpec{})
			watcher.sendAll("", q, "0", "1", "2")
			c, tapped := b.connectTapped(t, amqp.Config{})
			c.qos(2)
			consumer := c.consumer(q, consumerSpec{})
			consumer.wantBodies("0", "1")
			end(c, tapped)
			watcher.wantReady(q, 3)
			for i, message := range watcher.wantBodies(q, "0", "1", "2") {
				if message.Redelivered != (i < 2) {
					t.Errorf("message %d: redelivered is %v", i, message.Redelivered)
				}
			}
		})
	}
}
