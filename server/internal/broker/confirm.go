package broker

import (
	"slices"
	"sync"

	"github.com/millrace-mq/millrace/segment"
)

// confirmer tells clients that the log has been synced. A client is listed while it has publishes that
// wait; the log's syncer walks the list after each sync.
type confirmer struct {
	mu struct {
		sync.Mutex
		waiters []*Client
	}
	walked []*Client // the list being walked; the syncer's alone
}

// synced says that the watermark has moved. The log's syncer calls it.
func (f *confirmer) synced(lsn segment.LSN) {
	f.mu.Lock()
	f.walked, f.mu.waiters = f.mu.waiters, f.walked[:0]
	for _, c := range f.walked {
		c.listed = false
	}
	f.mu.Unlock()
	for _, c := range f.walked {
		if c.confirmTo(lsn) {
			f.list(c)
		}
	}
	clear(f.walked)
}

func (f *confirmer) list(c *Client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !c.listed {
		c.listed = true
		f.mu.waiters = append(f.mu.waiters, c)
	}
}

// registerConfirms notes what each channel's publishes of this batch wait for; first is the batch's
// first LSN. Those that wait for nothing, or for what is synced already, are confirmed at once.
func (c *Client) registerConfirms(first segment.LSN) {
	if len(c.published) == 0 {
		return
	}
	c.confirms.Lock()
	for _, ch := range c.published {
		p := pendingConfirm{seq: ch.published}
		if ch.awaits > 0 {
			p.lsn = first + segment.LSN(ch.awaits-1)
		}
		for _, seq := range ch.refused { // those before it wait for what the batch waits for
			ch.confirms.open = append(ch.confirms.open, pendingConfirm{seq - 1, p.lsn, false}, pendingConfirm{seq, 0, true})
		}
		ch.touched, ch.awaits, ch.refused = false, 0, ch.refused[:0]
		ch.confirms.open = append(ch.confirms.open, p)
		if !ch.confirms.waiting {
			ch.confirms.waiting = true
			c.confirms.waiting = append(c.confirms.waiting, ch)
		}
	}
	c.published = c.published[:0]
	c.confirms.Unlock()

	b := c.vhost.broker
	if c.confirmTo(b.log.Synced()) {
		b.confirms.list(c)
		c.confirmTo(b.log.Synced()) // a sync may have ended before the client was listed
	}
}

// confirmTo sends the confirms that a log synced up to lsn allows, and reports whether publishes still
// wait. It is safe to call at any time with any watermark that the log has reached.
func (c *Client) confirmTo(lsn segment.LSN) (waits bool) {
	c.confirms.Lock()
	defer c.confirms.Unlock()
	c.confirms.waiting = slices.DeleteFunc(c.confirms.waiting, func(ch *Channel) bool {
		f := &ch.confirms
		n := 0
		for ; n < len(f.open) && f.open[n].lsn <= lsn; n++ {
			if f.open[n].refused {
				c.confirm(ch, f.open[:n])
				c.refuse(ch, f.open[n].seq)
				f.open, n = slices.Delete(f.open, 0, n+1), -1
			}
		}
		c.confirm(ch, f.open[:n])
		f.open = slices.Delete(f.open, 0, n)
		f.waiting = len(f.open) > 0
		return !f.waiting
	})
	return len(c.confirms.waiting) > 0
}

// confirm tells a publisher that what it published up to the last of these is safe.
func (c *Client) confirm(ch *Channel, safe []pendingConfirm) {
	f := &ch.confirms
	if len(safe) == 0 || f.closed || safe[len(safe)-1].seq == f.last {
		return
	}
	seq := safe[len(safe)-1].seq
	// This is the promise. It stands on wal.Log's watermark: every record that these publishes became has
	// been covered by an fdatasync that returned (--sync disk), or has been taken by the kernel (--sync os).
	c.sink.Confirm(ch.Number, seq, seq > f.last+1)
	f.last = seq
}

// refuse tells a publisher that a queue did not take a message.
func (c *Client) refuse(ch *Channel, seq uint64) {
	if !ch.confirms.closed {
		c.sink.Refuse(ch.Number, seq)
		ch.confirms.last = seq
	}
}
