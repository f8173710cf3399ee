package index

import "math/bits"

// NextDeadline returns a time before which Due has nothing: the least deadline of
// the ready entries. It may be too early when the entry that had it has left since,
// and is never too late; asked at that time, Due finds an entry or makes it later.
// Entries in flight do not count until they return.
func (q *Queue) NextDeadline() (int64, bool) {
	if q.ready == 0 || q.due == noDeadline {
		return 0, false
	}
	return q.due, true
}

// Due takes the lowest ready entry whose deadline is not after now, wherever it
// stands: it is in flight from now on, as if Next had taken it. It pages in only
// chunks that hold such an entry. Calls that follow each other with the same now go
// on where the last one ended, so that is how to take all that is due.
func (q *Queue) Due(now int64) (Entry, bool) {
	now = min(now, noDeadline-1)
	if q.ready == 0 || q.due > now {
		return Entry{}, false
	}
	if now != q.sweptAt {
		q.swept, q.sweptAt = 0, now
	}
	for i := q.indexOf(uint64(q.swept) >> chunkShift); i < len(q.chunks); i++ {
		c := q.chunks[i]
		if c.ready == 0 || c.due > now {
			continue
		}
		if !q.touch(c) {
			return Entry{}, false
		}
		if slot, ok := c.dueFrom(max(q.swept, c.position(0)), now); ok {
			q.swept = c.position(slot) + 1
			return q.take(c, slot), true
		}
		c.sharpen()
	}
	// All chunks have been seen, and those with a due entry sharpened since.
	q.due = noDeadline
	for _, c := range q.chunks {
		if c.ready > 0 {
			q.due = min(q.due, c.due)
		}
	}
	q.swept = 0
	return Entry{}, false
}

// dueFrom returns the first ready slot of a loaded chunk, from a position in it on,
// whose deadline is not after now.
func (c *chunk) dueFrom(from Position, now int64) (int, bool) {
	p := c.page
	if p.deadlines == nil {
		return 0, false
	}
	first := int(from - c.position(0))
	for w := first >> 6; w < len(p.ready); w++ {
		for rest := p.ready[w] & rangeMask(w, first, chunkSlots); rest != 0; rest &= rest - 1 {
			slot := w<<6 + bits.TrailingZeros64(rest)
			if at := p.deadlines[slot]; at != 0 && at <= now {
				return slot, true
			}
		}
	}
	return 0, false
}

// setDeadline gives a slot that is being pushed its deadline.
func (q *Queue) setDeadline(c *chunk, slot int, deadline int64) {
	if deadline < 0 || deadline == noDeadline {
		deadline = 0
	}
	p := c.page
	if p.deadlines == nil {
		p.deadlines = make([]int64, len(p.entries))
	}
	p.deadlines[slot] = deadline
	if deadline != 0 {
		c.leastDeadline = min(c.leastDeadline, deadline)
		q.expect(c, slot)
	}
}

// expect notes the deadline, if there is one, of an entry that became ready.
func (q *Queue) expect(c *chunk, slot int) {
	deadline := c.page.deadlines[slot]
	if deadline == 0 {
		return
	}
	c.due = min(c.due, deadline)
	q.due = min(q.due, deadline)
	q.swept = min(q.swept, c.position(slot))
}

// sharpen makes the least deadlines of a loaded chunk exact. They are lower bounds
// otherwise: to keep them exact would cost a search whenever an entry leaves.
func (c *chunk) sharpen() {
	c.leastDeadline = c.page.least(c.page.live)
	c.due = c.leastDeadline
	if c.ready < c.live {
		c.due = c.page.least(c.page.ready)
	}
}

// least returns the least deadline of the chosen slots, or noDeadline.
func (p *page) least(chosen []uint64) int64 {
	least := int64(noDeadline)
	if p.deadlines == nil {
		return least
	}
	for w, rest := range chosen {
		for ; rest != 0; rest &= rest - 1 {
			if at := p.deadlines[w<<6+bits.TrailingZeros64(rest)]; at != 0 {
				least = min(least, at)
			}
		}
	}
	return least
}
