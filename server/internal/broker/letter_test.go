package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// insisting declares a quorum queue whose dead letters must arrive (DLX-11).
func (c *client) insisting(name, exchange string) {
	c.f.Helper()
	c.queue(broker.QueueDeclaration{Name: name, Durable: true, Arguments: amqp.Table{
		"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		"x-dead-letter-exchange": exchange,
	}})
}

// lookedAt returns when the undertaker has looked at what died so far: a letter that died behind it has arrived.
func (c *client) lookedAt(tag queue.Tag) {
	c.f.Helper()
	c.durable("behind")
	c.queue(broker.QueueDeclaration{Name: "last", Durable: true, Arguments: amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "behind",
	}})
	c.send("last", "behind")
	want(c.f, "got", c.drain("last"), "behind")
	c.reject(tag)
	c.consume("behind", queue.Consumer{Tag: "behind", NoAck: true})
	want(c.f, "behind it", c.received(1), "behind")
}

func (c *client) reject(tag queue.Tag) {
	c.f.Helper()
	c.ch.Settle(amqp.BasicRejectID, tag, false, queue.Rejected)
	c.flush()
}

// DLX-11: a dead letter that nobody takes stays, and goes as soon as somebody does.
func TestDeadLetterWaitsUntilSomebodyTakesIt(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("dlx", "fanout")
	c.insisting("q", "dlx")
	c.send("q", "1", "2")
	want(t, "got", c.drain("q"), "1 2")
	c.reject(1)
	c.reject(2)
	c.durableBound("dlx", "grave", "")
	c.consume("grave", queue.Consumer{Tag: "c", NoAck: true})
	if got := c.received(2); got != "1 2" && got != "2 1" {
		t.Errorf("dead letters: %s", got)
	}
	want(t, "left in the queue", c.ready("q"), 0)
}

// DLX-11: other deaths do not put off the next attempt, however many there are.
func TestDeadLetterIsTriedAgainWhileOthersDie(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("dlx", "fanout")
	c.insisting("q", "dlx")
	c.send("q", "1")
	want(t, "got", c.drain("q"), "1")
	c.reject(1)
	c.lookedAt(2)
	c.durableBound("dlx", "grave", "")
	tick, timeout := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for c.ready("grave") == 0 {
		select {
		case <-tick.C:
			f.broker.Bury()
		case <-timeout:
			t.Fatal("nobody tried again")
		}
	}
}

// DLX-11: an exchange that only remembers a letter has brought it to nobody.
func TestDeadLetterThatIsOnlyRememberedStays(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("dlx", "x-recent-history")
	c.insisting("q", "dlx")
	c.send("q", "1")
	want(t, "got", c.drain("q"), "1")
	c.reject(1)
	c.lookedAt(2)
	want(t, "remembered", f.broker.Held("/"), 0)
	c.durableBound("dlx", "grave", "")
	c.consume("grave", queue.Consumer{Tag: "g", NoAck: true})
	want(t, "dead letter", c.received(1), "1")
}

// DLX-11: so many that nobody takes do not keep others of their queue from arriving.
func TestDeadLettersBehindManyThatNobodyTakesArrive(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("dlx", "direct")
	c.durableBound("dlx", "grave", "known")
	c.insisting("q", "dlx")
	c.bind("amq.fanout", "q", "")
	for i := range 3000 {
		key := "unknown"
		if i%100 == 99 {
			key = "known"
		}
		c.stage(c.ch, "amq.fanout", key, persistent, "m")
	}
	c.flush()
	c.consume("grave", queue.Consumer{Tag: "c", NoAck: true})
	n := 0
	for found := true; found; n++ {
		var err error
		if found, err = c.Take("q", c.ch, false); err != nil {
			t.Fatal(err)
		}
	}
	c.ch.Settle(amqp.BasicNackID, 0, true, queue.Rejected)
	c.flush()
	c.sink.await(t, "dead letters", func() bool { return len(c.sink.mu.deliveries) == n-1+30 })
}

