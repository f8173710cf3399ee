package index

import (
	"slices"
	"sort"

	"github.com/millrace-mq/millrace/segment"
)

// indexOf returns the index of the first chunk whose number is at least number.
func (q *Queue) indexOf(number uint64) int {
	if len(q.chunks) == 0 || number <= q.chunks[0].number {
		return 0
	}
	// Numbers are dense in a backlog that is consumed in order.
	if i := number - q.chunks[0].number; i < uint64(len(q.chunks)) && q.chunks[i].number == number {
		return int(i)
	}
	return sort.Search(len(q.chunks), func(i int) bool { return q.chunks[i].number >= number })
}

// firstReaching returns the index of the first chunk that ends at lsn or later.
func (q *Queue) firstReaching(lsn segment.LSN) int {
	return sort.Search(len(q.chunks), func(i int) bool { return q.chunks[i].last >= lsn })
}

// drop takes a sealed chunk, all of whose entries are settled, out of the queue.
func (q *Queue) drop(c *chunk) {
	i := q.indexOf(c.number)
	if q.cursor == c {
		q.cursor, q.cursorWord = nil, 0
		if i+1 < len(q.chunks) {
			q.cursor = q.chunks[i+1]
		}
	}
	// Shift the shorter side: queues lose their chunks at the front.
	if i < len(q.chunks)/2 {
		copy(q.chunks[1:i+1], q.chunks[:i])
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
	} else {
		q.chunks = slices.Delete(q.chunks, i, i+1)
	}
	q.forget(c)
}

// forget settles what is left of a chunk and notes its keys for deletion. The
// caller takes it out of chunks and moves the cursor.
func (q *Queue) forget(c *chunk) {
	q.live -= int(c.live)
	q.ready -= int(c.ready)
	q.liveBytes -= c.liveBytes
	q.readyBytes -= c.readyBytes
	q.dirty = true
	if c.generation != never {
		q.forgotten = append(q.forgotten, c.number)
	}
	if q.recent == c {
		q.recent = nil
	}
	if q.open == c {
		q.open = nil
	}
	c.page = nil // trim takes it off the resident list
	c.live, c.ready, c.transient, c.liveBytes, c.readyBytes = 0, 0, 0, 0, 0
}

// sweep visits the chunks from index first on; visit says whether to keep a chunk,
// and has forgotten it if not. It stops behind the chunk for which visit says stop.
func (q *Queue) sweep(first int, visit func(c *chunk) (keep, stop bool)) {
	kept, i := first, first
	for ; i < len(q.chunks); i++ {
		c := q.chunks[i]
		keep, stop := visit(c)
		if keep {
			q.chunks[kept] = c
			kept++
		}
		if stop {
			i++
			break
		}
	}
	q.chunks = slices.Delete(q.chunks, kept, i)
	q.rewind()
}

// rewind moves the cursor to the first chunk with a ready entry, or to the last one.
func (q *Queue) rewind() {
	q.cursor, q.cursorWord = nil, 0
	for _, c := range q.chunks {
		q.cursor = c
		if c.ready > 0 {
			break
		}
	}
}
