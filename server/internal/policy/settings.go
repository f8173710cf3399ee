package policy

import (
	"math"
	"time"
)

// Type is the type of a queue; the zero value is Classic.
type Type uint8

// The types of queues.
const (
	Classic Type = iota
	Quorum
	Stream
)

// String returns the name that x-queue-type has for the type.
func (t Type) String() string {
	switch t {
	case Quorum:
		return "quorum"
	case Stream:
		return "stream"
	}
	return "classic"
}

// module is the name that RabbitMQ's replies have for the type.
func (t Type) module() string { return "rabbit_" + t.String() + "_queue" }

// ParseType reads the name of a type, as x-queue-type and a virtual host's default_queue_type have it.
func ParseType(name string) (Type, bool) {
	for _, t := range []Type{Classic, Quorum, Stream} {
		if name == t.String() {
			return t, true
		}
	}
	return Classic, false
}

// Overflow is what a queue at its limit does with one message more (chapter LEN); the zero value is
// DropHead.
type Overflow uint8

// The kinds of overflow.
const (
	DropHead Overflow = iota
	RejectPublish
	RejectPublishDLX
	DropLowestPriority // in policies only
)

// String returns the name that x-overflow has for it.
func (o Overflow) String() string {
	switch o {
	case RejectPublish:
		return "reject-publish"
	case RejectPublishDLX:
		return "reject-publish-dlx"
	case DropLowestPriority:
		return "drop-lowest-priority"
	}
	return "drop-head"
}

// DeadLetterStrategy says how sure a dead-lettered message is to arrive; the zero value is AtMostOnce.
type DeadLetterStrategy uint8

// The strategies.
const (
	AtMostOnce DeadLetterStrategy = iota
	AtLeastOnce
)

// String returns the name that x-dead-letter-strategy has for it.
func (s DeadLetterStrategy) String() string {
	if s == AtLeastOnce {
		return "at-least-once"
	}
	return "at-most-once"
}

// DelayedRetry says which returned messages of a quorum queue wait before they are ready again.
type DelayedRetry uint8

// The kinds of returns that are delayed.
const (
	RetryDisabled DelayedRetry = iota
	RetryAll
	RetryFailed
	RetryReturned
)

// String returns the name that x-delayed-retry-type has for it.
func (r DelayedRetry) String() string {
	switch r {
	case RetryAll:
		return "all"
	case RetryFailed:
		return "failed"
	case RetryReturned:
		return "returned"
	}
	return "disabled"
}

// Optional is a value that nobody may have asked for. Value is the default if not OK.
type Optional[T any] struct {
	Value T
	OK    bool
}

func some[T any](value T) Optional[T] { return Optional[T]{Value: value, OK: true} }

const (
	// NoLimit is the value of a limit that there is not.
	NoLimit = -1
	// DefaultDeliveryLimit is how often a quorum queue delivers a message again if nobody says.
	DefaultDeliveryLimit = 20
	// maxNamePrefix is how many octets x-name-prefix may have (QUEUE-03).
	maxNamePrefix = 64
	// maxShortstr is how many octets a name or a key may have in AMQP.
	maxShortstr = 255
	// maxExpiry is the longest time to live, in milliseconds: ten years.
	maxExpiry = 315360000000
	// maxMilliseconds is how many milliseconds a Duration can hold.
	maxMilliseconds = math.MaxInt64 / int64(time.Millisecond)
)

// Settings are the settings of a queue: those its arguments ask for, as ParseQueue returns them, or those
// that apply, as Set.EffectiveQueue does. They can be compared with ==. The zero value has limits of 0:
// begin with Defaults.
type Settings struct {
	Type Type

	MessageTTL Optional[time.Duration]
	// Expires is how long the queue lives unused (TTL-06).
	Expires Optional[time.Duration]

	// MaxLength and MaxLengthBytes limit the ready messages and the octets of their bodies; NoLimit does not.
	MaxLength, MaxLengthBytes int64
	Overflow                  Optional[Overflow]

	DeadLetterExchange   Optional[string] // the empty name is the default exchange
	DeadLetterRoutingKey Optional[string]
	// DeadLetterStrategy is of quorum queues.
	DeadLetterStrategy Optional[DeadLetterStrategy]

	// MaxPriority is the highest priority of a classic queue, 0 if it has no priorities.
	MaxPriority          uint8
	SingleActiveConsumer bool
	// DeliverAfterSync: a message is delivered only when the log is synced up to it. RabbitMQ has no such thing.
	DeliverAfterSync bool
	// DeliveryLimit is how many deliveries may fail (QQ-03), or NoLimit. It is OK when somebody asked for it.
	DeliveryLimit Optional[int64]
	// ConsumerTimeout is how long a consumer may take to acknowledge; 0 is for ever.
	ConsumerTimeout Optional[time.Duration]

	// DelayedRetry and its bounds are of quorum queues.
	DelayedRetry                     Optional[DelayedRetry]
	DelayedRetryMin, DelayedRetryMax Optional[time.Duration]

	// MaxAge, MaxSegmentBytes and FilterBytes are of streams.
	MaxAge          Optional[time.Duration]
	MaxSegmentBytes Optional[int64]
	FilterBytes     Optional[int64]

	// NamePrefix replaces amq.gen- in a name that the broker makes (QUEUE-03).
	NamePrefix Optional[string]
}

// Defaults returns the settings of a queue that neither its arguments nor a policy say anything about.
func Defaults(t Type) Settings {
	s := Settings{Type: t, MaxLength: NoLimit, MaxLengthBytes: NoLimit}
	s.DeliveryLimit.Value = NoLimit
	if t == Quorum {
		s.DeliveryLimit.Value = DefaultDeliveryLimit
	}
	return s
}

// ExchangeSettings are the settings of an exchange.
type ExchangeSettings struct {
	// AlternateExchange is the name of the exchange that takes what cannot be routed. It need not exist.
	AlternateExchange Optional[string]
	// DelayedMessage makes the exchange hold back messages with a header x-delay, whatever its type.
	DelayedMessage bool
}

// milliseconds returns n milliseconds, or the longest Duration if that is shorter.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, maxMilliseconds)) * time.Millisecond
}
