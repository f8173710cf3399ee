package index

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace-mq/millrace/segment"
)

// TestCheckReportsEveryFault breaks a queue in many ways: a checker that finds
// nothing proves nothing.
func TestCheckReportsEveryFault(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(q *Queue)
		want string
	}{
		"live count":        {func(q *Queue) { q.live++ }, "chunks have"},
		"ready count":       {func(q *Queue) { q.chunks[1].ready-- }, "noted"},
		"bytes":             {func(q *Queue) { q.chunks[0].liveBytes++ }, "bytes live"},
		"ready not live":    {func(q *Queue) { q.chunks[1].page.live[0] = 0 }, "not live"},
		"cursor ahead":      {func(q *Queue) { q.cursor = q.chunks[2] }, "before the cursor"},
		"cursor word ahead": {func(q *Queue) { q.cursorWord = 64 }, "before the cursor"},
		"no cursor":         {func(q *Queue) { q.cursor = nil }, "no cursor"},
		"foreign cursor":    {func(q *Queue) { q.cursor = &chunk{} }, "not in the queue"},
		"order":             {func(q *Queue) { slices.Reverse(q.chunks) }, "behind chunk"},
		"LSNs":              {func(q *Queue) { q.chunks[1].page.entries[7].delta = 0 }, "does not grow"},
		"last":              {func(q *Queue) { q.chunks[1].last++ }, "last LSN"},
		"behind the end":    {func(q *Queue) { q.open.page.live[63] |= 1 << 63 }, "behind the last slot"},
		"not resident":      {func(q *Queue) { q.resident = q.resident[1:] }, "as resident"},
		"twice resident":    {func(q *Queue) { q.resident = append(q.resident, q.resident[0]) }, "as resident"},
		"number":            {func(q *Queue) { q.next = 1 }, "next is 1"},
		"lost page":         {func(q *Queue) { q.chunks[1].page = nil }, "never stored"},
		"due late":          {func(q *Queue) { q.chunks[1].due++ }, "least deadline of the ready"},
		"queue due late":    {func(q *Queue) { q.expiry.due = noDeadline }, "least deadline of the ready"},
		"least too high":    {func(q *Queue) { q.chunks[1].leastDeadline++ }, "least deadline is"},
		"no deadlines":      {func(q *Queue) { q.expiry = nil }, "knows of none"},
		"swept too far":     {func(q *Queue) { q.expiry.swept, q.expiry.at = q.chunks[2].position(0), 9000 }, "was missed"},
		"negative deadline": {func(q *Queue) { q.chunks[1].page.rare.deadlines[0] = -1 }, "deadline -1"},
		"fewer deadlines":   {func(q *Queue) { q.chunks[1].page.rare.deadlines = make([]int64, 9) }, "9 deadlines"},
		"fewer returns":     {func(q *Queue) { q.chunks[1].page.rare.returns = make([]uint32, 9) }, "9 counts of returns"},
	} {
		t.Run(name, func(t *testing.T) {
			q := openStore(t, t.TempDir()).NewQueue(1)
			for lsn := range segment.LSN(2*chunkSlots + 1500) {
				q.Push(Item{LSN: lsn + 1, Size: 10, Deadline: int64(lsn / 2)})
			}
			if faults := q.Check(); len(faults) > 0 {
				t.Fatal(faults)
			}
			c.harm(q)
			if text := errors.Join(q.Check()...); text == nil || !strings.Contains(text.Error(), c.want) {
				t.Errorf("found %v, want %q", text, c.want)
			}
		})
	}
}

