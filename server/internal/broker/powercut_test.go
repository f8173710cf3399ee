package broker_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

var (
	powerCuts = flag.Int("power.cuts", 24, "cut points of the power cut test, of each of which two remains are checked")
	powerSeed = flag.Uint64("power.seed", 1, "seed of the power cut test")
)

// TestNothingPromisedIsLostInPowerCuts cuts the power of a whole broker at moments of its work on the disk, and holds
// what starts from the remains against what clients had been told by then.
func TestNothingPromisedIsLostInPowerCuts(t *testing.T) {
	const each = 40 // cut points of one broker
	var sum powerSum
	for seed := *powerSeed; sum.cuts < *powerCuts && !t.Failed(); seed++ {
		run := &powerRun{t: t, chance: rand.New(rand.NewPCG(seed, 3)), sum: &sum}
		run.run(min(each, *powerCuts-sum.cuts))
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}
	if sum.cuts >= 100 && (sum.old == 0 || sum.unfinished == 0 || sum.beside == 0) {
		t.Error("no relocation was cut off")
	}
	t.Logf("power cuts: seeds from %d, %d remains started from, %d of them without an index\n"+
		"relocations: %d remains with old-generation files, %d with one that was being written, %d with one beside what it replaces\n"+
		"deliveries looked for %d, transactions %d", *powerSeed, sum.starts, sum.rebuilt,
		sum.old, sum.unfinished, sum.beside, sum.delivered, sum.transactions)
	t.Logf("crash: 0 rounds, %d cut points, %d faults, %d looked for, %d lost",
		sum.cuts, sum.starts, sum.confirmed+sum.transactions, sum.lost)
}

type powerSum struct {
	cuts, starts, rebuilt, confirmed, delivered, transactions, lost int

	old, unfinished, beside int // remains by what the relocator had got to
}

// told is what clients knew at a moment. It is guarded by powerRun.mu.
type told struct {
	published, acking map[string]bool // by body; acking: the acknowledgement has been begun
	sequence          []string        // bodies of confirmed publishes, by number - 1
	confirmed         uint64          // of them
	delivered         map[string]map[segment.LSN]bool
	committed, begun  int // of the chain of transactions
}

func (k *told) clone() told {
	c := *k
	c.published, c.acking = maps.Clone(k.published), maps.Clone(k.acking)
	c.delivered = map[string]map[segment.LSN]bool{}
	for name, lsns := range k.delivered {
		c.delivered[name] = maps.Clone(lsns)
	}
	return c
}

// powerRun is one broker, its clients, and the cuts of its power.
type powerRun struct {
	t       testing.TB
	f       *fixture
	machine *machine
	chance  *rand.Rand // owned by who holds the machine's lock
	sum     *powerSum

	done  atomic.Bool
	cuts  chan remains
	sinks map[string]*sink // of consumers, by queue
	mu    struct {
		sync.Mutex
		told told
	}
}

// remains is what a cut left.
type remains struct {
	folder string
	index  func() (vfs.FS, error)
	told   told
}

