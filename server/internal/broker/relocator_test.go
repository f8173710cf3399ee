package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// smallFiles is for tests in which files of the log are relocated.
var smallFiles = broker.Config{SegmentSize: 64 << 10}

// pass writes a checkpoint and makes a pass of the relocator.
func (f *fixture) pass() {
	f.Helper()
	f.broker.FlushJournal()
	f.seal()
	if err := f.broker.Relocate(); err != nil {
		f.Fatalf("relocate: %v", err)
	}
}

// seal writes checkpoints until the files before the one being written are sealed, which the log does by itself.
func (f *fixture) seal() {
	f.Helper()
	f.checkpoint()
	for !f.broker.Sealed() {
		f.checkpoint()
	}
}

// traffic sends n messages of a KB through a queue of its own, which fill the log and are gone at once.
func (f *fixture) traffic(n int) {
	f.Helper()
	c := f.client()
	defer c.close()
	name := c.queue(broker.QueueDeclaration{Exclusive: true})
	c.consume(name, queue.Consumer{Tag: "c", NoAck: true})
	for i := range n {
		c.stage(c.ch, "", name, persistent, strings.Repeat("x", 1000))
		if i%20 == 0 { // a batch is never cut in two
			c.flush()
		}
	}
	c.flush()
	c.received(n)
}

// relocated fails the test unless files of the log have been relocated since the start.
func (f *fixture) relocated() {
	f.Helper()
	if r := f.broker.Relocations(); r.Runs == 0 || r.Returned <= 0 || r.Survivors >= r.Records {
		f.Fatalf("nothing to speak of was relocated: %+v", r)
	}
}

// afterEachRelocation is afterEach for small files: prepare calls pass, and relocated is checked.
func afterEachRelocation(t *testing.T, prepare, check func(*fixture, *client)) {
	t.Parallel()
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			f := openWith(t, smallFiles)
			prepare(f, f.client())
			f.relocated()
			end.end(f)
			check(f, f.client())
		})
	}
}

func TestMessagesOfASlowQueueOutliveTheirFiles(t *testing.T) {
	t.Parallel()
	var sent []string
	for i := range 40 {
		sent = append(sent, fmt.Sprint("m", i))
	}
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			f := openWith(t, smallFiles)
			c := f.client()
			c.durable("slow")
			for i, body := range sent {
				c.sendConfirmed("slow", body)
				f.traffic(25)
				if i%7 == 6 {
					f.pass()
				}
			}
			f.relocated()
			files := f.logFiles()
			if files > 12 { // a MB went by
				t.Errorf("the log has %d files", files)
			}
			end.end(f)
			c = f.client()
			want(t, "messages", strings.ReplaceAll(c.drain("slow"), "+", ""), strings.Join(sent, " "))
		})
	}
}

// logFiles counts the files that hold records.
func (f *fixture) logFiles() int {
	f.Helper()
	entries, err := os.ReadDir(f.cfg.Data + "/log")
	if err != nil {
		f.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "spare-") {
			n++
		}
	}
	return n
}

func TestWhatIsSettledAfterACheckpointDoesNotReturnThroughAnOlderView(t *testing.T) {
	afterEachRelocation(t, func(f *fixture, c *client) {
		c.durable("q")
		c.sendConfirmed("q", "a", "b", "c", "d")
		c.consume("q", queue.Consumer{Tag: "c", Limit: 4})
		want(f, "delivered", c.received(4), "a b c d")
		f.traffic(200)
		f.broker.FlushJournal()
		f.seal() // knows all four
		c.ack(1, false)
		c.ack(3, false)
		if err := f.broker.Relocate(); err != nil { // does not keep a and c
			f.Fatal(err)
		}
		c.ack(4, false)
	}, func(f *fixture, c *client) {
		want(f, "messages", c.drain("q"), "b+")
	})
}

