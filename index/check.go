package index

import (
	"errors"
	"fmt"
)

// Check verifies the invariants of a queue against its chunks, reading those that
// are paged out, and reports every fault. The queue stays as it is.
func (q *Queue) Check() []error {
	k := checker{where: q.levelID().String()}
	var sum chunk
	live, ready, beforeCursor := 0, 0, q.cursor != nil
	for i, c := range q.chunks {
		if i > 0 {
			before := q.chunks[i-1]
			k.hold(before.number < c.number, "chunk %d behind chunk %d", c.number, before.number)
			k.hold(before.last < c.base, "chunk %d begins at %d, chunk %d ends at %d", c.number, c.base, before.number, before.last)
		}
		k.hold(c != q.open || i == len(q.chunks)-1, "open chunk %d is not the last", c.number)
		k.hold(c.live > 0 || c == q.open, "chunk %d is settled and not forgotten", c.number)
		k.chunk(q, c)
		if c == q.cursor {
			beforeCursor = false
		}
		k.hold(!beforeCursor || c.ready == 0, "chunk %d before the cursor has %d ready", c.number, c.ready)
		live, ready = live+int(c.live), ready+int(c.ready)
		sum.liveBytes += c.liveBytes
		sum.readyBytes += c.readyBytes
	}
	k.hold(!beforeCursor, "cursor is at a chunk that is not in the queue")
	k.hold(q.cursor != nil || q.ready == 0 && q.open == nil, "no cursor, but %d ready, open %t", q.ready, q.open != nil)
	k.hold(live == q.live && ready == q.ready, "%d live, %d ready, chunks have %d, %d", q.live, q.ready, live, ready)
	k.hold(sum.liveBytes == q.liveBytes && sum.readyBytes == q.readyBytes,
		"%d bytes live, %d ready, chunks have %d, %d", q.liveBytes, q.readyBytes, sum.liveBytes, sum.readyBytes)
	if n := len(q.chunks); n > 0 {
		k.hold(q.chunks[n-1].number < q.next, "chunk %d, next is %d", q.chunks[n-1].number, q.next)
		k.hold(q.chunks[n-1].last <= q.last, "chunk up to %d, last pushed is %d", q.chunks[n-1].last, q.last)
	}
	k.hold(q.redeliveredTo <= q.last, "redelivered up to %d, last pushed is %d", q.redeliveredTo, q.last)
	k.resident(q)
	return k.faults
}

// checker gathers faults.
type checker struct {
	where  string
	faults []error
}

func (k *checker) hold(ok bool, format string, args ...any) {
	if !ok {
		k.faults = append(k.faults, fmt.Errorf("%s: %s", k.where, fmt.Sprintf(format, args...)))
	}
}

func (k *checker) add(err error) {
	if err != nil {
		k.faults = append(k.faults, fmt.Errorf("%s: %w", k.where, err))
	}
}

// resident checks the list of chunks that have a page.
func (k *checker) resident(q *Queue) {
	listed := map[*chunk]int{}
	for _, c := range q.resident {
		listed[c]++
	}
	for _, c := range q.chunks {
		want := 0
		if c.page != nil {
			want = 1
		}
		k.hold(listed[c] == want, "chunk %d is listed %d times as resident, want %d", c.number, listed[c], want)
		delete(listed, c)
	}
	for c := range listed {
		k.hold(c.page == nil, "chunk %d is gone, but has a page", c.number)
	}
	k.hold(q.open == nil || q.open.loaded(), "open chunk has no page")
}

// chunk checks one chunk against its page, resident or stored.
func (k *checker) chunk(q *Queue, c *chunk) {
	where := k.where
	defer func() { k.where = where }()
	k.where = fmt.Sprintf("%s chunk %d", where, c.number)

	full := *c
	if c.page != nil {
		p := *c.page
		full.page = &p
	}
	if !c.loaded() {
		// Its bitmaps may have been copied again since, for a checkpoint not committed yet.
		k.hold(c.savedN == c.n && c.generation != never, "paged out, but never stored")
		k.hold(c.page != nil || c.stored(q.store.committed.Load()), "bitmaps paged out, but not stored")
		if err := q.store.loadPage(q.levelID(), &full); err != nil {
			k.add(err)
			return
		}
		k.hold(c.lowest == full.lowestLive(), "lowest live is %d, noted %d", full.lowestLive(), c.lowest)
	}
	k.page(&full)
	k.deadlines(q, &full)
	if c == q.cursor {
		n := countBits(full.page.ready[:min(int(q.cursorWord), len(full.page.ready))])
		k.hold(n == 0, "%d ready before the cursor", n)
	}
}

