package index

import (
	"fmt"
	"slices"
)

// keepTouched is how many chunks that were looked for last stay resident besides
// the open one and the cursor's: acknowledgements trail the cursor, and those of
// several consumers interleave.
const keepTouched = 4

// sealIdle is the number of slots from which on an idle queue's open chunk is sealed.
const sealIdle = 256

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

// load pages a chunk in. A failure sticks to the queue.
func (q *Queue) load(c *chunk) bool {
	if q.err != nil {
		return false
	}
	listed := c.page != nil
	if err := q.store.loadPage(q.id, c); err != nil {
		q.err = fmt.Errorf("queue %d chunk %d: %w", q.id, c.number, err)
		return false
	}
	if !listed {
		q.resident = append(q.resident, c)
	}
	q.clock++
	c.touched = q.clock
	q.trim()
	return true
}

// trim pages out what is stored and not in use.
func (q *Queue) trim() {
	committed := q.store.committed.Load()
	q.evict(func(c *chunk) bool {
		return c != q.cursor && c != q.recent && q.clock-c.touched >= keepTouched && c.stored(committed)
	})
}

// rest pages out all that is stored, of a queue that did not change since the last
// checkpoint. The open chunk is sealed for it if it is big enough to matter, and
// not so small that a slow queue would end up with a chunk for each message.
func (q *Queue) rest() {
	committed := q.store.committed.Load()
	if c := q.open; c != nil && c.n >= sealIdle && c.stored(committed) {
		q.open = nil
	}
	q.evict(func(c *chunk) bool { return c.stored(committed) })
	if len(q.resident) == 0 {
		q.resident = nil
	}
}

// evict pages the chosen chunks out as far as that loses nothing, and takes those
// without a page off the resident list.
func (q *Queue) evict(chosen func(*chunk) bool) {
	kept := q.resident[:0]
	for _, c := range q.resident {
		if c.page != nil && c != q.open && chosen(c) {
			c.pageOut()
		}
		if c.page != nil {
			kept = append(kept, c)
		}
	}
	clear(q.resident[len(kept):])
	q.resident = kept
}