func (r *powerRun) run(cuts int) {
	r.t.Helper()
	data := filepath.Join(r.t.TempDir(), "data")
	r.machine = newMachine(r.t, data)
	r.mu.told = told{published: map[string]bool{}, acking: map[string]bool{}, delivered: map[string]map[segment.LSN]bool{}}
	r.f = &fixture{TB: r.t, cfg: broker.Config{
		Data: data, SegmentSize: 64 << 10, Sync: wal.SyncDisk, Disk: r.machine.disk(), IndexFS: r.machine.indexFS(),
		CheckpointEvery: 15 * time.Millisecond,
	}}
	r.f.start()
	setup := r.f.client()
	setup.durable("plain")
	setup.durable("letters")
	setup.queue(broker.QueueDeclaration{Name: "dying", Durable: true, Arguments: amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "letters",
	}})
	setup.queue(broker.QueueDeclaration{Name: "synced", Durable: true, Arguments: amqp.Table{"x-deliver-after-sync": true}})
	setup.durable("a")
	setup.durable("b")
	plain, dying, letters, chain, keeper := r.f.client(), r.f.client(), r.f.client(), r.f.client(), r.f.client()
	publisher := r.f.client()
	publisher.sendConfirmed("plain", "the first") // so that the declarations are safe
	r.mu.told.published["the first"] = true
	r.mu.told.sequence = []string{"the first"}
	r.sinks = map[string]*sink{"": publisher.sink, "plain": plain.sink, "dying": dying.sink, "letters": letters.sink, "synced": keeper.sink}

	r.cuts = make(chan remains)
	left, seed := cuts, r.chance.Uint64() // the chance belongs to the machine's lock from here on
	r.machine.mu.Lock()
	r.machine.mu.event = func() {
		if left == 0 || r.chance.IntN(25) != 0 {
			return
		}
		left--
		r.cut()
		if left == 0 {
			close(r.cuts)
		}
	}
	r.machine.mu.Unlock()

	var clients sync.WaitGroup
	clients.Go(func() { r.publish(publisher, rand.New(rand.NewPCG(seed, 1))) })
	clients.Go(func() { r.consume(plain, "plain", 10, amqp.BasicAckID, queue.Acked) })
	clients.Go(func() { r.consume(dying, "dying", 1, amqp.BasicRejectID, queue.Rejected) })
	clients.Go(func() { r.consume(letters, "letters", 10, amqp.BasicAckID, queue.Acked) })
	clients.Go(func() { r.commit(chain) })
	keeper.consume("synced", queue.Consumer{Tag: "c"}) // and settles nothing
	for c := range r.cuts {
		if !r.t.Failed() {
			r.check(c)
		}
		os.RemoveAll(c.folder)
	}
	r.sum.cuts += cuts
	r.done.Store(true)
	for _, s := range r.sinks {
		s.note(func() {}) // wakes who waits
	}
	clients.Wait()
	for _, c := range r.f.clients {
		c.close()
	}
	if err := r.f.broker.Close(); err != nil {
		r.t.Error(err)
	}
}

// cut notes what is known, and what would be left. The machine stands still meanwhile.
func (r *powerRun) cut() {
	r.mu.Lock()
	known := r.mu.told.clone()
	known.confirmed = r.sinks[""].confirmed(1)
	for name, s := range r.sinks {
		s.mu.Lock()
		lsns := map[segment.LSN]bool{}
		for _, d := range s.mu.deliveries {
			lsns[d.LSN] = true
		}
		s.mu.Unlock()
		known.delivered[name] = lsns
	}
	r.mu.Unlock()
	for range 2 {
		folder, err := os.MkdirTemp(filepath.Dir(r.f.cfg.Data), "cut")
		if err != nil {
			r.t.Error(err)
			return
		}
		index, err := r.machine.cutLocked(folder, r.chance)
		if err != nil {
			r.t.Error(err)
			return
		}
		r.cuts <- remains{folder, index, known}
	}
}

// publish sends confirmed messages to plain and dying until the run is over.
func (r *powerRun) publish(c *client, chance *rand.Rand) {
	for n := 1; !r.done.Load(); {
		sent := uint64(0)
		for range 1 + chance.IntN(20) {
			to := []string{"plain", "dying"}[chance.IntN(2)]
			if chance.IntN(20) == 0 {
				to = "synced"
			}
			body := fmt.Sprintf("%s %d %s", to, n, strings.Repeat("x", chance.IntN(1500)))
			r.mu.Lock()
			r.mu.told.published[body] = true
			r.mu.told.sequence = append(r.mu.told.sequence, body)
			sent = uint64(len(r.mu.told.sequence))
			r.mu.Unlock()
			c.stage(c.ch, "", to, persistent, body)
			n++
		}
		c.flush()
		if chance.IntN(3) > 0 || r.t.Failed() {
			c.sink.await(r.f, "confirms", func() bool { return c.sink.confirmedLocked(1) >= sent })
		}
	}
}

