package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace-mq/millrace/server/amqp"
)

// The policy keys that are treated apart from the others.
const (
	keyAlternateExchange = "alternate-exchange"
	keyConsumerTimeout   = "consumer-timeout"
	keyDelayedMessage    = "delayed-message"
	keyDeliveryLimit     = "delivery-limit"
)

// key is something that a policy may define.
type key struct {
	// types are the types of queues that can have it; none if only exchanges can.
	types types
	// operator: an operator policy may define it too.
	operator bool
	// noun is what a bad value is not, in the reply.
	noun string
	set  setter
}

// keys are all of them (chapter POL), by name. Read only.
var keys = map[string]key{
	"message-ttl":      {onClassic | onQuorum, true, "message TTL", duration(0, messageTTL)},
	"expires":          {onClassic | onQuorum, true, "queue expiry", duration(1, expires)},
	"max-length":       {onClassic | onQuorum, true, "maximum length", integer(0, setMaxLength)},
	"max-length-bytes": {everywhere, true, "maximum length in bytes", integer(0, setMaxLengthBytes)},
	"overflow":         {onClassic | onQuorum, true, "overflow value", choice("overflow", overflow, DropHead, RejectPublish, RejectPublishDLX, DropLowestPriority)},
	keyDeliveryLimit:   {onQuorum, true, "delivery limit", integer(NoLimit, setDeliveryLimit)},
	keyConsumerTimeout: {onClassic | onQuorum, true, "consumer timeout", duration(0, consumerTimeout)},

	"deliver-after-sync": {onClassic | onQuorum, true, "deliver-after-sync value", boolean(setDeliverAfterSync)}, // ours

	"dead-letter-exchange":    {onClassic | onQuorum, false, "dead letter exchange name", name(deadLetterExchange)},
	"dead-letter-routing-key": {onClassic | onQuorum, false, "dead letter routing key", name(deadLetterRoutingKey)},
	"dead-letter-strategy":    {onQuorum, false, "dead letter strategy", choice("strategy", deadLetterStrategy, AtMostOnce, AtLeastOnce)},

	"delayed-retry-type": {onQuorum, false, "delayed retry type", choice("type", delayedRetry, RetryDisabled, RetryAll, RetryFailed, RetryReturned)},
	"delayed-retry-min":  {onQuorum, false, "delayed retry minimum", duration(0, delayedRetryMin)},
	"delayed-retry-max":  {onQuorum, false, "delayed retry maximum", duration(0, delayedRetryMax)},

	"max-age":                       {onStream, false, "max age", text(maxAge)},
	"stream-max-segment-size-bytes": {onStream, false, "segment size", integer(0, setMaxSegmentBytes)},
	"stream-filter-size-bytes":      {onStream, false, "filter size. Valid range is 16-255", atMost(255, "value_too_large", integer(16, setFilterBytes))},

	// Of exchanges.
	keyAlternateExchange: {0, false, "alternate exchange name", name(func(*Settings) *Optional[string] { return new(Optional[string]) })},
	keyDelayedMessage:    {0, false, "delayed message value", boolean(func(*Settings, bool) {})},

	// For others to read in Applied.Definition.
	"federation-upstream":         {everywhere, false, "federation upstream name", text(anyText)},
	"federation-upstream-set":     {everywhere, false, "federation upstream set name", text(anyText)},
	"federation-upstream-pattern": {everywhere, false, "federation upstream pattern name", text(anyText)},

	// Without effect here.
	"consumer-disconnected-timeout": {onClassic | onQuorum, true, "consumer disconnected timeout", integer(0, forget)},
	"initial-cluster-size":          {everywhere, false, "cluster size", integer(0, forget)},
	"target-group-size":             {everywhere, true, "target group size", integer(0, forget)},
	"queue-leader-locator":          {everywhere, false, "queue leader locator value", oneOf(constant("locator"), leaderLocators...)},
	"queue-master-locator":          {onClassic, false, "queue master locator", oneOf(constant("locator"), "client-local", "min-masters", "random")},
	"queue-mode":                    {onClassic | onQuorum, false, "queue-mode value", oneOf(constant("mode"), "default", "lazy")},
	"queue-version":                 {onClassic | onQuorum, true, "queue-version value", queueVersion},
	"max-in-memory-length":          {onClassic | onQuorum, true, "maximum memory in bytes", integer(0, forget)},
	"max-in-memory-bytes":           {onClassic | onQuorum, true, "maximum memory in bytes", integer(0, forget)},
	"ha-mode":                       {everywhere, true, "", ignored},
	"ha-params":                     {everywhere, true, "", ignored},
	"ha-sync-mode":                  {everywhere, true, "", ignored},
	"ha-sync-batch-size":            {everywhere, true, "", ignored},
	"ha-promote-on-failure":         {everywhere, true, "", ignored},
	"ha-promote-on-shutdown":        {everywhere, true, "", ignored},
}

// Known reports whether policies, or operator policies, can have a key.
func Known(name string, operator bool) bool {
	k, ok := keys[name]
	return ok && (k.operator || !operator)
}

func setDeliveryLimit(s *Settings, n int64) { s.DeliveryLimit = some(n) }

// invalidDefinition returns what is wrong with a definition, or nothing. As RabbitMQ does, it looks at the
// values of known keys first, in the order of their names, and reports the first fault.
func invalidDefinition(definition amqp.Table, operator bool) string {
	if len(definition) == 0 {
		return "no policy provided"
	}
	var scratch Settings
	federated := 0
	unknown := amqp.Table{}
	for _, name := range slices.Sorted(maps.Keys(definition)) {
		value := definition[name]
		if !Known(name, operator) {
			unknown[name] = value
			continue
		}
		k := keys[name]
		if reason := k.set(&scratch, value); reason != "" {
			return fmt.Sprintf("%s is not a valid %s", term(value), k.noun)
		}
		switch name {
		case "federation-upstream", "federation-upstream-set", "federation-upstream-pattern":
			if federated++; federated > 1 {
				return "cannot specify federation-upstream, federation-upstream-set and federation-upstream-pattern together"
			}
		}
	}
	if len(unknown) > 0 {
		return listTerm(unknown) + " are not recognised policy settings"
	}
	return ""
}

// fits reports whether queues of the type could have every key of the definition that is not of exchanges
// alone.
func fits(definition amqp.Table, t Type) bool {
	for name := range definition {
		if k, ok := keys[name]; ok && k.types != 0 && !k.types.has(t) {
			return false
		}
	}
	return true
}
