package router

import (
	"iter"
	"maps"
	"slices"
)

// The iterators of this file are walked under the owner's read lock, to the end or not. Their order
// is stable: it depends on what there is, not on how it came to be.

// Exchange finds an exchange by its name; the empty name is the default exchange.
func (r *Router[Q]) Exchange(name string) (Exchange, bool) {
	x, ok := r.exchanges[name]
	if !ok {
		return Exchange{}, false
	}
	return x.declared, true
}

// CountExchanges returns how many exchanges there are, the default one among them.
func (r *Router[Q]) CountExchanges() int { return len(r.exchanges) }

// CountQueues returns how many queues there are.
func (r *Router[Q]) CountQueues() int { return len(r.queues) }

// Exchanges lists all exchanges by name, the default one first.
func (r *Router[Q]) Exchanges() iter.Seq[Exchange] {
	return func(yield func(Exchange) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.exchanges)) {
			if !yield(r.exchanges[name].declared) {
				return
			}
		}
	}
}

// Queues lists the queues by name. Each is what the default exchange has instead of a binding: from
// "", to the queue, by its name.
func (r *Router[Q]) Queues() iter.Seq2[string, Q] {
	return func(yield func(string, Q) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.queues)) {
			if !yield(name, r.queues[name].self.queue) {
				return
			}
		}
	}
}

// Bindings lists all bindings by source, kind of destination, destination, key and arguments; but of
// several from an x-consistent-hash exchange to one destination, the one that counts comes first. A
// router that is given them in this order routes as this one.
func (r *Router[Q]) Bindings() iter.Seq[Binding] {
	return func(yield func(Binding) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.exchanges)) {
			for b := range r.BindingsFrom(name) {
				if !yield(b) {
					return
				}
			}
		}
	}
}

// BindingsFrom lists the bindings with this exchange as source, in the order of Bindings.
func (r *Router[Q]) BindingsFrom(exchange string) iter.Seq[Binding] {
	x, ok := r.exchanges[exchange]
	if !ok {
		return func(func(Binding) bool) {}
	}
	return sorted(func() []*binding[Q] { return slices.Collect(maps.Values(x.bindings)) })
}

// BindingsTo lists the bindings that lead to a queue or an exchange, in the order of Bindings.
func (r *Router[Q]) BindingsTo(kind Kind, name string) iter.Seq[Binding] {
	var v *vertex[Q]
	if kind == ToQueue {
		v = r.queues[name]
	} else if x, ok := r.exchanges[name]; ok {
		v = &x.vertex
	}
	if v == nil {
		return func(func(Binding) bool) {}
	}
	return sorted(func() []*binding[Q] { return slices.Clone(v.incoming) })
}

func sorted[Q comparable](collect func() []*binding[Q]) iter.Seq[Binding] {
	return func(yield func(Binding) bool) {
		for _, b := range slices.SortedFunc(slices.Values(collect()), (*binding[Q]).compare) {
			if !yield(b.declared) {
				return
			}
		}
	}
}
