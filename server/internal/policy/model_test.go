package policy_test

import (
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"pgregory.net/rapid"
)

// Every number that applies is the least of those asked for, whoever asked (POL-03).
func TestTheLeastNumberApplies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args, granted, limited := amqp.Table{}, amqp.Table{}, amqp.Table{}
		want := map[string]int64{}
		for _, key := range []string{"message-ttl", "expires", "max-length", "max-length-bytes"} {
			want[key] = math.MaxInt64
			for _, to := range []struct {
				table amqp.Table
				name  string
			}{{args, "x-" + key}, {granted, key}, {limited, key}} {
				if rapid.Bool().Draw(t, "present") {
					n := rapid.Int64Range(1, 1000).Draw(t, key)
					to.table[to.name] = n
					want[key] = min(want[key], n)
				}
			}
		}
		var s policy.Set
		for _, p := range []policy.Policy{user(granted), operator(limited)} {
			if _, err := s.Put(p); err != nil {
				t.Fatal(err)
			}
		}
		arguments, err := policy.ParseQueue(queue, args)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := s.EffectiveQueue("q", arguments)
		for key, applies := range map[string]policy.Optional[int64]{
			"message-ttl": {Value: got.MessageTTL.Value.Milliseconds(), OK: got.MessageTTL.OK},
			"expires":     {Value: got.Expires.Value.Milliseconds(), OK: got.Expires.OK},
			"max-length":  {Value: got.MaxLength, OK: got.MaxLength >= 0}, "max-length-bytes": {Value: got.MaxLengthBytes, OK: got.MaxLengthBytes >= 0},
		} {
			if applies.OK != (want[key] < math.MaxInt64) || applies.OK && applies.Value != want[key] {
				t.Fatalf("%s is %+v, want %d", key, applies, want[key])
			}
		}
	})
}

// Among equals names decide, so the order in which policies came does not matter; and the set is the map
// that a simpler program would have.
func TestASetIsAMapOfPolicies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s policy.Set
		model := map[bool]map[string]policy.Policy{false: {}, true: {}}
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			isOperator := rapid.Bool().Draw(t, "operator")
			name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name")
			_, there := model[isOperator][name]
			if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
				if s.Delete(name, isOperator) != there {
					t.Fatalf("Delete(%s, %v) is not %v", name, isOperator, there)
				}
				delete(model[isOperator], name)
				continue
			}
			p := policy.Policy{
				Name: name, Operator: isOperator, Priority: rapid.Int64Range(-1, 1).Draw(t, "priority"),
				Pattern:    rapid.SampledFrom([]string{"", "^x", "y", "^(?!x)"}).Draw(t, "pattern"),
				ApplyTo:    rapid.SampledFrom([]policy.ApplyTo{"", policy.ApplyToQueues, policy.ApplyToExchanges, policy.ApplyToQuorumQueues}).Draw(t, "apply-to"),
				Definition: amqp.Table{rapid.SampledFrom([]string{"max-length", "delivery-limit"}).Draw(t, "key"): int64(5)},
			}
			if replaced, err := s.Put(p); err != nil || replaced != there {
				t.Fatalf("Put(%+v) is %v, %v", p, replaced, err)
			}
			model[isOperator][name] = p
		}
		of := rapid.SampledFrom([]policy.Type{policy.Classic, policy.Quorum}).Draw(t, "type")
		name := rapid.SampledFrom([]string{"x", "y", "xy"}).Draw(t, "queue")
		_, applied := s.EffectiveQueue(name, policy.Defaults(of))
		if got, want := applied.Policy, winner(model[false], name, of); got != want {
			t.Fatalf("policy %q applies, want %q", got, want)
		}
		if got, want := applied.OperatorPolicy, winner(model[true], name, of); got != want {
			t.Fatalf("operator policy %q applies, want %q", got, want)
		}
		for _, isOperator := range []bool{false, true} {
			if got := s.List(isOperator); len(got) != len(model[isOperator]) {
				t.Fatalf("%d policies, want %d", len(got), len(model[isOperator]))
			}
		}
	})
}

