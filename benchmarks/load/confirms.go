package load

import "fmt"

// confirms keeps account of a channel's publishes that wait for their confirm. Brokers may confirm them
// in any order and several at once.
type confirms struct {
	floor uint64   // all up to here are settled
	early []uint64 // bit n%window: publish n, above the floor, is settled
	size  uint64   // of the window
	// each is told every publish that is settled, in order of the floor or early; it may be nil.
	each func(publish uint64)
}

func newConfirms(window int) confirms {
	return confirms{early: make([]uint64, (window+63)/64), size: uint64(window)}
}

// settle takes an acknowledgement of a publish, or of all up to it, out of sent ones.
func (c *confirms) settle(tag uint64, multiple bool, sent uint64) error {
	if tag == 0 && multiple {
		tag = sent
	}
	if tag > sent || tag <= c.floor && !multiple || tag > c.floor+c.size {
		return fmt.Errorf("publish %d confirmed, which does not wait: %d are sent, up to %d confirmed", tag, sent, c.floor)
	}
	if !multiple && tag > c.floor+1 {
		word, bit := c.at(tag)
		if *word&bit != 0 {
			return fmt.Errorf("publish %d confirmed twice", tag)
		}
		*word |= bit
		c.tell(tag)
		return nil
	}
	for c.floor < tag || c.pop(c.floor+1) {
		c.floor++
		if c.floor <= tag && !c.pop(c.floor) {
			c.tell(c.floor)
		}
	}
	return nil
}

func (c *confirms) tell(publish uint64) {
	if c.each != nil {
		c.each(publish)
	}
}

// pop reports whether the publish was settled early, and forgets it.
func (c *confirms) pop(publish uint64) bool {
	word, bit := c.at(publish)
	early := *word&bit != 0
	*word &^= bit
	return early
}

func (c *confirms) at(publish uint64) (word *uint64, bit uint64) {
	n := publish % c.size
	return &c.early[n/64], 1 << (n % 64)
}
