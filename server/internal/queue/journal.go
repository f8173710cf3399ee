package queue

import (
	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// journal gathers what left a durable queue, and what came back to it, until the broker writes it to the log. What is
// said of one taker for one reason is a group, and consecutive entries in a group become one range: so a queue that is
// consumed in order costs one range a flush, and consumers who take turns a record each.
type journal struct {
	runs   []run
	groups []group
	other  int32 // the last group without a taker, a hint
}

// run is a range of a group.
type run struct {
	segment.Range
	next int32 // the group's next one, 0 for none: what follows cannot be the first of all
}

type group struct {
	taker       *Taker // nil: nobody had the entries, or there is no telling
	first, last int32  // its runs
	next        index.Position
	reason      segment.SettleReason
}

// maxReturns is how many ranges a journal may have for returns to be added. What leaves a queue was in it, which bounds
// the rest; but the same message can come back for ever, and while the disk is full nobody takes the journal.
const maxReturns = 1 << 16

// add notes a settled or returned entry and reports whether there is something to write. Transient entries need no
// record (recovery drops them); one that continues a run is taken along, which keeps the run whole.
//
// A range is one of records, in all lanes of the queue. So with one lane neighbours in it make a range,
// whatever records of other queues lie between; with several only neighbours in the log do.
func (j *journal) add(e entry, reason segment.SettleReason, by *Taker, lanes bool) bool {
	if g := j.find(reason, by); g != nil {
		r := &j.runs[g.last]
		follows := e.position == g.next
		if lanes {
			follows = e.lsn == r.To+1
		}
		if follows {
			r.To = e.lsn
			g.next = e.position + 1
			return true
		}
	}
	if e.transient || reason == segment.SettleReturn && len(j.runs) >= maxReturns {
		return len(j.runs) > 0
	}
	j.append(segment.Range{From: e.lsn, To: e.lsn}, reason, by, e.position+1)
	return true
}

// addRange notes a range that the index has settled as a whole.
func (j *journal) addRange(from, to segment.LSN, reason segment.SettleReason) {
	j.append(segment.Range{From: from, To: to}, reason, nil, 0)
}

// find returns the group of a taker and a reason. One that it does not find may be there: it then has another.
func (j *journal) find(reason segment.SettleReason, by *Taker) *group {
	at := j.other
	if by != nil {
		at = by.groups[reason]
	}
	if int(at) < len(j.groups) && j.groups[at].taker == by && j.groups[at].reason == reason {
		return &j.groups[at]
	}
	return nil
}

// append adds a range, which an entry at the position next would extend.
func (j *journal) append(r segment.Range, reason segment.SettleReason, by *Taker, next index.Position) {
	at := int32(len(j.runs))
	j.runs = append(j.runs, run{Range: r})
	g := j.find(reason, by)
	if g != nil {
		j.runs[g.last].next = at
		g.last, g.next = at, next
		return
	}
	if by != nil {
		by.groups[reason] = int32(len(j.groups))
	} else {
		j.other = int32(len(j.groups))
	}
	j.groups = append(j.groups, group{taker: by, reason: reason, first: at, last: at, next: next})
}

// Journal is told what happened to entries of a queue since the last call: for each taker, nil if nobody had them, and
// each reason the ranges of their LSNs, which are borrowed.
type Journal func(by *Taker, reason segment.SettleReason, ranges []segment.Range)

// TakeJournal tells the journal of the queue what happened to its entries since the last call. What came back is told
// first: what was settled since had come back before.
func (q *Queue) TakeJournal(scratch []segment.Range, tell Journal) []segment.Range {
	j := &q.journal
	for _, returns := range []bool{true, false} {
		for i := range j.groups {
			g := &j.groups[i]
			if (g.reason == segment.SettleReturn) != returns {
				continue
			}
			scratch = append(scratch[:0], j.runs[g.first].Range)
			for at := j.runs[g.first].next; at != 0; at = j.runs[at].next {
				scratch = append(scratch, j.runs[at].Range)
			}
			tell(g.taker, g.reason, scratch)
		}
	}
	clear(j.groups)
	j.runs, j.groups = j.runs[:0], j.groups[:0]
	return scratch
}
