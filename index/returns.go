package index

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// returned is a slot whose entry has come back, and how often.
type returned struct {
	slot  uint16
	count uint32
}

// countReturn changes the count of an entry of a loaded page.
func (p *page) countReturn(slot int, change func(uint32) uint32) uint32 {
	rare := p.makeRare()
	if rare.returns == nil {
		rare.returns = make([]uint32, len(p.entries))
	}
	rare.returns[slot] = change(rare.returns[slot])
	return rare.returns[slot]
}

// appendReturns appends the live entries that have come back.
func (p *page) appendReturns(dst []returned) []returned {
	returns := p.returns()
	if returns == nil {
		return dst
	}
	for w, rest := range p.live {
		for ; rest != 0; rest &= rest - 1 {
			slot := w<<6 + bits.TrailingZeros64(rest)
			if count := returns[slot]; count > 0 {
				dst = append(dst, returned{uint16(slot), count})
			}
		}
	}
	return dst
}

// appendReturns encodes how many there are, and each by its distance from the slot
// behind the one before and its count less one.
func appendReturns(dst []byte, returns []returned) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(returns)))
	next := uint16(0)
	for _, r := range returns {
		dst = binary.AppendUvarint(dst, uint64(r.slot-next))
		dst = binary.AppendUvarint(dst, uint64(r.count-1))
		next = r.slot + 1
	}
	return dst
}

// returns is the inverse of appendReturns for a chunk of n slots.
func (d *decoder) returns(n int) []returned {
	count := d.bounded(uint64(n), "number of returned entries")
	// Each takes two bytes or more.
	if count == 0 || uint64(len(d.rest)) < 2*count {
		d.fault("no returned entries, or payload too short")
		return nil
	}
	returns, next := make([]returned, 0, count), 0
	for range count {
		slot := next + int(d.bounded(chunkSlots, "slot"))
		times := d.bounded(math.MaxUint32-1, "number of returns")
		if slot >= n {
			d.fault("slot out of range")
		}
		if d.bad != "" {
			return nil
		}
		returns = append(returns, returned{uint16(slot), uint32(times + 1)})
		next = slot + 1
	}
	return returns
}
