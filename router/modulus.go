package router

import (
	"cmp"
	"slices"
)

// modulusMatcher is x-modulus-hash: destinations are sorted by name, and the hash of the routing key
// modulo their number chooses one (7.6). How many bindings lead to a destination, and their keys, do
// not matter.
//
// Of several keys the first alone is hashed: extra keys could not add a destination to the one that a
// message has.
type modulusMatcher[Q comparable] struct {
	targets []target[Q]
	names   []destination // names[i] is of targets[i]
}

// destination is what the bindings of an exchange lead to.
type destination struct {
	name  string
	kind  Kind
	users int // bindings that lead here
}

func (d destination) compare(other destination) int {
	return cmp.Or(cmp.Compare(d.name, other.name), cmp.Compare(d.kind, other.kind))
}

func (m *modulusMatcher[Q]) check(*Binding) error { return nil }

func (m *modulusMatcher[Q]) find(b *binding[Q]) (pos int, found bool) {
	wanted := destination{name: b.declared.Destination, kind: b.declared.DestinationKind}
	return slices.BinarySearchFunc(m.names, wanted, destination.compare)
}

func (m *modulusMatcher[Q]) add(b *binding[Q]) {
	pos, found := m.find(b)
	if !found {
		made := destination{name: b.declared.Destination, kind: b.declared.DestinationKind}
		m.names = slices.Insert(m.names, pos, made)
		m.targets = slices.Insert(m.targets, pos, b.destination.self)
	}
	m.names[pos].users++
}

func (m *modulusMatcher[Q]) remove(b *binding[Q]) {
	pos, _ := m.find(b)
	m.names[pos].users--
	if m.names[pos].users == 0 {
		m.names = slices.Delete(m.names, pos, pos+1)
		m.targets = slices.Delete(m.targets, pos, pos+1)
	}
}

func (m *modulusMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnKey)
	if n := uint64(len(m.targets)); n > 0 {
		i := hashOf(s.message.Key) % n
		s.take(m.targets[i : i+1])
	}
}
