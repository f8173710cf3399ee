package index

import (
	"math"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// RequeueCounted is what most callers do with a count.
func (q *Queue) RequeueCounted(p Position) {
	q.CountReturn(p, func(returns uint32) uint32 { return min(returns, math.MaxUint32-1) + 1 })
	q.Requeue(p)
}

func TestOnlyCountedReturnsCount(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	fill(q, 1, 2)
	for i, requeue := range []func(Position){q.Requeue, q.RequeueCounted, q.Requeue, q.RequeueCounted} {
		e, _ := q.Next()
		if want := uint32(i / 2); e.LSN != 1 || e.Returns != want || e.Redelivered != (i > 0) {
			t.Errorf("delivery %d: %+v, want %d returns", i+1, e, want)
		}
		requeue(e.Position)
		requeue(e.Position) // ready already: ignored
	}
	e, _ := q.Next()
	if e.Returns != 2 {
		t.Errorf("%+v, want 2 returns", e)
	}
	q.Settle(e.Position)
	q.RequeueCounted(e.Position) // gone
	if e, _ = q.Next(); e.LSN != 2 || e.Returns != 0 {
		t.Errorf("its neighbour: %+v", e)
	}
}

func TestReturnsAreStoredAtCheckpoints(t *testing.T) {
	s, q := stored(t, 3*chunkSlots)
	var held []Entry
	for range 2*chunkSlots + 10 {
		e, _ := q.Next()
		held = append(held, e)
	}
	want := map[segment.LSN]uint32{}
	for i, e := range held {
		if i%700 == 0 { // some of each chunk
			q.RequeueCounted(e.Position)
			want[e.LSN] = 1
		}
	}
	checkpoint(t, s, 1, q)
	again, _ := q.Next()
	q.RequeueCounted(again.Position) // no checkpoint has this one
	q = load(t, s, 1)
	q.Recover(true)
	for e, ok := q.Next(); ok; e, ok = q.Next() {
		if e.Returns != want[e.LSN] || e.Redelivered != (want[e.LSN] > 0) {
			t.Errorf("%+v, want %d returns", e, want[e.LSN])
		}
	}
}

func TestReturnsOutliveTheEntriesOfTheirPage(t *testing.T) {
	s, q := stored(t, 8*chunkSlots)
	first, _ := q.Next()
	q.RequeueCounted(first.Position)
	for range 8 * chunkSlots { // one entry in flight keeps the bitmaps of the first chunk
		q.Next()
	}
	checkpoint(t, s, 1, q)
	checkpoint(t, s, 1, q)
	if c := q.chunks[0]; c.loaded() || c.page == nil {
		t.Fatal("the first chunk is not in the state that this is about")
	}
	q.RequeueCounted(first.Position)
	if e, _ := q.Next(); e.LSN != 1 || e.Returns != 2 {
		t.Errorf("%+v, want 2 returns", e)
	}
}

func TestReturnsSaturate(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, 1)
	for range 3 {
		e, _ := q.Next()
		q.RequeueCounted(e.Position)
		q.open.page.rare.returns[0] = max(q.open.page.rare.returns[0], math.MaxUint32-1)
	}
	checkpoint(t, s, 1, q)
	for _, q := range []*Queue{q, load(t, s, 1)} {
		if e, _ := q.Next(); e.Returns != math.MaxUint32 {
			t.Errorf("%+v", e)
		}
	}
}

func TestPageThatServesAgainHasForgottenItsReturns(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	for i := range 4 * minSlots {
		q.Push(Item{LSN: segment.LSN(i + 1), Deadline: 9})
		e, _ := q.Next()
		if e.Returns != 0 {
			t.Errorf("%+v has the count of an entry before it", e)
		}
		q.RequeueCounted(e.Position)
		q.Settle(e.Position)
	}
}
