package tools

import (
	"math"
	"testing"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Whoever may bind chooses what stands there, and an operator's terminal shows it.
func TestArgumentsOfBindingsAreShownWithoutControls(t *testing.T) {
	step := &router.Step{Exchange: router.Exchange{Name: "x", Type: "headers"}}
	for name, row := range map[string]struct {
		arguments amqp.Table
		want      string
	}{
		"none":               {nil, "k"},
		"escape":             {amqp.Table{"a\x1b[2J": "v"}, `k {"a\u001b[2J":"v"}`},
		"escape of 8 bits":   {amqp.Table{"a": "\u009b31m"}, `k {"a":"\u009b31m"}`},
		"what no number is":  {amqp.Table{"a": math.NaN()}, `k {"a":"NaN"}`},
		"a table of its own": {amqp.Table{"a": amqp.Table{"b": true}}, `k {"a":{"b":true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bindingText(step, router.Binding{Key: "k", Arguments: row.arguments}); got != row.want {
				t.Errorf("%q, not %q", got, row.want)
			}
		})
	}
}
