package router

import "hash/maphash"

// headersIndex finds the rules that some headers match.
//
// A rule that wants any of its conditions is filed under each of them. One that wants all is filed under one,
// that which the fewest others are filed under when it is added; so of ten thousand that agree in all but
// one, each is alone. It stays there when others go. A rule without conditions matches everything or
// nothing (HEADERS-04). What is asked for a message are its headers, or the names if they are fewer, and the
// rules that are filed under what it has.
//
// Adding and removing take time in the number of conditions. A condition takes 40 bytes, and where it is filed
// about 100 if nothing else is filed there.
type headersIndex struct {
	seed   maphash.Seed
	always []*rule
	names  map[string]*headerName
	slots  []*headerName // the same, dense
	// Conditions on values, by hash of name and value. Different ones with one hash share a list.
	values map[uint64][]filed
}

// headerName is a header that conditions which are filed ask for.
type headerName struct {
	name    string
	hash    uint64
	slot    int
	present []filed // conditions that any value meets
	valued  int     // how many others there are, in headersIndex.values
}

// filed is a condition in a list of the index; condition.at is the way back.
type filed struct {
	rule      *rule
	condition int
}

func newHeadersIndex() headersIndex {
	return headersIndex{seed: maphash.MakeSeed(), names: make(map[string]*headerName), values: make(map[uint64][]filed)}
}

// find appends the positions of the rules that match, in no order; one may come more than once.
func (x *headersIndex) find(dst []int, headers map[string]any) []int {
	for _, r := range x.always {
		dst = append(dst, r.position)
	}
	if len(x.slots) <= len(headers) {
		for _, n := range x.slots {
			if value, ok := headers[n.name]; ok {
				dst = x.ask(dst, headers, n, value)
			}
		}
		return dst
	}
	for name, value := range headers {
		if n, ok := x.names[name]; ok {
			dst = x.ask(dst, headers, n, value)
		}
	}
	return dst
}

// ask appends the positions of the rules that match, of those that are filed under one of the headers.
func (x *headersIndex) ask(dst []int, headers map[string]any, n *headerName, value any) []int {
	for _, f := range n.present {
		if f.rule.matches(headers, f.condition) {
			dst = append(dst, f.rule.position)
		}
	}
	if n.valued == 0 {
		return dst
	}
	for _, f := range x.values[x.hash(n, value)] {
		c := &f.rule.conditions[f.condition]
		if c.name == n.name && equalNormal(c.want, value) && f.rule.matches(headers, f.condition) {
			dst = append(dst, f.rule.position)
		}
	}
	return dst
}

func (x *headersIndex) hash(n *headerName, value any) uint64 {
	return keyed(n.hash, hashValue(x.seed, value))
}

func (x *headersIndex) add(r *rule) {
	switch {
	case r.any:
		for i := range r.conditions {
			x.file(r, i)
		}
	case len(r.conditions) == 0:
		r.always = len(x.always)
		x.always = append(x.always, r)
	default:
		x.file(r, x.rarest(r))
	}
}

// rarest returns the condition that the fewest others are filed with. Of equals it prefers one on a value, which
// fewer messages meet than one on presence.
func (x *headersIndex) rarest(r *rule) (best int) {
	fewest := -1
	for i := range r.conditions {
		c := &r.conditions[i]
		others := 0
		if n, ok := x.names[c.name]; ok {
			if others = len(n.present); c.want != nil {
				others = len(x.values[x.hash(n, c.want)])
			}
		}
		if fewest < 0 || others < fewest || others == fewest && c.want != nil {
			best, fewest = i, others
		}
	}
	return best
}

func (x *headersIndex) file(r *rule, condition int) {
	c := &r.conditions[condition]
	n, ok := x.names[c.name]
	if !ok {
		n = &headerName{name: c.name, hash: maphash.String(x.seed, c.name), slot: len(x.slots)}
		x.names[c.name] = n
		x.slots = append(x.slots, n)
	}
	if c.want == nil {
		n.present = appendFiled(n.present, r, condition)
		return
	}
	n.valued++
	hash := x.hash(n, c.want)
	x.values[hash] = appendFiled(x.values[hash], r, condition)
}

func appendFiled(list []filed, r *rule, condition int) []filed {
	r.conditions[condition].at = len(list)
	return append(list, filed{r, condition})
}

func (x *headersIndex) remove(r *rule) {
	if !r.any && len(r.conditions) == 0 {
		last := len(x.always) - 1
		x.always[r.always] = x.always[last]
		x.always[r.always].always = r.always
		x.always[last] = nil
		x.always = x.always[:last]
		return
	}
	for i := range r.conditions {
		if c := &r.conditions[i]; c.at != unfiled {
			x.unfile(c)
		}
	}
}

func (x *headersIndex) unfile(c *condition) {
	n := x.names[c.name]
	if c.want == nil {
		n.present = removeFiled(n.present, c.at)
	} else {
		n.valued--
		hash := x.hash(n, c.want)
		if list := removeFiled(x.values[hash], c.at); len(list) > 0 {
			x.values[hash] = list
		} else {
			delete(x.values, hash)
		}
	}
	if n.valued+len(n.present) == 0 {
		x.forget(n)
	}
}

func (x *headersIndex) forget(n *headerName) {
	delete(x.names, n.name)
	last := len(x.slots) - 1
	x.slots[n.slot] = x.slots[last]
	x.slots[n.slot].slot = n.slot
	x.slots[last] = nil
	x.slots = x.slots[:last]
}

// removeFiled moves the last one into the gap.
func removeFiled(list []filed, at int) []filed {
	last := len(list) - 1
	moved := list[last]
	list[at] = moved
	moved.rule.conditions[moved.condition].at = at
	list[last] = filed{}
	return list[:last]
}