func TestMessagesInTheHandsOfConsumersOutliveTheirFiles(t *testing.T) {
	afterEachRelocation(t, func(f *fixture, c *client) {
		c.durable("held")
		c.sendConfirmed("held", "a", "b", "c")
		c.consume("held", queue.Consumer{Tag: "c"})
		want(f, "delivered", c.received(3), "a b c")
		f.traffic(200)
		f.pass()
		c.ch.Settle(amqp.BasicRejectID, 2, false, queue.Returned)
		c.flush()
		want(f, "given back and delivered again", c.received(1), "b+")
		c.ack(1, false)
		f.traffic(200)
		f.pass()
	}, func(f *fixture, c *client) {
		want(f, "messages", c.drain("held"), "b+ c+")
	})
}

func TestDeliveriesThatWaitToBeSentOutliveTheirFiles(t *testing.T) {
	t.Parallel()
	f := openWith(t, smallFiles)
	c := f.client()
	c.durable("q")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	c.sendConfirmed("q", "a", "b", "c")
	f.traffic(200)
	f.pass()
	f.relocated()
	want(t, "settled, and read after the relocation", c.received(3), "a b c")
	f.traffic(200)
	f.pass()
}

func TestOpenTransactionOutlivesTheFilesOfWhatItSettles(t *testing.T) {
	afterEachRelocation(t, func(f *fixture, c *client) {
		c.durable("q")
		c.sendConfirmed("q", "a", "b", "c")
		tx := c.channel(2)
		if err := tx.SelectTx(); err != nil {
			f.Fatal(err)
		}
		c.consume("q", queue.Consumer{Tag: "c", Channel: tx.Channel})
		want(f, "delivered", c.received(3), "a b c")
		tx.Settle(amqp.BasicAckID, 1, false, queue.Acked)
		c.flush()
		f.traffic(200)
		f.pass()
		tx.Rollback()
		tx.Settle(amqp.BasicAckID, 2, false, queue.Acked)
		c.flush()
		if err := tx.Commit(); err != nil {
			f.Fatal(err)
		}
	}, func(f *fixture, c *client) {
		want(f, "messages", c.drain("q"), "a+ c+")
	})
}

func TestMessagesThatExchangesKeepOutliveTheirFiles(t *testing.T) {
	afterEachRelocation(t, func(f *fixture, c *client) {
		c.delayedExchange("later", "fanout", "q", "")
		c.stage(c.ch, "later", "", delay(anHour, nil), "delayed")
		c.exchange(broker.ExchangeDeclaration{
			Name: "recent", Type: "x-recent-history", Durable: true, Arguments: amqp.Table{"x-recent-history-length": int32(2)},
		})
		for _, body := range []string{"a", "b", "c"} {
			c.stage(c.ch, "recent", "", persistent, body)
		}
		c.flush()
		f.traffic(200)
		f.pass()
	}, func(f *fixture, c *client) {
		want(f, "held", f.broker.Held("/"), 3)
		c.durable("new")
		c.bind("recent", "new", "")
		want(f, "history", c.drain("new"), "b c")
	})
}

func TestDeadLettersThatWaitOutliveTheirFiles(t *testing.T) { // DLX-11
	afterEachRelocation(t, func(f *fixture, c *client) {
		c.exchange(broker.ExchangeDeclaration{Name: "dlx", Type: "fanout", Durable: true})
		c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{
			"x-queue-type": "quorum", "x-dead-letter-exchange": "dlx", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		}})
		c.sendConfirmed("q", "a", "b")
		c.consume("q", queue.Consumer{Tag: "c", Limit: 1})
		want(f, "delivered", c.received(1), "a")
		c.ch.Settle(amqp.BasicRejectID, 1, false, queue.Rejected)
		c.flush()
		f.traffic(200)
		f.pass()
	}, func(f *fixture, c *client) {
		c.durable("letters")
		c.bind("dlx", "letters", "")
		c.consume("q", queue.Consumer{Tag: "c", Limit: 1})
		got := c.received(1)
		if got == "a+" { // the crash took its death, which comes again
			c.ch.Settle(amqp.BasicRejectID, 1, false, queue.Rejected)
			c.flush()
		}
		c.consume("letters", queue.Consumer{Tag: "l", NoAck: true})
		if got == "a+" {
			want(f, "next, and the letter", sortedWords(c.received(2)), "a b+")
		} else {
			want(f, "the letter", c.received(1), "a")
		}
	})
}

