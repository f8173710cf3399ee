package index

// rareColumns is the part of a page that the entries of most queues do without.
type rareColumns struct {
	deadlines []int64  // goes the way of the entries: written once or replaced, paged out with them; nil, 0 = none
	returns   []uint32 // goes the way of the bitmaps; nil = none
}

// makeRare returns the page's rare columns, and makes them if there are none.
func (p *page) makeRare() *rareColumns {
	if p.rare == nil {
		p.rare = new(rareColumns)
	}
	return p.rare
}

func (p *page) deadlines() []int64 {
	if p.rare == nil {
		return nil
	}
	return p.rare.deadlines
}

func (p *page) returns() []uint32 {
	if p.rare == nil {
		return nil
	}
	return p.rare.returns
}

// of returns what the columns have of a slot.
func (r *rareColumns) of(slot int) (deadline int64, returns uint32) {
	if r.deadlines != nil {
		deadline = r.deadlines[slot]
	}
	if r.returns != nil {
		returns = r.returns[slot]
	}
	return deadline, returns
}

// grown returns a copy with room for more slots.
func (r *rareColumns) grown(slots int) *rareColumns {
	bigger := new(rareColumns)
	if r.deadlines != nil {
		bigger.deadlines = make([]int64, slots)
		copy(bigger.deadlines, r.deadlines)
	}
	if r.returns != nil {
		bigger.returns = make([]uint32, slots)
		copy(bigger.returns, r.returns)
	}
	return bigger
}
