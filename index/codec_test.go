package index

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/segment"
)

var testKey = appendChunkKey(nil, levelID{queue: 7}, kindEntries, 9)

func (s slots) equal(other slots) bool {
	return s.base == other.base && slices.Equal(s.entries, other.entries) && slices.Equal(s.deadlines, other.deadlines)
}

func TestEntriesSurviveEncoding(t *testing.T) {
	three := []entry{{0, 1}, {1, 1}, {2, 1}}
	full := make([]entry, chunkSlots)
	for i := range full {
		full[i] = entry{delta: uint32(i * 3), size: uint32(i * i)}
	}
	for name, s := range map[string]slots{
		"one":               {entries: []entry{{0, 0}}},
		"extreme sizes":     {entries: []entry{{0, math.MaxUint32}, {1, 0}, {2, math.MaxUint32}}},
		"extreme deltas":    {entries: []entry{{0, 1}, {math.MaxUint32, 1}}},
		"full":              {entries: full},
		"deadlines":         {entries: three, deadlines: []int64{1_700_000_000_000, 1_700_000_000_000, 1_600_000_000_000}},
		"one deadline":      {entries: three, deadlines: []int64{0, 7, 0}},
		"extreme deadlines": {entries: three, deadlines: []int64{noDeadline - 1, 1, noDeadline - 1}},
	} {
		s.base = 5
		got, err := decodeEntries(testKey, appendEntries(nil, s))
		if err != nil || !got.equal(s) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestEqualTimesToLiveTakeOneByteAnEntry(t *testing.T) {
	s := slots{base: 1 << 40, entries: make([]entry, chunkSlots), deadlines: make([]int64, chunkSlots)}
	for i := range s.entries {
		s.entries[i] = entry{delta: uint32(i), size: 1000}
		s.deadlines[i] = 1_700_000_000_000 + int64(i/10)
	}
	if n := len(appendEntries(nil, s)); n > 3*chunkSlots+24 {
		t.Errorf("%d bytes for %d entries", n, chunkSlots)
	}
}

func TestDamagedColumnsAreRefused(t *testing.T) {
	one := []byte{1, 1, 1, 0} // base, n, flags, size
	for name, payload := range map[string][]byte{
		"deadline below zero": binary.AppendUvarint(slices.Clone(one), zigzag(-1)+1),
		"deadline of never":   binary.AppendUvarint(slices.Clone(one), zigzag(noDeadline)+1),
		"no deadline":         one,
		"unknown flag":        {1, 1, 2, 0},
	} {
		if s, err := decodeEntries(testKey, payload); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	for name, returns := range map[string][]byte{
		"none":                 {0},
		"more than slots":      {4, 0, 0, 0, 0, 0, 0, 0, 0},
		"behind the last slot": {2, 1, 0, 1, 0},
		"cut":                  {2, 0, 0, 0},
		"too many":             {1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		if b, err := decodeBitmaps(testKey, append([]byte{3, hasReturns}, returns...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("returns: %s: %+v, %v", name, b, err)
		}
	}
}

func TestEqualSizesInSequenceTakeTwoBytesAnEntry(t *testing.T) {
	entries := make([]entry, chunkSlots)
	for i := range entries {
		entries[i] = entry{delta: uint32(i), size: 1000}
	}
	if n := len(appendEntries(nil, slots{base: 1 << 40, entries: entries})); n > 2*chunkSlots+16 {
		t.Errorf("%d bytes for %d entries", n, chunkSlots)
	}
}

func TestValueIsBoundToItsKey(t *testing.T) {
	key, other := appendMetaKey(nil, levelID{queue: 1}), appendMetaKey(nil, levelID{queue: 2})
	value := sealValue(key, append(beginValue(nil), "payload"...))
	if p, err := openValue(key, value); err != nil || string(p) != "payload" {
		t.Errorf("got %q, %v", p, err)
	}
	if _, err := openValue(other, value); !errors.Is(err, ErrCorrupt) || !errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("under another key: %v", err)
	}
	for at := range value {
		bad := slices.Clone(value)
		bad[at] ^= 0x10
		if _, err := openValue(key, bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: %v", at, err)
		}
	}
	newer := sealValue(key, []byte{valueVersion + 1, 1, 2, 3})
	if _, err := openValue(key, newer); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
		t.Errorf("newer version: %v", err)
	}
}

func TestKeysSortByNumberAndParse(t *testing.T) {
	var keys [][]byte
	for _, id := range []levelID{{1, 0}, {1, 1}, {1, 255}, {255, 0}, {256, 0}, {1 << 40, 9}} {
		for _, kind := range []keyKind{kindBitmaps, kindDirectory, kindEntries} {
			for _, number := range []uint64{1, 255, 256, maxNumber} {
				key := appendChunkKey(nil, id, kind, number)
				if k, ok := parseQueueKey(key); !ok || k != (queueKey{id, kind, number}) {
					t.Errorf("%x parses as %v, %t", key, k, ok)
				}
				keys = append(keys, key)
			}
		}
		keys = append(keys, appendMetaKey(nil, id))
		if end := keyAfter(appendQueuePrefix(nil, id.queue)); slices.Compare(end, keys[len(keys)-1]) <= 0 ||
			slices.Compare(end, appendQueuePrefix(nil, id.queue+1)) > 0 {
			t.Errorf("%v ends at %x", id, end)
		}
	}
	if !slices.IsSortedFunc(keys, slices.Compare) {
		t.Error("keys are not in order of their numbers")
	}
	if end := keyAfter([]byte{0xff, 0xff}); end != nil {
		t.Errorf("behind the last key comes %x", end)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add(appendEntries(nil, slots{base: 1, entries: []entry{{0, 10}, {1, 10}, {500, 0}}}))
	f.Add(appendEntries(nil, slots{base: 1, entries: []entry{{0, 1}, {1, 1}}, deadlines: []int64{0, 99}}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}) // 2^64-1 entries
	f.Add([]byte{1, 0x80, 0x20, 1, 1, 1, 1})                                     // 4096 entries, three bytes
	f.Add([]byte{1, 2, 0, 0, 0, 0})                                              // LSN does not grow
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := decodeEntries(testKey, payload)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("not marked as damage: %v", err)
			}
			return
		}
		again, err := decodeEntries(testKey, appendEntries(nil, got))
		if err != nil || !again.equal(got) {
			t.Errorf("round trip: %v", err)
		}
	})
}

