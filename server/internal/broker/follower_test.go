package broker_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// slowDisk is one whose syncs can be held up.
type slowDisk struct {
	mu    sync.Mutex
	held  chan struct{} // closed when syncs may go on; nil if they may
	asked chan struct{} // of capacity 1: a sync is held up
}

func newSlowDisk() *slowDisk { return &slowDisk{asked: make(chan struct{}, 1)} }

func (d *slowDisk) disk() wal.Disk {
	return wal.Disk{Datasync: func(file *os.File) error {
		d.mu.Lock()
		held := d.held
		d.mu.Unlock()
		if held != nil && strings.HasSuffix(file.Name(), ".seg") {
			select {
			case d.asked <- struct{}{}:
			default:
			}
			<-held
		}
		return file.Sync()
	}}
}

// hold holds up all syncs until release is called, at the latest when the test ends.
func (d *slowDisk) hold(t testing.TB) (release func()) {
	held := make(chan struct{})
	d.mu.Lock()
	d.held = held
	d.mu.Unlock()
	release = sync.OnceFunc(func() {
		d.mu.Lock()
		d.held = nil
		d.mu.Unlock()
		close(held)
	})
	t.Cleanup(release)
	return release
}

// await returns when a sync is held up.
func (d *slowDisk) await(t testing.TB) {
	t.Helper()
	select {
	case <-d.asked:
	case <-time.After(patience):
		t.Fatal("nobody asks for a sync")
	}
}

// openSlow starts a broker on a slow disk.
func openSlow(t testing.TB, level wal.Level) (*fixture, *slowDisk) {
	disk := newSlowDisk()
	return openWith(t, broker.Config{Disk: disk.disk(), Sync: level}), disk
}

var afterSync = amqp.Table{"x-deliver-after-sync": true}

// opened makes sure that the queue's horizon is in the log, which is another thing to wait for.
func (c *client) opened(name string, ch *broker.Channel) {
	c.f.Helper()
	c.consume(name, queue.Consumer{Tag: name, NoAck: true, Channel: ch.Channel})
	c.send(name, "first")
	want(c.f, "the first", c.received(1), "first")
}

func TestDeliveryWaitsForTheSync(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		declared broker.QueueDeclaration
		message  amqp.Properties
	}{
		{"persistent", broker.QueueDeclaration{Durable: true}, persistent},
		{"transient message", broker.QueueDeclaration{Durable: true}, amqp.Properties{}},
		{"transient queue", broker.QueueDeclaration{}, persistent},
		{"quorum", broker.QueueDeclaration{Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum"}}, amqp.Properties{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, disk := openSlow(t, wal.SyncDisk)
			c, other := f.client(), f.client()
			d := test.declared
			d.Name = "q"
			arguments := amqp.Table{"x-deliver-after-sync": true}
			for key, value := range d.Arguments {
				arguments[key] = value
			}
			d.Arguments = arguments
			c.queue(d)
			c.opened("q", c.ch)
			other.durable("other")
			other.opened("other", other.ch)

			release := disk.hold(t)
			for _, body := range []string{"a", "b"} {
				other.stage(other.ch, "", "q", test.message, body) // nobody waits for a confirm
				other.stage(other.ch, "", "other", test.message, body)
				other.flush()
			}
			want(t, "a queue that does not wait", other.received(2), "a b")
			want(t, "before the sync", c.described(c.sink.take()), "")
			disk.await(t) // though it is the consumer only who wants it
			want(t, "during the sync", c.described(c.sink.take()), "")
			want(t, "ready", c.ready("q"), 2)
			release()
			want(t, "after the sync", c.received(2), "a b")
		})
	}
}

func TestGetWaitsForTheSync(t *testing.T) {
	t.Parallel()
	f, disk := openSlow(t, wal.SyncDisk)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: afterSync})
	c.send("q", "first")
	want(t, "first", c.drain("q"), "first")
	release := disk.hold(t)
	c.sendTransient("q", "second")
	type answer struct {
		found bool
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		found, err := c.Take("q", c.ch, true)
		answers <- answer{found, err}
	}()
	disk.await(t)
	select {
	case a := <-answers:
		t.Errorf("answer before the sync: %+v", a)
	default:
	}
	release()
	want(t, "answer", <-answers, answer{true, nil})
	want(t, "message", c.received(1), "second")
}

