package index

import "fmt"

// keepTouched is how many chunks that were looked for last stay resident besides
// the open one and the cursor's: acknowledgements trail the cursor, and those of
// several consumers interleave.
const keepTouched = 4

// sealIdle is the number of slots from which on an idle queue's open chunk is sealed.
const sealIdle = 256

// load pages a chunk in. A failure sticks to the queue.
func (q *Queue) load(c *chunk) bool {
	if q.err != nil {
		return false
	}
	listed := c.page != nil
	if err := q.store.loadPage(q.levelID(), c); err != nil {
		q.err = fmt.Errorf("%v chunk %d: %w", q.levelID(), c.number, err)
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