// consume settles all but one in so many of the messages of a queue; 1 is all.
func (r *powerRun) consume(c *client, name string, but int, method amqp.MethodID, outcome queue.Outcome) {
	c.consume(name, queue.Consumer{Tag: "c"})
	for seen := 0; !r.done.Load(); {
		c.sink.await(r.f, "deliveries", func() bool { return len(c.sink.mu.deliveries) > seen || r.done.Load() })
		c.sink.mu.Lock()
		news := append([]queue.Delivery(nil), c.sink.mu.deliveries[min(seen, len(c.sink.mu.deliveries)):]...)
		c.sink.mu.Unlock()
		for _, d := range news {
			seen++
			body := c.body(d.LSN)
			c.Sent(1, int64(d.Size))
			if but > 1 && seen%but == 0 {
				continue
			}
			r.mu.Lock()
			r.mu.told.acking[body] = r.mu.told.acking[body] || outcome == queue.Acked
			r.mu.Unlock()
			c.ch.Settle(method, d.Tag, false, outcome)
		}
		c.view.Release()
		c.flush()
	}
}

// commit carries a number on from transaction to transaction: each acknowledges it in two queues and publishes the
// next to both.
func (r *powerRun) commit(c *client) {
	ch := c.ch
	if err := ch.SelectTx(); err != nil {
		r.t.Error(err)
		return
	}
	for _, name := range []string{"a", "b"} {
		c.consume(name, queue.Consumer{Tag: name})
	}
	for n := 1; !r.done.Load(); n++ {
		r.mu.Lock()
		r.mu.told.begun = n
		r.mu.Unlock()
		for _, name := range []string{"a", "b"} {
			c.stage(ch, "", name, persistent, fmt.Sprint(n))
		}
		for _, d := range c.sink.take() {
			ch.Settle(amqp.BasicAckID, d.Tag, false, queue.Acked)
			c.Sent(1, int64(d.Size))
		}
		c.flush()
		if err := ch.Commit(); err != nil {
			r.t.Errorf("commit: %v", err)
			return
		}
		r.mu.Lock()
		r.mu.told.committed = n
		r.mu.Unlock()
		c.sink.await(r.f, "deliveries", func() bool { return len(c.sink.mu.deliveries) == 2 })
	}
}

// check starts a broker on what is left and looks for what was promised.
func (r *powerRun) check(c remains) {
	r.t.Helper()
	index, err := c.index()
	if err != nil {
		r.t.Error(err)
		return
	}
	if r.sum.starts%4 == 3 { // and the log must do without it
		index = vfs.NewMem()
	}
	r.sum.starts++
	r.sum.countOld(r.t, filepath.Join(c.folder, "log"))
	f := &fixture{TB: r.t, cfg: broker.Config{
		Data: c.folder, SegmentSize: 64 << 10, CheckpointEvery: time.Hour, IndexFS: index, Disk: wal.Disk{
			Datasync: func(*os.File) error { return nil },
			Allocate: func(file *os.File, size int64, _ func(int64) error) error { return file.Truncate(size) },
		},
	}}
	b, err := broker.Open(f.cfg)
	if err != nil {
		r.t.Errorf("start after a power cut: %v", err)
		return
	}
	f.broker = b
	defer f.stop()
	if recovery := b.Recovery(); len(recovery.Log.Quarantined) > 0 {
		r.t.Errorf("a power cut passes for damage: %v", recovery.Log.Quarantined)
	} else if recovery.Rebuilt {
		r.sum.rebuilt++
	}
	client, found := f.client(), map[string]map[string]int{}
	for _, name := range []string{"plain", "dying", "letters", "synced", "a", "b"} {
		found[name] = r.take(client, name, &c.told)
	}
	r.judge(found, &c.told)
}

