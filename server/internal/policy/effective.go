package policy

import (
	"cmp"

	"github.com/millrace-mq/millrace/server/amqp"
)

// EffectiveQueue returns the settings of a queue whose arguments ask for the ones given, and the policies
// that had a hand in it. It holds for every queue, exclusive and server-named ones included (POL-05).
func (s *Set) EffectiveQueue(name string, arguments Settings) (Settings, Applied) {
	applied := s.apply(name, func(p *Policy) bool {
		return p.ApplyTo.queues(arguments.Type) && fits(p.Definition, arguments.Type)
	})
	granted := Defaults(arguments.Type)
	for key, value := range applied.Definition {
		if k, ok := keys[key]; ok {
			k.set(&granted, value) // what is not valid any more has no effect
		}
	}
	return resolve(merge(arguments, granted)), applied
}

// merge merges the arguments with what policies grant (POL-03).
func merge(arguments, granted Settings) Settings {
	m := arguments
	m.MessageTTL = least(arguments.MessageTTL, granted.MessageTTL)
	m.Expires = least(arguments.Expires, granted.Expires)
	m.MaxLength = leastLimit(arguments.MaxLength, granted.MaxLength)
	m.MaxLengthBytes = leastLimit(arguments.MaxLengthBytes, granted.MaxLengthBytes)
	m.Overflow = either(arguments.Overflow, granted.Overflow)
	if m.Type == Quorum {
		m.Overflow = either(granted.Overflow, arguments.Overflow)
	}
	m.DeadLetterExchange = either(arguments.DeadLetterExchange, granted.DeadLetterExchange)
	m.DeadLetterRoutingKey = either(arguments.DeadLetterRoutingKey, granted.DeadLetterRoutingKey)
	m.DeadLetterStrategy = either(arguments.DeadLetterStrategy, granted.DeadLetterStrategy)
	m.DeliveryLimit = both(arguments.DeliveryLimit, granted.DeliveryLimit, leastLimit)
	m.ConsumerTimeout = both(arguments.ConsumerTimeout, granted.ConsumerTimeout, leastTimeout)
	m.DelayedRetry = either(arguments.DelayedRetry, granted.DelayedRetry)
	m.DelayedRetryMin = least(arguments.DelayedRetryMin, granted.DelayedRetryMin)
	m.DelayedRetryMax = least(arguments.DelayedRetryMax, granted.DelayedRetryMax)
	m.DeliverAfterSync = arguments.DeliverAfterSync || granted.DeliverAfterSync // nobody can take it away
	m.MaxAge = least(arguments.MaxAge, granted.MaxAge)
	m.MaxSegmentBytes = least(arguments.MaxSegmentBytes, granted.MaxSegmentBytes)
	m.FilterBytes = least(arguments.FilterBytes, granted.FilterBytes)
	return m
}

// resolve takes back what a quorum queue accepts and does not do.
func resolve(s Settings) Settings {
	if s.Type != Quorum {
		return s
	}
	if s.Overflow.Value == RejectPublishDLX {
		s.Overflow.Value = DropHead
	}
	if s.Overflow.Value != RejectPublish || !s.DeadLetterExchange.OK { // DLX-11
		s.DeadLetterStrategy.Value = AtMostOnce
	}
	return s
}

// either returns the first of the two that somebody asked for.
func either[T any](a, b Optional[T]) Optional[T] {
	if a.OK {
		return a
	}
	return b
}

// both joins the two if somebody asked for each of them.
func both[T any](a, b Optional[T], join func(a, b T) T) Optional[T] {
	if a.OK && b.OK {
		return some(join(a.Value, b.Value))
	}
	return either(a, b)
}

func least[T cmp.Ordered](a, b Optional[T]) Optional[T] {
	return both(a, b, func(a, b T) T { return min(a, b) })
}

// leastLimit returns the lesser of two limits; a negative one is none.
func leastLimit(a, b int64) int64 {
	if a < 0 || b < 0 {
		return max(a, b)
	}
	return min(a, b)
}

// leastTimeout returns the lesser of two timeouts; 0 is for ever, so that no argument lifts the limit that
// an operator has set.
func leastTimeout[T ~int64](a, b T) T {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// EffectiveExchange returns the settings of an exchange with the arguments, and the policies that had a hand
// in it. The default exchange has no settings (ROUTE-05).
func (s *Set) EffectiveExchange(name string, arguments amqp.Table) (ExchangeSettings, Applied) {
	if name == "" {
		return ExchangeSettings{}, Applied{}
	}
	applied := s.apply(name, func(p *Policy) bool { return p.ApplyTo.exchanges() })
	var settings ExchangeSettings
	if alternate, ok := arguments[keyAlternateExchange].(string); ok { // the argument wins (ROUTE-03)
		settings.AlternateExchange = some(alternate)
	} else if alternate, ok := applied.Definition[keyAlternateExchange].(string); ok {
		settings.AlternateExchange = some(alternate)
	}
	settings.DelayedMessage, _ = applied.Definition[keyDelayedMessage].(bool)
	return settings, applied
}