// TestContradictionsInTheStoreAreDamage stores values that are each well formed and
// do not belong together.
func TestContradictionsInTheStoreAreDamage(t *testing.T) {
	type values struct {
		meta    meta
		dir     chunkImage
		entries slots
		bits    bitmaps
	}
	for name, harm := range map[string]func(v *values){
		"none":                   func(*values) {},
		"meta: live":             func(v *values) { v.meta.live++ },
		"meta: bytes":            func(v *values) { v.meta.liveBytes++ },
		"meta: chunks":           func(v *values) { v.meta.chunks++ },
		"meta: last":             func(v *values) { v.meta.last = 11 },
		"meta: next":             func(v *values) { v.meta.next = 1 },
		"meta: no next":          func(v *values) { v.meta.next = 0 },
		"meta: redelivered":      func(v *values) { v.meta.redeliveredTo = 13 },
		"directory: lowest":      func(v *values) { v.dir.lowest = 10 },
		"directory: last":        func(v *values) { v.dir.last = 13; v.meta.last = 13 },
		"directory: n":           func(v *values) { v.dir.n = 2 },
		"directory: live":        func(v *values) { v.dir.live, v.meta.live = 3, 3 },
		"directory: transient":   func(v *values) { v.dir.transient = 2 },
		"directory: no bitmaps":  func(v *values) { v.dir.hasBitmaps = false },
		"directory: deadline":    func(v *values) { v.dir.leastDeadline = 3 },
		"directory: no deadline": func(v *values) { v.dir.leastDeadline = noDeadline },
		"directory: bytes":       func(v *values) { v.dir.liveBytes, v.meta.liveBytes = 14, 14 },
		"entries: base":          func(v *values) { v.entries.base = 9 },
		"entries: fewer": func(v *values) {
			v.entries.entries, v.entries.deadlines = v.entries.entries[:2], v.entries.deadlines[:2]
		},
		"entries: sizes":          func(v *values) { v.entries.entries[2].size = 8 },
		"entries: deadlines":      func(v *values) { v.entries.deadlines[2] = 8 },
		"entries: no deadlines":   func(v *values) { v.entries.deadlines = nil },
		"bitmaps: n":              func(v *values) { v.bits.n = 4 },
		"bitmaps: live":           func(v *values) { v.bits.live = []uint64{7} },
		"bitmaps: other live":     func(v *values) { v.bits.live = []uint64{5} },
		"bitmaps: transient":      func(v *values) { v.bits.transient = nil },
		"bitmaps: not live":       func(v *values) { v.bits.transient = []uint64{1} },
		"bitmaps: behind the end": func(v *values) { v.bits.live = []uint64{6 | 8} },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			v := values{
				meta: meta{last: 12, next: 2, chunks: 1, live: 2, liveBytes: 13},
				dir: chunkImage{
					base: 10, last: 12, lowest: 11, n: 3, live: 2, transient: 1, liveBytes: 13, leastDeadline: 9, hasBitmaps: true,
				},
				entries: slots{base: 10, entries: []entry{{0, 5}, {1, 6}, {2, 7}}, deadlines: []int64{3, 0, 9}},
				bits:    bitmaps{n: 3, live: []uint64{6}, transient: []uint64{2}, returns: []returned{{2, 4}}},
			}
			harm(&v)
			put := func(key, payload []byte) {
				value := sealValue(key, append(beginValue(nil), payload...))
				if err := s.db.Set(key, value, pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
			put(appendMetaKey(nil, levelID{queue: 1}), appendMeta(nil, v.meta))
			put(appendChunkKey(nil, levelID{queue: 1}, kindDirectory, 1), appendDirectory(nil, &v.dir))
			put(appendChunkKey(nil, levelID{queue: 1}, kindEntries, 1), appendEntries(nil, v.entries))
			put(appendChunkKey(nil, levelID{queue: 1}, kindBitmaps, 1), appendBitmaps(nil, v.bits))
			q, err := s.LoadQueue(1)
			if err == nil {
				lsns(q)
				err = q.Err()
			}
			if good := name == "none"; good && err != nil || !good && !errors.Is(err, ErrCorrupt) {
				t.Errorf("error is %v", err)
			}
			if faults := s.Check(); (len(faults) > 0) != (name != "none") {
				t.Errorf("check finds %v", faults)
			}
		})
	}
}

func TestKeysThatBelongToNothingAreReported(t *testing.T) {
	for _, key := range [][]byte{
		appendChunkKey(nil, levelID{queue: 1}, kindEntries, 99),  // no such chunk
		appendChunkKey(nil, levelID{queue: 1}, kindBitmaps, 1),   // a chunk that has no bitmaps
		appendChunkKey(nil, levelID{queue: 2}, kindDirectory, 1), // no such queue
		appendChunkKey(nil, levelID{1, 2}, kindDirectory, 1),     // no such level
		append(appendMetaKey(nil, levelID{queue: 1}), 0),
		appendObjectKey(nil, ObjectKey{1, 1})[:5],
		[]byte("unheard of"),
	} {
		s, err := Open(Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		q := s.NewQueue(1)
		fill(q, 1, 3)
		checkpoint(t, s, 1, q)
		if faults := s.Check(); len(faults) > 0 {
			t.Fatal(faults)
		}
		value := sealValue(key, append(beginValue(nil), appendEntries(nil, slots{base: 1, entries: []entry{{0, 1}}})...))
		if err := s.db.Set(key, value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if len(s.Check()) == 0 {
			t.Errorf("key %x is not reported", key)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
