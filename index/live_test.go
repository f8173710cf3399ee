package index

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/segment"
)

// all gathers what LiveIn gives call by call.
func all(t rapid.TB, q *Queue, from, to segment.LSN) (lsns []segment.LSN) {
	t.Helper()
	for {
		before := len(lsns)
		var err error
		if lsns, err = q.LiveIn(lsns, from, to); err != nil {
			t.Fatal(err)
		}
		if len(lsns) == before || lsns[len(lsns)-1] == to {
			return lsns
		}
		from = lsns[len(lsns)-1] + 1
	}
}

// LiveIn compares what lies in a range of the log, and that asking changes nothing that is resident.
func (m *machine) LiveIn(t *rapid.T) {
	_, q, model := m.pick(t)
	from := segment.LSN(rapid.Uint64Range(0, uint64(m.last)+1).Draw(t, "from"))
	to := segment.LSN(rapid.Uint64Range(0, uint64(m.last)+1).Draw(t, "to"))
	var want []segment.LSN
	for _, e := range model.entries {
		if from <= e.lsn && e.lsn <= to {
			want = append(want, e.lsn)
		}
	}
	before := pages(q)
	if got := all(t, q, from, to); !slices.Equal(got, want) {
		t.Fatalf("%d live entries between %d and %d, want %d", len(got), from, to, len(want))
	}
	if after := pages(q); after != before {
		t.Fatalf("%d pages are resident after the enumeration, %d were before", after, before)
	}
}

// Spread compares the sums, and with whole chunks apart nothing is lost.
func (m *machine) Spread(t *rapid.T) {
	_, q, model := m.pick(t)
	var ends []segment.LSN
	for range rapid.IntRange(0, 5).Draw(t, "ranges") {
		ends = append(ends, segment.LSN(rapid.Uint64Range(1, uint64(m.last)+1).Draw(t, "end")))
	}
	slices.Sort(ends)
	ends = append(slices.Compact(ends), m.last+1)
	shares := make([]Share, len(ends))
	q.Spread(ends, shares)
	var records, bytes, want int64
	for _, s := range shares {
		if s.Records < 0 || s.Bytes < 0 {
			t.Fatalf("share %+v", s)
		}
		records += s.Records
		bytes += s.Bytes
	}
	for _, e := range model.entries {
		want += int64(e.size)
	}
	if records != int64(len(model.entries)) || bytes != want {
		t.Fatalf("ranges hold %d entries of %d bytes, want %d of %d", records, bytes, len(model.entries), want)
	}
}

func TestSpreadFollowsWhereEntriesLie(t *testing.T) {
	_, q := stored(t, 10*chunkSlots)
	for _, r := range []segment.Range{{From: 1, To: 3 * chunkSlots}, {From: 5*chunkSlots + 1, To: 6 * chunkSlots}} {
		q.SettleRange(r.From, r.To)
	}
	ends := []segment.LSN{2 * chunkSlots, 4 * chunkSlots, 4*chunkSlots + chunkSlots/2, 8 * chunkSlots}
	shares := make([]Share, len(ends))
	q.Spread(ends, shares)
	for i, want := range []int64{0, chunkSlots, chunkSlots / 2, 5 * chunkSlots / 2} {
		if shares[i].Records != want {
			t.Errorf("range %d has %d entries, want %d", i, shares[i].Records, want)
		}
	}
	if n := pages(q); n != 0 {
		t.Errorf("%d pages are resident", n)
	}
}

func TestEnumerationTellsOfAChunkThatCannotBeRead(t *testing.T) {
	_, q := closedStore(t)
	if lsns, err := q.LiveIn(nil, 1, 10); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed store gave %d entries and error %v", len(lsns), err)
	}
	if err := q.Err(); err != nil {
		t.Errorf("the failure stuck to the queue: %v", err)
	}
}

func BenchmarkSpreadOfABacklog(b *testing.B) {
	const entries = 4 << 20
	_, q := stored(b, entries)
	var ends []segment.LSN
	for i := range 1000 {
		ends = append(ends, segment.LSN((i+1)*entries/1000))
	}
	shares := make([]Share, len(ends))
	for b.Loop() {
		q.Spread(ends, shares)
	}
}
