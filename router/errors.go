package router

import (
	"errors"
	"fmt"
)

// ErrDefaultExchange refuses a change of the default exchange (EXCH-03).
var ErrDefaultExchange = errors.New("operation not permitted on the default exchange")

// NoExchange says that an exchange does not exist.
type NoExchange struct{ Name string }

func (e NoExchange) Error() string { return fmt.Sprintf("no exchange %q", e.Name) }

// NoQueue says that a queue does not exist.
type NoQueue struct{ Name string }

func (e NoQueue) Error() string { return fmt.Sprintf("no queue %q", e.Name) }

// QueueExists refuses a second queue of the same name.
type QueueExists struct{ Name string }

func (e QueueExists) Error() string { return fmt.Sprintf("queue %q exists already", e.Name) }

// UnknownType says that no exchange type has this name (EXCH-02).
type UnknownType struct{ Type string }

func (e UnknownType) Error() string { return fmt.Sprintf("unknown exchange type %q", e.Type) }

// WrongType says that an argument has a value of a type it cannot have (EXCH-08). Type is the AMQP
// name of the type that came.
type WrongType struct{ Arg, Type string }

func (e WrongType) Error() string { return fmt.Sprintf("invalid type %q for arg %q", e.Type, e.Arg) }

// Refused says that an exchange's type does not accept a binding or a declaration. Text is worded
// for the client, as RabbitMQ words it.
type Refused struct{ Text string }

func (e Refused) Error() string { return e.Text }
