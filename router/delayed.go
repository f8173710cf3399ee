package router

import (
	"math"
	"slices"
	"time"
)

// argDelayedType is the declare argument that tells how x-delayed-message routes.
const argDelayedType = "x-delayed-type"

// routesAs is the type that an exchange of the given type and arguments routes as.
func routesAs(kind string, arguments map[string]any) string {
	if kind != DelayedMessage {
		return kind
	}
	underlying, _ := arguments[argDelayedType].(string)
	return underlying
}

// checkDelayed refuses an x-delayed-type that is none, and arguments that this type refuses (7.6).
func checkDelayed(arguments map[string]any) error {
	underlying, ok := arguments[argDelayedType].(string)
	switch {
	case underlying == DelayedMessage:
		return Refused{Text: "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"}
	case !ok || !slices.Contains(Types(), underlying):
		return Refused{Text: "Invalid argument, 'x-delayed-type' must be an existing exchange type"}
	}
	return checkArguments(underlying, arguments)
}

// delayedMatcher is x-delayed-message: another type, save for messages that have a delay.
type delayedMatcher[Q comparable] struct {
	matcher[Q] // of the type that it routes as
	keeper     *Keeper
}

func (m *delayedMatcher[Q]) match(s *Scratch[Q]) {
	s.dependOn(OnMessage)
	if !s.delayed() {
		m.matcher.match(s)
		return
	}
	// Held is not lost: the alternate exchange has its turn when the message is due and goes nowhere.
	s.matched = true
	s.kept.Delayed = append(s.kept.Delayed, m.keeper)
	s.fingerprint = (s.fingerprint ^ ^m.keeper.fingerprint) * fingerprintPrime
}

func (s *Scratch[Q]) delayed() bool {
	if s.message.Delayed == nil {
		return false
	}
	delayed, err := s.message.Delayed()
	if err != nil {
		s.fail(err)
	}
	return delayed
}

// Delay reads the value of an x-delay header. It is none, and the message is routed at once, unless
// it is an integer of milliseconds from 1 to 2³²−1 (7.6).
func Delay(header any) (delay time.Duration, ok bool) {
	n, ok := integer(header)
	if !ok || n < 1 || n > math.MaxUint32 {
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}
