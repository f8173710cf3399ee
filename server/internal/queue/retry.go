package queue

import "container/heap"

// A quorum queue may make a returned message wait before it is delivered again (QQ-07), and any queue one that cannot
// be read from the disk. Meanwhile it is held by nobody. What waits is not in the log: after a restart it is ready at once.

// retry is a returned message that waits.
type retry struct {
	at    int64 // ms
	entry entry
}

// retries is a heap of them, the earliest first and of the same time the oldest.
type retries []retry

func (r retries) Len() int { return len(r) }

func (r retries) Less(i, j int) bool {
	return r[i].at < r[j].at || r[i].at == r[j].at && r[i].entry.lsn < r[j].entry.lsn
}

func (r retries) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *retries) Push(x any)   { *r = append(*r, x.(retry)) }

func (r *retries) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	*r = (*r)[:last]
	return x
}

// unreadWait is how long a message waits that the disk did not give, in milliseconds: somebody may mend it.
const unreadWait = 30_000

// postpone returns an entry that could not be read. It has failed nobody, so that does not count.
func (q *Queue) postpone(e entry) {
	if !q.deleted {
		q.returned = append(q.returned, retry{unreadWait, e})
		q.agenda.schedule(q)
	}
}

// retryWait is how long a message that came back that often waits, in milliseconds.
func (r *Rules) retryWait(returns Returns, failed bool) int64 {
	if failed && !r.RetryFailed || !failed && !r.RetryReturned {
		return 0
	}
	wait := r.RetryMin
	if n := returns.Acquisitions(); wait > 0 && n > 1 {
		wait *= n // the most of both is far from an overflow: see Rules
	}
	if r.RetryMax > 0 {
		wait = min(wait, r.RetryMax)
	}
	return wait
}

// startWaits begins the waits of what has come back since the last dispatch.
func (q *Queue) startWaits(now int64) {
	for _, r := range q.returned {
		r.at += now
		heap.Push(&q.retries, r)
	}
	q.returned = q.returned[:0]
}

// endWaits makes the messages ready that have waited long enough.
func (q *Queue) endWaits(now int64) {
	for len(q.retries) > 0 && q.retries[0].at <= now {
		e := heap.Pop(&q.retries).(retry).entry
		q.lanes.of(e.level).Requeue(e.position)
		q.agenda.schedule(q)
		q.wake()
	}
}
