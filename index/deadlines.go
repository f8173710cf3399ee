package index

import "math/bits"

// expiry is what a queue that has had deadlines knows of them.
//
// Invariants: no ready entry has a deadline below due, and none before swept has one
// that is not after at.
type expiry struct {
	due   int64    // noDeadline = no ready entry has one
	swept Position // where the last call of Due ended
	at    int64    // its now
}

// NextDeadline returns a time before which Due has nothing: the least deadline of
// the ready entries. It may be too early when the entry that had it has left since,
// and is never too late; asked at that time, Due finds an entry or makes it later.
// Entries in flight do not count until they return.
func (q *Queue) NextDeadline() (int64, bool) {
	if q.expiry == nil || q.ready == 0 || q.expiry.due == noDeadline {
		return 0, false
	}
	return q.expiry.due, true
}

// Due takes the lowest ready entry whose deadline is not after now, wherever it
// stands: it is in flight from now on, as if Next had taken it. It pages in only
// chunks that hold such an entry. A call goes on where the last one ended if it has
// the same now, so that is how to take all that is due.
func (q *Queue) Due(now int64) (e Entry, ok bool) {
	now = min(now, noDeadline-1)
	x := q.expiry
	if x == nil || q.ready == 0 || x.due > now {
		return e, false
	}
	if now != x.at {
		x.swept, x.at = 0, now
	}
	for i := q.indexOf(uint64(x.swept) >> chunkShift); i < len(q.chunks); i++ {
		c := q.chunks[i]
		if c.ready == 0 || c.due > now {
			continue
		}
		if !q.touch(c) {
			return e, false
		}
		if slot, ok := c.dueFrom(x.swept, now); ok {
			x.swept = c.position(slot) + 1
			q.take(&e, c, slot)
			return e, true
		}
		c.sharpen()
	}
	// Nothing is due: a chunk that says otherwise, for entries that have left it or
	// are in flight, learns better without being paged in.
	x.due = noDeadline
	for _, c := range q.chunks {
		c.due = max(c.due, now+1)
		if c.ready > 0 {
			x.due = min(x.due, c.due)
		}
	}
	return e, false
}

// dueFrom returns the first ready slot of a loaded chunk whose deadline is not after
// now, and whose position is not before from.
func (c *chunk) dueFrom(from Position, now int64) (int, bool) {
	deadlines, first := c.page.deadlines(), 0
	if deadlines == nil {
		return 0, false
	}
	if begin := c.position(0); from > begin {
		first = int(from - begin)
	}
	for w := first >> 6; w < len(c.page.ready); w++ {
		rest := c.page.ready[w] & rangeMask(w, first, chunkSlots)
		for ; rest != 0; rest &= rest - 1 {
			slot := w<<6 + bits.TrailingZeros64(rest)
			if at := deadlines[slot]; at != 0 && at <= now {
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
	rare := c.page.makeRare()
	if rare.deadlines == nil {
		if deadline == 0 {
			return
		}
		rare.deadlines = make([]int64, len(c.page.entries))
	}
	rare.deadlines[slot] = deadline
	if deadline != 0 {
		c.leastDeadline = min(c.leastDeadline, deadline)
		q.expect(c, slot, deadline)
	}
}

// expect notes the deadline of a slot that became ready; 0 and noDeadline are none.
func (q *Queue) expect(c *chunk, slot int, deadline int64) {
	if deadline == 0 || deadline == noDeadline {
		return
	}
	if q.expiry == nil {
		q.expiry = &expiry{due: noDeadline}
	}
	c.due = min(c.due, deadline)
	q.expiry.due = min(q.expiry.due, deadline)
	q.expiry.swept = min(q.expiry.swept, c.position(slot))
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
	deadlines, least := p.deadlines(), int64(noDeadline)
	if deadlines == nil {
		return least
	}
	for w, rest := range chosen {
		for ; rest != 0; rest &= rest - 1 {
			if at := deadlines[w<<6+bits.TrailingZeros64(rest)]; at != 0 {
				least = min(least, at)
			}
		}
	}
	return least
}
