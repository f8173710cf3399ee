package index

import (
	"fmt"
	"math/bits"
	"sort"

	"github.com/millrace-mq/millrace/segment"
)

// Share is how much of a queue lies in a range of the log.
type Share struct {
	Records int64
	Bytes   int64 // sum of their sizes
}

// Spread adds to shares what the queue holds, ready or in flight, of ranges of the log that follow on one
// another: shares[i] is of the records above ends[i-1] (above 0 for the first) up to ends[i]. It is an estimate
// that reads no page: the entries of a chunk that reaches into several ranges count as evenly spread. What
// lies beyond the last range is left out.
func (q *Queue) Spread(ends []segment.LSN, shares []Share) {
	if q.live == 0 {
		return
	}
	from := 0
	for _, c := range q.chunks {
		if c.live == 0 {
			continue
		}
		first := c.base
		if !c.loaded() {
			first = c.lowest
		}
		from += sort.Search(len(ends)-from, func(i int) bool { return ends[from+i] >= first })
		if from == len(ends) {
			return
		}
		width, rest := float64(c.last-first)+1, Share{int64(c.live), c.liveBytes}
		for i := from; i < len(ends) && first <= c.last; i++ {
			share := rest
			if ends[i] < c.last {
				part := (float64(ends[i]-first) + 1) / width
				share = Share{int64(part * float64(c.live)), int64(part * float64(c.liveBytes))}
			}
			shares[i].Records += share.Records
			shares[i].Bytes += share.Bytes
			rest.Records -= share.Records
			rest.Bytes -= share.Bytes
			first = ends[i] + 1
		}
	}
}

// LiveIn appends the LSNs of live entries, ready or in flight, between from and to, both included: those of the
// first chunk that has any. Nothing is appended when there are none. A chunk that is not resident is read
// aside and given up again, so that who goes through a backlog takes no memory and no room from others. An
// error is of this call alone.
func (q *Queue) LiveIn(dst []segment.LSN, from, to segment.LSN) ([]segment.LSN, error) {
	for i := q.firstReaching(from); i < len(q.chunks) && q.chunks[i].base <= to; i++ {
		c, before := q.chunks[i], len(dst)
		if c.live == 0 || !c.loaded() && c.lowest > to {
			continue
		}
		if !c.loaded() {
			aside := *c
			if c.page != nil {
				page := *c.page
				aside.page = &page
			}
			if err := q.store.loadPage(q.levelID(), &aside); err != nil {
				return dst, fmt.Errorf("%v chunk %d: %w", q.levelID(), c.number, err)
			}
			c = &aside
		}
		begin, end := c.search(from), int(c.n)
		if to < c.last {
			end = c.search(to + 1)
		}
		for w := begin >> 6; w<<6 < end; w++ {
			for rest := c.page.live[w] & rangeMask(w, begin, end); rest != 0; rest &= rest - 1 {
				dst = append(dst, c.lsn(w<<6+bits.TrailingZeros64(rest)))
			}
		}
		if len(dst) > before {
			return dst, nil
		}
	}
	return dst, nil
}
