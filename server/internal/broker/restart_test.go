package broker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// ends are the ways in which a broker can end and be there again.
var ends = []struct {
	name string
	end  func(*fixture)
}{
	{"restart", (*fixture).restart},
	{"crash", func(f *fixture) { f.crash() }},
	{"checkpoint and crash", func(f *fixture) {
		f.checkpoint()
		f.crash()
	}},
	{"restart and crash", func(f *fixture) {
		f.restart()
		f.crash()
	}},
	{"crash without an index and restart", func(f *fixture) {
		f.crash(loseIndex)
		f.restart()
	}},
	{"index damaged", func(f *fixture) {
		f.checkpoint()
		f.crash(f.damageIndex)
	}},
}

func (f *fixture) checkpoint() {
	f.Helper()
	if err := f.broker.Checkpoint(); err != nil {
		f.Fatalf("checkpoint: %v", err)
	}
}

// damageIndex overwrites the inside of every table of the index.
func (f *fixture) damageIndex(folder string) {
	f.Helper()
	harmed := 0
	for _, pattern := range []string{"*.sst", "*.log", "MANIFEST-*"} {
		files, err := filepath.Glob(filepath.Join(folder, "index", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(data) == 0 {
				continue
			}
			for i := range len(data) / 2 {
				data[len(data)/4+i] ^= 0x55
			}
			if err := os.WriteFile(file, data, 0o640); err != nil {
				f.Fatal(err)
			}
			harmed++
		}
	}
	if harmed == 0 {
		f.Fatal("the index has no file to damage")
	}
}

// afterEach runs a scenario once for each way to end: prepare works on a broker, which then ends and
// comes back, and check looks at what is left.
func afterEach(t *testing.T, prepare func(*fixture, *client), check func(*fixture, *client)) {
	t.Parallel()
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			prepare(f, f.client())
			end.end(f)
			check(f, f.client())
		})
	}
}

func TestDurableTopologyReturns(t *testing.T) { // DUR-01, EXCH-13
	afterEach(t, func(f *fixture, c *client) {
		c.durable("durable")
		c.queue(broker.QueueDeclaration{Name: "args", Durable: true, AutoDelete: true, Arguments: amqp.Table{
			"x-message-ttl": int64(5), "x-dead-letter-exchange": "dlx", "t": amqp.Table{"deep": []any{"x", nil, true}},
		}})
		c.queue(broker.QueueDeclaration{Name: "transient"})
		c.queue(broker.QueueDeclaration{Name: "exclusive", Durable: true, Exclusive: true})
		c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "topic", Durable: true, Arguments: amqp.Table{"alternate-exchange": "amq.fanout"}})
		c.exchange(broker.ExchangeDeclaration{Name: "gone", Type: "fanout"})
		c.exchange(broker.ExchangeDeclaration{Name: "auto", Type: "fanout", Durable: true, AutoDelete: true})
		c.bind("x", "durable", "a.*")
		c.bind("x", "transient", "a.*")
		c.bind("gone", "durable", "")
		c.bind("auto", "transient", "") // its only binding
		c.bind("amq.direct", "durable", "unbound")
		if err := c.BindExchange("x", "amq.topic", "b", nil); err != nil {
			f.Fatal(err)
		}
		if err := c.UnbindQueue("amq.direct", "durable", "unbound", nil); err != nil {
			f.Fatal(err)
		}
		c.durableBound("x", "deleted", "a.*")
		if _, err := c.DeleteQueue("deleted", false, false); err != nil {
			f.Fatal(err)
		}
		c.bind("amq.topic", "durable", "b")
	}, func(f *fixture, c *client) {
		for name, there := range map[string]bool{"durable": true, "args": true, "transient": false, "exclusive": false, "deleted": false} {
			if c.exists(name) != there {
				f.Errorf("queue %s is there: %v", name, !there)
			}
		}
		for name, there := range map[string]bool{"x": true, "gone": false} {
			err := c.DeclareExchange(broker.ExchangeDeclaration{Name: name, Passive: true})
			if (err == nil) != there {
				f.Errorf("exchange %s: %v", name, err)
			}
		}
		// Equivalent declarations tell whether all properties are as before.
		c.queue(broker.QueueDeclaration{Name: "args", Durable: true, AutoDelete: true, Arguments: amqp.Table{
			"x-message-ttl": int32(5), "x-dead-letter-exchange": "dlx",
		}})
		c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "topic", Durable: true, Arguments: amqp.Table{"alternate-exchange": "amq.fanout"}})
		for key, routed := range map[string]bool{"a.b": true, "b": true, "c": false} {
			if c.stage(c.ch, "x", key, persistent, key) != routed {
				f.Errorf("key %s is routed: %v", key, !routed)
			}
		}
		if c.stage(c.ch, "amq.direct", "unbound", persistent, "m") {
			f.Error("a binding that was removed is back")
		}
		c.flush()
		want(f, "ready", c.ready("durable"), 2)
	})
}

