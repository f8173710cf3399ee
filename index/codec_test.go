package index

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/segment"
)

var testKey = appendChunkKey(nil, 7, kindEntries, 9)

func TestEntriesSurviveEncoding(t *testing.T) {
	for name, entries := range map[string][]entry{
		"one":            {{0, 0}},
		"extreme sizes":  {{0, math.MaxUint32}, {1, 0}, {2, math.MaxUint32}},
		"extreme deltas": {{0, 1}, {math.MaxUint32, 1}},
		"full":           slices.Repeat([]entry{{}}, chunkSlots),
	} {
		for i := range entries {
			if name == "full" {
				entries[i] = entry{delta: uint32(i * 3), size: uint32(i * i)}
			}
		}
		base, got, err := decodeEntries(testKey, appendEntries(nil, 5, entries))
		if err != nil || base != 5 || !slices.Equal(got, entries) {
			t.Errorf("%s: base %d, %d entries, %v", name, base, len(got), err)
		}
	}
}

func TestEqualSizesInSequenceTakeTwoBytesAnEntry(t *testing.T) {
	entries := make([]entry, chunkSlots)
	for i := range entries {
		entries[i] = entry{delta: uint32(i), size: 1000}
	}
	if n := len(appendEntries(nil, 1<<40, entries)); n > 2*chunkSlots+16 {
		t.Errorf("%d bytes for %d entries", n, chunkSlots)
	}
}

func TestValueIsBoundToItsKey(t *testing.T) {
	key, other := appendMetaKey(nil, 1), appendMetaKey(nil, 2)
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
	for _, id := range []segment.QueueID{1, 255, 256, 1 << 40} {
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
		if end := keyAfter(appendQueuePrefix(nil, id)); slices.Compare(end, keys[len(keys)-1]) <= 0 ||
			slices.Compare(end, appendQueuePrefix(nil, id+1)) > 0 {
			t.Errorf("queue %d ends at %x", id, end)
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
	f.Add(appendEntries(nil, 1, []entry{{0, 10}, {1, 10}, {500, 0}}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}) // 2^64-1 entries
	f.Add([]byte{1, 0x80, 0x20, 1, 1, 1})                                     // 4096 entries, three bytes
	f.Add([]byte{1, 2, 0, 0, 0})                                              // LSN does not grow
	f.Fuzz(func(t *testing.T, payload []byte) {
		base, entries, err := decodeEntries(testKey, payload)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("not marked as damage: %v", err)
			}
			return
		}
		again, same, err := decodeEntries(testKey, appendEntries(nil, base, entries))
		if err != nil || again != base || !slices.Equal(same, entries) {
			t.Errorf("round trip: %v", err)
		}
	})
}

func FuzzBitmaps(f *testing.F) {
	f.Add(appendBitmaps(nil, bitmaps{n: 3, live: []uint64{5}}))
	f.Add(appendBitmaps(nil, bitmaps{n: 65, live: []uint64{1, 1}, redelivered: []uint64{0, 0}, transient: []uint64{1, 0}}))
	f.Add([]byte{0x80, 0x20, 7})
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := decodeBitmaps(testKey, payload)
		if err != nil {
			return
		}
		c, err := decodeBitmaps(testKey, appendBitmaps(nil, b))
		if err != nil || b.n != c.n || !slices.Equal(b.live, c.live) ||
			!slices.Equal(b.redelivered, c.redelivered) || !slices.Equal(b.transient, c.transient) {
			t.Errorf("round trip: %v", err)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	f.Add(appendDirectory(nil, &chunkImage{base: 5, last: 9, lowest: 6, n: 3, live: 2, liveBytes: 20, hasBitmaps: true}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 9, 0, 3, 2, 0, 0, 1}) // LSNs wrap
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := decodeDirectory(1, testKey, payload)
		if err != nil {
			return
		}
		image := chunkImage{
			base: c.base, last: c.last, lowest: c.lowest, n: c.n, live: c.live,
			transient: c.transient, liveBytes: c.liveBytes, hasBitmaps: c.hasBitmaps,
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
	entries := appendEntries(nil, 10, []entry{{0, 5}, {1, 6}, {2, 7}})
	bits := appendBitmaps(nil, bitmaps{n: 3, live: []uint64{6}, transient: []uint64{2}})
	dir := appendDirectory(nil, &chunkImage{base: 10, last: 12, lowest: 11, n: 3, live: 2, transient: 1, liveBytes: 13, hasBitmaps: true})
	f.Add(appendMeta(nil, meta{last: 12, next: 2, chunks: 1, live: 2, liveBytes: 13}), dir, entries, bits)
	f.Add(appendMeta(nil, meta{last: 12, next: 2, chunks: 1, live: 2, liveBytes: 13}), dir, entries,
		appendBitmaps(nil, bitmaps{n: 3, live: []uint64{6}, transient: []uint64{1}}))
	s, err := Open(Config{Dir: "index", fs: vfs.NewMem()})
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
		put(appendMetaKey(nil, 1), meta)
		put(appendChunkKey(nil, 1, kindDirectory, 1), dir)
		put(appendChunkKey(nil, 1, kindEntries, 1), entries)
		put(appendChunkKey(nil, 1, kindBitmaps, 1), bits)
		q, err := s.LoadQueue(1)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("not marked as damage: %v", err)
			}
			return
		}
		q.Recover(false)
		for e, ok := q.Next(); ok; e, ok = q.Next() {
			q.Requeue(e.Position)
			q.Settle(e.Position)
		}
		q.Push(q.Last()+1, 1, false)
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
