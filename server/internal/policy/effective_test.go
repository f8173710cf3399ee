package policy_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

// set makes a set of policies that match everything, unless they say otherwise.
func set(t *testing.T, policies ...policy.Policy) *policy.Set {
	t.Helper()
	s := new(policy.Set)
	for _, p := range policies {
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func user(definition amqp.Table) policy.Policy {
	return policy.Policy{Name: "user", Definition: definition}
}

func operator(definition amqp.Table) policy.Policy {
	return policy.Policy{Name: "operator", Definition: definition, Operator: true}
}

func parse(t *testing.T, args amqp.Table) policy.Settings {
	t.Helper()
	s, err := policy.ParseQueue(queue, args)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// POL-03: argument, policy, operator policy, and what applies.
func TestSettingsOfAQueueAreMerged(t *testing.T) {
	const second = int64(1000)
	seconds := func(n time.Duration) policy.Optional[time.Duration] {
		return policy.Optional[time.Duration]{Value: n * time.Second, OK: true}
	}
	text := func(s string) policy.Optional[string] { return policy.Optional[string]{Value: s, OK: true} }
	limit := func(n int64) policy.Optional[int64] { return policy.Optional[int64]{Value: n, OK: true} }
	overflow := func(o policy.Overflow) policy.Optional[policy.Overflow] {
		return policy.Optional[policy.Overflow]{Value: o, OK: true}
	}
	quorum := func(name string, value any) amqp.Table { return amqp.Table{"x-queue-type": "quorum", name: value} }
	for _, test := range []struct {
		name                 string
		args, user, operator amqp.Table
		want                 func(*policy.Settings)
	}{
		{"nothing", nil, nil, nil, func(*policy.Settings) {}},
		{
			"numbers: the least of three",
			amqp.Table{"x-max-length": int64(10)},
			amqp.Table{"max-length": int64(5)},
			amqp.Table{"max-length": int64(3)},
			func(s *policy.Settings) { s.MaxLength = 3 },
		},
		{
			"numbers: an argument may be the least",
			amqp.Table{"x-max-length": int64(0)},
			amqp.Table{"max-length": int64(5)},
			amqp.Table{"max-length": int64(3)},
			func(s *policy.Settings) { s.MaxLength = 0 },
		},
		{
			"numbers: absent is not the least", nil,
			amqp.Table{"max-length-bytes": int64(5)},
			nil,
			func(s *policy.Settings) { s.MaxLengthBytes = 5 },
		},
		{
			"durations (TTL-01)",
			amqp.Table{"x-message-ttl": 9 * second},
			amqp.Table{"message-ttl": 5 * second, "expires": 7 * second},
			amqp.Table{"expires": 60 * second},
			func(s *policy.Settings) { s.MessageTTL, s.Expires = seconds(5), seconds(7) },
		},
		{
			"a time to live that no Duration holds", nil,
			amqp.Table{"message-ttl": int64(1 << 62)},
			nil,
			func(s *policy.Settings) { s.MessageTTL.OK, s.MessageTTL.Value = true, 9223372036854*time.Millisecond },
		},
		{
			"dead letters: each argument wins (DLX-10)",
			amqp.Table{"x-dead-letter-exchange": "argument"},
			amqp.Table{"dead-letter-exchange": "policy", "dead-letter-routing-key": "policy"},
			nil,
			func(s *policy.Settings) {
				s.DeadLetterExchange, s.DeadLetterRoutingKey = text("argument"), text("policy")
			},
		},
		{
			"deliveries after the sync: an argument asks for them",
			amqp.Table{"x-deliver-after-sync": true},
			amqp.Table{"deliver-after-sync": false},
			nil,
			func(s *policy.Settings) { s.DeliverAfterSync = true },
		},
		{
			"deliveries after the sync: an argument does not prevent them",
			amqp.Table{"x-deliver-after-sync": false},
			nil,
			amqp.Table{"deliver-after-sync": true},
			func(s *policy.Settings) { s.DeliverAfterSync = true },
		},
		{
			"deliveries after the sync: the operator's word counts, not the policy's", nil,
			amqp.Table{"deliver-after-sync": true},
			amqp.Table{"deliver-after-sync": false},
			func(*policy.Settings) {},
		},
		{
			"overflow of a classic queue: the argument wins",
			amqp.Table{"x-overflow": "drop-head"},
			amqp.Table{"overflow": "reject-publish"},
			amqp.Table{"overflow": "reject-publish-dlx"},
			func(s *policy.Settings) { s.Overflow = overflow(policy.DropHead) },
		},
		{
			"overflow: the operator wins over the policy", nil,
			amqp.Table{"overflow": "reject-publish"},
			amqp.Table{"overflow": "reject-publish-dlx"},
			func(s *policy.Settings) { s.Overflow = overflow(policy.RejectPublishDLX) },
		},
		{
			"overflow of a quorum queue: the policy wins", quorum("x-overflow", "drop-head"),
			amqp.Table{"overflow": "reject-publish"},
			nil,
			func(s *policy.Settings) { s.Overflow = overflow(policy.RejectPublish) },
		},
		{
			"overflow that quorum queues do not do", quorum("x-overflow", "reject-publish-dlx"), nil, nil,
			func(s *policy.Settings) { s.Overflow = overflow(policy.DropHead) },
		},
		{
			"delivery-limit: nobody says", quorum("x-max-length", int64(1)), nil, nil,
			func(s *policy.Settings) {
				s.MaxLength = 1
				s.DeliveryLimit = policy.Optional[int64]{Value: policy.DefaultDeliveryLimit}
			},
		},
		{
			"delivery-limit: above the default", quorum("x-max-length", int64(1)),
			amqp.Table{"delivery-limit": int64(50)},
			nil,
			func(s *policy.Settings) { s.MaxLength, s.DeliveryLimit = 1, limit(50) },
		},
		{
			"delivery-limit: the least (QQ-03)", quorum("x-delivery-limit", int64(50)),
			amqp.Table{"delivery-limit": int64(40)},
			nil,
			func(s *policy.Settings) { s.DeliveryLimit = limit(40) },
		},
		{
			"delivery-limit: negative is none (QQ-03)", quorum("x-delivery-limit", int64(-1)),
			amqp.Table{"delivery-limit": int64(-1)},
			amqp.Table{"delivery-limit": int64(30)},
			func(s *policy.Settings) { s.DeliveryLimit = limit(30) },
		},
		{
			"delivery-limit: none at all", quorum("x-delivery-limit", int64(-1)),
			amqp.Table{"delivery-limit": int64(-1)},
			nil,
			func(s *policy.Settings) { s.DeliveryLimit = limit(policy.NoLimit) },
		},
		{
			"delivery-limit: 0 is a limit", quorum("x-delivery-limit", int64(0)),
			amqp.Table{"delivery-limit": int64(-1)},
			nil,
			func(s *policy.Settings) { s.DeliveryLimit = limit(0) },
		},
		{
			"consumer timeout: 0 is for ever",
			amqp.Table{"x-consumer-timeout": int64(0)},
			amqp.Table{"consumer-timeout": 9 * second},
			amqp.Table{"consumer-timeout": 8 * second},
			func(s *policy.Settings) { s.ConsumerTimeout = seconds(8) },
		},
		{
			"consumer timeout: 0 of a policy", nil,
			amqp.Table{"consumer-timeout": int64(0)},
			amqp.Table{"consumer-timeout": 8 * second},
			func(s *policy.Settings) { s.ConsumerTimeout = seconds(8) },
		},
		{
			"at-least-once needs reject-publish (DLX-11)", quorum("x-dead-letter-exchange", "x"),
			amqp.Table{"dead-letter-strategy": "at-least-once"},
			nil,
			func(s *policy.Settings) { s.DeadLetterExchange, s.DeadLetterStrategy.OK = text("x"), true },
		},
		{
			"at-least-once with reject-publish (DLX-11)", quorum("x-dead-letter-exchange", "x"),
			amqp.Table{"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"},
			nil,
			func(s *policy.Settings) {
				s.DeadLetterExchange, s.Overflow = text("x"), overflow(policy.RejectPublish)
				s.DeadLetterStrategy = policy.Optional[policy.DeadLetterStrategy]{Value: policy.AtLeastOnce, OK: true}
			},
		},
		{
			"delayed retry", quorum("x-delayed-retry-type", "all"),
			amqp.Table{"delayed-retry-type": "failed", "delayed-retry-min": 2 * second, "delayed-retry-max": 3 * second},
			nil,
			func(s *policy.Settings) {
				s.DelayedRetry = policy.Optional[policy.DelayedRetry]{Value: policy.RetryAll, OK: true}
				s.DelayedRetryMin, s.DelayedRetryMax = seconds(2), seconds(3)
			},
		},
		{
			"a stream's",
			amqp.Table{"x-queue-type": "stream", "x-max-age": "1h"},
			amqp.Table{"max-age": "5m", "max-length-bytes": int64(9), "stream-max-segment-size-bytes": int64(8)},
			nil,
			func(s *policy.Settings) {
				s.MaxAge, s.MaxLengthBytes, s.MaxSegmentBytes = seconds(300), 9, limit(8)
			},
		},
		{
			"what only arguments say",
			amqp.Table{"x-max-priority": int64(9), "x-single-active-consumer": true},
			amqp.Table{"max-length": int64(1)},
			nil,
			func(s *policy.Settings) { s.MaxPriority, s.SingleActiveConsumer, s.MaxLength = 9, true, 1 },
		},
		{
			"what exchanges only have", nil,
			amqp.Table{"alternate-exchange": "x", "delayed-message": true, "max-length": int64(1)},
			nil,
			func(s *policy.Settings) { s.MaxLength = 1 },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			arguments := parse(t, test.args)
			want := policy.Defaults(arguments.Type)
			test.want(&want)
			var policies []policy.Policy
			if test.user != nil {
				policies = append(policies, user(test.user))
			}
			if test.operator != nil {
				policies = append(policies, operator(test.operator))
			}
			got, _ := set(t, policies...).EffectiveQueue("q", arguments)
			if got != want {
				t.Errorf("settings\n%+v, want\n%+v", got, want)
			}
		})
	}
}

// POL-01, POL-02.
func TestOnePolicyOfEachKindApplies(t *testing.T) {
	length := amqp.Table{"max-length": int64(1)}
	s := set(
		t,
		policy.Policy{Name: "b", Pattern: "^q", Definition: length},
		policy.Policy{Name: "a", Pattern: "^q", Definition: length},
		policy.Policy{Name: "high", Pattern: "^high", Priority: 5, Definition: length},
		policy.Policy{Name: "low", Pattern: "", Priority: -5, Definition: length, ApplyTo: policy.ApplyToAll},
		policy.Policy{Name: "quorum", Pattern: "^typed", Definition: length, ApplyTo: policy.ApplyToQuorumQueues},
		policy.Policy{Name: "classic", Pattern: "^typed", Definition: length, ApplyTo: policy.ApplyToClassicQueues},
		policy.Policy{Name: "stream", Pattern: "^typed", Definition: amqp.Table{"max-age": "1D"}, ApplyTo: policy.ApplyToStreams},
		policy.Policy{Name: "queue", Pattern: "^kind", Definition: length, ApplyTo: policy.ApplyToQueues},
		policy.Policy{Name: "exchange", Pattern: "^kind", Definition: length, ApplyTo: policy.ApplyToExchanges},
		policy.Policy{Name: "limit", Pattern: "^fit", Priority: 2, Definition: amqp.Table{"delivery-limit": int64(1), "max-length": int64(1)}},
		policy.Policy{Name: "age", Pattern: "^fit", Priority: 1, Definition: amqp.Table{"max-age": "1D", "alternate-exchange": "x"}},
		policy.Policy{Name: "high", Pattern: "^q", Definition: length, Operator: true},
	)
	for _, test := range []struct {
		name string
		of   policy.Type
		want [2]string
	}{
		{"q1", policy.Classic, [2]string{"a", "high"}}, // of two alike the smallest name
		{"highq", policy.Classic, [2]string{"high", ""}},
		{"other", policy.Quorum, [2]string{"low", ""}},
		{"typed", policy.Classic, [2]string{"classic", ""}},
		{"typed", policy.Quorum, [2]string{"quorum", ""}},
		{"typed", policy.Stream, [2]string{"stream", ""}},
		{"kind", policy.Quorum, [2]string{"queue", ""}},
		// A policy with a key that the queue could not have is passed over.
		{"fit", policy.Quorum, [2]string{"limit", ""}},
		{"fit", policy.Stream, [2]string{"age", ""}},
		{"fit", policy.Classic, [2]string{"low", ""}},
		{"other", policy.Stream, [2]string{"", ""}},
		// Reserved names are names (POL-05).
		{"amq.gen-x", policy.Classic, [2]string{"low", ""}},
	} {
		_, applied := s.EffectiveQueue(test.name, policy.Defaults(test.of))
		if got := [2]string{applied.Policy, applied.OperatorPolicy}; got != test.want {
			t.Errorf("to %v queue %s apply %q, want %q", test.of, test.name, got, test.want)
		}
	}
	for name, want := range map[string]string{"kind": "exchange", "typed": "low", "amq.topic": "low", "": ""} {
		if _, applied := s.EffectiveExchange(name, nil); applied.Policy != want {
			t.Errorf("to exchange %q applies %q, want %q", name, applied.Policy, want)
		}
	}
}

func TestAppliedTellsWhatPoliciesDefineTogether(t *testing.T) {
	s := set(
		t,
		user(amqp.Table{"max-length": int64(5), "message-ttl": int32(7), "ha-mode": "all", "delivery-limit": int64(-1), "consumer-timeout": int64(0)}),
		operator(amqp.Table{"max-length": int64(6), "expires": int64(9), "ha-mode": "nodes", "delivery-limit": int64(4), "consumer-timeout": int64(4)}),
	)
	arguments := parse(t, amqp.Table{"x-queue-type": "quorum", "x-max-length": int64(1)})
	_, applied := s.EffectiveQueue("q", arguments)
	want := policy.Applied{Policy: "user", OperatorPolicy: "operator", Definition: amqp.Table{
		"max-length": int64(5), "message-ttl": int32(7), "expires": int64(9), "ha-mode": "nodes", "delivery-limit": int64(4),
		"consumer-timeout": int64(4),
	}}
	if !reflect.DeepEqual(applied, want) {
		t.Errorf("applied\n%+v, want\n%+v", applied, want)
	}
}

// What was valid in a former version, and is read back from the log, must not hurt.
func TestPoliciesThatAreNotValidHaveNoEffect(t *testing.T) {
	var s policy.Set
	if _, err := s.Put(policy.Policy{Name: "old", Definition: amqp.Table{
		"max-length": "many", "overflow": int64(3), "of-the-future": true, "alternate-exchange": int64(1), "delayed-message": "yes",
	}}); err != nil {
		t.Fatal(err)
	}
	want := policy.Defaults(policy.Classic)
	if got, applied := s.EffectiveQueue("q", want); got != want || applied.Policy != "old" {
		t.Errorf("settings %+v by %+v", got, applied)
	}
	if got, _ := s.EffectiveExchange("x", nil); got != (policy.ExchangeSettings{}) {
		t.Errorf("settings %+v", got)
	}
}

// ROUTE-03.
func TestSettingsOfAnExchange(t *testing.T) {
	s := set(t, user(amqp.Table{"alternate-exchange": "policy", "delayed-message": true}))
	got, _ := s.EffectiveExchange("x", nil)
	if got.AlternateExchange.Value != "policy" || !got.AlternateExchange.OK || !got.DelayedMessage {
		t.Errorf("settings %+v", got)
	}
	got, _ = s.EffectiveExchange("x", amqp.Table{"alternate-exchange": "argument"})
	if got.AlternateExchange.Value != "argument" {
		t.Errorf("settings %+v, want the argument", got)
	}
	if got, applied := s.EffectiveExchange("", nil); got != (policy.ExchangeSettings{}) || applied.Policy != "" { // ROUTE-05
		t.Errorf("the default exchange has %+v by %+v", got, applied)
	}
}

func TestPoliciesAreReplacedByName(t *testing.T) {
	first, second := user(amqp.Table{"max-length": int64(1)}), user(amqp.Table{"max-length": int64(2)})
	s := set(t, first, operator(amqp.Table{"max-length": int64(9)}))
	if replaced, err := s.Put(second); !replaced || err != nil {
		t.Errorf("replaced %v, error %v", replaced, err)
	}
	if p, ok := s.Policy("user", false); !ok || !reflect.DeepEqual(p, second) {
		t.Errorf("policy %+v, %v", p, ok)
	}
	bad := second
	bad.Pattern = "("
	if _, err := s.Put(bad); err == nil {
		t.Error("a pattern that is none is let in")
	}
	if got := s.List(false); !reflect.DeepEqual(got, []policy.Policy{second}) {
		t.Errorf("policies %+v", got)
	}
	if s.Delete("operator", false) || !s.Delete("operator", true) || s.Delete("operator", true) {
		t.Error("Delete does not keep the lists apart")
	}
	if _, ok := s.Policy("operator", true); ok {
		t.Error("a deleted policy is still there")
	}
}
