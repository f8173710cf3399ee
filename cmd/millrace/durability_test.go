package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// persistent is a message that must survive a restart in a durable queue.
func persistent(body string) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}
}

// endings are the ways in which a broker is brought down and up again on
// its data folder. What is promised over a restart holds for each.
var endings = map[string]func(testing.TB, *Broker) *Broker{
	"clean stop": func(t testing.TB, b *Broker) *Broker { return b.restart(t) },
	"kill": func(t testing.TB, b *Broker) *Broker {
		b.Kill()
		return startBroker(t, b.Dir)
	},
	"kill, index lost": func(t testing.TB, b *Broker) *Broker {
		b.Kill()
		return startBroker(t, removeIndex(t, b.Dir))
	},
	"clean stop, index lost": func(t testing.TB, b *Broker) *Broker {
		if code := b.Stop(); code != 0 {
			t.Errorf("clean stop: exit code %d", code)
		}
		return startBroker(t, removeIndex(t, b.Dir))
	},
}

// removeIndex deletes what may be deleted: the index is rebuilt from the log.
func removeIndex(t testing.TB, dir string) string {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// overRestarts runs a scenario of two halves with each ending in between.
func overRestarts(t *testing.T, before, after func(*testing.T, *client)) {
	t.Parallel()
	needsProcess(t)
	for name, restart := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, t.TempDir())
			before(t, b.connect(t))
			after(t, restart(t, b).connect(t))
		})
	}
}

// PUB-10, DUR-01
func TestPersistentMessagesSurviveARestart(t *testing.T) {
	overRestarts(t, func(t *testing.T, c *client) {
		durable := c.declare("durable", queueSpec{durable: true})
		c.declare("transient", queueSpec{})
		c.confirmMode()
		for i := range 100 {
			c.sendConfirmed("", durable, persistent(fmt.Sprint(i)))
			c.sendConfirmed("", durable, amqp.Publishing{DeliveryMode: amqp.Transient, Body: []byte("transient")})
			c.sendConfirmed("", "transient", persistent("in a queue that goes"))
		}
	}, func(t *testing.T, c *client) {
		c.wantReady("durable", 100)
		for i := range 100 {
			message := c.wantBodies("durable", fmt.Sprint(i))[0]
			if message.Redelivered || message.DeliveryMode != amqp.Persistent {
				t.Fatalf("message %d: %+v", i, message)
			}
		}
		_, err := c.QueueDeclarePassive("transient", false, false, false, false, nil)
		wantError(t, err, 404, "NOT_FOUND - no queue 'transient' in vhost '/'")
	})
}

// DUR-01, EXCH-13, QUEUE-10, DUR-03
func TestDurableTopologySurvivesARestart(t *testing.T) {
	overRestarts(t, func(t *testing.T, c *client) {
		for _, kind := range []string{"direct", "fanout", "topic", "headers"} {
			c.must(c.ExchangeDeclare("d."+kind, kind, true, false, false, false, nil))
			c.must(c.ExchangeDeclare("t."+kind, kind, false, false, false, false, nil))
		}
		q := c.declare("q", queueSpec{durable: true, args: amqp.Table{"x-max-length": int32(1000)}})
		gone := c.declare("gone", queueSpec{durable: true})
		c.bind(q, "key", "d.direct", nil)
		c.bind(q, "a.#", "d.topic", nil)
		c.bind(q, "", "d.headers", amqp.Table{"x-match": "any", "k": "v"})
		c.bind(q, "key", "t.direct", nil)
		c.bind(q, "unbound", "d.direct", nil)
		c.must(c.QueueUnbind(q, "unbound", "d.direct", nil))
		c.must(c.ExchangeBind("d.fanout", "#", "d.topic", false, nil))
		c.bind(gone, "", "d.fanout", nil)
		_, err := c.QueueDelete(gone, false, false, false)
		c.must(err)
		c.declare("exclusive", queueSpec{durable: true, exclusive: true})
		c.declare("auto-delete", queueSpec{durable: true, autoDelete: true})
		c.must(c.ExchangeDeclare("auto-delete", "fanout", true, true, true, false, amqp.Table{"alternate-exchange": "d.fanout"}))
		c.must(c.ExchangeDeclare("deleted", "fanout", true, false, false, false, nil))
		c.must(c.ExchangeDelete("deleted", false, false))
	}, func(t *testing.T, c *client) {
		for _, kind := range []string{"direct", "fanout", "topic", "headers"} {
			c.must(c.ExchangeDeclare("d."+kind, kind, true, false, false, false, nil))
			c.wantNoExchange("t." + kind)
		}
		c.must(c.ExchangeDeclare("auto-delete", "fanout", true, true, true, false, amqp.Table{"alternate-exchange": "d.fanout"}))
		c.wantNoExchange("deleted")
		c.declare("q", queueSpec{durable: true, args: amqp.Table{"x-max-length": int32(1000)}})
		c.declare("auto-delete", queueSpec{durable: true, autoDelete: true})
		for _, name := range []string{"exclusive", "gone"} {
			_, err := c.newChannel().QueueDeclarePassive(name, true, false, false, false, nil)
			wantError(t, err, 404, "NOT_FOUND - no queue '"+name+"' in vhost '/'")
		}
		c.send("d.direct", "key", "direct")
		c.send("d.direct", "unbound", "nowhere")
		c.send("d.topic", "a.b", "topic")
		c.sendMessage("d.headers", "", amqp.Publishing{Headers: amqp.Table{"k": "v"}, Body: []byte("headers")})
		c.wantBodies("q", "direct", "topic", "headers")
		c.wantReady("q", 0)
	})
}