// DLX-11: a full queue that refuses counts as nobody.
func TestDeadLetterWaitsForRoom(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("dlx", "fanout")
	c.refusing("grave", 1)
	c.bind("dlx", "grave", "")
	c.insisting("q", "dlx")
	c.send("grave", "full")
	c.send("q", "1")
	c.drain("q")
	c.reject(1)
	f.broker.FlushJournal()
	want(t, "in the full queue", c.drain("grave"), "full") // which makes room
	c.consume("grave", queue.Consumer{Tag: "c", NoAck: true})
	want(t, "dead letter", c.received(1), "1")
}

// DLX-11: a crash gives a dead letter that nobody took back to its queue.
func TestDeadLetterThatWaitsSurvivesACrash(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			f := open(t)
			c := f.client()
			c.insisting("q", "missing")
			c.sendConfirmed("q", "1")
			c.drain("q")
			c.reject(1)
			end.end(f)
			c = f.client()
			want(t, "got again", c.drain("q"), "1+")
		})
	}
}

// DLX-02: without that strategy it is dropped, also by a full queue that refuses.
func TestDeadLetterThatNobodyTakesIsDropped(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("dlx", "fanout")
	c.refusing("grave", 1)
	c.durable("other")
	c.bind("dlx", "grave", "")
	c.bind("dlx", "other", "")
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-dead-letter-exchange": "dlx"}})
	c.send("grave", "full")
	c.send("q", "1")
	c.drain("q")
	c.reject(1)
	c.consume("other", queue.Consumer{Tag: "c", NoAck: true})
	want(t, "where there is room", c.received(1), "1")
	want(t, "in the full queue", c.drain("grave"), "full")
}

// LEN-04: what a full queue does not take is nacked and goes to its dead-letter exchange.
func TestRejectedPublishIsDeadLettered(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durable("grave")
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{
		"x-max-length": int32(1), "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "",
		"x-dead-letter-routing-key": "grave",
	}})
	selectConfirms(t, c.ch)
	c.send("q", "1", "2", "3")
	c.sink.await(t, "answers", func() bool { return len(c.sink.mu.refusals) == 2 && c.sink.confirmedLocked(1) == 1 })
	want(t, "refused", strings.Join(c.sink.mu.refusals, " "), "1:2 1:3")
	want(t, "in the queue", c.drain("q"), "1")
	c.consume("grave", queue.Consumer{Tag: "c", NoAck: true})
	c.sink.await(t, "dead letters", func() bool { return len(c.sink.mu.deliveries) == 2 })
	for i, d := range c.sink.take() {
		want(t, "body", c.body(d.LSN), []string{"2", "3"}[i])
		deaths, _ := c.header(d, "x-death").([]any)
		if death, _ := deaths[0].(amqp.Table); death["reason"] != "maxlen" || death["queue"] != "q" {
			t.Errorf("death %v", death)
		}
	}
}

// TX-04: a transaction that a full queue refuses is not applied at all.
func TestTransactionThatAFullQueueRefusesChangesNothing(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durable("open")
	c.refusing("full", 2)
	c.send("open", "held")
	want(t, "got", c.drain("open"), "held")
	if err := c.ch.SelectTx(); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"open", "full", "full", "full"} {
		c.stage(c.ch, "", to, persistent, to)
	}
	c.ack(1, false)
	err := c.ch.Commit()
	wantError(t, err, amqp.PreconditionFailed, amqp.TxCommitID, "partial tx completion")
	want(t, "ready", c.ready("open")+c.ready("full"), 0)
	c.ch.Close()
	c.ch = c.channel(2)
	want(t, "what was acknowledged", c.drain("open"), "held+")
	if err := c.ch.SelectTx(); err != nil {
		t.Fatal(err)
	}
	c.stage(c.ch, "", "full", persistent, "fits")
	if err := c.ch.Commit(); err != nil {
		t.Fatal(err)
	}
	want(t, "then", c.ready("full"), 1)
}
