package router

import (
	"cmp"
	"slices"
)

// Kind tells what a binding leads to.
type Kind uint8

// What a binding can lead to.
const (
	ToQueue Kind = iota
	ToExchange
)

func (k Kind) String() string {
	if k == ToExchange {
		return "exchange"
	}
	return "queue"
}

// Binding describes a binding; all its fields together are its identity (EXCH-20). The router keeps
// the argument map it is given: it must not be changed afterwards.
type Binding struct {
	Source          string
	Destination     string
	DestinationKind Kind
	Key             string
	Arguments       map[string]any
}

// touchesDefault tells whether either end is the default exchange, which has no bindings of anybody's (EXCH-03).
func (b *Binding) touchesDefault() bool {
	return b.Source == "" || b.DestinationKind == ToExchange && b.Destination == ""
}

// identity tells the bindings of one source apart. Arguments are in canonical form.
type identity struct {
	kind        Kind
	destination string
	key         string
	arguments   string
}

func (b *Binding) identity() identity {
	return identity{b.DestinationKind, b.Destination, b.Key, canonical(b.Arguments)}
}

func (i identity) compare(other identity) int {
	return cmp.Or(
		cmp.Compare(i.kind, other.kind),
		cmp.Compare(i.destination, other.destination),
		cmp.Compare(i.key, other.key),
		cmp.Compare(i.arguments, other.arguments),
	)
}

// target is the end of a binding as routing needs it, small and without indirection.
type target[Q comparable] struct {
	id       uint32       // of the vertex: dense, reused
	exchange *exchange[Q] // nil when the target is a queue
	queue    Q
}

// vertex is what a binding can lead to: a queue, or (embedded) an exchange.
type vertex[Q comparable] struct {
	self     target[Q]
	incoming []*binding[Q] // in no order; binding.incomingPos is the way back
}

func (v *vertex[Q]) attach(b *binding[Q]) {
	b.incomingPos = len(v.incoming)
	v.incoming = append(v.incoming, b)
}

func (v *vertex[Q]) detach(b *binding[Q]) {
	last := len(v.incoming) - 1
	moved := v.incoming[last]
	v.incoming[b.incomingPos] = moved
	moved.incomingPos = b.incomingPos
	v.incoming[last] = nil
	v.incoming = v.incoming[:last]
}

// binding is a binding at work.
type binding[Q comparable] struct {
	declared    Binding
	identity    identity
	source      *exchange[Q]
	destination *vertex[Q]
	incomingPos int  // in destination.incoming
	bucketPos   int  // in the bucket its matcher put it into
	waiting     bool // for another one to the same destination to go: see consistentMatcher
}

// bucket is bindings that match together. targets[i] is the target of bindings[i], kept beside it
// so that a fan-out reads one array.
type bucket[Q comparable] struct {
	targets  []target[Q]
	bindings []*binding[Q]
}

func (k *bucket[Q]) empty() bool { return len(k.bindings) == 0 }

func (k *bucket[Q]) add(b *binding[Q]) {
	b.bucketPos = len(k.bindings)
	k.bindings = append(k.bindings, b)
	k.targets = append(k.targets, b.destination.self)
}

// remove moves the last binding into the gap: a bucket has no order, and one with 10,000 bindings
// must be emptied in linear time.
func (k *bucket[Q]) remove(b *binding[Q]) {
	pos, last := b.bucketPos, len(k.bindings)-1
	k.bindings[pos], k.targets[pos] = k.bindings[last], k.targets[last]
	k.bindings[pos].bucketPos = pos
	k.bindings = slices.Delete(k.bindings, last, last+1)
	k.targets = slices.Delete(k.targets, last, last+1)
}

// compare orders bindings for listing: by source, kind, destination, key, arguments. One that waits
// for others to the same destination comes behind them, so that it does again when bindings are made
// in the order of listing.
func (b *binding[Q]) compare(other *binding[Q]) int {
	byDestination := cmp.Or(
		cmp.Compare(b.declared.Source, other.declared.Source),
		cmp.Compare(b.identity.kind, other.identity.kind),
		cmp.Compare(b.identity.destination, other.identity.destination),
	)
	switch {
	case byDestination != 0:
		return byDestination
	case b.waiting == other.waiting:
		return b.identity.compare(other.identity)
	case b.waiting:
		return 1
	}
	return -1
}
