package router

import (
	"cmp"
	"slices"
)

// Removed is what a removal took away.
type Removed struct {
	// Exchanges are the deleted ones: first the one that was asked for, if any, then by name those
	// that deleted themselves because their last binding as source went (EXCH-10).
	Exchanges []Exchange
	Bindings  []Binding // by source, kind of destination, destination, key and arguments
}

// removal collects what goes while it goes.
type removal[Q comparable] struct {
	exchanges []Exchange
	bindings  []*binding[Q]
}

// report orders what was collected, so that equal changes of equal routers read the same. The first
// `asked` exchanges stay in front.
func (m *removal[Q]) report(asked int) Removed {
	slices.SortFunc(m.exchanges[asked:], func(a, b Exchange) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(m.bindings, (*binding[Q]).compare)
	out := Removed{Exchanges: m.exchanges, Bindings: make([]Binding, len(m.bindings))}
	for i, b := range m.bindings {
		out.Bindings[i] = b.declared
	}
	return out
}

// removeBinding takes a binding out of both ends and of the matcher, then lets its source delete
// itself. A source that is being deleted already is off the map, and left to whoever deletes it.
func (r *Router[Q]) removeBinding(b *binding[Q], out *removal[Q]) {
	x := b.source
	delete(x.bindings, b.identity)
	b.destination.detach(b)
	x.matcher.remove(b)
	out.bindings = append(out.bindings, b)
	if x.declared.AutoDelete && len(x.bindings) == 0 && r.exchanges[x.declared.Name] == x {
		r.deleteExchange(x, out)
	}
}

// deleteExchange takes the exchange off the map before its bindings go, so that their going cannot
// delete it a second time. Only bindings to it can cascade, each into exchanges that are still on the
// map.
func (r *Router[Q]) deleteExchange(x *exchange[Q], out *removal[Q]) {
	delete(r.exchanges, x.declared.Name)
	out.exchanges = append(out.exchanges, x.declared)
	for _, b := range x.bindings {
		r.removeBinding(b, out)
	}
	r.clearIncoming(&x.vertex, out)
	r.ids.give(x.self.id)
}

// clearIncoming removes all bindings to v.
func (r *Router[Q]) clearIncoming(v *vertex[Q], out *removal[Q]) {
	for len(v.incoming) > 0 {
		r.removeBinding(v.incoming[len(v.incoming)-1], out)
	}
}