func TestConfirmedMessagesReturn(t *testing.T) { // DUR-01, DUR-02
	afterEach(t, func(f *fixture, c *client) {
		c.durable("q")
		c.queue(broker.QueueDeclaration{Name: "transient"})
		c.bind("amq.fanout", "q", "")
		c.bind("amq.fanout", "transient", "")
		c.sendConfirmed("q", "a", "b")
		c.sendTransient("q", "lost")
		c.stage(c.ch, "amq.fanout", "", persistent, "both")
		c.flush()
		c.sendConfirmed("q", "c")
	}, func(f *fixture, c *client) {
		want(f, "ready", c.ready("q"), 4)
		want(f, "messages", c.drain("q"), "a b both c") // none was handed out before
	})
}

func TestWhatWasHandedOutReturnsAsRedelivered(t *testing.T) { // ACK-07, DUR-01
	afterEach(t, func(f *fixture, c *client) {
		c.durable("q")
		c.sendConfirmed("q", "a", "b", "c")
		c.consume("q", queue.Consumer{Tag: "c", Limit: 2})
		want(f, "delivered", c.received(2), "a b")
		c.ack(1, false)
	}, func(f *fixture, c *client) {
		got := c.drain("q")
		if got != "b+ c" && got != "b+ c+" { // c may be marked: it was about to be handed out
			f.Errorf("messages %q, want b+ c", got)
		}
	})
}

func TestWhatWasHandedOutBeforeTheConsumerLeftIsAllThatIsMarked(t *testing.T) { // ACK-07
	afterEach(t, func(f *fixture, c *client) {
		c.durable("q")
		c.sendConfirmed("q", "a", "b", "c")
		two := c.channel(2)
		c.consume("q", queue.Consumer{Tag: "c", Limit: 2, Channel: two.Channel})
		want(f, "delivered", c.received(2), "a b")
		two.Close()
		f.broker.FlushJournal()
		c.sendConfirmed("q", "d")
	}, func(f *fixture, c *client) {
		want(f, "messages", c.drain("q"), "a+ b+ c d")
	})
}

func TestSettledMessagesDoNotReturn(t *testing.T) { // DUR-01
	afterEach(t, func(f *fixture, c *client) {
		c.durable("acked")
		c.durable("noack")
		c.durable("rejected")
		c.durable("purged")
		for _, q := range []string{"acked", "noack", "rejected", "purged"} {
			c.sendConfirmed(q, "a", "b", "c")
		}
		c.consume("acked", queue.Consumer{Tag: "acked"})
		want(f, "delivered", c.received(3), "a b c")
		c.ack(1, false)
		c.ack(3, false)
		two := c.channel(2)
		c.consume("noack", queue.Consumer{Tag: "noack", NoAck: true, Channel: two.Channel})
		want(f, "delivered", c.received(3), "a b c")
		three := c.channel(3)
		c.consume("rejected", queue.Consumer{Tag: "rejected", Channel: three.Channel, Limit: 2})
		want(f, "delivered", c.received(2), "a b")
		three.Settle(amqp.BasicNackID, 2, true, queue.Rejected)
		c.flush()
		want(f, "delivered", c.received(1), "c")
		if n, err := c.Purge("purged"); n != 3 || err != nil {
			f.Fatalf("purge: %d, %v", n, err)
		}
		c.sendConfirmed("purged", "later")
	}, func(f *fixture, c *client) {
		want(f, "acked", c.drain("acked"), "b+")
		want(f, "noack", c.drain("noack"), "")
		want(f, "rejected", c.drain("rejected"), "c+")
		want(f, "purged", strings.TrimSuffix(c.drain("purged"), "+"), "later")
	})
}