func FuzzBitmaps(f *testing.F) {
	f.Add(appendBitmaps(nil, bitmaps{n: 3, live: []uint64{5}}))
	f.Add(appendBitmaps(nil, bitmaps{n: 65, live: []uint64{1, 1}, redelivered: []uint64{0, 0}, transient: []uint64{1, 0}}))
	f.Add(appendBitmaps(nil, bitmaps{n: 9, live: []uint64{5}, returns: []returned{{0, 1}, {2, math.MaxUint32}}}))
	f.Add([]byte{0x80, 0x20, 7})
	f.Add([]byte{0x80, 0x20, 8, 0x80, 0x20, 0, 0}) // 4096 returned, two bytes
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := decodeBitmaps(testKey, payload)
		if err != nil {
			return
		}
		c, err := decodeBitmaps(testKey, appendBitmaps(nil, b))
		if err != nil || b.n != c.n || !slices.Equal(b.live, c.live) ||
			!slices.Equal(b.redelivered, c.redelivered) || !slices.Equal(b.transient, c.transient) || !slices.Equal(b.returns, c.returns) {
			t.Errorf("round trip: %v", err)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	f.Add(appendDirectory(nil, &chunkImage{base: 5, last: 9, lowest: 6, n: 3, live: 2, liveBytes: 20, leastDeadline: 7, hasBitmaps: true}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 9, 0, 3, 2, 0, 0, 0, 1}) // LSNs wrap
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := decodeDirectory(1, testKey, payload)
		if err != nil {
			return
		}
		image := chunkImage{
			base: c.base, last: c.last, lowest: c.lowest, n: c.n, live: c.live,
			transient: c.transient, liveBytes: c.liveBytes, leastDeadline: c.leastDeadline, hasBitmaps: c.hasBitmaps,
		}
		if d, err := decodeDirectory(1, testKey, appendDirectory(nil, &image)); err != nil || *d != *c {
			t.Errorf("round trip: %v", err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add(appendMeta(nil, meta{last: 9, horizon: 8, redeliveredTo: 7, next: 1, chunks: 2, live: 3, liveBytes: 4}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := decodeMeta(testKey, payload)
		if err != nil {
			return
		}
		if again, err := decodeMeta(testKey, appendMeta(nil, m)); err != nil || again != m {
			t.Errorf("round trip: %v", err)
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add([]byte("key"), sealValue([]byte("key"), []byte{valueVersion, 1, 2}))
	f.Add([]byte("key"), []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		payload, err := openValue(key, value)
		if err == nil && len(payload) != len(value)-envelopeLen {
			t.Error("payload has the wrong length")
		}
		if _, ok := parseQueueKey(key); ok && len(key) < metaKeyLen {
			t.Error("short key parsed")
		}
		if k, ok := parseObjectKey(key); ok && !slices.Equal(appendObjectKey(nil, k), key) {
			t.Error("object key does not come back")
		}
	})
}

// FuzzStoredQueue gives a queue values whose checksums are right and whose contents
// are anything: what loads must be sound, what is not must be reported.
func FuzzStoredQueue(f *testing.F) {
	entries := appendEntries(nil, slots{base: 10, entries: []entry{{0, 5}, {1, 6}, {2, 7}}, deadlines: []int64{3, 0, 9}})
	bits := appendBitmaps(nil, bitmaps{n: 3, live: []uint64{6}, transient: []uint64{2}, returns: []returned{{2, 4}}})
	dir := appendDirectory(nil, &chunkImage{
		base: 10, last: 12, lowest: 11, n: 3, live: 2, transient: 1, liveBytes: 13, leastDeadline: 9, hasBitmaps: true,
	})
	f.Add(appendMeta(nil, meta{last: 12, next: 2, chunks: 1, live: 2, liveBytes: 13}), dir, entries, bits)
	f.Add(appendMeta(nil, meta{last: 12, next: 2, chunks: 1, live: 2, liveBytes: 13}), dir, entries,
		appendBitmaps(nil, bitmaps{n: 3, live: []uint64{6}, transient: []uint64{1}}))
	s, err := Open(Config{Dir: "index", FS: vfs.NewMem()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Fuzz(func(t *testing.T, meta, dir, entries, bits []byte) {
		put := func(key, payload []byte) {
			value := sealValue(key, append(beginValue(nil), payload...))
			if err := s.db.Set(key, value, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		put(appendMetaKey(nil, levelID{queue: 1}), meta)
		put(appendChunkKey(nil, levelID{queue: 1}, kindDirectory, 1), dir)
		put(appendChunkKey(nil, levelID{queue: 1}, kindEntries, 1), entries)
		put(appendChunkKey(nil, levelID{queue: 1}, kindBitmaps, 1), bits)
		q, err := s.LoadQueue(1)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("not marked as damage: %v", err)
			}
			return
		}
		q.Recover(false)
		if e, ok := q.Due(math.MaxInt64); ok {
			q.RequeueCounted(e.Position)
		}
		for e, ok := q.Next(); ok; e, ok = q.Next() {
			q.Requeue(e.Position)
			q.Settle(e.Position)
		}
		q.Push(Item{LSN: q.Last() + 1, Size: 1})
		if q.Err() != nil {
			if !errors.Is(q.Err(), ErrCorrupt) {
				t.Errorf("not marked as damage: %v", q.Err())
			}
			return
		}
		checkQueue(t, q)
		q.SettleRange(0, math.MaxUint64)
		checkQueue(t, q)
	})
}
