package index

import (
	"errors"
	"math"
	"slices"
	"sort"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/segment"
)

// modelEntry and modelQueue are the oracle: a slice, searched from the front.
type modelEntry struct {
	lsn         segment.LSN
	size        uint32
	inFlight    bool
	redelivered bool
	transient   bool
	deadline    int64
	pushed      int64 // the deadline that the log has
	returns     uint32
}

// due is the deadline of a ready entry, far away if it has none.
func (e *modelEntry) due() int64 {
	if e.inFlight || e.deadline == 0 {
		return math.MaxInt64
	}
	return e.deadline
}

type modelQueue struct {
	entries []modelEntry
	last    segment.LSN
	horizon segment.LSN

	copied, stored map[segment.LSN]past // as of the last copy, the last commit
}

// past is what an entry has been through.
type past struct {
	redelivered bool
	returns     uint32
	deadline    int64
}

func (m *modelQueue) pasts() map[segment.LSN]past {
	set := map[segment.LSN]past{}
	for _, e := range m.entries {
		set[e.lsn] = past{e.redelivered, e.returns, e.deadline}
	}
	return set
}

func (m *modelQueue) index(lsn segment.LSN) int {
	return sort.Search(len(m.entries), func(i int) bool { return m.entries[i].lsn >= lsn })
}

func (m *modelQueue) remove(gone func(modelEntry) bool) int {
	before := len(m.entries)
	m.entries = slices.DeleteFunc(m.entries, gone)
	return before - len(m.entries)
}

// logRecord is one record of the simulated log: a push, a settled range or a horizon.
type logRecord struct {
	lsn       segment.LSN
	queue     int
	push      bool
	size      uint32
	transient bool
	deadline  int64
	settled   segment.Range
	horizon   segment.LSN
}

// machine drives a store and its queues beside the model. The log is a slice.
type machine struct {
	fs     *vfs.MemFS
	store  *Store
	queues []*Queue
	models []*modelQueue
	log    []logRecord
	last   segment.LSN
	now    int64
}

// modelQueues are a plain queue and two levels of a priority queue.
var modelQueues = []levelID{{1, 0}, {2, 4}, {2, 9}}

func newMachine(t *rapid.T) *machine {
	m := &machine{fs: vfs.NewMem(), now: 1000}
	m.open(t)
	for _, id := range modelQueues {
		m.queues = append(m.queues, m.store.NewLevel(id.queue, id.level))
		m.models = append(m.models, &modelQueue{stored: map[segment.LSN]past{}})
	}
	return m
}

func (m *machine) open(t *rapid.T) {
	var err error
	if m.store, err = Open(Config{Dir: "index", FS: m.fs}); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) pick(t *rapid.T) (int, *Queue, *modelQueue) {
	i := rapid.IntRange(0, len(modelQueues)-1).Draw(t, "queue")
	return i, m.queues[i], m.models[i]
}

// amount draws numbers around those at which chunks begin and pages grow.
func amount(t *rapid.T) int {
	return rapid.SampledFrom([]int{1, 1, 2, 3, 15, 16, 17, 63, 64, 65, 300, 1000, 4000, 4096, 9000}).Draw(t, "amount")
}

func (m *machine) record(r logRecord) segment.LSN {
	m.last++
	r.lsn = m.last
	m.log = append(m.log, r)
	return r.lsn
}

func (m *machine) Push(t *rapid.T) {
	i, q, model := m.pick(t)
	transients := rapid.SampledFrom([]int{0, 0, 1, 2, 7, 1000}).Draw(t, "one transient in")
	gap := rapid.SampledFrom([]segment.LSN{0, 0, 0, 1, 100, 1 << 31, 1 << 33}).Draw(t, "gap")
	m.last += gap
	// Queues without deadlines, with one time to live, with any.
	ttl := rapid.SampledFrom([]int64{0, 0, 50, 1000, -1000}).Draw(t, "time to live")
	for j := range amount(t) {
		if len(model.entries) > 40_000 {
			return
		}
		r := logRecord{queue: i, push: true, size: uint32(j * 7 % 1000), transient: transients > 0 && j%transients == 0}
		switch {
		case ttl > 0:
			r.deadline = m.now + ttl + int64(j/10)
		case ttl < 0 && j%3 > 0:
			r.deadline = m.now + int64(j)*7919%-ttl
		}
		r.lsn = m.record(r)
		if q.Push(r.item()) == 0 {
			t.Fatalf("push of %d ignored", r.lsn)
		}
		if q.Push(r.item()) != 0 {
			t.Fatalf("second push of %d not ignored", r.lsn)
		}
		model.entries = append(model.entries, modelEntry{lsn: r.lsn, size: r.size, transient: r.transient, deadline: r.deadline, pushed: r.deadline})
		model.last = r.lsn
	}
}

