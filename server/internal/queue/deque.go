package queue

import "sort"

// deque holds the unsettled deliveries of a channel in tag order, in a ring that grows by doubling and
// is given back when a burst is over. Tags usually follow each other without a gap (they have gaps where
// deliveries that need no settling lie between), so finding one is usually one subtraction.
type deque struct {
	ring  []unsettled // its length is a power of two
	head  int         // the oldest
	count int
	live  int // not yet settled
}

// The ring shrinks back to keepRing when it empties, so that one burst does not hold memory for ever.
const (
	firstRing = 16
	keepRing  = 4096
)

func (d *deque) len() int { return d.count }

func (d *deque) at(i int) *unsettled { return &d.ring[(d.head+i)&(len(d.ring)-1)] }

func (d *deque) front() *unsettled { return d.at(0) }

func (d *deque) push(u unsettled) {
	if d.count == len(d.ring) {
		if d.live < d.count && d.live <= d.count/2 {
			d.compact()
		} else {
			d.grow()
		}
	}
	d.count++
	d.live++
	*d.at(d.count - 1) = u
}

// pop removes the oldest, which must be settled.
func (d *deque) pop() {
	*d.front() = unsettled{}
	d.head = (d.head + 1) & (len(d.ring) - 1)
	d.count--
	if d.count == 0 && len(d.ring) > keepRing {
		d.ring, d.head = nil, 0
	}
}

// trim drops settled deliveries from the front.
func (d *deque) trim() {
	for d.count > 0 && d.front().queue == nil {
		d.pop()
	}
}

// find returns the delivery with the tag if it is outstanding, nil otherwise.
func (d *deque) find(tag Tag) *unsettled {
	if u := d.search(tag); u != nil && u.outstanding() {
		return u
	}
	return nil
}

// reserved returns a delivery that a transaction has settled: it cannot leave before the transaction ends.
func (d *deque) reserved(tag Tag) *unsettled { return d.search(tag) }

func (d *deque) search(tag Tag) *unsettled {
	if d.count == 0 || tag < d.front().tag {
		return nil
	}
	i := int(min(tag-d.front().tag, Tag(d.count-1)))
	if d.at(i).tag == tag {
		return d.at(i)
	}
	// Gaps before it: it is at or before the guess.
	i = sort.Search(i+1, func(i int) bool { return d.at(i).tag >= tag })
	if i == d.count || d.at(i).tag != tag {
		return nil
	}
	return d.at(i)
}

// compact drops settled deliveries between unsettled ones: a client that sits on one message and settles
// all others must not make the ring grow.
func (d *deque) compact() {
	kept := 0
	for i := range d.count {
		if u := d.at(i); u.queue != nil {
			*d.at(kept) = *u
			kept++
		}
	}
	for i := kept; i < d.count; i++ {
		*d.at(i) = unsettled{}
	}
	d.count = kept
}

func (d *deque) grow() {
	ring := make([]unsettled, max(firstRing, 2*len(d.ring)))
	for i := range d.count {
		ring[i] = *d.at(i)
	}
	d.ring, d.head = ring, 0
}
