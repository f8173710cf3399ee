package policy

import (
	"fmt"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Queue is what a declaration says about a queue besides its arguments.
type Queue struct {
	VHost string
	// Name is the name the queue will have, be it that the broker made it.
	Name        string
	ServerNamed bool
	// Durable, Exclusive and AutoDelete are as the client sent them.
	Durable, Exclusive, AutoDelete bool
	// DefaultType is the virtual host's: it applies to durable queues that are shared and stay (QUEUE-18).
	DefaultType Type
}

// ParseQueue reads the arguments of a declaration. Arguments that nobody knows are accepted. The Settings
// are what the arguments say; what applies is for Set.EffectiveQueue to tell. Errors are *amqp.Error.
//
// Of several faults one is reported: the type's first, then a name that the type cannot have, then those of
// the arguments' values, then arguments of another type, each in a fixed order, then those of the
// properties.
func ParseQueue(q Queue, args amqp.Table) (Settings, error) {
	t, err := q.queueType(args)
	if err != nil {
		return Settings{}, err
	}
	s := Defaults(t)
	if q.ServerNamed {
		if t != Classic { // QUEUE-04
			return Settings{}, refuse("Cannot declare a server-named queue for type %s", t.module())
		}
		prefix, err := NamePrefix(q, args)
		if err != nil {
			return Settings{}, err
		}
		s.NamePrefix = prefix
	}
	if err := q.parseArguments(&s, args); err != nil {
		return Settings{}, err
	}
	if err := q.checkProperties(t); err != nil {
		return Settings{}, err
	}
	if err := checkStream(&s); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// NamePrefix returns x-name-prefix, with which the name of a server-named queue begins. ParseQueue refuses
// the same prefixes; this is for those who have to make the name first. Errors are *amqp.Error.
func NamePrefix(q Queue, args amqp.Table) (Optional[string], error) {
	value, ok := args[argNamePrefix]
	if !ok {
		return Optional[string]{}, nil
	}
	prefix, ok := value.(string)
	switch {
	case !ok:
		return Optional[string]{}, q.invalid(amqp.QueueDeclareID, argNamePrefix, unacceptable(value))
	case len(prefix) > maxNamePrefix: // QUEUE-03
		return Optional[string]{}, refuse("Queue name prefix '%s' exceeds the %d-byte limit", prefix, maxNamePrefix)
	case !utf8.ValidString(prefix): // a name goes out as a shortstr (WIRE-13)
		return Optional[string]{}, q.invalid(amqp.QueueDeclareID, argNamePrefix, "invalid_utf8")
	}
	return some(prefix), nil
}

// defaultType is the type of a queue whose arguments do not say (QUEUE-18). A name that the broker makes
// keeps it Classic too, as no other type could have it.
func (q Queue) defaultType() Type {
	if !q.Durable || q.Exclusive || q.AutoDelete || q.ServerNamed {
		return Classic
	}
	return q.DefaultType
}

func (q Queue) queueType(args amqp.Table) (Type, error) {
	value, ok := args[argType]
	if !ok {
		return q.defaultType(), nil
	}
	name, ok := value.(string)
	if !ok {
		return Classic, q.invalid(amqp.QueueDeclareID, argType, unacceptable(value))
	}
	t, ok := ParseType(name)
	if !ok {
		return Classic, q.invalid(amqp.QueueDeclareID, argType, router.StringTerm(fmt.Sprintf("unsupported queue type '%s'", name)))
	}
	return t, nil
}

// parseArguments stores what the arguments of the type say, then refuses arguments of another (QARG-01).
func (q Queue) parseArguments(s *Settings, args amqp.Table) error {
	const method = amqp.QueueDeclareID
	exchange, hasExchange := args[argDeadLetterExchange]
	if _, ok := exchange.(string); hasExchange && !ok {
		return refuse("invalid type '%s' for arg '%s' in queue '%s' in vhost '%s'",
			amqp.TypeName(exchange), argDeadLetterExchange, q.Name, q.VHost)
	}
	for i := range arguments {
		a := &arguments[i]
		value, ok := args[a.name]
		if !ok || !a.types.has(s.Type) {
			continue
		}
		reason := a.set(s, value)
		if reason == "" && a.name == argDeadLetterKey && !hasExchange {
			reason = "routing_key_but_no_dlx_defined" // a policy's exchange does not count
		}
		if reason != "" {
			return q.invalid(method, a.name, reason)
		}
	}
	for i := range arguments {
		a := &arguments[i]
		if _, ok := args[a.name]; ok && !a.types.has(s.Type) {
			return q.wrongType(method, a.name, s.Type)
		}
	}
	return nil
}

// checkProperties refuses what quorum queues and streams cannot be (QARG-02).
func (q Queue) checkProperties(t Type) error {
	if t == Classic {
		return nil
	}
	var property string
	switch {
	case q.AutoDelete:
		property = "auto-delete"
	case q.Exclusive:
		property = "exclusive-owner"
	case !q.Durable:
		property = "non-durable"
	default:
		return nil
	}
	return refuse("invalid property '%s' for queue '%s' in vhost '%s'", property, q.Name, q.VHost)
}

// checkStream refuses sizes that a stream cannot have. RabbitMQ's texts name no queue; the second has a space
// too many.
func checkStream(s *Settings) error {
	const maxSegmentBytes, minFilterBytes, maxFilterBytes = 3000000000, 16, 255
	if s.MaxSegmentBytes.Value > maxSegmentBytes {
		return refuse("Exceeded max value for %s", argSegmentBytes)
	}
	if f := s.FilterBytes; f.OK && (f.Value < minFilterBytes || f.Value > maxFilterBytes) {
		return refuse("Invalid value for  %s", argFilterBytes)
	}
	return nil
}

func refuse(format string, args ...any) *amqp.Error {
	return amqp.Errorf(amqp.PreconditionFailed, amqp.QueueDeclareID, format, args...)
}

// invalid is the answer to an argument with a value that it cannot have; the reason is an Erlang term.
func (q Queue) invalid(method amqp.MethodID, arg, reason string) *amqp.Error {
	return amqp.Errorf(amqp.PreconditionFailed, method, "invalid arg '%s' for queue '%s' in vhost '%s': %s",
		arg, q.Name, q.VHost, reason)
}

// wrongType is the answer to an argument that queues of the type do not have.
func (q Queue) wrongType(method amqp.MethodID, arg string, t Type) *amqp.Error {
	return amqp.Errorf(amqp.PreconditionFailed, method, "invalid arg '%s' for queue '%s' in vhost '%s' of queue type %s",
		arg, q.Name, q.VHost, t.module())
}
