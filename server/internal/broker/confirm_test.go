package broker_test

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

func TestConfirmComesAfterTheSyncOfItsMessage(t *testing.T) { // CONF-04c, DUR-04
	t.Parallel()
	for _, level := range []wal.Level{wal.SyncDisk, wal.SyncOS} {
		t.Run(level.String(), func(t *testing.T) {
			f := openWith(t, broker.Config{Sync: level})
			c := f.client()
			q := c.durable("q")
			selectConfirms(t, c.ch)
			const messages = 50
			for i := range messages {
				c.send(q, fmt.Sprint(i))
			}
			c.sink.await(t, "confirms", func() bool { return c.sink.confirmedLocked(1) == messages })
			if _, err := f.client().DeclareQueue(broker.QueueDeclaration{Name: q, Passive: true}); err != nil {
				t.Fatal(err)
			}
			c.consume(q, queue.Consumer{Tag: "c", NoAck: true})
			c.sink.await(t, "deliveries", func() bool { return len(c.sink.mu.deliveries) == messages })
			deliveries := c.sink.take() // the message numbered seq is the delivery before it
			for _, confirm := range c.sink.confirms() {
				if lsn := deliveries[confirm.seq-1].LSN; confirm.synced < lsn {
					t.Errorf("message %d is record %d, and was confirmed when the log was synced to %d", confirm.seq, lsn, confirm.synced)
				}
			}
		})
	}
}

func TestEveryPublishIsConfirmedOnce(t *testing.T) { // CONF-02, CONF-03
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.send(q, "before the select") // has no number
	selectConfirms(t, c.ch)
	selectConfirms(t, c.ch) // twice is once (CONF-01)
	const messages = 500
	for i := range messages {
		c.stage(c.ch, "", []string{q, "nobody"}[i%7/6], persistent, "m")
		if i%11 == 0 {
			c.flush()
		}
	}
	c.flush()
	c.sink.await(t, "confirms", func() bool { return c.sink.confirmedLocked(1) == messages })
	last := uint64(0)
	for _, confirm := range c.sink.confirms() {
		if confirm.seq <= last || !confirm.multiple && confirm.seq != last+1 || confirm.multiple && confirm.seq == last+1 {
			t.Errorf("confirm of %d (multiple %v) after %d", confirm.seq, confirm.multiple, last)
		}
		last = confirm.seq
	}
	want(t, "last number", last, uint64(messages))
}

func TestWhatNeedsNoSyncIsConfirmedWithTheFlush(t *testing.T) { // CONF-04a, CONF-04b
	t.Parallel()
	f := open(t)
	c := f.client()
	durable, transient := c.durable("durable"), c.queue(broker.QueueDeclaration{Name: "transient"})
	selectConfirms(t, c.ch)
	for i, test := range []struct {
		what, queue string
		properties  amqp.Properties
	}{
		{"unroutable", "nobody", persistent},
		{"transient message", durable, amqp.Properties{}},
		{"delivery mode 1", durable, amqp.Properties{DeliveryMode: 1}},
		{"delivery mode 3", durable, amqp.Properties{DeliveryMode: 3}}, // PUB-08
		{"transient queue", transient, persistent},
	} {
		c.stage(c.ch, "", test.queue, test.properties, "m")
		want(t, test.what+" before the flush", c.sink.confirmed(1), uint64(i))
		c.flush()
		want(t, test.what, c.sink.confirmed(1), uint64(i+1)) // no waiting: it is there when Flush returns
	}
}

func TestConfirmsKeepTheirOrderWhenSomeNeedNoSync(t *testing.T) { // CONF-03
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	selectConfirms(t, c.ch)
	for range 100 {
		c.stage(c.ch, "", q, persistent, "needs a sync")
		c.flush()
		c.stage(c.ch, "", q, amqp.Properties{}, "needs none")
		c.flush()
	}
	c.sink.await(t, "confirms", func() bool { return c.sink.confirmedLocked(1) == 200 })
	last := uint64(0)
	for _, confirm := range c.sink.confirms() {
		if confirm.seq <= last {
			t.Errorf("confirm of %d after %d", confirm.seq, last)
		}
		last = confirm.seq
	}
}