// winner is POL-01 in the plainest words.
func winner(policies map[string]policy.Policy, queue string, of policy.Type) string {
	best := ""
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		p := policies[name]
		_, needsQuorum := p.Definition["delivery-limit"]
		needsQuorum = needsQuorum || p.ApplyTo == policy.ApplyToQuorumQueues
		covers := p.ApplyTo != policy.ApplyToExchanges && (of == policy.Quorum || !needsQuorum)
		matches := map[string]bool{
			"": true, "^x": strings.HasPrefix(queue, "x"), "y": strings.Contains(queue, "y"), "^(?!x)": !strings.HasPrefix(queue, "x"),
		}[p.Pattern]
		if covers && matches && (best == "" || p.Priority > policies[best].Priority) {
			best = name
		}
	}
	return best
}

// Every policy that is valid survives the log.
func TestEveryPolicyTableComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Policy{
			VHost: "v", Name: rapid.String().Draw(t, "name"), Pattern: rapid.String().Draw(t, "pattern"),
			ApplyTo: policy.ApplyTo(rapid.String().Draw(t, "apply-to")), Priority: rapid.Int64().Draw(t, "priority"),
			Operator: rapid.Bool().Draw(t, "operator"), Definition: drawTable(t),
		}
		decoded, err := p.Table().Raw().Decode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := policy.FromTable("v", decoded); err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v, error %v, want %+v", got, err, p)
		}
	})
}

// Whatever the arguments, ParseQueue returns settings that make sense or an *amqp.Error, twice the same, and
// so do the policies.
func TestAnyTableIsRefusedOrMakesSense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := policy.Queue{
			VHost: "/", Name: "q", ServerNamed: rapid.Bool().Draw(t, "server-named"), Durable: rapid.Bool().Draw(t, "durable"),
			Exclusive: rapid.Bool().Draw(t, "exclusive"), AutoDelete: rapid.Bool().Draw(t, "auto-delete"),
			DefaultType: rapid.SampledFrom([]policy.Type{policy.Classic, policy.Quorum, policy.Stream}).Draw(t, "default"),
		}
		if fault := senseless(q, drawTable(t)); fault != "" {
			t.Fatal(fault)
		}
	})
}

func FuzzParseQueue(f *testing.F) {
	for _, name := range policy.ComparedArguments(policy.Classic) {
		f.Add([]byte(amqp.Table{name: int64(5)}.Raw()), true)
		f.Add([]byte(amqp.Table{name: "classic"}.Raw()), false)
	}
	for _, of := range []policy.Type{policy.Quorum, policy.Stream} {
		for _, name := range policy.ComparedArguments(of) {
			f.Add([]byte(amqp.Table{"x-queue-type": of.String(), name: int64(1 << 62)}.Raw()), true)
			f.Add([]byte(amqp.Table{"x-queue-type": of.String(), name: "9Y"}.Raw()), true)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, durable bool) {
		args, err := amqp.RawTable(raw).Decode()
		if err != nil {
			return
		}
		if fault := senseless(policy.Queue{VHost: "/", Name: "q", Durable: durable}, args); fault != "" {
			t.Error(fault)
		}
	})
}

