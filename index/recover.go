package index

// Recover turns a queue that was loaded and brought up to date by the replay into
// one that can be served: what was in flight is ready again and transient entries
// are gone. If the last run did not end cleanly, entries up to the horizon come
// back as redelivered. It pages in only chunks of which some entries are transient
// and some are not.
func (q *Queue) Recover(clean bool) {
	// The horizon may have been set ahead: entries that come after this
	// recovery were handed to nobody.
	if h := min(q.horizon, q.last); !clean && h > q.redeliveredTo {
		q.redeliveredTo = h
		q.dirty = true
	}
	q.sweep(0, func(c *chunk) (keep, stop bool) {
		if c.transient > 0 && c.transient == c.live && c != q.open {
			q.forget(c)
			return false, false
		}
		if c.transient > 0 && q.touch(c) {
			for w, gone := range c.page.transient {
				q.settleWord(c, w, gone)
			}
		}
		if c.ready < c.live {
			// An entry in flight keeps its bitmaps resident.
			copy(c.page.ready, c.page.live)
			q.ready += int(c.live - c.ready)
			q.readyBytes += c.liveBytes - c.readyBytes
			c.ready, c.readyBytes = c.live, c.liveBytes
			q.expect(c, 0, c.leastDeadline)
		}
		return true, false
	})
}
