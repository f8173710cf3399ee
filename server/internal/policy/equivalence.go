package policy

import (
	"maps"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
)

// ComparedArguments returns the arguments in which a redeclaration of a queue of the type must agree, in the
// order in which they are compared (QUEUE-08). Others are kept and ignored.
func ComparedArguments(t Type) []string {
	var names []string
	for i := range arguments {
		if arguments[i].types.has(t) {
			names = append(names, arguments[i].name)
		}
	}
	return names
}

// Equivalent compares the arguments of a redeclaration with those of a queue of the type, and returns a
// router.Mismatch or nil. Whoever does not say a type has said the one that ParseQueue would give the queue:
// Classic, or the virtual host's default (QUEUE-18).
func Equivalent(t Type, current amqp.Table, q Queue, received amqp.Table) error {
	return router.EquivalentArguments(withType(current, t), withType(received, q.defaultType()), ComparedArguments(t)...)
}

// withType returns the arguments with a type, unless they have one.
func withType(args amqp.Table, t Type) amqp.Table {
	if _, ok := args[argType]; ok {
		return args
	}
	typed := make(amqp.Table, len(args)+1)
	maps.Copy(typed, args)
	typed[argType] = t.String()
	return typed
}