func (c *client) wantNoExchange(name string) {
	c.t.Helper()
	err := c.newChannel().ExchangeDeclarePassive(name, "direct", true, false, false, false, nil)
	wantError(c.t, err, 404, "NOT_FOUND - no exchange '"+name+"' in vhost '/'")
}

// DUR-01, DUR-02, ACK-07: unsettled messages come back, in their place and
// marked as redelivered.
func TestUnsettledMessagesComeBackAfterARestart(t *testing.T) {
	overRestarts(t, func(t *testing.T, c *client) {
		q := c.declare("q", queueSpec{durable: true})
		c.confirmMode()
		for i := range 5 {
			c.sendConfirmed("", q, persistent(fmt.Sprint(i)))
		}
		c.wantBodies(q, "0", "1", "2")
	}, func(t *testing.T, c *client) {
		c.wantReady("q", 5)
		for i, message := range c.wantBodies("q", "0", "1", "2", "3", "4") {
			if i < 3 && !message.Redelivered {
				t.Errorf("message %d was delivered before and is not marked as redelivered", i)
			}
		}
	})
}

// DUR-02: what was settled before a clean stop is gone for ever.
func TestSettledMessagesStayAwayAfterACleanStop(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	for _, q := range []string{"acked", "purged", "got", "rejected"} {
		c.declare(q, queueSpec{durable: true})
		for i := range 10 {
			c.sendMessage("", q, persistent(fmt.Sprint(i)))
		}
	}
	for i, message := range c.wantBodies("acked", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9") {
		if i%2 == 0 {
			c.must(message.Ack(false))
		}
	}
	_, err := c.QueuePurge("purged", false)
	c.must(err)
	for range 9 {
		_, _, err := c.Get("got", true)
		c.must(err)
	}
	c.must(c.wantBodies("rejected", "0", "1", "2")[2].Reject(false))
	c.close()
	for _, again := range []string{"first restart", "second restart, index lost"} {
		if again != "first restart" {
			b.Stop()
			removeIndex(t, b.Dir)
			b = startBroker(t, b.Dir)
		} else {
			b = b.restart(t)
		}
		c := b.connect(t)
		c.wantReady("purged", 0)
		c.wantBodies("acked", "1", "3", "5", "7", "9")
		c.wantReady("acked", 0)
		c.wantBodies("got", "9")
		c.wantReady("got", 0)
		c.wantBodies("rejected", "0", "1", "3", "4", "5", "6", "7", "8", "9")
		c.close()
	}
}

// What is consumed goes, what is left stays: neither a queue that is worked off while it fills nor one that
// nobody reads keeps the log.
func TestLogOfConsumedMessagesIsGivenBack(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	const rounds, perRound, size = 30, 16, 64 << 10 // 30 MiB through segments of 1 MiB
	b := startBroker(t, t.TempDir(), "--checkpoint-every", "100ms", "--retain-bytes", "0")
	c := b.connect(t)
	q, slow := c.declare("fast", queueSpec{durable: true}), c.declare("slow", queueSpec{durable: true})
	c.confirmMode()
	c.sendConfirmed("", slow, persistent("first"))
	consumer := c.consumer(q, consumerSpec{})
	for range rounds {
		for range perRound {
			c.sendConfirmed("", q, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: make([]byte, size)})
			c.must(consumer.next().Ack(false))
		}
	}
	c.sendConfirmed("", slow, persistent("last"))
	eventually(t, "few segments", func() bool { return logBytes(t, b.Dir) <= 16<<20 })
	c = b.restart(t).connect(t)
	c.wantReady(q, 0)
	c.wantBodies(slow, "first", "last")
}

// logBytes is the size of the log's files.
func logBytes(t testing.TB, dir string) int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("log of %s: %d segments, %v", dir, len(files), err)
	}
	var sum int64
	for _, file := range files {
		if info, err := os.Stat(file); err == nil { // it may just have been recycled
			sum += info.Size()
		}
	}
	return sum
}
