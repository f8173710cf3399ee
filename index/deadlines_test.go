package index

import (
	"math"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// dueLSNs takes all that is due and settles it.
func dueLSNs(q *Queue, now int64) []segment.LSN {
	var got []segment.LSN
	for e, ok := q.Due(now); ok; e, ok = q.Due(now) {
		got = append(got, e.LSN)
		q.Settle(e.Position)
	}
	return got
}

// pushDeadlines pushes entries 1, 2, ... with the given deadlines.
func pushDeadlines(q *Queue, deadlines ...int64) {
	for i, at := range deadlines {
		q.Push(Item{LSN: segment.LSN(i + 1), Size: 1, Deadline: at})
	}
}

func wantNextDeadline(t *testing.T, q *Queue, want int64) {
	t.Helper()
	if got, ok := q.NextDeadline(); got != want || ok != (want != 0) {
		t.Errorf("next deadline is %d, %t, want %d", got, ok, want)
	}
}

func TestEntriesAreDueBehindOthersThatAreNot(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 0, 30, 10, 99, 20, 0)
	wantNextDeadline(t, q, 10)
	if got := dueLSNs(q, 9); got != nil {
		t.Errorf("%v are due too early", got)
	}
	if got := dueLSNs(q, 30); !slices.Equal(got, []segment.LSN{2, 3, 5}) {
		t.Errorf("%v are due, want the three up to 30, in order of arrival", got)
	}
	wantNextDeadline(t, q, 99)
	if got := lsns(q); !slices.Equal(got, []segment.LSN{1, 4, 6}) {
		t.Errorf("%v remain", got)
	}
}

func TestDueEntryIsInFlightAndComesBackWithItsDeadline(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 10)
	e, ok := q.Due(10)
	if !ok || e.Deadline != 10 || q.Ready() != 0 || q.InFlight() != 1 {
		t.Errorf("took %+v, %t; %d ready, %d in flight", e, ok, q.Ready(), q.InFlight())
	}
	wantNextDeadline(t, q, 0)
	q.Requeue(e.Position)
	wantNextDeadline(t, q, 10)
	if again, ok := q.Next(); !ok || again.Position != e.Position || again.Deadline != 10 {
		t.Errorf("came back as %+v", again)
	}
}

func TestEntryInFlightIsNotDueUntilItReturns(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 10, 20)
	e, _ := q.Next()
	if got := dueLSNs(q, 15); got != nil {
		t.Errorf("%v are due", got)
	}
	wantNextDeadline(t, q, 20)
	q.Requeue(e.Position)
	if got := dueLSNs(q, 15); !slices.Equal(got, []segment.LSN{1}) {
		t.Errorf("%v are due, want the one that returned", got)
	}
}

// TestNextDeadlineIsNeverStuck returns an entry without a deadline to a chunk that the
// sweep has passed, and whose entry with the least deadline is still in flight.
func TestNextDeadlineIsNeverStuck(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	const nextChunk = math.MaxUint32 + 9
	q.Push(Item{LSN: 1, Deadline: 5})
	q.Push(Item{LSN: 2})
	q.Push(Item{LSN: nextChunk, Deadline: 5})
	q.Next()
	second, _ := q.Next()
	if got := dueLSNs(q, 10); !slices.Equal(got, []segment.LSN{nextChunk}) {
		t.Errorf("%v are due", got)
	}
	q.Push(Item{LSN: nextChunk + 1, Deadline: 6})
	q.Requeue(second.Position)
	if got := dueLSNs(q, 10); !slices.Equal(got, []segment.LSN{nextChunk + 1}) {
		t.Errorf("%v are due", got)
	}
	if at, ok := q.NextDeadline(); ok && at <= 10 {
		t.Errorf("nothing is due at 10, but the next deadline is %d", at)
	}
}

func TestClockMayGoBackwards(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 50, 10, 50)
	for _, step := range []struct {
		now  int64
		want segment.LSN
	}{{20, 2}, {60, 1}, {20, 0}, {60, 3}} {
		e, ok := q.Due(step.now)
		if ok != (step.want > 0) || e.LSN != step.want {
			t.Errorf("at %d record %d is due, want %d", step.now, e.LSN, step.want)
		}
	}
}

