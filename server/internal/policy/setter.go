package policy

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// setter checks a value and stores it. The reason is empty when the value is welcome; else it is an Erlang
// term, as RabbitMQ gives it when it refuses an argument, and nothing has been stored.
type setter func(s *Settings, value any) (reason string)

// integer reads an integer of any width that is at least least, and calls store.
func integer(least int64, store func(*Settings, int64)) setter {
	return func(s *Settings, value any) string {
		n, ok := amqp.Int(value)
		switch {
		case !ok:
			return notInteger(value)
		case n >= least:
			store(s, n)
			return ""
		case n == 0:
			return "{value_zero,0}"
		}
		return fmt.Sprintf("{value_negative,%d}", n)
	}
}

// atMost refuses larger integers for the reason given.
func atMost(most int64, reason string, set setter) setter {
	return func(s *Settings, value any) string {
		if n, ok := amqp.Int(value); ok && n > most {
			return fmt.Sprintf("{%s,%d}", reason, n)
		}
		return set(s, value)
	}
}

// duration reads milliseconds.
func duration(least int64, field func(*Settings) *Optional[time.Duration]) setter {
	return integer(least, func(s *Settings, n int64) { *field(s) = some(milliseconds(n)) })
}

// boolean reads a bool.
func boolean(store func(*Settings, bool)) setter {
	return func(s *Settings, value any) string {
		b, ok := value.(bool)
		if !ok {
			return unacceptable(value)
		}
		store(s, b)
		return ""
	}
}

// text reads a string, which store may refuse.
func text(store func(s *Settings, value string) (reason string)) setter {
	return func(s *Settings, value any) string {
		v, ok := value.(string)
		if !ok {
			return unacceptable(value)
		}
		return store(s, v)
	}
}

// name reads the name of an exchange or a routing key. Longer ones than AMQP can carry could never be used.
func name(field func(*Settings) *Optional[string]) setter {
	return text(func(s *Settings, value string) string {
		if len(value) > maxShortstr {
			return fmt.Sprintf("{value_too_long,%d}", len(value))
		}
		*field(s) = some(value)
		return ""
	})
}

// choice reads one of the names of T.
func choice[T fmt.Stringer](reason string, field func(*Settings) *Optional[T], choices ...T) setter {
	return text(func(s *Settings, value string) string {
		for _, c := range choices {
			if c.String() == value {
				*field(s) = some(c)
				return ""
			}
		}
		return reason
	})
}

// oneOf accepts the words and stores nothing.
func oneOf(reason func(value string) string, words ...string) setter {
	return text(func(_ *Settings, value string) string {
		if slices.Contains(words, value) {
			return ""
		}
		return reason(value)
	})
}

func constant(reason string) func(string) string { return func(string) string { return reason } }

// ignored accepts every value.
func ignored(*Settings, any) string { return "" }

// forget does not store an integer.
func forget(*Settings, int64) {}

func anyText(*Settings, string) string { return "" }

func queueVersion(_ *Settings, value any) string {
	n, ok := amqp.Int(value)
	switch {
	case !ok:
		return notInteger(value)
	case n == 1 || n == 2:
		return ""
	}
	return fmt.Sprintf(`"unsupported queue version '%d'"`, n)
}

// deliveryLimit reads a limit of which every negative value means none.
func deliveryLimit(s *Settings, value any) string {
	n, ok := amqp.Int(value)
	if !ok {
		return notInteger(value)
	}
	s.DeliveryLimit = some(max(n, NoLimit))
	return ""
}

func maxAge(s *Settings, value string) string {
	age, ok := parseAge(value)
	if !ok || age == 0 {
		return "invalid_max_age"
	}
	s.MaxAge = some(age)
	return ""
}

// parseAge reads a number and a unit: years and months have 365 and 30 days. Ages that a Duration cannot
// hold are the longest it can.
func parseAge(value string) (time.Duration, bool) {
	if len(value) < 2 {
		return 0, false
	}
	var seconds int64
	switch value[len(value)-1] {
	case 'Y':
		seconds = 365 * 24 * 3600
	case 'M':
		seconds = 30 * 24 * 3600
	case 'D':
		seconds = 24 * 3600
	case 'h':
		seconds = 3600
	case 'm':
		seconds = 60
	case 's':
		seconds = 1
	default:
		return 0, false
	}
	digits := value[:len(value)-1]
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxMilliseconds/1000/seconds {
		return milliseconds(maxMilliseconds), true
	}
	return time.Duration(n*seconds) * time.Second, true
}

func notInteger(value any) string {
	return fmt.Sprintf(`"expected integer, got %s"`, amqp.TypeName(value))
}

func unacceptable(value any) string {
	return fmt.Sprintf("{unacceptable_type,%s}", amqp.TypeName(value))
}