// With --sync os a message is safe as far as that goes when it is written.
func TestDeliveryWaitsForNothingAtLevelOS(t *testing.T) {
	t.Parallel()
	f, disk := openSlow(t, wal.SyncOS)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: afterSync})
	c.opened("q", c.ch)
	disk.hold(t)
	c.send("q", "a", "b")
	want(t, "with the flush", c.described(c.sink.take()), "a b")
}

func TestWhatWasStoredIsSyncedAtTheNextStart(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(f *fixture){
		"restart": (*fixture).restart,
		"crash":   func(f *fixture) { f.crash() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, disk := openSlow(t, wal.SyncDisk)
			c := f.client()
			c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: afterSync})
			c.sendConfirmed("q", "a")
			c.send("q", "b")
			again(f)
			c = f.client()
			c.consume("q", queue.Consumer{Tag: "c"})
			c.send("q", "c")
			want(t, "deliveries", strings.ReplaceAll(c.received(3), "+", ""), "a b c")
			release := disk.hold(t)
			c.send("q", "d")
			want(t, "what is new waits", c.described(c.sink.take()), "")
			release()
			want(t, "after the sync", c.received(1), "d")
		})
	}
}

// A dead letter is a record of its own.
func TestDeadLetterWaitsForItsOwnSync(t *testing.T) {
	t.Parallel()
	f, disk := openSlow(t, wal.SyncDisk)
	c, undertaken := f.client(), f.client()
	c.queue(broker.QueueDeclaration{Name: "letters", Durable: true, Arguments: afterSync})
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "letters",
	}})
	undertaken.opened("letters", undertaken.ch)
	c.consume("q", queue.Consumer{Tag: "c"})
	c.sendConfirmed("q", "m")
	tag := c.sinkTag()
	release := disk.hold(t)
	c.ch.Settle(amqp.BasicRejectID, tag, false, queue.Rejected)
	c.flush()
	c.awaitReady("letters", 1)
	want(t, "before the sync", undertaken.described(undertaken.sink.take()), "")
	release()
	want(t, "after the sync", undertaken.received(1), "m")
}

// sinkTag waits for one delivery and returns its tag.
func (c *client) sinkTag() queue.Tag {
	c.f.Helper()
	c.sink.await(c.f, "a delivery", func() bool { return len(c.sink.mu.deliveries) == 1 })
	d := c.sink.take()[0]
	c.Sent(1, int64(d.Size))
	return d.Tag
}

// POL-04
func TestPolicyMakesDeliveriesWaitForTheSync(t *testing.T) {
	t.Parallel()
	f, disk := openSlow(t, wal.SyncDisk)
	c := f.client()
	c.durable("q")
	c.opened("q", c.ch)
	f.operatorPolicy("^q$", amqp.Table{"deliver-after-sync": true})
	release := disk.hold(t)
	c.send("q", "a", "b")
	want(t, "with the policy", c.described(c.sink.take()), "")
	dropped := make(chan error, 1)
	go func() { dropped <- f.host().DeletePolicy("^q$", true) }() // which waits for its own sync
	want(t, "without it", c.received(2), "a b")
	c.send("q", "c")
	want(t, "without it", c.received(1), "c")
	release()
	if err := <-dropped; err != nil {
		t.Error(err)
	}
}

func TestQueuesOfAllHostsFollowTheSync(t *testing.T) {
	t.Parallel()
	f, disk := openSlow(t, wal.SyncDisk)
	f.change(host("v"), access.SetPermission{Permission: access.Permission{User: "guest", VHost: "v", Configure: ".*", Write: ".*", Read: ".*"}})
	here, there := f.client(), f.clientOf(f.user("guest", "guest"), "v")
	for _, c := range []*client{here, there} {
		c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: afterSync})
		c.opened("q", c.ch)
	}
	release := disk.hold(t)
	for range 3 {
		here.send("q", "m")
		there.send("q", "m")
	}
	release()
	want(t, "in the one", here.received(3), "m m m")
	want(t, "in the other", there.received(3), "m m m")
}
