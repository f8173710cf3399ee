package client

import "fmt"

// Confirms keeps account of a channel's publishes that wait for their confirm, which are numbered from 1. Brokers may
// confirm them in any order and several at once.
type Confirms struct {
	floor uint64   // all up to here are settled
	early []uint64 // bit n%window: publish n, above the floor, is settled
	size  uint64   // of the window
	// Each is told every publish that is settled, in order of the floor or early; it may be nil.
	Each func(publish uint64)
}

// NewConfirms makes an account of so many publishes at most that wait at the same time.
func NewConfirms(window int) Confirms {
	return Confirms{early: make([]uint64, (window+63)/64), size: uint64(window)}
}

// Floor is up to which publish all are settled.
func (c *Confirms) Floor() uint64 { return c.floor }

// Settle takes an acknowledgement of a publish, or of all up to it, out of sent ones.
func (c *Confirms) Settle(tag uint64, multiple bool, sent uint64) error {
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

func (c *Confirms) tell(publish uint64) {
	if c.Each != nil {
		c.Each(publish)
	}
}

// pop reports whether the publish was settled early, and forgets it.
func (c *Confirms) pop(publish uint64) bool {
	word, bit := c.at(publish)
	early := *word&bit != 0
	*word &^= bit
	return early
}

func (c *Confirms) at(publish uint64) (word *uint64, bit uint64) {
	n := publish % c.size
	return &c.early[n/64], 1 << (n % 64)
}