func TestFanOutKeepsAMessageForTheQueuesThatStillWantIt(t *testing.T) {
	afterEachRelocation(t, func(f *fixture, c *client) {
		for i := range 20 { // so many that the log writes their list once
			name := fmt.Sprint("q", i)
			c.durable(name)
			c.bind("amq.fanout", name, "")
		}
		for _, body := range []string{"a", "b"} {
			c.stage(c.ch, "amq.fanout", "", persistent, body)
		}
		c.flush()
		for i := range 19 {
			if _, err := c.Purge(fmt.Sprint("q", i)); err != nil {
				f.Fatal(err)
			}
		}
		f.traffic(200)
		f.pass()
	}, func(f *fixture, c *client) {
		for i := range 19 {
			want(f, "ready", c.ready(fmt.Sprint("q", i)), 0)
		}
		want(f, "messages", strings.ReplaceAll(c.drain("q19"), "+", ""), "a b")
	})
}

func TestQueuesAndBindingsOutliveTheirFiles(t *testing.T) {
	afterEachRelocation(t, func(f *fixture, c *client) {
		c.durable("pin")
		c.sendConfirmed("pin", "p")
		f.traffic(100)
		c.durable("kept")
		c.durable("gone")
		c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "direct", Durable: true, AutoDelete: true})
		c.bind("x", "gone", "k")
		c.bind("amq.direct", "kept", "k")
		c.sendConfirmed("gone", "lost")
		if _, err := c.DeleteQueue("gone", false, false); err != nil { // and x with it
			f.Fatal(err)
		}
		f.traffic(100)
		c.durable("gone")
		c.sendConfirmed("gone", "found")
		f.traffic(200)
		f.pass()
	}, func(f *fixture, c *client) {
		want(f, "of the second queue of its name", strings.TrimSuffix(c.drain("gone"), "+"), "found")
		want(f, "routed", c.stage(c.ch, "amq.direct", "k", persistent, "m"), true)
		if err := c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Passive: true}); err == nil {
			f.Error("the exchange that deleted itself is back")
		}
		c.flush()
		want(f, "ready", c.ready("kept"), 1)
	})
}

// A relocation that the disk fails is given up: nothing is lost by it, and the next one works.
func TestRelocationThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	cfg := smallFiles
	var fails atomic.Bool
	cfg.Disk.WriteAt = func(file *os.File, p []byte, offset int64) (int, error) {
		if fails.Load() && strings.Contains(file.Name(), ".old") {
			return 0, errors.New("injected")
		}
		return file.WriteAt(p, offset)
	}
	f := openWith(t, cfg)
	c := f.client()
	c.durable("q")
	c.sendConfirmed("q", "a", "b")
	f.traffic(200)
	f.broker.FlushJournal()
	f.seal()
	fails.Store(true)
	if err := f.broker.Relocate(); err == nil {
		t.Fatal("a relocation worked without a disk")
	}
	want(t, "relocations", f.broker.Relocations().Runs, 0)
	fails.Store(false)
	f.pass()
	f.relocated()
	f.crash(loseIndex)
	c = f.client()
	want(t, "messages", strings.ReplaceAll(c.drain("q"), "+", ""), "a b")
}

