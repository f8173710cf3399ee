package router

import (
	"fmt"
	"math"
)

const (
	// argHistory is the declare argument that tells how many messages x-recent-history keeps.
	argHistory     = "x-recent-history-length"
	defaultHistory = 20
)

// History is how many messages the exchange keeps to tell them again to each new binding, or 0 if it
// is none that does (7.6). An x-delayed-message exchange can be one.
func (e Exchange) History() int {
	if routesAs(e.Type, e.Arguments) != RecentHistory {
		return 0
	}
	if n, ok := integer(e.Arguments[argHistory]); ok {
		return int(min(n, math.MaxInt))
	}
	return defaultHistory
}

// checkHistory refuses a length that is none (7.6).
func checkHistory(arguments map[string]any) error {
	value, ok := arguments[argHistory]
	if !ok {
		return nil
	}
	if n, ok := integer(value); !ok || n < 1 {
		return Refused{Text: fmt.Sprintf("Invalid argument %s, 'x-recent-history-length' must be a positive integer", term(value))}
	}
	return nil
}

// historyMatcher is x-recent-history: a fanout that says which messages it has seen.
type historyMatcher[Q comparable] struct {
	fanoutMatcher[Q]
	keeper *Keeper
}

func (m *historyMatcher[Q]) match(s *Scratch[Q]) {
	s.kept.History = append(s.kept.History, m.keeper)
	s.fingerprint = (s.fingerprint ^ m.keeper.fingerprint) * fingerprintPrime
	m.fanoutMatcher.match(s)
}
