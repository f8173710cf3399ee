package index

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

// pages counts the chunks with entries in memory.
func pages(q *Queue) int {
	n := 0
	for _, c := range q.chunks {
		if c.loaded() {
			n++
		}
	}
	return n
}

// stored returns a store and a queue of n entries that is paged out.
func stored(t testing.TB, n int) (*Store, *Queue) {
	t.Helper()
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, n)
	checkpoint(t, s, 1, q)
	checkpoint(t, s, 1, q) // finds it clean and pages it out
	return s, q
}

func TestStoredBacklogIsPagedOut(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	for i := range 20 {
		fill(q, 1+i*2*chunkSlots, 2*chunkSlots)
		checkpoint(t, s, 1, q)
		if n := pages(q); n > keepTouched+4 {
			t.Fatalf("%d pages resident after %d checkpoints", n, i+1)
		}
	}
	checkpoint(t, s, 1, q)
	if n := pages(q); n != 0 {
		t.Errorf("idle queue has %d pages", n)
	}
	most := 0
	for want := segment.LSN(1); want <= 40*chunkSlots; want++ {
		e, _ := q.Next()
		if e.LSN != want {
			t.Fatalf("got %d, want %d", e.LSN, want)
		}
		most = max(most, pages(q))
	}
	if most > keepTouched+2 {
		t.Errorf("up to %d pages resident while reading", most)
	}
}

func TestUnstoredChunksStayResident(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, 10*chunkSlots)
	s.Checkpoint().Queue(q) // given up
	q.trim()
	if n := pages(q); n != 10 {
		t.Errorf("%d of 10 pages resident, none is stored", n)
	}
}

func TestEntriesInFlightSurvivePaging(t *testing.T) {
	s, q := stored(t, 10*chunkSlots)
	var taken []Entry
	for range 5 * chunkSlots {
		e, _ := q.Next()
		taken = append(taken, e)
	}
	checkpoint(t, s, 1, q)
	if n := pages(q); n > 1 {
		t.Errorf("%d pages resident", n)
	}
	if q.InFlight() != len(taken) {
		t.Errorf("%d in flight, want %d", q.InFlight(), len(taken))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(taken), func(i, j int) { taken[i], taken[j] = taken[j], taken[i] })
	for i, e := range taken[:300] {
		if i%2 == 0 {
			q.Requeue(e.Position)
		} else if !q.Settle(e.Position) {
			t.Errorf("%+v not settled", e)
		}
	}
	if e, _ := q.Next(); !e.Redelivered || q.InFlight() != len(taken)-300+1 {
		t.Errorf("got %+v, %d in flight", e, q.InFlight())
	}
	if n := pages(q); n > keepTouched+3 {
		t.Errorf("%d pages resident", n)
	}
}

func TestRestartReadsNoChunk(t *testing.T) {
	s, q := stored(t, 10*chunkSlots)
	q.SettleRange(1, 100)
	q.SetHorizon(500)
	checkpoint(t, s, 1, q)
	q = load(t, s, 1)
	q.Recover(false)
	head, _ := q.Head()
	if pages(q) != 0 || head != 101 || q.Ready() != 10*chunkSlots-100 || q.ReadyBytes() != int64(q.Ready())*10 {
		t.Errorf("%d pages, head %d, ready %d", pages(q), head, q.Ready())
	}
	for i, lsn := range []segment.LSN{101, 500, 501} {
		p, _ := q.Find(lsn)
		for e, _ := q.Next(); e.Position != p; e, _ = q.Next() {
			if !e.Redelivered {
				t.Fatalf("%+v within the horizon", e)
			}
		}
		if i == 2 {
			if e, _ := q.Next(); e.Redelivered {
				t.Errorf("%+v beyond the horizon", e)
			}
		}
	}
}

