package router

import (
	"fmt"
	"strconv"
)

// Mismatch says that a declaration does not agree with what is there (EXCH-06). Received and Current
// are worded for the reply, as in
//
//	inequivalent arg '<Arg>' for exchange 'e' in vhost '/': received <Received> but current is <Current>
type Mismatch struct{ Arg, Received, Current string }

func (e Mismatch) Error() string {
	return fmt.Sprintf("inequivalent arg '%s': received %s but current is %s", e.Arg, e.Received, e.Current)
}

// Equivalent returns the first Mismatch of a redeclaration, in the order of EXCH-06, or nil. Of the
// arguments only alternate-exchange counts.
func Equivalent(current, received Exchange) error {
	if current.Type != received.Type {
		return Mismatch{Arg: "type", Received: quote(received.Type), Current: quote(current.Type)}
	}
	if err := EquivalentFlag("durable", current.Durable, received.Durable); err != nil {
		return err
	}
	if err := EquivalentFlag("auto_delete", current.AutoDelete, received.AutoDelete); err != nil {
		return err
	}
	if err := EquivalentFlag("internal", current.Internal, received.Internal); err != nil {
		return err
	}
	return EquivalentArguments(current.Arguments, received.Arguments, argAlternate)
}

// EquivalentFlag returns a Mismatch if a flag differs. It serves queues as well.
func EquivalentFlag(arg string, current, received bool) error {
	if current == received {
		return nil
	}
	return Mismatch{Arg: arg, Received: quote(strconv.FormatBool(received)), Current: quote(strconv.FormatBool(current))}
}

// EquivalentArguments compares the named arguments in the order given and returns the first Mismatch.
// Widths of integers do not count (QUEUE-08). It serves queues as well.
func EquivalentArguments(current, received map[string]any, args ...string) error {
	for _, arg := range args {
		is, there := current[arg]
		came, asked := received[arg]
		switch {
		case there && asked:
			if !Equal(is, came) {
				return Mismatch{Arg: arg, Received: quote(plain(came)), Current: quote(plain(is))}
			}
		case there:
			return Mismatch{Arg: arg, Received: "none", Current: described(is)}
		case asked:
			return Mismatch{Arg: arg, Received: described(came), Current: "none"}
		}
	}
	return nil
}

func quote(text string) string { return "'" + text + "'" }

func described(v any) string {
	return fmt.Sprintf("the value '%s' of type '%s'", plain(v), TypeName(v))
}

// plain writes text as it is and all else as a term.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return term(v)
}
