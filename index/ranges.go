package index

import (
	"math/bits"

	"github.com/millrace-mq/millrace/segment"
)

// SettleRange removes every live entry whose LSN is within [from, to] and returns
// how many there were. Chunks that are covered whole are not paged in.
func (q *Queue) SettleRange(from, to segment.LSN) int {
	before := q.live
	first := q.firstReaching(from)
	if from > to || first == len(q.chunks) || q.chunks[first].base > to {
		return 0
	}
	if c := q.chunks[first]; to <= c.last && !q.coversChunk(c, from, to) {
		// The common case, one message or a few of one chunk, spares the sweep.
		q.settlePart(c, from, to)
		return before - q.live
	}
	q.sweep(first, func(c *chunk) (keep, stop bool) {
		switch {
		case c.base > to:
			return true, true
		case q.coversChunk(c, from, to):
			q.forget(c)
			return false, false
		default:
			q.settleSlotsOf(c, from, to)
			if c.live == 0 && c != q.open {
				q.forget(c)
				return false, false
			}
			return true, false
		}
	})
	return before - q.live
}

func (q *Queue) coversChunk(c *chunk, from, to segment.LSN) bool {
	return from <= c.base && c.last <= to && c != q.open
}

// settlePart settles a range within one chunk, and drops the chunk if that was all.
func (q *Queue) settlePart(c *chunk, from, to segment.LSN) {
	q.settleSlotsOf(c, from, to)
	if c.live == 0 && c != q.open {
		q.drop(c)
	}
}

// settleSlotsOf settles the live entries of a chunk within a range of LSNs.
func (q *Queue) settleSlotsOf(c *chunk, from, to segment.LSN) {
	if c.live == 0 || !q.touch(c) {
		return
	}
	end := int(c.n)
	if to < c.last {
		end = c.search(to + 1)
	}
	begin := c.search(from)
	for w := begin >> 6; w<<6 < end; w++ {
		q.settleWord(c, w, c.page.live[w]&rangeMask(w, begin, end))
	}
}

// settleWord settles the given live entries of one word of a loaded chunk. The
// caller drops the chunk when nothing is left.
func (q *Queue) settleWord(c *chunk, w int, gone uint64) {
	if gone == 0 {
		return
	}
	p := c.page
	wasReady := p.ready[w] & gone
	var all, ready int64
	for rest := gone; rest != 0; rest &= rest - 1 {
		size := int64(p.entries[w<<6+bits.TrailingZeros64(rest)].size)
		all += size
		if wasReady&rest&-rest != 0 {
			ready += size
		}
	}
	p.live[w] &^= gone
	p.ready[w] &^= gone
	if p.transient != nil {
		c.transient -= uint16(bits.OnesCount64(p.transient[w] & gone))
		p.transient[w] &^= gone
	}
	count, readyCount := bits.OnesCount64(gone), bits.OnesCount64(wasReady)
	c.live -= uint16(count)
	c.ready -= uint16(readyCount)
	c.liveBytes -= all
	c.readyBytes -= ready
	c.bitsDirty = true
	q.live -= count
	q.ready -= readyCount
	q.liveBytes -= all
	q.readyBytes -= ready
	q.dirty = true
}

// Purge settles all ready entries and returns how many there were. It reports
// ranges of LSNs that cover them and no entry in flight, as few as possible, in
// ascending order; report must not use the queue. A chunk is paged in only if some
// of its entries are ready and some are in flight.
func (q *Queue) Purge(report func(from, to segment.LSN)) int {
	before := q.ready
	if before == 0 {
		return 0
	}
	run := rangeRun{report: report}
	q.sweep(0, func(c *chunk) (keep, stop bool) {
		switch {
		case c.ready == 0:
			if c.live > 0 {
				run.end()
			}
			return true, false
		case c.ready == c.live:
			// Settled entries may be covered too: to settle them again changes nothing.
			run.extend(c.base, c.last)
			if c != q.open {
				q.forget(c)
				return false, false
			}
			q.settleReady(c)
			return true, false
		}
		if !q.touch(c) {
			run.end()
			return true, false
		}
		run.walk(c)
		q.settleReady(c)
		return true, false
	})
	run.end()
	return before - q.ready
}

// settleReady settles all ready entries of a loaded chunk.
func (q *Queue) settleReady(c *chunk) {
	for w := range c.page.ready {
		q.settleWord(c, w, c.page.ready[w])
	}
}

// rangeRun gathers ready entries into ranges: entries extend the run, an entry in
// flight ends it.
type rangeRun struct {
	report   func(from, to segment.LSN)
	from, to segment.LSN // from 0 = no run
}

func (r *rangeRun) extend(from, to segment.LSN) {
	if r.from == 0 {
		r.from = from
	}
	r.to = to
}

func (r *rangeRun) end() {
	if r.from != 0 {
		r.report(r.from, r.to)
	}
	r.from = 0
}

// walk passes over the live entries of a loaded chunk.
func (r *rangeRun) walk(c *chunk) {
	for w, live := range c.page.live {
		for rest := live; rest != 0; rest &= rest - 1 {
			slot := w<<6 + bits.TrailingZeros64(rest)
			if !testBit(c.page.ready, slot) {
				r.end()
				continue
			}
			r.extend(c.lsn(slot), c.lsn(slot))
		}
	}
}