func (m *machine) Next(t *rapid.T) {
	_, q, model := m.pick(t)
	n, i := amount(t), 0
	for range n {
		for i < len(model.entries) && model.entries[i].inFlight {
			i++
		}
		peeked, _ := q.Peek()
		got, ok := q.Next()
		if ok != (i < len(model.entries)) || got != peeked {
			t.Fatalf("next: %+v %t, peeked %+v, model has %d at %d", got, ok, peeked, len(model.entries), i)
		}
		if !ok {
			return
		}
		want := &model.entries[i]
		want.compare(t, got)
		want.inFlight = true
	}
}

func (e *modelEntry) compare(t *rapid.T, got Entry) {
	want := Entry{
		Position: got.Position, LSN: e.lsn, Size: e.size, Deadline: e.deadline,
		Returns: e.returns, Redelivered: e.redelivered, Transient: e.transient,
	}
	if got != want {
		t.Fatalf("took %+v, want %+v", got, want)
	}
}

// Due lets time pass and takes some or all of what is due.
func (m *machine) Due(t *rapid.T) {
	_, q, model := m.pick(t)
	m.now += rapid.SampledFrom([]int64{0, 0, 1, 10, 100, 1000}).Draw(t, "later")
	now := m.now + rapid.SampledFrom([]int64{0, 0, 0, -20, 20, math.MaxInt64 - m.now}).Draw(t, "clock off by")
	i := 0
	for range amount(t) {
		for i < len(model.entries) && model.entries[i].due() > min(now, math.MaxInt64-1) {
			i++
		}
		got, ok := q.Due(now)
		if ok != (i < len(model.entries)) {
			t.Fatalf("due at %d: %+v %t, model has %d at %d", now, got, ok, len(model.entries), i)
		}
		if !ok {
			if next, ok := q.NextDeadline(); ok && next <= now {
				t.Fatalf("nothing is due at %d, yet the next deadline is %d", now, next)
			}
			return
		}
		want := &model.entries[i]
		want.compare(t, got)
		want.inFlight = true
	}
}

