package router

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// randomMatcher is x-random: each message goes where one of the bindings leads, all with the same
// chance. Keys are ignored (7.6).
type randomMatcher[Q comparable] struct {
	bucket[Q]
}

func (m *randomMatcher[Q]) check(*Binding) error { return nil }

func (m *randomMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnMessage)
	if n := len(m.targets); n > 0 {
		i := s.draw(n)
		s.take(m.targets[i : i+1])
	}
}

// draw returns a number below n, all with the same chance (to about n in 2^64).
func (s *Scratch[Q]) draw(n int) int {
	if s.Random == nil {
		s.Random = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	i, _ := bits.Mul64(s.Random.Uint64(), uint64(n))
	return int(i)
}

// localRandomMatcher is x-local-random: x-random for queues of this node, which all are, without
// binding keys (7.6). That the queues have to be classic ones, the owner must see to.
type localRandomMatcher[Q comparable] struct {
	randomMatcher[Q]
}

func (m *localRandomMatcher[Q]) check(b *Binding) error {
	if b.Key != "" {
		return Refused{Text: fmt.Sprintf("Non empty binding '%s' key not permitted", b.Key)}
	}
	if b.DestinationKind != ToQueue {
		return Refused{Text: "Destination not found"} // among the queues
	}
	return nil
}