func TestNameOfADeletedQueueServesAnother(t *testing.T) {
	afterEach(t, func(f *fixture, c *client) {
		for _, name := range []string{"q", "between"} {
			c.durable(name)
			c.sendConfirmed(name, "old")
		}
		f.checkpoint() // the index knows the old queues
		for _, name := range []string{"between", "q"} {
			if _, err := c.DeleteQueue(name, false, false); err != nil {
				f.Fatal(err)
			}
			if name == "between" {
				f.checkpoint()
			}
			c.durable(name)
			c.sendConfirmed(name, "new")
		}
	}, func(f *fixture, c *client) {
		want(f, "messages", c.drain("q"), "new")
		want(f, "messages of the queue with a checkpoint between", c.drain("between"), "new")
	})
}

func TestNameOfATransientQueueServesAnother(t *testing.T) {
	afterEach(t, func(f *fixture, c *client) {
		c.queue(broker.QueueDeclaration{Name: "q"})
		c.send("q", "lost")
		f.checkpoint()
		f.crash()
		c = f.client()
		c.durable("q")
		c.sendConfirmed("q", "kept")
	}, func(f *fixture, c *client) {
		want(f, "messages", c.drain("q"), "kept")
	})
}

func TestWorkAfterACheckpointReturns(t *testing.T) {
	afterEach(t, func(f *fixture, c *client) {
		c.durable("before")
		c.durable("deleted")
		c.sendConfirmed("before", "a", "b", "c", "d")
		c.consume("before", queue.Consumer{Tag: "c", Limit: 2})
		want(f, "delivered", c.received(2), "a b")
		c.ack(1, false)
		want(f, "delivered", c.received(1), "c")
		f.broker.FlushJournal()
		f.checkpoint()
		c.ack(2, false)
		want(f, "delivered", c.received(1), "d")
		c.sendConfirmed("before", "e")
		c.durableBound("amq.fanout", "after", "")
		c.bind("amq.fanout", "before", "")
		c.sendConfirmed("after", "x")
		selectConfirms(f, c.ch)
		c.stage(c.ch, "amq.fanout", "", persistent, "y")
		c.flush()
		if _, err := c.DeleteQueue("deleted", false, false); err != nil {
			f.Fatal(err)
		}
		c.sendConfirmed("after", "z")
	}, func(f *fixture, c *client) {
		want(f, "before", strings.ReplaceAll(c.drain("before"), "+", ""), "c d e y")
		want(f, "after", c.drain("after"), "x y z")
		want(f, "deleted is there", c.exists("deleted"), false)
	})
}

func TestEveryCheckpointIsAPlaceToStartFrom(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	for i := range 6 {
		c.sendConfirmed("q", fmt.Sprint(i))
		f.checkpoint()
		if i%2 == 0 {
			f.crash()
			c = f.client()
		}
	}
	want(t, "replayed after a checkpoint and nothing else", f.broker.Recovery().Replayed < 10, true)
	want(t, "messages", c.drain("q"), "0 1 2 3 4 5")
}

func TestRecoveryTellsWhatItFound(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	c.queue(broker.QueueDeclaration{Name: "transient"})
	c.sendConfirmed("q", "a", "b")
	f.crash()
	r := f.broker.Recovery()
	if r.VHosts != 1 || r.Queues != 1 || r.Messages != 2 || r.Exchanges < 6 || r.Replayed == 0 || r.Duration == 0 {
		t.Errorf("recovery %+v", r)
	}
	f.checkpoint()
	f.crash(loseIndex)
	if r := f.broker.Recovery(); !r.Rebuilt || r.Messages != 2 {
		t.Errorf("recovery without an index %+v", r)
	}
	f.checkpoint()
	f.crash(f.damageIndex)
	if r := f.broker.Recovery(); !r.Rebuilt || r.Messages != 2 {
		t.Errorf("recovery with a damaged index %+v", r)
	}
	if aside, err := filepath.Glob(filepath.Join(f.cfg.Data, "index.damaged-*")); err != nil || len(aside) != 1 {
		t.Errorf("the damaged index is not kept: %v, %v", aside, err)
	}
}