func TestHorizonSetAheadDoesNotReachLaterEntries(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, 10)
	q.SetHorizon(1000)
	q.Recover(false)
	fill(q, 11, 1)
	for range 10 {
		if e, _ := q.Next(); !e.Redelivered {
			t.Errorf("%+v is not redelivered", e)
		}
	}
	if e, _ := q.Next(); e.Redelivered {
		t.Errorf("%+v was pushed after the recovery", e)
	}
}

func TestTransientEntriesVanishAtRecovery(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, 2*chunkSlots) // two chunks without
	lsn := q.Last()
	for i := range 3 * chunkSlots { // one mixed, one wholly, one mixed
		lsn++
		q.Push(Item{LSN: lsn, Size: 1, Transient: i >= chunkSlots/2 && i < 2*chunkSlots+10})
	}
	checkpoint(t, s, 1, q)
	q = load(t, s, 1)
	q.Recover(true)
	if want := 2*chunkSlots + chunkSlots/2 + chunkSlots - 10; q.Ready() != want {
		t.Errorf("%d ready, want %d", q.Ready(), want)
	}
	if n := pages(q); n != 2 {
		t.Errorf("%d chunks were read, want the two mixed ones", n)
	}
	checkpoint(t, s, 1, q)
	q = load(t, s, 1)
	q.Recover(true)
	if pages(q) != 0 {
		t.Error("chunks were read for transient entries that are gone")
	}
}

func TestSettledChunksLeaveNoKeys(t *testing.T) {
	s, q := stored(t, 5*chunkSlots)
	q.SettleRange(chunkSlots+1, 2*chunkSlots)                // a chunk whole
	q.SettleRange(2*chunkSlots+10, 4*chunkSlots+10)          // parts and a whole one
	for lsn := segment.LSN(1); lsn <= chunkSlots; lsn += 2 { // every second
		p, _ := q.Find(lsn)
		q.Settle(p)
	}
	checkpoint(t, s, 1, q)
	if n := countKeys(t, s); n != 2+1+3*3 {
		t.Errorf("%d keys, want format, mark, meta and three of each of three chunks", n)
	}
	q.SettleRange(0, math.MaxUint64)
	checkpoint(t, s, 1, q)
	if n := countKeys(t, s); n != 2+1 {
		t.Errorf("%d keys of an empty queue", n)
	}
}