// senseless returns what is wrong with what the package makes of the arguments, and of the same values as a
// policy's definition.
func senseless(q policy.Queue, args amqp.Table) string {
	got, err := policy.ParseQueue(q, args)
	again, errAgain := policy.ParseQueue(q, maps.Clone(args))
	var refusal *amqp.Error
	switch {
	case got != again || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error():
		return "two answers to one question"
	case err != nil && (!errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed || got != policy.Settings{}):
		return "refused in the wrong way: " + err.Error()
	case err == nil && !sensible(got):
		return "settings that make no sense"
	case err == nil && got.Type != policy.Classic && (!q.Durable || q.Exclusive || q.AutoDelete || q.ServerNamed):
		return "a " + got.Type.String() + " queue that cannot be"
	}
	definition := amqp.Table{}
	for name, value := range args {
		definition[strings.TrimPrefix(name, "x-")] = value
	}
	if mismatch := policy.Equivalent(got.Type, args, q, args); err == nil && mismatch != nil {
		return "a queue is not equivalent to itself: " + mismatch.Error()
	}
	var s policy.Set
	for _, p := range []policy.Policy{user(definition), operator(definition)} {
		p.Validate()
		if _, err := s.Put(p); err != nil {
			return err.Error()
		}
	}
	for _, of := range []policy.Type{policy.Classic, policy.Quorum, policy.Stream} {
		if effective, _ := s.EffectiveQueue("q", policy.Defaults(of)); !sensible(effective) {
			return "effective settings that make no sense"
		}
		policy.ParseConsumer(q, policy.Defaults(of), args)
	}
	s.EffectiveExchange("x", args)
	return ""
}

func sensible(s policy.Settings) bool {
	for _, d := range []policy.Optional[time.Duration]{s.MessageTTL, s.Expires, s.ConsumerTimeout, s.DelayedRetryMin, s.DelayedRetryMax, s.MaxAge} {
		if d.Value < 0 || !d.OK && d.Value != 0 {
			return false
		}
	}
	for _, name := range []string{s.DeadLetterExchange.Value, s.DeadLetterRoutingKey.Value} {
		if len(name) > 255 {
			return false
		}
	}
	return s.MaxLength >= policy.NoLimit && s.MaxLengthBytes >= policy.NoLimit && s.DeliveryLimit.Value >= policy.NoLimit &&
		(!s.Expires.OK || s.Expires.Value > 0) && len(s.NamePrefix.Value) <= 64 &&
		(s.Type == policy.Classic || s.MaxPriority == 0) && (s.Type == policy.Quorum || !s.DeliveryLimit.OK && !s.DeadLetterStrategy.OK)
}

// drawTable draws arguments that somebody might send: mostly names that mean something, with values of all types.
func drawTable(t *rapid.T) amqp.Table {
	names := append(policy.ComparedArguments(policy.Classic), "x-name-prefix", "x-foo", "x-alternate-exchange", "x-priority", "x-stream-offset")
	names = append(append(names, policy.ComparedArguments(policy.Quorum)...), policy.ComparedArguments(policy.Stream)...)
	args := amqp.Table{}
	for range rapid.IntRange(0, 4).Draw(t, "arguments") {
		args[rapid.SampledFrom(names).Draw(t, "name")] = drawValue(t)
	}
	if rapid.Bool().Draw(t, "typed") {
		args["x-queue-type"] = rapid.SampledFrom([]string{"classic", "quorum", "stream"}).Draw(t, "type")
	}
	return args
}

func drawValue(t *rapid.T) any {
	words := []string{
		"drop-head", "reject-publish", "reject-publish-dlx", "at-least-once", "lazy", "1h", "9999999Y", "all", "random",
		"client-local", "x", "first", "", strings.Repeat("l", 300), "\xff",
	}
	return rapid.OneOf(
		rapid.Map(rapid.SampledFrom(words), asAny),
		rapid.Map(rapid.Int64Range(-2, 300), asAny),
		rapid.Map(rapid.Int64(), asAny),
		rapid.Map(rapid.Int8(), asAny),
		rapid.Map(rapid.Uint32(), asAny),
		rapid.Map(rapid.Bool(), asAny),
		rapid.Map(rapid.Float64Range(-1, 1), asAny),
		rapid.SampledFrom([]any{nil, amqp.Timestamp(1), amqp.Decimal{Scale: 1}, []byte("b"), []any{int64(1), "a"}, amqp.Table{"a": nil}}),
	).Draw(t, "value")
}

func asAny[T any](v T) any { return v }
