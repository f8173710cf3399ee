package policy

import (
	"fmt"
	"time"

	"github.com/millrace-mq/millrace/router"
)

// The arguments that are treated apart from the others.
const (
	argType               = "x-queue-type"
	argDeadLetterExchange = "x-dead-letter-exchange"
	argDeadLetterKey      = "x-dead-letter-routing-key"
	argSegmentBytes       = "x-stream-max-segment-size-bytes"
	argFilterBytes        = "x-stream-filter-size-bytes"
	argNamePrefix         = "x-name-prefix"
)

// types is a set of queue types.
type types uint8

const (
	onClassic  types = 1 << Classic
	onQuorum   types = 1 << Quorum
	onStream   types = 1 << Stream
	everywhere       = onClassic | onQuorum | onStream
)

func (set types) has(t Type) bool { return set&(1<<t) != 0 }

// argument is an argument of queue.declare that means something, to us or to RabbitMQ.
type argument struct {
	name  string
	types types
	set   setter
}

// arguments are all of them, in the order in which they are checked, and compared at a redeclaration. Read
// only. x-queue-type is here for its place: queueType has read it before.
var arguments = []argument{
	{"x-expires", onClassic | onQuorum, atMost(maxExpiry, "value_too_large", duration(1, expires))},
	{"x-message-ttl", onClassic | onQuorum, atMost(maxExpiry, "value_too_large", duration(0, messageTTL))},
	{argDeadLetterExchange, onClassic | onQuorum, name(deadLetterExchange)},
	{argDeadLetterKey, onClassic | onQuorum, name(deadLetterRoutingKey)},
	{"x-dead-letter-strategy", onQuorum, choice("invalid_dlx_strategy", deadLetterStrategy, AtMostOnce, AtLeastOnce)},
	{"x-max-length", onClassic | onQuorum, integer(0, setMaxLength)},
	{"x-max-length-bytes", everywhere, integer(0, setMaxLengthBytes)},
	{"x-max-in-memory-length", onQuorum, integer(0, forget)},
	{"x-max-in-memory-bytes", onQuorum, integer(0, forget)},
	{"x-max-priority", onClassic, atMost(255, "max_value_exceeded", integer(0, setMaxPriority))},
	{"x-overflow", onClassic | onQuorum, choice("invalid_overflow", overflow, DropHead, RejectPublish, RejectPublishDLX)},
	{"x-queue-mode", onClassic, oneOf(unsupportedMode, "default", "lazy")},
	{"x-queue-version", onClassic, queueVersion},
	{"x-queue-master-locator", onClassic, oneOf(constant("invalid_queue_locator_arg"), "client-local", "min-masters", "random")},
	{"x-single-active-consumer", onClassic | onQuorum, boolean(func(s *Settings, v bool) { s.SingleActiveConsumer = v })},
	{"x-deliver-after-sync", onClassic | onQuorum, boolean(setDeliverAfterSync)}, // ours
	{argType, everywhere, ignored},
	{"x-quorum-initial-group-size", onQuorum, integer(1, forget)},
	{"x-quorum-target-group-size", onQuorum, integer(0, forget)},
	{"x-member-placement-tag", onQuorum, text(anyText)},
	{"x-delivery-limit", onQuorum, deliveryLimit},
	{"x-delayed-retry-type", onQuorum, choice("invalid_delayed_retry_type", delayedRetry, RetryDisabled, RetryAll, RetryFailed, RetryReturned)},
	{"x-delayed-retry-min", onQuorum, duration(0, delayedRetryMin)},
	{"x-delayed-retry-max", onQuorum, duration(0, delayedRetryMax)},
	{"x-consumer-timeout", onClassic | onQuorum, duration(0, consumerTimeout)},
	{"x-consumer-disconnected-timeout", onClassic | onQuorum, integer(0, forget)},
	{"x-max-age", onStream, text(maxAge)},
	{argSegmentBytes, onStream, integer(0, setMaxSegmentBytes)},
	{argFilterBytes, onStream, integer(0, setFilterBytes)},
	{"x-initial-cluster-size", onStream, integer(1, forget)},
	{"x-queue-leader-locator", everywhere, oneOf(constant("invalid_queue_locator_arg"), leaderLocators...)},
}

// leaderLocators are those of RabbitMQ 4 and, behind them, what RabbitMQ 3.9 had instead.
var leaderLocators = []string{"client-local", "balanced", "random", "least-leaders"}

func unsupportedMode(mode string) string {
	return router.StringTerm(fmt.Sprintf("unsupported queue mode '%s'", mode))
}

func expires(s *Settings) *Optional[time.Duration]         { return &s.Expires }
func messageTTL(s *Settings) *Optional[time.Duration]      { return &s.MessageTTL }
func consumerTimeout(s *Settings) *Optional[time.Duration] { return &s.ConsumerTimeout }
func delayedRetryMin(s *Settings) *Optional[time.Duration] { return &s.DelayedRetryMin }
func delayedRetryMax(s *Settings) *Optional[time.Duration] { return &s.DelayedRetryMax }
func deadLetterExchange(s *Settings) *Optional[string]     { return &s.DeadLetterExchange }
func deadLetterRoutingKey(s *Settings) *Optional[string]   { return &s.DeadLetterRoutingKey }
func overflow(s *Settings) *Optional[Overflow]             { return &s.Overflow }
func delayedRetry(s *Settings) *Optional[DelayedRetry]     { return &s.DelayedRetry }

func deadLetterStrategy(s *Settings) *Optional[DeadLetterStrategy] { return &s.DeadLetterStrategy }

func setMaxLength(s *Settings, n int64)       { s.MaxLength = n }
func setMaxLengthBytes(s *Settings, n int64)  { s.MaxLengthBytes = n }
func setMaxPriority(s *Settings, n int64)     { s.MaxPriority = uint8(n) }
func setDeliverAfterSync(s *Settings, v bool) { s.DeliverAfterSync = v }
func setMaxSegmentBytes(s *Settings, n int64) { s.MaxSegmentBytes = some(n) }
func setFilterBytes(s *Settings, n int64)     { s.FilterBytes = some(n) }
