package index

import (
	"math"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// openStore opens a store in a folder of the test, and checks it at the end.
func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range s.Check() {
			t.Error(err)
		}
		_ = s.Close()
	})
	return s
}

// checked returns a queue that is checked at the end of the test.
func checked(t testing.TB, q *Queue) *Queue {
	t.Helper()
	t.Cleanup(func() { checkQueue(t, q) })
	return q
}

func checkQueue(t testing.TB, q *Queue) {
	t.Helper()
	for _, err := range q.Check() {
		t.Error(err)
	}
	if err := q.Err(); err != nil {
		t.Error(err)
	}
}

func fill(q *Queue, from, n int) {
	for i := range n {
		q.Push(Item{LSN: segment.LSN(from + i), Size: 10})
	}
}

func checkpoint(t testing.TB, s *Store, mark segment.LSN, queues ...*Queue) {
	t.Helper()
	c := s.Checkpoint()
	for _, q := range queues {
		c.Queue(q)
	}
	if err := c.Commit(mark); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, s *Store, id segment.QueueID) *Queue {
	t.Helper()
	q, err := s.LoadQueue(id)
	if err != nil {
		t.Fatal(err)
	}
	return checked(t, q)
}

// lsns takes all ready entries.
func lsns(q *Queue) []segment.LSN {
	var got []segment.LSN
	for {
		e, ok := q.Next()
		if !ok {
			return got
		}
		got = append(got, e.LSN)
	}
}

func TestEntriesComeInOrderOfArrival(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	q.Push(Item{LSN: 5, Size: 100})
	q.Push(Item{LSN: 9, Size: 200, Transient: true})
	if q.Push(Item{LSN: 9, Size: 1}) != 0 || q.Push(Item{LSN: 3, Size: 1}) != 0 {
		t.Error("an LSN that was pushed already was pushed again")
	}
	if q.Ready() != 2 || q.ReadyBytes() != 300 || q.Last() != 9 {
		t.Errorf("ready %d, %d bytes, last %d", q.Ready(), q.ReadyBytes(), q.Last())
	}
	first, _ := q.Peek()
	again, _ := q.Next()
	second, ok := q.Next()
	if first != again || first.LSN != 5 || !ok || second.LSN != 9 || !second.Transient || first.Transient {
		t.Errorf("got %+v, %+v, %+v", first, again, second)
	}
	if _, ok := q.Next(); ok || q.Ready() != 0 || q.InFlight() != 2 {
		t.Errorf("ready %d, in flight %d after the last", q.Ready(), q.InFlight())
	}
}

func TestRequeuedEntryComesFirstAndRedelivered(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	fill(q, 1, 3*chunkSlots)
	var early Position
	for i := range 2*chunkSlots + 100 {
		if e, _ := q.Next(); i == 70 {
			early = e.Position
		}
	}
	q.Requeue(early)
	q.Requeue(early) // ready already: ignored
	e, _ := q.Next()
	if e.LSN != 71 || !e.Redelivered || e.Position != early {
		t.Errorf("got %+v, want record 71 redelivered", e)
	}
	if e, _ = q.Next(); e.LSN != 2*chunkSlots+101 || e.Redelivered {
		t.Errorf("got %+v behind the requeued entry", e)
	}
}

func TestSettledEntryIsGoneOnce(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	fill(q, 1, 3)
	e, _ := q.Next()
	ready, _ := q.Find(3)
	for _, p := range []Position{e.Position, ready} {
		if !q.Settle(p) || q.Settle(p) {
			t.Errorf("position %d: settled not just once", p)
		}
		q.Requeue(p)
	}
	if q.Settle(0) || q.Settle(math.MaxUint64) || q.Settle(e.Position+100) {
		t.Error("settled what is no entry")
	}
	if head, ok := q.Head(); head != 2 || !ok || q.Ready() != 1 || q.InFlight() != 0 {
		t.Errorf("head %d, ready %d, in flight %d", head, q.Ready(), q.InFlight())
	}
}

func TestPositionsOfAnEmptiedQueueAreNotUsedAgain(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	seen := map[Position]bool{}
	for i := range 10 * minSlots {
		p := q.Push(Item{LSN: segment.LSN(i + 1), Size: 1})
		if seen[p] {
			t.Fatalf("position %d given twice", p)
		}
		seen[p] = true
		if !q.Settle(p) {
			t.Fatalf("position %d not settled", p)
		}
	}
	if n := len(q.open.page.entries); n != minSlots {
		t.Errorf("a queue that keeps up has a page of %d slots", n)
	}
}

func TestPageThatServesAgainHasForgottenItsFlags(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	for i := range minSlots {
		q.Push(Item{LSN: segment.LSN(i + 1), Size: 1, Transient: true})
	}
	for range minSlots {
		e, _ := q.Next()
		q.Requeue(e.Position)
		q.Settle(e.Position)
	}
	fill(q, minSlots+1, minSlots)
	for e, ok := q.Next(); ok; e, ok = q.Next() {
		if e.Redelivered || e.Transient {
			t.Errorf("%+v has the flags of an entry before it", e)
		}
	}
}

func TestLSNsFarApartBeginAChunk(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	want := []segment.LSN{1, math.MaxUint32 + 1, math.MaxUint32 + 2, 1 << 60, math.MaxUint64}
	for _, lsn := range want {
		q.Push(Item{LSN: lsn, Size: math.MaxUint32})
	}
	checkpoint(t, s, 1, q)
	q = load(t, s, 1)
	for i, lsn := range lsns(q) {
		if lsn != want[i] {
			t.Errorf("entry %d is %d, want %d", i, lsn, want[i])
		}
	}
	if n := q.SettleRange(0, math.MaxUint64); n != len(want) {
		t.Errorf("settled %d", n)
	}
}
