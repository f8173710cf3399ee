package history

import (
	"cmp"
	"iter"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Contents is what queues hold at a place of the log. Make it with NewContents. One goroutine uses it.
//
// It is as exact as the log: see [Held.Transient] and [Queue.Durable] for what the log does not tell.
type Contents struct {
	queues map[segment.QueueID]*Held
	last   *Held // the queue of the last record, for most name the same
	sizes  sizes
}

// Held is what a queue holds, and what went through it in the records that were applied.
type Held struct {
	ID segment.QueueID
	// Published is how many messages came. Left is how many left it, by reason; of a queue that was deleted, and of
	// transient messages, it is not all.
	Published uint64
	Left      [segment.SettleTransfer + 1]uint64
	// Horizon is up to which record messages may have been handed to a client.
	Horizon segment.LSN

	lsns  roaring64.Bitmap
	sizes *sizes
}

// NewContents returns the contents as of before the first record.
func NewContents() *Contents {
	return &Contents{queues: make(map[segment.QueueID]*Held), sizes: sizes{chunks: make(map[uint64]*chunk)}}
}

// Apply takes notice of the next record of the log: publishes, with the queues that they went to, settlements, horizons,
// the deletion of queues and starts of the broker. The topology has taken notice of it before. An error says that
// the record cannot be decoded; nothing of it holds then.
func (c *Contents) Apply(r segment.Record, queues []segment.QueueID, t *Topology) error {
	for _, q := range t.Deleted() { // a catalogue behind missed records tells of deletions with the record behind it
		c.forget(q.ID)
	}
	switch r.Kind() {
	case segment.KindPublish:
		return c.publish(r, queues)
	case segment.KindSettle:
		s, err := r.Settle()
		if err != nil {
			return err
		}
		if h := c.find(s.Queue); h != nil {
			h.settle(&s)
		}
	case segment.KindHorizon:
		at, err := r.Horizon()
		if err != nil {
			return err
		}
		c.held(at.Queue).Horizon = at.LSN
	default:
		if t.Started().LSN == r.LSN() {
			c.restart(t)
		}
	}
	return nil
}

func (c *Contents) publish(r segment.Record, queues []segment.QueueID) error {
	if len(queues) == 0 {
		return nil
	}
	transient := r.Flags()&segment.FlagTransient != 0
	if !transient {
		p, err := r.Publish()
		if err != nil {
			return err
		}
		header, err := amqp.ParseHeader(p.Header)
		if err != nil {
			return err
		}
		transient = header.DeliveryMode != amqp.Persistent
	}
	lsn := r.LSN()
	if c.sizes.full() {
		live := c.union()
		c.sizes.sweep(live)
	}
	c.sizes.put(lsn, uint32(len(r)), transient)
	for _, id := range queues {
		h := c.held(id)
		h.lsns.Add(uint64(lsn))
		h.Published++
	}
	return nil
}

// leaves reports whether what is settled for a reason has left its queue, which a message that came back has not.
func leaves(r segment.SettleReason) bool { return r != segment.SettleReturn }

func (h *Held) settle(s *segment.Settle) {
	if !leaves(s.Reason) {
		return
	}
	left := uint64(0)
	for at := range s.Ranges() {
		if at.From == at.To {
			if h.lsns.CheckedRemove(uint64(at.From)) {
				left++
			}
			continue
		}
		left += h.between(at.From, at.To)
		h.lsns.RemoveRange(uint64(at.From), uint64(at.To)+1)
	}
	if int(s.Reason) < len(h.Left) {
		h.Left[s.Reason] += left
	}
}

// between counts the entries from one record to another.
func (h *Held) between(from, to segment.LSN) uint64 {
	n := h.lsns.Rank(uint64(to))
	if from > 0 {
		n -= h.lsns.Rank(uint64(from) - 1)
	}
	return n
}

// restart drops what does not survive a restart: queues that do not have been deleted by records of their own.
func (c *Contents) restart(t *Topology) {
	for id, lsn := range c.Fleeting(t) {
		c.queues[id].lsns.Remove(uint64(lsn))
	}
}

// Fleeting yields the messages that a start of the broker drops, by the queues that hold them: the transient ones, but
// for queues that keep these too.
func (c *Contents) Fleeting(t *Topology) iter.Seq2[segment.QueueID, segment.LSN] {
	return func(yield func(segment.QueueID, segment.LSN) bool) {
		for id, h := range c.queues {
			if q := t.Queue(id); q != nil && q.survives() {
				continue
			}
			for lsn := range h.LSNs() {
				if h.IsTransient(lsn) && !yield(id, lsn) {
					return
				}
			}
		}
	}
}

func (c *Contents) forget(id segment.QueueID) {
	delete(c.queues, id)
	c.last = nil
}

func (c *Contents) find(id segment.QueueID) *Held {
	if c.last == nil || c.last.ID != id {
		if h := c.queues[id]; h != nil {
			c.last = h
		} else {
			return nil
		}
	}
	return c.last
}

func (c *Contents) held(id segment.QueueID) *Held {
	if h := c.find(id); h != nil {
		return h
	}
	h := &Held{ID: id, sizes: &c.sizes}
	c.queues[id], c.last = h, h
	return h
}

// Queue returns what a queue holds, which is nothing for one that the log has told nothing of, or that was deleted. It
// changes with the next Apply.
func (c *Contents) Queue(id segment.QueueID) *Held {
	if h := c.queues[id]; h != nil {
		return h
	}
	return &Held{ID: id, sizes: &c.sizes}
}

// Queues yields what queues hold, in the order of their ids, those that hold nothing too.
func (c *Contents) Queues() iter.Seq[*Held] {
	return func(yield func(*Held) bool) {
		for _, h := range c.sorted() {
			if !yield(h) {
				return
			}
		}
	}
}

func (c *Contents) sorted() []*Held {
	all := make([]*Held, 0, len(c.queues))
	for _, h := range c.queues {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *Held) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Count is how many messages the queue holds.
func (h *Held) Count() uint64 { return h.lsns.GetCardinality() }

// Delivered is how many of the messages may have been handed to a client.
func (h *Held) Delivered() uint64 { return h.lsns.Rank(uint64(h.Horizon)) }

// Ends are the oldest of the messages and the newest; 0 if there are none.
func (h *Held) Ends() (oldest, newest segment.LSN) {
	if h.lsns.IsEmpty() {
		return 0, 0
	}
	return segment.LSN(h.lsns.Minimum()), segment.LSN(h.lsns.Maximum())
}

// Contains reports whether the queue holds the message.
func (h *Held) Contains(lsn segment.LSN) bool { return h.lsns.Contains(uint64(lsn)) }

// LSNs yields the messages that the queue holds, in the order in which they were published. What the queue holds may
// change meanwhile; the messages yielded are those from before.
func (h *Held) LSNs() iter.Seq[segment.LSN] { return each(h.lsns.Clone()) }

func each(b *roaring64.Bitmap) iter.Seq[segment.LSN] {
	return func(yield func(segment.LSN) bool) {
		var some [256]uint64
		many := b.ManyIterator()
		for n := many.NextMany(some[:]); n > 0; n = many.NextMany(some[:]) {
			for _, lsn := range some[:n] {
				if !yield(segment.LSN(lsn)) {
					return
				}
			}
		}
	}
}

// Bytes is the length of the records that the queue holds, with their headers and bodies.
func (h *Held) Bytes() uint64 {
	total := uint64(0)
	for lsn := range each(&h.lsns) {
		size, _ := h.sizes.of(lsn)
		total += uint64(size)
	}
	return total
}

// IsTransient reports whether a message that the queue holds is transient; see Transient.
func (h *Held) IsTransient(lsn segment.LSN) bool {
	_, transient := h.sizes.of(lsn)
	return transient
}

// Transient is how many of the messages are transient. The log need not say when such a message leaves its queue, and so
// some may have: a restart drops those that have not.
func (h *Held) Transient() uint64 {
	total := uint64(0)
	for lsn := range each(&h.lsns) {
		if _, transient := h.sizes.of(lsn); transient {
			total++
		}
	}
	return total
}
