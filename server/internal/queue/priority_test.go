package queue_test

import (
	"testing"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// prioritized makes a durable queue with priorities up to 9.
func (f *fixture) prioritized(change func(*queue.Rules)) *queue.Queue {
	q := f.durable()
	r := queue.NoRules
	r.MaxPriority = 9
	if change != nil {
		change(&r)
	}
	q.SetRules(r, f.now)
	return q
}

// pushPriorities adds a message of each priority; negative names none.
func (f *fixture) pushPriorities(q *queue.Queue, priorities ...int) {
	for _, p := range priorities {
		f.last++
		q.Push(queue.Message{
			LSN: f.last, Size: uint32(f.last), Time: f.now, Expiration: -1, Priority: uint8(max(p, 0)), Prioritized: p >= 0,
		})
	}
	f.dispatch()
}

func TestHigherPrioritiesAreDeliveredFirst(t *testing.T) { // PRIO-01, PRIO-03
	quorum := queue.Declaration{Durable: true, Quorum: true}
	for _, test := range []struct {
		name        string
		declaration queue.Declaration
		max         uint8
		priorities  []int
		want        string
	}{
		{"none", queue.Declaration{}, 0, []int{1, 9, 0}, "c:1 c:2 c:3"},
		{"strict, in order inside", queue.Declaration{}, 9, []int{0, 3, 0, 9, 3}, "c:4 c:2 c:5 c:1 c:3"},
		{"above the highest", queue.Declaration{}, 5, []int{5, 200, 4, 6}, "c:1 c:2 c:4 c:3"},
		{"absent", queue.Declaration{}, 9, []int{-1, 0, 1, -1}, "c:3 c:1 c:2 c:4"},
		{"all there are", queue.Declaration{}, 255, []int{0, 254, 255, 1}, "c:3 c:2 c:4 c:1"},
		{"quorum", quorum, 31, []int{4, -1, 5, 3, 31, 0, 99}, "c:5 c:7 c:3 c:1 c:2 c:4 c:6"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, out := newFixture(t), newOutlet()
			q := f.queue(test.declaration)
			q.RaiseHorizon(openHorizon)
			r := queue.NoRules
			r.MaxPriority = test.max
			q.SetRules(r, f.now)
			f.pushPriorities(q, test.priorities...)
			f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
			want(t, "deliveries", out.words(), test.want)
			wantCounts(t, q, 0, len(test.priorities))
		})
	}
}

func TestReturnedMessageKeepsItsPriorityAndPlace(t *testing.T) { // PRIO-02
	f, out := newFixture(t), newOutlet()
	q := f.prioritized(nil)
	f.pushPriorities(q, 1, 5, 5, 1)
	ch := queue.NewChannel(1, out)
	for range 3 {
		f.get(q, ch, false)
	}
	want(t, "deliveries", out.words(), "get:2 get:3 get:1")
	f.pushPriorities(q, 5)
	f.settle(ch, 0, true, queue.Returned)
	wantCounts(t, q, 5, 0)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	want(t, "deliveries", out.words(), "c:2+ c:3+ c:5 c:1+ c:4")
}

func TestLimitDropsWhatWouldBeDeliveredNext(t *testing.T) { // LEN-02
	for _, test := range []struct {
		lowest bool
		want   string
	}{{false, "c:3 c:2"}, {true, "c:1 c:3"}} {
		f, out := newFixture(t), newOutlet()
		q := f.prioritized(func(r *queue.Rules) { r.MaxLength, r.DropsLowest = 2, test.lowest })
		f.pushPriorities(q, 3, 0, 2)
		f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
		want(t, "what is left", out.words(), test.want)
	}
}

// A range in the log is one of records, in whichever lane they are: it must not reach over one that lives.
func TestRangesNeverReachOverAMessageOfAnotherPriority(t *testing.T) {
	for _, test := range []struct {
		name  string
		leave func(f *fixture, q *queue.Queue, ch *queue.Channel)
		want  string
	}{
		{"settled", func(f *fixture, _ *queue.Queue, ch *queue.Channel) {
			f.settle(ch, 3, true, queue.Acked) // 2, 4, 5
		}, "ack 2-2, ack 4-5"},
		{"purged beside one in flight", func(_ *fixture, q *queue.Queue, _ *queue.Channel) {
			want(t, "purged", q.Purge(), 2)
		}, "purge 1-1, purge 3-3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, out := newFixture(t), newOutlet()
			q := f.prioritized(nil)
			f.pushPriorities(q, 1, 5, 1, 5, 5)
			ch := queue.NewChannel(1, out)
			for range 3 {
				f.get(q, ch, false)
			}
			test.leave(f, q, ch)
			want(t, "journal", f.takeWritten(q), test.want)
		})
	}
	f := newFixture(t)
	q := f.prioritized(nil)
	f.pushPriorities(q, 1, 5, 1, 5)
	want(t, "purged with nothing in flight", q.Purge(), 4)
	want(t, "journal", f.takeWritten(q), "purge 2-4, purge 1-3")
}

