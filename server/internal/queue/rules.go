package queue

// Rules are what a queue does with its messages by itself. They come from its arguments and from
// policies, and may change while the queue lives. The zero value is not useful: begin with NoRules.
type Rules struct {
	// TTL is how long a message may wait, in milliseconds; negative is for ever (TTL-01).
	TTL int64
	// Expires is how long the queue may be unused, in milliseconds; 0 is for ever (TTL-06).
	Expires int64
	// MaxLength and MaxBytes limit the ready messages and their bodies' bytes; negative is no limit (LEN-01).
	MaxLength, MaxBytes int64
	// Rejects: a full queue takes no message more, instead of giving up its oldest (LEN-03).
	Rejects bool
	// DropsLowest: what a queue gives up beyond its limits is of the lowest priority, not the highest.
	DropsLowest bool
	// LettersRejected: what a full queue does not take is a dead letter of it (LEN-04).
	LettersRejected bool
	// DeadLetters: messages that die are wanted elsewhere, at an exchange, with their own routing keys unless
	// DeadLetterKeySet. Without it they are just dropped (DLX-02).
	DeadLetters                       bool
	DeadLetterExchange, DeadLetterKey string
	DeadLetterKeySet                  bool
	// LettersSurely: a dead letter that nobody takes stays until somebody does (DLX-11).
	LettersSurely bool
	// DeliveryLimit is how often a delivery may fail; negative is without end (QQ-03).
	DeliveryLimit int64
	// MaxPriority is the highest priority that messages can have, 0 if they have none (PRIO-01).
	MaxPriority uint8
	// CountsReturns: each return of a message is counted (QQ-02).
	CountsReturns bool
	// SingleActive: one consumer at a time gets all messages (SAC-01).
	SingleActive bool
	// AfterSync: a message is handed out only when the log is synced up to it.
	AfterSync bool
	// Patience is how long a delivery may be unsettled, in milliseconds; 0 is for ever (CONS-12).
	Patience int64
	// RetryFailed and RetryReturned: messages that come back after a failure, or else, wait before they are
	// ready again: RetryMin times how often they came back, at most RetryMax if that is not 0; in milliseconds
	// (QQ-07). RetryMin is at most ten years.
	RetryFailed, RetryReturned bool
	RetryMin, RetryMax         int64
	// Keeps says what an exchange's own queue keeps messages for; nobody consumes from such a queue.
	Keeps Keeping
}

// Keeping is what a queue is for.
type Keeping uint8

// The purposes of a queue.
const (
	ForConsumers Keeping = iota
	ForLater             // messages are held until their delay is over, and go on then
	ForHistory           // the last messages are remembered
)

// NoRules is a queue that keeps every message until somebody takes it.
var NoRules = Rules{TTL: -1, MaxLength: -1, MaxBytes: -1, DeliveryLimit: -1}

func (r *Rules) limited() bool { return !r.Rejects && (r.MaxLength >= 0 || r.MaxBytes >= 0) }

// String returns the purpose as the log names it; ParseKeeping reads it.
func (k Keeping) String() string {
	switch k {
	case ForLater:
		return "delayed"
	case ForHistory:
		return "history"
	}
	return "consumers"
}

// ParseKeeping reads the purpose of an exchange's own queue; false for any other text.
func ParseKeeping(text string) (Keeping, bool) {
	for _, k := range []Keeping{ForLater, ForHistory} {
		if k.String() == text {
			return k, true
		}
	}
	return ForConsumers, false
}

// Cause is why a message died (DLX-01).
type Cause uint8

// The causes of death.
const (
	CauseRejected Cause = iota
	CauseExpired
	CauseMaxLength
	CauseDeliveryLimit
	CauseDue // no death at all: the delay of a message is over
)

// String returns the cause as x-death names it.
func (c Cause) String() string {
	switch c {
	case CauseExpired:
		return "expired"
	case CauseMaxLength:
		return "maxlen"
	case CauseDeliveryLimit:
		return "delivery_limit"
	case CauseDue:
		return "due"
	}
	return "rejected"
}
