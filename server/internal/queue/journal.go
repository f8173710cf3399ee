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
func (j *journal) add(p index.Position, lsn segment.LSN, transient bool, reason segment.SettleReason) bool {
	if n := len(j.runs); n > 0 && p == j.next && j.runs[n-1].reason == reason {
		j.runs[n-1].To = lsn
		j.next++
		return true
	}
	if transient {
		return len(j.runs) > 0
	}
	j.runs = append(j.runs, run{segment.Range{From: lsn, To: lsn}, reason})
	j.next = p + 1
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
