package history

import (
	"sort"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/millrace-mq/millrace/segment"
)

// Span is the records of a file, First to Last.
type Span struct{ First, Last segment.LSN }

// Use is what of a file queues still hold.
type Use struct {
	Records uint64 // that a queue holds, each counted once
	Bytes   uint64 // of them
	Pins    []Pin  // by queue, in the order of their ids
}

// Pin is a queue that holds records of a file.
type Pin struct {
	Queue   segment.QueueID
	Records uint64
}

// Use returns what is held of each of the spans, which are in order and do not overlap.
func (c *Contents) Use(spans []Span) []Use {
	uses := make([]Use, len(spans))
	for _, h := range c.sorted() {
		h.pin(spans, uses)
	}
	at := 0
	for lsn := range each(c.union()) {
		for at < len(spans) && spans[at].Last < lsn {
			at++
		}
		if at == len(spans) {
			break
		}
		if spans[at].First <= lsn {
			size, _ := c.sizes.of(lsn)
			uses[at].Records++
			uses[at].Bytes += uint64(size)
		}
	}
	return uses
}

// pin adds the queue to the uses of the spans that it holds records of: it jumps from one to the next.
func (h *Held) pin(spans []Span, uses []Use) {
	for it := h.lsns.Iterator(); it.HasNext(); {
		lsn := segment.LSN(it.PeekNext())
		at := sort.Search(len(spans), func(i int) bool { return spans[i].Last >= lsn })
		if at == len(spans) {
			return
		}
		if spans[at].First > lsn {
			it.AdvanceIfNeeded(uint64(spans[at].First))
			continue
		}
		uses[at].Pins = append(uses[at].Pins, Pin{h.ID, h.between(spans[at].First, spans[at].Last)})
		if spans[at].Last == ^segment.LSN(0) {
			return
		}
		it.AdvanceIfNeeded(uint64(spans[at].Last) + 1)
	}
}

// union is what any queue holds.
func (c *Contents) union() *roaring64.Bitmap {
	all := make([]*roaring64.Bitmap, 0, len(c.queues))
	for _, h := range c.queues {
		if !h.lsns.IsEmpty() {
			all = append(all, &h.lsns)
		}
	}
	return roaring64.FastOr(all...)
}