// page checks a loaded chunk.
func (k *checker) page(c *chunk) {
	p, n := c.page, int(c.n)
	k.hold(n > 0 && n <= len(p.entries) && len(p.entries) <= chunkSlots, "%d slots, room for %d", n, len(p.entries))
	if n == 0 || n > len(p.entries) {
		return
	}
	k.hold(p.entries[0].delta == 0, "base %d is not the first LSN", c.base)
	k.hold(c.lsn(n-1) == c.last, "last LSN is %d, noted %d", c.lsn(n-1), c.last)
	for slot := 1; slot < n; slot++ {
		k.hold(p.entries[slot-1].delta < p.entries[slot].delta, "slot %d: LSN does not grow", slot)
	}
	var readyBytes int64
	for slot := range n {
		if testBit(p.ready, slot) {
			readyBytes += int64(p.entries[slot].size)
		}
	}
	k.hold(p.bytes() == c.liveBytes && readyBytes == c.readyBytes,
		"%d bytes live, %d ready, noted %d, %d", p.bytes(), readyBytes, c.liveBytes, c.readyBytes)
	k.hold(countBits(p.live) == int(c.live) && countBits(p.ready) == int(c.ready) && countBits(p.transient) == int(c.transient),
		"%d live, %d ready, %d transient, noted %d, %d, %d",
		countBits(p.live), countBits(p.ready), countBits(p.transient), c.live, c.ready, c.transient)
	for w := range p.live {
		outside := ^rangeMask(w, 0, n)
		k.hold(p.live[w]&outside == 0, "word %d: live behind the last slot", w)
		k.hold(p.ready[w]&^p.live[w] == 0, "word %d: ready, but not live", w)
		k.hold(p.transient == nil || p.transient[w]&^p.live[w] == 0, "word %d: transient, but not live", w)
		k.hold(p.redelivered == nil || p.redelivered[w]&outside == 0, "word %d: redelivered behind the last slot", w)
	}
	deadlines, returns := len(p.deadlines()), len(p.returns())
	k.hold(deadlines == 0 || deadlines == len(p.entries), "%d deadlines for %d slots", deadlines, len(p.entries))
	k.hold(returns == 0 || returns >= n, "%d counts of returns for %d slots", returns, n)
}

// deadlines checks what Due relies on: a bound that is too high would keep an entry
// for ever, and so would a sweep that is past it.
func (k *checker) deadlines(q *Queue, c *chunk) {
	p, x := c.page, q.expiry
	if len(p.deadlines()) < int(c.n) {
		return
	}
	live, ready := p.least(p.live), p.least(p.ready)
	if x == nil {
		k.hold(live == noDeadline, "least deadline is %d, the queue knows of none", live)
		return
	}
	k.hold(c.leastDeadline <= live, "least deadline is %d, noted %d", live, c.leastDeadline)
	k.hold(c.due <= ready && x.due <= ready, "least deadline of the ready is %d, noted %d, of the queue %d", ready, c.due, x.due)
	for slot, at := range p.deadlines()[:c.n] {
		k.hold(at >= 0 && at < noDeadline, "slot %d: deadline %d", slot, at)
		missed := at != 0 && at <= x.at && c.position(slot) < x.swept && testBit(p.ready, slot)
		k.hold(!missed, "slot %d: deadline %d was missed at %d", slot, at, x.at)
	}
}

// Check verifies all that is stored: every value's checksum and contents, and that
// the keys of each queue belong together. It reports every fault.
func (s *Store) Check() []error {
	k := checker{where: "index"}
	seen := map[queueKey]bool{}
	queues := map[levelID]bool{}
	k.add(s.scan(nil, func(key, value []byte) error {
		payload, err := openValue(key, value)
		k.add(err)
		switch {
		case len(key) == 1 && (key[0] == prefixFormat || key[0] == prefixMark):
			return nil
		case key[0] == prefixObject:
			_, ok := parseObjectKey(key)
			k.hold(ok, "object key %x", key)
			return nil
		}
		at, ok := parseQueueKey(key)
		k.hold(ok, "unknown key %x", key)
		if !ok || err != nil {
			return nil
		}
		seen[at], queues[at.id] = true, true
		k.add(at.check(key, payload))
		return nil
	}))
	for id := range queues {
		k.stored(s, id, seen)
	}
	return k.faults
}

// check decodes a value on its own.
func (at queueKey) check(key, payload []byte) (err error) {
	switch at.kind {
	case kindMeta:
		_, err = decodeMeta(key, payload)
	case kindDirectory:
		_, err = decodeDirectory(at.number, key, payload)
	case kindEntries:
		_, err = decodeEntries(key, payload)
	case kindBitmaps:
		_, err = decodeBitmaps(key, payload)
	}
	return err
}

// stored loads a level of a queue and each of its chunks. Keys that this uses are taken out
// of seen; those of the level that remain belong to nothing.
func (k *checker) stored(s *Store, id levelID, seen map[queueKey]bool) {
	defer func(where string) { k.where = where }(k.where)
	k.where = fmt.Sprintf("index %v", id)
	q, err := s.load(id)
	if err != nil {
		k.hold(!errors.Is(err, ErrNoQueue), "keys, but no meta")
		k.add(err)
		return
	}
	k.faults = append(k.faults, q.Check()...)
	delete(seen, queueKey{id: id, kind: kindMeta})
	for _, c := range q.chunks {
		delete(seen, queueKey{id, kindDirectory, c.number})
		delete(seen, queueKey{id, kindEntries, c.number})
		if c.hasBitmaps {
			delete(seen, queueKey{id, kindBitmaps, c.number})
		}
	}
	for at := range seen {
		k.hold(at.id != id, "key %c of chunk %d belongs to nothing", at.kind, at.number)
	}
}
