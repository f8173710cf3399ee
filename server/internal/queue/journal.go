package queue

import (
	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// journal gathers what left a durable queue until the broker writes it to the log. Consecutive entries
// that leave for the same reason become one range, so a queue that is consumed in order costs one range
// a flush.
type journal struct {
	runs []run
	next index.Position // extends the last run
}

type run struct {
	segment.Range
	reason segment.SettleReason
}

// add notes a settled entry and reports whether there is something to write. Transient entries need no
// record (recovery drops them); one that continues a run is taken along, which keeps the run whole.
//
// A range is one of records, in all lanes of the queue. So with one lane neighbours in it make a range,
// whatever records of other queues lie between; with several only neighbours in the log do.
func (j *journal) add(e entry, reason segment.SettleReason, lanes bool) bool {
	if n := len(j.runs); n > 0 && j.runs[n-1].reason == reason {
		follows := e.position == j.next
		if lanes {
			follows = e.lsn == j.runs[n-1].To+1
		}
		if follows {
			j.runs[n-1].To = e.lsn
			j.next = e.position + 1
			return true
		}
	}
	if e.transient {
		return len(j.runs) > 0
	}
	j.runs = append(j.runs, run{segment.Range{From: e.lsn, To: e.lsn}, reason})
	j.next = e.position + 1
	return true
}

// addRange notes a range that the index has settled as a whole.
func (j *journal) addRange(from, to segment.LSN, reason segment.SettleReason) {
	j.runs = append(j.runs, run{segment.Range{From: from, To: to}, reason})
	j.next = 0
}

// TakeJournal calls yield for each reason with the ranges of LSNs that left the queue for it since the
// last call. The slice is valid during the call only.
func (q *Queue) TakeJournal(scratch []segment.Range, yield func(segment.SettleReason, []segment.Range)) []segment.Range {
	runs := q.journal.runs
	for len(runs) > 0 {
		reason := runs[0].reason
		scratch = scratch[:0]
		n := 0
		for n < len(runs) && runs[n].reason == reason {
			scratch = append(scratch, runs[n].Range)
			n++
		}
		yield(reason, scratch)
		runs = runs[n:]
	}
	q.journal.runs = q.journal.runs[:0]
	q.journal.next = 0
	return scratch
}