func TestPublishThatFailsHasNoNumber(t *testing.T) { // CONF-02
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	selectConfirms(t, c.ch)
	if _, err := c.ch.Publish(publication("nox", q, persistent, "m")); err == nil {
		t.Fatal("published to no exchange")
	}
	c.sendConfirmed(q, "m")
	want(t, "confirms", len(c.sink.confirms()), 1)
	want(t, "number", c.sink.confirmed(1), uint64(1))
}

func TestChannelsCountForThemselves(t *testing.T) { // CHAN-04
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	two, plain := c.channel(2), c.channel(3)
	selectConfirms(t, c.ch)
	selectConfirms(t, two)
	for range 3 {
		c.stage(c.ch, "", q, persistent, "m")
	}
	c.stage(two, "", q, persistent, "m")
	c.stage(plain, "", q, persistent, "m")
	c.flush()
	c.sink.await(t, "confirms", func() bool {
		return c.sink.confirmedLocked(1) == 3 && c.sink.confirmedLocked(2) == 1
	})
	want(t, "confirms of a channel that asked for none", c.sink.confirmed(3), uint64(0))
	two.Close()
	two = c.channel(2)
	selectConfirms(t, two)
	c.stage(two, "", q, persistent, "m")
	c.flush()
	c.sink.await(t, "confirms", func() bool { return len(c.sink.mu.confirms) >= 3 })
	confirms := c.sink.confirms()
	want(t, "number after a reopen", confirms[len(confirms)-1].seq, uint64(1))
}

func TestClosedChannelIsConfirmedNothing(t *testing.T) { // ERR-05
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	for number := uint16(2); number < 50; number++ {
		ch := c.channel(number)
		selectConfirms(t, ch)
		c.stage(ch, "", q, persistent, "m")
		c.flush()
		ch.Close()
		before := c.sink.confirmed(number)
		c.sendConfirmed(q, "later") // whatever would have come has come by now
		want(t, "confirms after the close", c.sink.confirmed(number), before)
	}
	want(t, "accepted all the same", c.ready(q), 48*2)
}

func TestConfirmDoesNotWaitForConsumers(t *testing.T) { // CONF-07
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.consume(q, queue.Consumer{Tag: "c"})
	c.sendConfirmed(q, "m")
	want(t, "delivery", c.received(1), "m")
}

func TestFlushFailsWhenTheLogHasStopped(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	selectConfirms(t, c.ch)
	if err := f.broker.StopLog(); err != nil {
		t.Fatal(err)
	}
	c.stage(c.ch, "", q, persistent, "m")
	if err := c.Flush(); err == nil {
		t.Error("flushed to a log that has stopped")
	}
	want(t, "ready", c.ready(q), 0)
	want(t, "confirms", len(c.sink.confirms()), 0)
	if _, err := c.DeclareQueue(broker.QueueDeclaration{Name: "other", Durable: true}); err == nil {
		t.Error("declared in a log that has stopped")
	}
	if c.exists("other") {
		t.Error("a queue exists that the log does not know")
	}
	f.clients, f.broker = nil, nil // it cannot be closed in order
}

func TestGetEndsWhenTheLogHasStopped(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	c.sendConfirmed(q, "m")
	if err := f.broker.StopLog(); err != nil {
		t.Fatal(err)
	}
	b := f.broker
	f.clients, f.broker = nil, nil
	done := make(chan error, 1)
	go func() {
		_, err := c.Take(q, c.ch, false) // must not go out: the log cannot take the horizon
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("got a message that the log does not know to be handed out")
		}
	case <-timeout(t):
		t.Error("basic.get waits for ever, and a shutdown would wait for it")
		go b.Close() // ends it
		<-done
	}
}