func TestExpiryReachesEveryPriority(t *testing.T) { // PRIO-02, TTL-01
	f := newFixture(t)
	q := f.prioritized(nil)
	for i, expiration := range []int64{50, 10, -1, 30} {
		f.last++
		q.Push(queue.Message{LSN: f.last, Time: f.now, Expiration: expiration, Priority: uint8(i), Prioritized: true})
	}
	f.dispatch()
	var left []int
	for range 3 {
		at, ok := f.agenda.NextTime()
		if !ok {
			t.Fatal("no next time")
		}
		f.now = at
		f.agenda.Tick(at)
		left = append(left, q.Ready())
	}
	want(t, "ready after each tick", left, []int{3, 2, 1})
}

// Nothing is handed out before a horizon at or above it is in the log, whatever lane it is in.
func TestEachPriorityWaitsForTheHorizon(t *testing.T) { // ACK-07
	const apart = 3 << 19
	f, out := newFixture(t), newOutlet()
	q := f.queue(queue.Declaration{Durable: true})
	r := queue.NoRules
	r.MaxPriority = 9
	q.SetRules(r, f.now)
	push := func(priority uint8) {
		f.last += apart
		q.Push(queue.Message{LSN: f.last, Time: f.now, Expiration: -1, Priority: priority, Prioritized: true})
		f.dispatch()
	}
	ch := queue.NewChannel(1, out)
	get := func() string {
		_, err := f.get(q, ch, false)
		if err != nil {
			return err.Error()
		}
		return out.words()
	}
	wait := queue.ErrBehindHorizon.Error()
	for range 3 {
		push(0)
	}
	want(t, "get", get(), wait)
	want(t, "journal", f.takeWritten(q), "horizon 2621440")
	want(t, "the first", get(), "get:1572864")
	push(5)
	want(t, "a higher one beyond the horizon", get(), wait)
	want(t, "journal", f.takeWritten(q), "horizon open")
	want(t, "the higher one", get(), "get:6291456")

	q.Rest()
	want(t, "journal", f.takeWritten(q), "horizon 6291456")
	want(t, "the second, which nobody has seen", get(), wait)
	want(t, "journal, which never falls below what was handed out", f.takeWritten(q), "horizon 6291457")
	want(t, "the second", get(), "get:3145728")
}

func TestPrioritiesReturnFromTheIndex(t *testing.T) { // DUR-01, ACK-07
	f, out := newFixture(t), newOutlet()
	q := f.prioritized(nil)
	f.pushPriorities(q, 0, 3, 0, 9)
	ch := queue.NewChannel(1, out)
	f.get(q, ch, false) // 4
	f.get(q, ch, false) // 2
	f.settle(ch, 1, false, queue.Acked)
	q.Rest()
	f.settleDown()
	out.take()

	c := f.store.Checkpoint()
	for level := range q.Levels() {
		c.Queue(level)
	}
	if err := c.Commit(f.last); err != nil {
		t.Fatal(err)
	}
	levels, err := f.store.LoadLevels(q.ID)
	if err != nil {
		t.Fatal(err)
	}
	again := queue.New(q.Declaration, levels[0], &queue.Agenda{})
	for _, level := range []byte{9, 3} {
		again.AddLevel(levels[level])
	}
	again.SetRules(q.Rules(), f.now)
	again.Push(queue.Message{LSN: 5, Priority: 7, Prioritized: true, Expiration: -1}) // replayed
	again.Settled(3, 3)
	if err := again.Recovered(); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, again, 3, 0)
	again.RaiseHorizon(openHorizon)
	for range 3 {
		f.get(again, ch, false)
	}
	want(t, "deliveries", out.words(), "get:5 get:2+ get:1") // nobody has seen 1, though 4 was handed out
}

func TestMessageWithPriorityCostsNoAllocation(t *testing.T) {
	f := newFixture(t)
	q, out := f.prioritized(nil), &sink{}
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 10})
	var queues []*queue.Queue
	message := func() {
		f.pushPriorities(q, int(f.last%10))
		if err := ch.Settle(out.last.Tag, false, queue.Acked); err != nil {
			t.Fatal(err)
		}
		if queues = f.agenda.TakeJournal(queues[:0]); len(queues) == 1 {
			f.scratch = q.TakeJournal(f.scratch, func(*queue.Taker, segment.SettleReason, []segment.Range) {})
		}
	}
	for range 50_000 {
		message()
	}
	if got := testing.AllocsPerRun(10_000, message); got > 0 {
		t.Errorf("%v allocations a message", got)
	}
}

func TestQueueWithoutPrioritiesHasOneLevel(t *testing.T) {
	f := newFixture(t)
	q := f.durable()
	f.pushPriorities(q, 1, 9, 255)
	var levels []*index.Queue
	for level := range q.Levels() {
		levels = append(levels, level)
	}
	want(t, "levels", len(levels), 1)
}

func TestLimitWaitsForTheHorizonOfAConsumer(t *testing.T) { // LEN-05
	f, out := newFixture(t), newOutlet()
	q := f.queue(queue.Declaration{Durable: true})
	r := queue.NoRules
	r.MaxLength = 0
	q.SetRules(r, f.now)
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out), Limit: 1})
	f.push(q, 2)
	f.settleDown()
	want(t, "deliveries", out.words(), "c:1")
	wantCounts(t, q, 0, 1)
}
