package index

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// live walks over all live entries, chunk by chunk.
func live(q *Queue) (all []segment.LSN) {
	for above := segment.LSN(0); ; above = all[len(all)-1] {
		before := len(all)
		if all = q.Live(all, above); len(all) == before {
			return all
		}
	}
}

func TestLiveEntriesAreListedInFlightOrNot(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	if got := live(q); got != nil {
		t.Errorf("an empty queue has %v", got)
	}
	const n = 3*chunkSlots + 5
	var want []segment.LSN
	for i := range segment.LSN(n) {
		q.Push(Item{LSN: 2 * (i + 1), Size: 1})
	}
	for i := range segment.LSN(n) {
		e, _ := q.Next()
		if i%3 == 0 {
			q.Settle(e.Position)
			continue
		}
		want = append(want, e.LSN)
	}
	if got := live(q); !slices.Equal(got, want) {
		t.Errorf("%d live entries listed, want %d", len(got), len(want))
	}
	if got := q.Live(nil, want[len(want)-1]); got != nil {
		t.Errorf("behind the last there are %v", got)
	}
}

func TestRetimedEntriesAreDueAtTheirNewTime(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 0, 30, 10, 0)
	q.Next()                                                  // in flight
	q.Retime([]segment.LSN{1, 2, 3, 9}, []int64{20, 5, 0, 7}) // 9 is not there
	wantNextDeadline(t, q, 5)
	if got := dueLSNs(q, 15); !slices.Equal(got, []segment.LSN{2}) {
		t.Errorf("%v are due", got)
	}
	q.Requeue(Position(q.chunks[0].position(0)))
	if got := dueLSNs(q, 25); !slices.Equal(got, []segment.LSN{1}) {
		t.Errorf("%v are due, want what came back", got)
	}
	wantNextDeadline(t, q, 0)
	if got := lsns(q); !slices.Equal(got, []segment.LSN{3, 4}) {
		t.Errorf("%v remain", got)
	}
}

func TestRetimedEntriesMayBeDueAfterASweepThatPassedThem(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 0, 10)
	if got := dueLSNs(q, 50); !slices.Equal(got, []segment.LSN{2}) {
		t.Errorf("%v are due", got)
	}
	q.Retime([]segment.LSN{1}, []int64{40})
	if got := dueLSNs(q, 50); !slices.Equal(got, []segment.LSN{1}) {
		t.Errorf("%v are due", got)
	}
}

// A queue of several chunks, some of them paged out, is retimed between checkpoints, and loaded again.
func TestRetimedDeadlinesAreStored(t *testing.T) {
	store := openStore(t, t.TempDir())
	q := checked(t, store.NewQueue(1))
	const n = 5 * chunkSlots
	random := rand.New(rand.NewPCG(1, 2))
	for i := range segment.LSN(n) {
		q.Push(Item{LSN: i + 1, Size: 1, Deadline: random.Int64N(3) * 1000})
	}
	mark := segment.LSN(0)
	save := func() {
		t.Helper()
		mark = q.Last()
		c := store.Checkpoint()
		c.Queue(q)
		if err := c.Commit(mark); err != nil {
			t.Fatal(err)
		}
	}
	save()
	save() // pages out
	copied := store.Checkpoint()
	copied.Queue(q)
	want := make(map[segment.LSN]int64)
	for round := range 2 {
		for above := segment.LSN(0); ; {
			some := q.Live(nil, above)
			if len(some) == 0 {
				break
			}
			deadlines := make([]int64, len(some))
			for i, lsn := range some {
				if round == 0 || lsn%2 == 0 {
					deadlines[i] = 5000 + random.Int64N(1000)
				}
				want[lsn] = deadlines[i]
			}
			q.Retime(some, deadlines)
			above = some[len(some)-1]
		}
		if round == 0 { // a checkpoint that was under way has the old ones, and the next the new ones
			if err := copied.Commit(mark); err != nil {
				t.Fatal(err)
			}
		}
		save()
	}
	loaded, err := store.LoadQueue(1)
	if err != nil {
		t.Fatal(err)
	}
	checked(t, loaded)
	for e, ok := loaded.Next(); ok; e, ok = loaded.Next() {
		if e.Deadline != want[e.LSN] {
			t.Fatalf("entry %d has deadline %d, want %d", e.LSN, e.Deadline, want[e.LSN])
		}
	}
}