// some draws the LSNs of live entries in flight (or of any): a run or a scatter.
func some(t *rapid.T, model *modelQueue, inFlight bool) []segment.LSN {
	var candidates []segment.LSN
	for _, e := range model.entries {
		if e.inFlight || !inFlight {
			candidates = append(candidates, e.lsn)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	from := rapid.IntRange(0, len(candidates)-1).Draw(t, "from")
	step := rapid.SampledFrom([]int{1, 1, 2, 3, 700}).Draw(t, "step")
	var chosen []segment.LSN
	n := amount(t)
	for i := from; i < len(candidates) && len(chosen) < n; i += step {
		chosen = append(chosen, candidates[i])
	}
	if rapid.Bool().Draw(t, "backwards") {
		slices.Reverse(chosen)
	}
	return chosen
}

func (m *machine) Settle(t *rapid.T) {
	i, q, model := m.pick(t)
	gone := map[segment.LSN]bool{}
	for _, lsn := range some(t, model, rapid.Bool().Draw(t, "in flight only")) {
		p, ok := q.Find(lsn)
		if !ok || !q.Settle(p) || q.Settle(p) {
			t.Fatalf("settle %d: found %t, or not settled just once", lsn, ok)
		}
		if _, ok := q.Find(lsn); ok {
			t.Fatalf("settled %d is found", lsn)
		}
		gone[lsn] = true
		m.record(logRecord{queue: i, settled: segment.Range{From: lsn, To: lsn}})
	}
	model.remove(func(e modelEntry) bool { return gone[e.lsn] })
}

func (m *machine) Requeue(t *rapid.T) {
	_, q, model := m.pick(t)
	counted := rapid.Bool().Draw(t, "counted")
	for _, lsn := range some(t, model, true) {
		p, ok := q.Find(lsn)
		if !ok {
			t.Fatalf("%d not found", lsn)
		}
		e := &model.entries[model.index(lsn)]
		e.inFlight, e.redelivered = false, true
		if counted {
			q.RequeueCounted(p)
			q.RequeueCounted(p) // ready already: ignored
			e.returns++
		} else {
			q.Requeue(p)
		}
	}
}

func (m *machine) Retime(t *rapid.T) {
	_, q, model := m.pick(t)
	by := rapid.SampledFrom([]int64{0, 40, 3000}).Draw(t, "time to live")
	chosen := some(t, model, false)
	slices.Sort(chosen)
	deadlines := make([]int64, len(chosen))
	for i, lsn := range chosen {
		if by > 0 && i%5 > 0 {
			deadlines[i] = m.now + by + int64(i%100)
		}
		model.entries[model.index(lsn)].deadline = deadlines[i]
	}
	q.Retime(chosen, deadlines)
}

func (m *machine) Live(t *rapid.T) {
	_, q, model := m.pick(t)
	got := live(q)
	if len(got) != len(model.entries) {
		t.Fatalf("%d live entries listed, want %d", len(got), len(model.entries))
	}
	for i, e := range model.entries {
		if got[i] != e.lsn {
			t.Fatalf("live entry %d is %d, want %d", i, got[i], e.lsn)
		}
	}
}

func (m *machine) SettleRange(t *rapid.T) {
	i, q, model := m.pick(t)
	bound := func(label string) segment.LSN {
		if len(model.entries) == 0 || rapid.IntRange(0, 9).Draw(t, "any") == 0 {
			return segment.LSN(rapid.Uint64().Draw(t, label))
		}
		near := rapid.SampledFrom([]segment.LSN{0, 1, ^segment.LSN(0)}).Draw(t, "near")
		return model.entries[rapid.IntRange(0, len(model.entries)-1).Draw(t, label)].lsn + near
	}
	r := segment.Range{From: bound("from"), To: bound("to")}
	want := model.remove(func(e modelEntry) bool { return r.From <= e.lsn && e.lsn <= r.To })
	if got := q.SettleRange(r.From, r.To); got != want {
		t.Fatalf("settled %d of %v, want %d", got, r, want)
	}
	m.record(logRecord{queue: i, settled: r})
}

func (m *machine) Purge(t *rapid.T) {
	i, q, model := m.pick(t)
	var ranges []segment.Range
	got := q.Purge(func(from, to segment.LSN) { ranges = append(ranges, segment.Range{From: from, To: to}) })
	covered, r, between := 0, 0, true
	for _, e := range model.entries {
		for r < len(ranges) && ranges[r].To < e.lsn {
			if r++; r < len(ranges) && (ranges[r].From <= ranges[r-1].To || !between && ranges[r].From <= e.lsn) {
				t.Fatalf("ranges %v and %v out of order, or nothing in flight between them", ranges[r-1], ranges[r])
			}
			between = e.inFlight
		}
		inside := r < len(ranges) && ranges[r].From <= e.lsn
		if inside == e.inFlight {
			t.Fatalf("entry %+v within a purged range: %t", e, inside)
		}
		if inside {
			covered++
		} else {
			between = true
		}
	}
	if got != covered {
		t.Fatalf("purged %d, model has %d", got, covered)
	}
	model.remove(func(e modelEntry) bool { return !e.inFlight })
	for _, r := range ranges {
		m.record(logRecord{queue: i, settled: r})
	}
}

func (m *machine) Horizon(t *rapid.T) {
	i, q, model := m.pick(t)
	h := m.last + segment.LSN(rapid.IntRange(-200, 200).Draw(t, "ahead"))
	if h == 0 || h > 1<<63 { // 0 is no horizon
		return // the log is still short
	}
	q.SetHorizon(h)
	model.horizon = h
	m.record(logRecord{queue: i, horizon: h})
}

// Checkpoint is fuzzy: queues work on after one was copied.
func (m *machine) Checkpoint(t *rapid.T) {
	c, mark := m.store.Checkpoint(), m.last
	abandon := rapid.IntRange(0, 3).Draw(t, "abandon") == 0
	for i, q := range m.queues {
		c.Queue(q)
		m.models[i].copied = m.models[i].pasts()
		if abandon && i == 0 {
			return
		}
		if q.Dirty() && q.generation != c.generation {
			t.Fatal("dirty after it was copied")
		}
		if rapid.Bool().Draw(t, "meanwhile") {
			m.Push(t)
			m.Next(t)
			m.Settle(t)
			m.Purge(t)
		}
	}
	if err := c.Commit(mark); err != nil {
		t.Fatal(err)
	}
	for _, model := range m.models {
		model.stored = model.copied
	}
}

func (m *machine) CleanRestart(t *rapid.T) {
	c := m.store.Checkpoint()
	for i, q := range m.queues {
		c.Queue(q)
		m.models[i].stored = m.models[i].pasts()
	}
	if err := c.Commit(m.last); err != nil {
		t.Fatal(err)
	}
	m.restart(t, true)
}

func (m *machine) Crash(t *rapid.T) { m.restart(t, rapid.Bool().Draw(t, "clean")) }

// restart closes the store without a checkpoint and replays the log from the mark.
func (m *machine) restart(t *rapid.T, clean bool) {
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	for i, id := range modelQueues {
		m.queues[i] = m.reload(t, id)
	}
	for _, r := range m.log {
		if q := m.queues[r.queue]; r.lsn > m.store.Mark() {
			switch {
			case r.push:
				q.Push(r.item())
			case r.horizon > 0:
				q.SetHorizon(r.horizon)
			default:
				q.SettleRange(r.settled.From, r.settled.To)
			}
		}
	}
	for i, q := range m.queues {
		q.Recover(clean)
		m.models[i].restart(clean)
	}
}

func (r logRecord) item() Item {
	return Item{LSN: r.lsn, Size: r.size, Transient: r.transient, Deadline: r.deadline}
}

func (m *machine) reload(t *rapid.T, id levelID) *Queue {
	var q *Queue
	var err error
	if id.level == 0 {
		q, err = m.store.LoadQueue(id.queue)
	} else {
		var levels map[byte]*Queue
		levels, err = m.store.LoadLevels(id.queue)
		if q = levels[id.level]; len(levels) > 0 && (len(levels) != 2 || q == nil) {
			t.Fatalf("loaded the levels %v", levels)
		}
	}
	if errors.Is(err, ErrNoQueue) && m.store.Mark() == 0 {
		q, err = m.store.NewLevel(id.queue, id.level), nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if q.ID() != id.queue || q.Level() != id.level {
		t.Fatalf("loaded %v as %v", id, q.levelID())
	}
	return q
}

// Recover in place serves an owner that gives all of a queue's deliveries up at once.
func (m *machine) Recover(t *rapid.T) {
	_, q, model := m.pick(t)
	clean := rapid.Bool().Draw(t, "clean")
	q.Recover(clean)
	model.remove(func(e modelEntry) bool { return e.transient })
	for i := range model.entries {
		e := &model.entries[i]
		e.inFlight = false
		e.redelivered = e.redelivered || !clean && e.lsn <= model.horizon
	}
}

func (m *modelQueue) restart(clean bool) {
	m.remove(func(e modelEntry) bool { return e.transient })
	for i := range m.entries {
		e := &m.entries[i]
		e.inFlight = false
		e.redelivered = m.stored[e.lsn].redelivered || !clean && e.lsn <= m.horizon
		e.returns = m.stored[e.lsn].returns
		e.deadline = e.pushed
		if before, ok := m.stored[e.lsn]; ok {
			e.deadline = before.deadline
		}
	}
}

// check compares the counts after every step.
func (m *machine) check(t *rapid.T) {
	for i, q := range m.queues {
		model := m.models[i]
		ready, inFlight, bytes, head := 0, 0, int64(0), segment.LSN(0)
		liveBytes, due := int64(0), int64(math.MaxInt64)
		for j, e := range model.entries {
			if j == 0 {
				head = e.lsn
			}
			liveBytes += int64(e.size)
			due = min(due, e.due())
			if e.inFlight {
				inFlight++
				continue
			}
			ready++
			bytes += int64(e.size)
		}
		if q.Ready() != ready || q.InFlight() != inFlight || q.ReadyBytes() != bytes || q.Last() != model.last {
			t.Fatalf("queue %d: ready %d, in flight %d, bytes %d, last %d; want %d, %d, %d, %d", i,
				q.Ready(), q.InFlight(), q.ReadyBytes(), q.Last(), ready, inFlight, bytes, model.last)
		}
		if got, ok := q.NextDeadline(); q.LiveBytes() != liveBytes || due < math.MaxInt64 && (!ok || got > due) {
			t.Fatalf("queue %d: %d bytes live, next deadline %d %t; want %d, %d", i, q.LiveBytes(), got, ok, liveBytes, due)
		}
		if got, ok := q.Head(); got != head || ok != (ready+inFlight > 0) {
			t.Fatalf("queue %d: head %d %t, want %d", i, got, ok, head)
		}
		if q.Horizon() != model.horizon {
			t.Fatalf("queue %d: horizon %d, want %d", i, q.Horizon(), model.horizon)
		}
		for _, err := range q.Check() {
			t.Error(err)
		}
		if err := q.Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestQueuesBehaveLikeTheModel is the main test of the package: any sequence of
// operations, checkpoints and crashes leaves queues as the slice model has them.
func TestQueuesBehaveLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"":             m.check,
			"push":         m.Push,
			"pushMore":     m.Push,
			"next":         m.Next,
			"nextMore":     m.Next,
			"due":          m.Due,
			"settle":       m.Settle,
			"requeue":      m.Requeue,
			"settleRange":  m.SettleRange,
			"purge":        m.Purge,
			"horizon":      m.Horizon,
			"checkpoint":   m.Checkpoint,
			"checkpoint2":  m.Checkpoint,
			"cleanRestart": m.CleanRestart,
			"crash":        m.Crash,
			"recover":      m.Recover,
			"live":         m.Live,
			"liveIn":       m.LiveIn,
			"spread":       m.Spread,
		})
		for _, err := range m.store.Check() {
			t.Error(err)
		}
		m.CleanRestart(t)
		m.check(t)
		for _, err := range m.store.Check() {
			t.Error(err)
		}
		if err := m.store.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
