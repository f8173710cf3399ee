package index

import (
	"math/bits"

	"github.com/millrace-mq/millrace/segment"
)

// Live appends the LSNs of some live entries, ready or in flight: those of the first chunk that has any above
// the one given. Nothing is appended when there are no more.
func (q *Queue) Live(dst []segment.LSN, above segment.LSN) []segment.LSN {
	for i := q.firstReaching(above + 1); i < len(q.chunks); i++ {
		c, before := q.chunks[i], len(dst)
		if c.live == 0 {
			continue
		}
		if !q.touch(c) {
			return dst
		}
		for w, rest := range c.page.live {
			for ; rest != 0; rest &= rest - 1 {
				if lsn := c.lsn(w<<6 + bits.TrailingZeros64(rest)); lsn > above {
					dst = append(dst, lsn)
				}
			}
		}
		if len(dst) > before {
			return dst
		}
	}
	return dst
}

// Retime gives entries other deadlines than they were pushed with. lsns ascend, and each entry has its deadline
// at the same place; what is not live any more is passed over. A chunk's deadlines are replaced as a whole, for
// a checkpoint may be reading the old ones, and are stored again by the next.
func (q *Queue) Retime(lsns []segment.LSN, deadlines []int64) {
	for len(lsns) > 0 {
		i := q.firstReaching(lsns[0])
		if i == len(q.chunks) {
			return
		}
		c, n := q.chunks[i], 0
		for n < len(lsns) && lsns[n] <= c.last {
			n++
		}
		if c.live > 0 {
			if !q.touch(c) {
				return
			}
			q.retime(c, lsns[:n], deadlines)
		}
		lsns, deadlines = lsns[n:], deadlines[n:]
	}
}

// retime is Retime for the entries of a loaded chunk.
func (q *Queue) retime(c *chunk, lsns []segment.LSN, deadlines []int64) {
	column := make([]int64, len(c.page.entries))
	copy(column, c.page.deadlines())
	for i, lsn := range lsns {
		slot := c.search(lsn)
		if slot == int(c.n) || c.lsn(slot) != lsn || !testBit(c.page.live, slot) {
			continue
		}
		column[slot] = deadlines[i]
		if at := deadlines[i]; at < 0 || at == noDeadline {
			column[slot] = 0
		}
	}
	c.page.makeRare().deadlines = column
	c.sharpen()
	c.savedN = 0
	q.dirty = true
	if q.expiry == nil {
		q.expiry = &expiry{due: noDeadline}
	}
	q.expiry.due = min(q.expiry.due, c.due)
	q.expiry.swept = min(q.expiry.swept, c.position(0))
}