func TestSecondBrokerIsKeptOut(t *testing.T) {
	t.Parallel()
	f := open(t)
	if b, err := broker.Open(f.cfg); err == nil {
		b.Close()
		t.Error("two brokers on one folder")
	} else if !strings.Contains(err.Error(), "in use by another millrace") || !strings.Contains(err.Error(), f.cfg.Data) {
		t.Errorf("error %q", err)
	}
}

// recycle sends and consumes until the log's beginning has moved beyond the record.
func (f *fixture) recycle(c *client, queueName string, beyond segment.LSN) {
	f.Helper()
	body := strings.Repeat("x", 1000)
	for round := 0; f.broker.FirstInLog() <= beyond; round++ {
		if round == 100 {
			f.Fatalf("the log begins at %d after %d rounds", f.broker.FirstInLog(), round)
		}
		for range 100 {
			c.stage(c.ch, "", queueName, persistent, body)
		}
		c.flush()
		c.received(100)
		f.broker.FlushJournal()
		f.checkpoint()
	}
}

func TestConsumedLogIsRecycled(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10})
	c := f.client()
	c.durable("q")
	c.durable("other")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	f.recycle(c, "q", 100)
	c.sendConfirmed("other", "holds the log")
	for range 5 {
		for range 100 {
			c.stage(c.ch, "", "q", persistent, strings.Repeat("x", 1000))
		}
		c.flush()
		c.received(100)
		f.broker.FlushJournal()
		f.checkpoint()
	}
	f.crash(loseIndex)
	c = f.client()
	want(t, "message of a queue nobody reads", strings.TrimSuffix(c.drain("other"), "+"), "holds the log")
	want(t, "ready", c.ready("q"), 0)
}

func TestHandedOutMessageIsMarkedWhenIndexAndEarlierLogAreGone(t *testing.T) { // ACK-07
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10})
	c, other := f.client(), f.client()
	c.durable("q")
	c.durable("rested")
	c.durable("noise")
	c.consume("q", queue.Consumer{Tag: "c"})
	other.consume("noise", queue.Consumer{Tag: "c", NoAck: true})
	f.recycle(other, "noise", 100) // the log from here on does not say that q has a consumer
	c.sendConfirmed("q", "held")
	want(t, "delivered", c.received(1), "held")
	rested := c.channel(2)
	c.sendConfirmed("rested", "handed out")
	c.consume("rested", queue.Consumer{Tag: "r", Channel: rested.Channel})
	want(t, "delivered", c.received(1), "handed out")
	rested.Close()
	f.broker.FlushJournal()
	c.sendConfirmed("rested", "not handed out")
	f.crash(loseIndex)
	c = f.client()
	want(t, "of a queue whose horizon is not in the log", c.drain("q"), "held+")
	want(t, "of a queue whose horizon is", c.drain("rested"), "handed out+ not handed out")
}

// outdateIndex makes the index of a stopped broker one of an older format.
func (f *fixture) outdateIndex() {
	f.Helper()
	db, err := pebble.Open(filepath.Join(f.cfg.Data, "index"), &pebble.Options{Logger: silent{}})
	if err != nil {
		f.Fatal(err)
	}
	key, castagnoli := []byte("f"), crc32.MakeTable(crc32.Castagnoli)
	value, closer, err := db.Get(key)
	if err != nil {
		f.Fatal(err)
	}
	value = bytes.Clone(value[:len(value)-4])
	version := value[len(value)-4:]
	binary.LittleEndian.PutUint32(version, binary.LittleEndian.Uint32(version)-1)
	value = binary.LittleEndian.AppendUint32(value, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
	if err := errors.Join(closer.Close(), db.Set(key, value, pebble.Sync), db.Close()); err != nil {
		f.Fatal(err)
	}
}

// silent is a logger for Pebble.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}