func TestDeadlinesOutOfRangeAreNone(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, -1, math.MinInt64, math.MaxInt64, math.MaxInt64-1)
	wantNextDeadline(t, q, math.MaxInt64-1)
	if got := dueLSNs(q, math.MaxInt64); !slices.Equal(got, []segment.LSN{4}) {
		t.Errorf("%v are due at the end of time", got)
	}
}

func TestDeadlinesSurviveARestart(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	pushDeadlines(q, 30, 0, 10, 20)
	q.SettleRange(3, 3)
	taken, _ := q.Next() // what was in flight counts again
	checkpoint(t, s, 1, q)
	q = load(t, s, 1)
	q.Recover(false)
	wantNextDeadline(t, q, 20)
	if pages(q) != 0 {
		t.Error("the next deadline was read from a chunk")
	}
	if got := dueLSNs(q, 30); !slices.Equal(got, []segment.LSN{taken.LSN, 4}) {
		t.Errorf("%v are due", got)
	}
	wantNextDeadline(t, q, 0)
}

func TestOnlyChunksThatAreDueArePagedIn(t *testing.T) {
	const chunks = 50
	due := map[int]bool{3: true, 4: true, 30: true} // chunks with a due entry each
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	for i := range chunks * chunkSlots {
		it := Item{LSN: segment.LSN(i + 1), Size: 10, Deadline: 5000 + int64(i)}
		if due[i/chunkSlots] && i%chunkSlots == 77 {
			it.Deadline = 1000
		}
		q.Push(it)
	}
	checkpoint(t, s, 1, q)
	for name, q := range map[string]*Queue{"paged out": q, "loaded": load(t, s, 1)} {
		q.rest()
		before := q.clock
		if got := len(dueLSNs(q, 1000)); got != len(due) {
			t.Errorf("%s: %d entries are due, want %d", name, got, len(due))
		}
		// Loading and looking count one each; the settling looks at the same chunk.
		if looks := q.clock - before; looks > 2*uint32(len(due)) {
			t.Errorf("%s: %d looks for %d chunks", name, looks, len(due))
		}
		wantNextDeadline(t, q, 5000)
		before = q.clock
		if q.Due(4999); q.clock != before {
			t.Errorf("%s: a chunk was looked at though nothing is due", name)
		}
	}
}

// TestStoredLeastDeadlineIsThatOfTheLive has the entry with the least deadline leave
// each chunk: a restart must not read chunks for what is gone.
func TestStoredLeastDeadlineIsThatOfTheLive(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	for i := range 5 * chunkSlots {
		q.Push(Item{LSN: segment.LSN(i + 1), Size: 10, Deadline: map[bool]int64{true: 100, false: 9000}[i%chunkSlots == 5]})
	}
	checkpoint(t, s, 1, q)
	if got := dueLSNs(q, 100); len(got) != 5 {
		t.Errorf("%v are due", got)
	}
	checkpoint(t, s, 1, q)
	q = load(t, s, 1)
	wantNextDeadline(t, q, 9000)
	if _, ok := q.Due(8999); ok || pages(q) != 0 {
		t.Errorf("due: %t, %d chunks were read", ok, pages(q))
	}
}

func TestPageThatServesAgainHasForgottenItsDeadlines(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	lsn := segment.LSN(0)
	for round := range 4 {
		for i := range minSlots {
			lsn++
			it := Item{LSN: lsn}
			if round%2 == 0 {
				it.Deadline = int64(1 + i)
			}
			q.Push(it)
		}
		for e, ok := q.Next(); ok; e, ok = q.Next() {
			if (e.Deadline != 0) != (round%2 == 0) {
				t.Errorf("round %d: %+v", round, e)
			}
			q.Settle(e.Position)
		}
	}
}

func TestReplayedDeadlineIsNotPushedTwice(t *testing.T) {
	q := checked(t, openStore(t, t.TempDir()).NewQueue(1))
	pushDeadlines(q, 50)
	if q.Push(Item{LSN: 1, Deadline: 10}) != 0 {
		t.Error("pushed twice")
	}
	wantNextDeadline(t, q, 50)
}