// countOld notes how far relocations had come.
func (s *powerSum) countOld(t testing.TB, log string) {
	entries, err := os.ReadDir(log)
	if err != nil {
		t.Error(err)
	}
	covered := 0 // by files of the old generation so far
	old, unfinished, beside := false, false, false
	for _, entry := range entries { // by name and so by first record, files of the old generation before segments
		first, last := 0, 0
		switch {
		case strings.HasSuffix(entry.Name(), ".old.tmp"):
			unfinished = true
		case strings.HasSuffix(entry.Name(), ".old"):
			old = true
			_, _ = fmt.Sscanf(entry.Name(), "%d-%d", &first, &last)
			covered = last
		default:
			n, _ := fmt.Sscanf(entry.Name(), "%d.seg", &first)
			beside = beside || n == 1 && first <= covered
		}
	}
	for n, is := range map[*int]bool{&s.old: old, &s.unfinished: unfinished, &s.beside: beside} {
		if is {
			*n++
		}
	}
}

// take empties a queue and counts its bodies. What was delivered from it before must say so, and be there if the
// queue delivers what is synced and nobody settles.
func (r *powerRun) take(c *client, name string, known *told) map[string]int {
	r.t.Helper()
	counts, seen := map[string]int{}, 0
	for {
		found, err := c.Take(name, c.ch, false)
		if err != nil {
			r.t.Errorf("get from %q: %v", name, err)
			return counts
		}
		if !found {
			if gone := len(known.delivered[name]) - seen; name == "synced" && gone > 0 {
				r.sum.lost += gone
				r.t.Errorf("%d of the messages that a consumer of synced ones has seen are lost", gone)
			}
			return counts
		}
		c.sink.await(c.f, "a delivery", func() bool { return len(c.sink.mu.deliveries) > 0 })
		for _, d := range c.sink.take() {
			counts[c.body(d.LSN)]++
			c.Sent(1, int64(d.Size))
			c.view.Release()
			if known.delivered[name][d.LSN] {
				r.sum.delivered++
				seen++
				if !d.Redelivered {
					r.t.Errorf("record %d of %q was delivered before and is not marked", d.LSN, name)
				}
			}
		}
	}
}

// judge holds what was found against what clients had been told.
func (r *powerRun) judge(found map[string]map[string]int, known *told) {
	r.t.Helper()
	times := map[string]int{}
	for _, name := range []string{"plain", "dying", "letters", "synced"} {
		for body, n := range found[name] {
			times[body] += n
		}
	}
	for body, n := range times {
		if n > 1 || !known.published[body] {
			r.t.Errorf("message %.20q is there %d times, published: %v", body, n, known.published[body])
		}
	}
	for _, body := range known.sequence[:known.confirmed] {
		r.sum.confirmed++
		if times[body] == 0 && !known.acking[body] {
			r.sum.lost++
			r.t.Errorf("confirmed message %.20q is lost", body)
		}
	}
	r.sum.transactions += known.committed
	in := map[string]int{}
	for _, name := range []string{"a", "b"} {
		for body := range found[name] {
			_, err := fmt.Sscan(body, new(int))
			in[body]++
			if err != nil {
				r.t.Errorf("a message that nobody sent: %.20q", body)
			}
		}
	}
	for body, n := range in {
		number := 0
		_, _ = fmt.Sscan(body, &number)
		if n != 2 || len(in) != 1 || number < known.committed || number > known.begun {
			r.t.Errorf("transaction %s is in %d queues of 2, beside %d others; %d was committed, %d begun",
				body, n, len(in)-1, known.committed, known.begun)
		}
	}
	if known.committed > 0 && len(in) == 0 {
		r.sum.lost++
		r.t.Errorf("transaction %d is lost", known.committed)
	}
}
