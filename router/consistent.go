package router

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Declare arguments of x-consistent-hash: what is hashed in place of the routing key.
const (
	argHashHeader   = "hash-header"
	argHashProperty = "hash-property"
)

// consistentMatcher is x-consistent-hash: a message goes to exactly one destination, which its hash
// chooses; a destination gets messages in proportion to its weight (7.6).
//
// The choice is by weighted rendezvous. The hash of the message and that of the destination's name
// together make a number that is as good as drawn from an exponential distribution with the weight as
// its rate; the smallest number wins. A binding that comes or goes changes the numbers of no other
// destination: it takes from each its share, or leaves to each its share, and moves nothing else.
//
// The number depends on names and weights alone, so the mapping is the same after a restart, in
// whatever order the bindings come back. That is what a jump hash over a row of buckets lacks: the
// order of the bindings would be in it, and one that leaves would shift those behind it. The price is
// work linear in the number of destinations, a few nanoseconds each; a Cache saves it where the key
// is hashed.
//
// One binding to each destination counts, the first that came. Others wait; when it goes, the least
// of them, in the order of listing, takes its place.
type consistentMatcher[Q comparable] struct {
	of   hashed
	name string // of the header or property

	bucket[Q]         // the bindings that count
	shares    []share // shares[i] is of bindings[i]

	counting map[uint32]*binding[Q]   // by id of the destination
	waiting  map[uint32][]*binding[Q] // likewise, each sorted
}

// hashed is what of a message is hashed.
type hashed uint8

const (
	hashedKey hashed = iota
	hashedHeader
	hashedProperty
)

// share is what a destination has of the messages.
type share struct {
	seed   uint64 // hash of the destination's name
	weight float64
}

func newConsistentMatcher[Q comparable](arguments map[string]any) *consistentMatcher[Q] {
	m := &consistentMatcher[Q]{
		counting: make(map[uint32]*binding[Q]),
		waiting:  make(map[uint32][]*binding[Q]),
	}
	if name, ok := arguments[argHashHeader].(string); ok {
		m.of, m.name = hashedHeader, name
	} else if name, ok := arguments[argHashProperty].(string); ok {
		m.of, m.name = hashedProperty, name
	}
	return m
}

// checkHashArguments refuses what is not to be hashed (7.6).
func checkHashArguments(arguments map[string]any) error {
	for _, arg := range []string{argHashHeader, argHashProperty} {
		if value, ok := arguments[arg]; ok {
			if _, ok := value.(string); !ok {
				return WrongType{Arg: arg, Type: TypeName(value)}
			}
		}
	}
	property, byProperty := arguments[argHashProperty].(string)
	if !byProperty {
		return nil
	}
	if _, byHeader := arguments[argHashHeader]; byHeader {
		return Refused{Text: "hash-header and hash-property are mutually exclusive"}
	}
	switch property {
	case "correlation_id", "message_id", "timestamp":
		return nil
	}
	return Refused{Text: "Unsupported property: " + property}
}

// check refuses a binding key that is no weight (7.6). A weight has no upper bound: it costs nothing.
func (m *consistentMatcher[Q]) check(b *Binding) error {
	weight, ok := parseWeight(b.Key)
	if !ok {
		return Refused{Text: fmt.Sprintf("The binding key must be an integer: %s", term(b.Key))}
	}
	if weight < 1 {
		return Refused{Text: "The binding key must be greater than 0"}
	}
	return nil
}

// parseWeight reads a decimal integer of any length; what an int64 cannot hold becomes the nearest one
// that it can.
func parseWeight(key string) (weight int64, ok bool) {
	weight, err := strconv.ParseInt(key, 10, 64)
	return weight, err == nil || weight == math.MaxInt64 || weight == math.MinInt64
}

func (m *consistentMatcher[Q]) add(b *binding[Q]) {
	id := b.destination.self.id
	if m.counting[id] == nil {
		m.count(b)
		return
	}
	b.waiting = true
	pos, _ := slices.BinarySearchFunc(m.waiting[id], b, (*binding[Q]).compare)
	m.waiting[id] = slices.Insert(m.waiting[id], pos, b)
}

// count gives a binding's destination its share.
func (m *consistentMatcher[Q]) count(b *binding[Q]) {
	weight, _ := parseWeight(b.declared.Key)
	seed := mix(hashOf([]byte(b.declared.Destination)) ^ uint64(b.declared.DestinationKind))
	m.counting[b.destination.self.id] = b
	m.bucket.add(b)
	m.shares = append(m.shares, share{seed: seed, weight: float64(weight)})
}

func (m *consistentMatcher[Q]) remove(b *binding[Q]) {
	id := b.destination.self.id
	if b.waiting {
		pos, _ := slices.BinarySearchFunc(m.waiting[id], b, (*binding[Q]).compare)
		m.unwait(id, pos)
		return
	}
	last := len(m.shares) - 1
	m.shares[b.bucketPos] = m.shares[last] // as the bucket moves the binding
	m.shares = m.shares[:last]
	m.bucket.remove(b)
	delete(m.counting, id)
	if heirs := m.waiting[id]; len(heirs) > 0 {
		heir := heirs[0]
		m.unwait(id, 0)
		m.count(heir)
	}
}

// unwait takes a binding out of those that wait.
func (m *consistentMatcher[Q]) unwait(id uint32, pos int) {
	m.waiting[id][pos].waiting = false
	m.waiting[id] = slices.Delete(m.waiting[id], pos, pos+1)
	if len(m.waiting[id]) == 0 {
		delete(m.waiting, id)
	}
}

func (m *consistentMatcher[Q]) match(s *Scratch[Q]) {
	hash := s.hash(m.of, m.name)
	if len(m.shares) > 0 {
		i := choose(m.shares, hash)
		s.take(m.targets[i : i+1])
	}
}

// choose finds the share that a hash belongs to; there is at least one.
func choose(shares []share, hash uint64) int {
	chosen, smallest := 0, math.Inf(1)
	for i := range shares {
		c := &shares[i]
		x := float64(mix(hash^c.seed)>>11) * 0x1p-53 // uniform in [0,1)
		// -log(1-x) is exponential, and never below x: most shares are out without a logarithm.
		if x >= smallest*c.weight {
			continue
		}
		if drawn := -math.Log1p(-x) / c.weight; drawn < smallest {
			chosen, smallest = i, drawn
		}
	}
	return chosen
}

// hash hashes a part of the message at work. All messages that lack it have one hash (7.6). Of the
// keys the first alone is hashed: extra keys could not add a destination to the one that there is.
func (s *Scratch[Q]) hash(of hashed, name string) uint64 {
	const missing = 0
	if of == hashedKey {
		s.dependOn(OnKey)
		return hashOf(s.message.Key)
	}
	s.dependOn(OnMessage)
	var value []byte
	var ok bool
	switch {
	case of == hashedProperty && s.message.Property != nil:
		value, ok = s.message.Property(name)
	case of == hashedHeader && s.message.Header != nil:
		var err error
		if value, ok, err = s.message.Header(name); err != nil {
			s.fail(err)
		}
	}
	if !ok {
		return missing
	}
	return hashOf(value)
}