func countKeys(t testing.TB, s *Store) int {
	t.Helper()
	n := 0
	if err := s.scan(nil, func(_, _ []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSettleRangeOverWholeChunksReadsNone(t *testing.T) {
	_, q := stored(t, 10*chunkSlots)
	if n := q.SettleRange(1, 9*chunkSlots); n != 9*chunkSlots || pages(q) != 0 {
		t.Errorf("settled %d, %d pages", n, pages(q))
	}
	if head, _ := q.Head(); head != 9*chunkSlots+1 {
		t.Errorf("head %d", head)
	}
}

func TestPurgeReportsRangesBetweenEntriesInFlight(t *testing.T) {
	s, q := stored(t, 6*chunkSlots)
	const far = 3*chunkSlots + 7
	inFlight := map[segment.LSN]bool{1: true, 2: true, 500: true, far: true}
	var others []Entry
	for e, ok := q.Next(); ok; e, ok = q.Next() {
		if !inFlight[e.LSN] {
			others = append(others, e)
		}
	}
	for _, e := range others {
		q.Requeue(e.Position)
	}
	checkpoint(t, s, 1, q)
	checkpoint(t, s, 1, q)
	want := []segment.Range{{From: 3, To: 499}, {From: 501, To: far - 1}, {From: far + 1, To: 6 * chunkSlots}}
	var got []segment.Range
	n := q.Purge(func(from, to segment.LSN) { got = append(got, segment.Range{From: from, To: to}) })
	if n != len(others) || !slices.Equal(got, want) || q.InFlight() != len(inFlight) || q.Ready() != 0 {
		t.Errorf("purged %d of %v, want %v; %d in flight", n, got, want, q.InFlight())
	}
	if n := q.Purge(func(_, _ segment.LSN) { t.Error("an empty purge reports") }); n != 0 {
		t.Errorf("purged %d again", n)
	}
}

func TestPurgeSparesAChunkInFlight(t *testing.T) {
	s, q := stored(t, 3*chunkSlots)
	var first []Entry
	for range 2 * chunkSlots {
		if e, _ := q.Next(); e.LSN <= chunkSlots {
			first = append(first, e)
		}
	}
	for _, e := range first {
		q.Requeue(e.Position)
	}
	checkpoint(t, s, 1, q)
	want := []segment.Range{{From: 1, To: chunkSlots}, {From: 2*chunkSlots + 1, To: 3 * chunkSlots}}
	var got []segment.Range
	q.Purge(func(from, to segment.LSN) { got = append(got, segment.Range{From: from, To: to}) })
	if !slices.Equal(got, want) || q.InFlight() != chunkSlots {
		t.Errorf("purged %v, want %v; %d in flight", got, want, q.InFlight())
	}
}

func TestUnreadableChunkStopsTheQueueWithItsError(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, s *Store, key []byte){
		"missing": func(t *testing.T, s *Store, key []byte) {
			if err := s.db.Delete(key, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		},
		"of another chunk": func(t *testing.T, s *Store, key []byte) {
			value := sealValue(key, append(beginValue(nil), appendEntries(nil, slots{base: 9, entries: []entry{{0, 1}}})...))
			if err := s.db.Set(key, value, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		},
		"bad checksum": func(t *testing.T, s *Store, key []byte) {
			if err := s.db.Set(key, []byte{1, 2, 3, 4, 5, 6, 7}, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			q := s.NewQueue(1)
			fill(q, 1, 3*chunkSlots)
			checkpoint(t, s, 1, q)
			damage(t, s, appendChunkKey(nil, levelID{queue: 1}, kindEntries, 2))
			if q, err = s.LoadQueue(1); err != nil {
				t.Fatal(err)
			}
			if n := len(lsns(q)); n != chunkSlots {
				t.Errorf("%d entries before the damage, want %d", n, chunkSlots)
			}
			if !errors.Is(q.Err(), ErrCorrupt) {
				t.Errorf("error is %v", q.Err())
			}
			if p := q.Push(Item{LSN: q.Last() + 1, Size: 1}); p == 0 || !q.Settle(p) {
				t.Error("the queue takes no more entries")
			}
			if len(s.Check()) == 0 {
				t.Error("Check finds nothing")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPurgeLeavesWhatItCannotRead(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := s.NewQueue(1)
	fill(q, 1, 3*chunkSlots)
	for range chunkSlots + 1 { // chunk 1 in flight, chunk 2 mixed, chunk 3 ready
		q.Next()
	}
	checkpoint(t, s, 1, q)
	checkpoint(t, s, 1, q)
	if err := s.db.Delete(appendChunkKey(nil, levelID{queue: 1}, kindEntries, 2), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	var got []segment.Range
	n := q.Purge(func(from, to segment.LSN) { got = append(got, segment.Range{From: from, To: to}) })
	if n != chunkSlots || len(got) != 1 || got[0].From != 2*chunkSlots+1 {
		t.Errorf("purged %d: %v", n, got)
	}
	if !errors.Is(q.Err(), ErrCorrupt) || q.Ready() != chunkSlots-1 || q.InFlight() != chunkSlots+1 {
		t.Errorf("error %v, %d ready, %d in flight", q.Err(), q.Ready(), q.InFlight())
	}
}

// closedStore returns a store that was closed with a queue of 1000 entries, no page of which is resident.
func closedStore(t *testing.T) (*Store, *Queue) {
	t.Helper()
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	q := s.NewQueue(1)
	fill(q, 1, 1000)
	checkpoint(t, s, 1, q)
	checkpoint(t, s, 1, q)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s, q
}

func TestQueueOfAClosedStoreCannotPageIn(t *testing.T) {
	s, q := closedStore(t)
	if _, ok := q.Next(); ok || !errors.Is(q.Err(), ErrClosed) {
		t.Errorf("next %t, error %v", ok, q.Err())
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}
