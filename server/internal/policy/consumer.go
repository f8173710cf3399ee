package policy

import (
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// OffsetKind says how a consumer of a stream names the place where it begins; the zero value is FromNext.
type OffsetKind uint8

// The kinds of offsets (STR-03).
const (
	FromNext   OffsetKind = iota // what is published from now on
	FromFirst                    // the first message there is
	FromLast                     // the last chunk of messages
	FromNumber                   // Number
	FromTime                     // Time
	FromAge                      // Age ago
)

// StreamOffset is where a consumer of a stream begins.
type StreamOffset struct {
	Kind   OffsetKind
	Number uint64
	Time   time.Time
	Age    time.Duration
}

// Consumer is what the arguments of basic.consume say.
type Consumer struct {
	// Priority is x-priority, of any sign.
	Priority int
	// Timeout is x-consumer-timeout; 0 is for ever.
	Timeout Optional[time.Duration]
	// Offset, Filter and MatchUnfiltered are of streams. A nil Filter lets everything pass.
	Offset          StreamOffset
	Filter          []string
	MatchUnfiltered bool
}

// consumerArgument is an argument of basic.consume that means something. set returns the reason to refuse a
// value, as a setter does.
type consumerArgument struct {
	name  string
	types types
	set   func(c *Consumer, value any) (reason string)
}

// consumerArguments are all of them, in the order in which they are checked (CONS-05). Read only.
var consumerArguments = []consumerArgument{
	{"x-priority", everywhere, setPriority},
	{"x-cancel-on-ha-failover", everywhere, checkBool},
	{"x-consumer-timeout", onClassic | onQuorum, setTimeout},
	{"x-stream-offset", onStream, setOffset},
	{"x-stream-filter", onStream, setFilter},
	{"x-stream-match-unfiltered", onStream, setMatchUnfiltered},
}

// ParseConsumer reads the arguments of a subscription to a queue with the settings (CONS-05). Arguments that
// nobody knows are accepted. Errors are *amqp.Error. Only the queue's names are used.
func ParseConsumer(q Queue, s Settings, args amqp.Table) (Consumer, error) {
	const method = amqp.BasicConsumeID
	var c Consumer
	if len(args) == 0 {
		return c, nil
	}
	for i := range consumerArguments {
		a := &consumerArguments[i]
		value, ok := args[a.name]
		if !ok || !a.types.has(s.Type) {
			continue
		}
		if reason := a.set(&c, value); reason != "" {
			return Consumer{}, q.invalid(method, a.name, reason)
		}
	}
	for i := range consumerArguments {
		a := &consumerArguments[i]
		if _, ok := args[a.name]; ok && !a.types.has(s.Type) {
			return Consumer{}, q.wrongType(method, a.name, s.Type)
		}
	}
	return c, nil
}

func setPriority(c *Consumer, value any) string {
	n, ok := amqp.Int(value)
	if !ok {
		return notInteger(value)
	}
	c.Priority = int(n)
	return ""
}

func setTimeout(c *Consumer, value any) string {
	var s Settings
	reason := duration(0, consumerTimeout)(&s, value)
	c.Timeout = s.ConsumerTimeout
	return reason
}

func checkBool(_ *Consumer, value any) string {
	if _, ok := value.(bool); !ok {
		return unacceptable(value)
	}
	return ""
}

func setMatchUnfiltered(c *Consumer, value any) string {
	c.MatchUnfiltered, _ = value.(bool)
	return checkBool(c, value)
}

func setOffset(c *Consumer, value any) string {
	offset, ok := parseOffset(value)
	if !ok {
		return "{invalid_stream_offset_arg,{" + amqp.TypeName(value) + "," + term(value) + "}}"
	}
	c.Offset = offset
	return ""
}

func parseOffset(value any) (StreamOffset, bool) {
	if n, ok := amqp.Int(value); ok {
		if n < 0 {
			return StreamOffset{Kind: FromFirst}, true
		}
		return StreamOffset{Kind: FromNumber, Number: uint64(n)}, true
	}
	switch v := value.(type) {
	case amqp.Timestamp:
		return StreamOffset{Kind: FromTime, Time: v.Time()}, true
	case string:
		switch v {
		case "first":
			return StreamOffset{Kind: FromFirst}, true
		case "last":
			return StreamOffset{Kind: FromLast}, true
		case "next":
			return StreamOffset{Kind: FromNext}, true
		}
		age, ok := parseAge(v)
		return StreamOffset{Kind: FromAge, Age: age}, ok
	}
	return StreamOffset{}, false
}

func setFilter(c *Consumer, value any) string {
	switch v := value.(type) {
	case string:
		c.Filter = []string{v}
		return ""
	case []any:
		filter := make([]string, 0, len(v))
		for _, element := range v {
			word, ok := element.(string)
			if !ok {
				return unacceptable(element)
			}
			filter = append(filter, word)
		}
		c.Filter = filter
		return ""
	}
	return unacceptable(value)
}