// Whenever the machine stops during a relocation, what it leaves is enough, with an index and without.
func TestCrashAtEachStepOfARelocation(t *testing.T) {
	t.Parallel()
	cfg := smallFiles
	var f *fixture
	var copies []string // guarded by copying
	var copying sync.Mutex
	var watching atomic.Bool
	cfg.Disk.Datasync = func(file *os.File) error {
		copying.Lock()
		defer copying.Unlock()
		if watching.Load() && (strings.Contains(file.Name(), ".old") || strings.HasSuffix(file.Name(), "log")) {
			copies = append(copies, f.copyData())
		}
		return file.Sync()
	}
	f = openWith(t, cfg)
	c := f.client()
	c.durable("q")
	c.sendConfirmed("q", "a", "b", "c")
	c.consume("q", queue.Consumer{Tag: "c", Limit: 3})
	want(t, "delivered", c.received(3), "a b c")
	f.traffic(200)
	f.broker.FlushJournal()
	f.seal()
	c.ack(2, false)
	f.broker.FlushJournal()
	watching.Store(true)
	if err := f.broker.Relocate(); err != nil {
		t.Fatal(err)
	}
	watching.Store(false)
	f.relocated()
	copies = append(copies, f.copyData())
	if len(copies) < 3 {
		t.Fatalf("%d steps", len(copies))
	}
	for i, data := range copies {
		for _, index := range []bool{true, false} {
			cfg := cfg
			cfg.Data, cfg.Disk, cfg.CheckpointEvery = data, wal.Disk{}, f.cfg.CheckpointEvery
			if !index {
				loseIndex(data)
			}
			again := &fixture{TB: t, cfg: cfg}
			again.start()
			c := again.client()
			want(t, fmt.Sprintf("messages after step %d of %d, index: %t", i+1, len(copies), index), c.drain("q"), "a+ c+")
			again.stop()
		}
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", len(copies), 2*len(copies), 4*len(copies))
}

// A file that is damaged is not given up, and does not keep others from being relocated.
func TestDamagedFilesAreNotRelocated(t *testing.T) {
	for name, harm := range map[string]func(f *fixture){
		"damaged": func(f *fixture) {
			f.stop()
			f.harm("needle in a haystack")
			f.start()
		},
		"not to be read": func(f *fixture) {
			if err := os.Truncate(f.fileWith("needle in a haystack"), segment.HeaderSize); err != nil {
				f.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { testSpoiltFile(t, harm) })
	}
}

func testSpoiltFile(t *testing.T, harm func(f *fixture)) {
	t.Parallel()
	f := openWith(t, smallFiles)
	c := f.client()
	c.durable("q")
	c.sendConfirmed("q", "a")
	f.traffic(150)
	c.sendConfirmed("q", "needle in a haystack")
	f.traffic(150)
	f.eventually("seals", f.broker.Sealed) // without a checkpoint, behind which the file might be relocated first
	harm(f)
	c = f.client()
	f.traffic(100)
	f.broker.FlushJournal()
	f.seal()
	failures := 0
	for range 5 {
		if err := f.broker.Relocate(); err != nil {
			failures++
		}
	}
	f.relocated()
	if failures > 2 { // the relocator makes attempts by itself too
		t.Errorf("%d attempts failed, want 2: with its group, and by itself", failures)
	}
	want(t, "ready", c.ready("q"), 2)
	c.close()
	f.broker.Close() // the log cannot be verified
	f.broker = nil
}

// harm changes a byte of a text in the log.
func (f *fixture) harm(text string) {
	f.Helper()
	file := f.fileWith(text)
	data, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	data[bytes.Index(data, []byte(text))] ^= 1
	if err := os.WriteFile(file, data, 0o640); err != nil {
		f.Fatal(err)
	}
}

// fileWith is the log's file that holds a text.
func (f *fixture) fileWith(text string) string {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(f.cfg.Data, "log", "*.seg"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if bytes.Contains(data, []byte(text)) {
			return file
		}
	}
	f.Fatalf("%q is not in the log", text)
	return ""
}

func sortedWords(words string) string {
	sorted := strings.Fields(words)
	slices.Sort(sorted)
	return strings.Join(sorted, " ")
}
