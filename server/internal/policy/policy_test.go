package policy_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

func TestPoliciesAreRefusedInRabbitMQsWords(t *testing.T) {
	define := func(key string, value any) policy.Policy {
		return policy.Policy{Name: "p", Definition: amqp.Table{key: value}}
	}
	operator := func(p policy.Policy) policy.Policy { p.Operator = true; return p }
	for _, test := range []struct {
		name   string
		policy policy.Policy
		faults []string
	}{
		{"no definition", policy.Policy{}, []string{"no policy provided"}},
		{"unknown key", define("foo", int64(5)), []string{`[{<<"foo">>,5}] are not recognised policy settings`}},
		{
			"unknown keys",
			policy.Policy{Definition: amqp.Table{"foo": "bar", "baz": 1.0, "max-length": int64(1), "b\x00": nil}},
			[]string{`[{<<98,0>>,null},{<<"baz">>,1.0},{<<"foo">>,<<"bar">>}] are not recognised policy settings`},
		},
		{
			"a bad value comes before an unknown key",
			policy.Policy{Definition: amqp.Table{"foo": true, "max-length": int64(-1)}},
			[]string{"-1 is not a valid maximum length"},
		},
		{"first bad value", policy.Policy{Definition: amqp.Table{"max-length": int64(-1), "expires": int64(0)}}, []string{"0 is not a valid queue expiry"}},
		{"message-ttl", define("message-ttl", "x"), []string{`<<"x">> is not a valid message TTL`}},
		{"max-length-bytes", define("max-length-bytes", 1.5), []string{"1.5 is not a valid maximum length in bytes"}},
		{"overflow", define("overflow", "x"), []string{`<<"x">> is not a valid overflow value`}},
		{"delivery-limit", define("delivery-limit", int64(-2)), []string{"-2 is not a valid delivery limit"}},
		{"dead-letter-exchange", define("dead-letter-exchange", int64(1)), []string{"1 is not a valid dead letter exchange name"}},
		{
			"dead-letter-routing-key", define("dead-letter-routing-key", strings.Repeat("a", 256)),
			[]string{`<<"` + strings.Repeat("a", 256) + `">> is not a valid dead letter routing key`},
		},
		{"dead-letter-strategy", define("dead-letter-strategy", "x"), []string{`<<"x">> is not a valid dead letter strategy`}},
		{"alternate-exchange", define("alternate-exchange", []any{"a", int64(1)}), []string{`[<<"a">>,1] is not a valid alternate exchange name`}},
		{"delayed-message", define("delayed-message", "yes"), []string{`<<"yes">> is not a valid delayed message value`}},
		{"consumer-timeout", define("consumer-timeout", int64(-1)), []string{"-1 is not a valid consumer timeout"}},
		{"deliver after sync", define("deliver-after-sync", "x"), []string{`<<"x">> is not a valid deliver-after-sync value`}},
		{"queue-mode", define("queue-mode", "x"), []string{`<<"x">> is not a valid queue-mode value`}},
		{"queue-version", define("queue-version", int64(3)), []string{"3 is not a valid queue-version value"}},
		{"max-age", define("max-age", "x"), []string{`<<"x">> is not a valid max age`}},
		{
			"stream-filter-size-bytes", define("stream-filter-size-bytes", int64(256)),
			[]string{"256 is not a valid filter size. Valid range is 16-255"},
		},
		{"queue-leader-locator", define("queue-leader-locator", "x"), []string{`<<"x">> is not a valid queue leader locator value`}},
		{
			"two federations",
			policy.Policy{Definition: amqp.Table{"federation-upstream": "a", "federation-upstream-set": "b"}},
			[]string{"cannot specify federation-upstream, federation-upstream-set and federation-upstream-pattern together"},
		},
		{
			"operator's unknown key", operator(define("dead-letter-exchange", "x")),
			[]string{`[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings`},
		},
		{
			"apply-to",
			policy.Policy{ApplyTo: "x", Definition: amqp.Table{"max-length": int64(1)}},
			[]string{"apply-to 'x' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'"},
		},
		{"all together", policy.Policy{Pattern: "a(", ApplyTo: "x"}, []string{
			"pattern should be regular expression but is invalid: \"error parsing regexp: missing closing ): `a(`\"",
			"apply-to 'x' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'",
			"no policy provided",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var invalid *policy.Invalid
			if err := test.policy.Validate(); !errors.As(err, &invalid) || !reflect.DeepEqual(invalid.Faults, test.faults) {
				t.Fatalf("error %v, want faults %q", err, test.faults)
			}
			want := "Validation failed\n\n" + strings.Join(test.faults, "\n") + "\n"
			if invalid.Error() != want {
				t.Errorf("text %q, want %q", invalid.Error(), want)
			}
		})
	}
}

// Every key of RabbitMQ 3 and 4, and our own, with a value that is welcome.
func TestEveryPolicyKeyIsAccepted(t *testing.T) {
	user := amqp.Table{
		"message-ttl": int64(1 << 62), "expires": int64(1), "max-length": int64(0), "max-length-bytes": int64(0),
		"overflow": "drop-lowest-priority", "delivery-limit": int64(-1), "dead-letter-exchange": "", "dead-letter-routing-key": "k",
		"dead-letter-strategy": "at-least-once", "alternate-exchange": "x", "consumer-timeout": int64(0),
		"consumer-disconnected-timeout": int64(1), "max-in-memory-length": int64(1), "max-in-memory-bytes": int64(1),
		"queue-mode": "lazy", "queue-version": int64(2), "queue-master-locator": "random", "max-age": "1D",
		"stream-max-segment-size-bytes": int64(1), "stream-filter-size-bytes": int64(16), "queue-leader-locator": "balanced",
		"initial-cluster-size": int64(1), "target-group-size": int64(1), "delayed-retry-type": "all", "delayed-retry-min": int64(1),
		"delayed-retry-max": int64(1), "federation-upstream-set": "all", "ha-mode": "exactly", "ha-params": int64(2),
		"ha-sync-mode": "automatic", "ha-sync-batch-size": int64(1), "ha-promote-on-failure": "always",
		"ha-promote-on-shutdown": "always", "delayed-message": true, "deliver-after-sync": true,
	}
	if err := (policy.Policy{Definition: user}).Validate(); err != nil {
		t.Error(err)
	}
	for _, key := range []string{
		"message-ttl", "expires", "max-length", "max-length-bytes", "overflow", "delivery-limit", "consumer-timeout",
		"consumer-disconnected-timeout", "ha-mode", "deliver-after-sync",
	} {
		if err := (policy.Policy{Definition: amqp.Table{key: user[key]}, Operator: true}).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestPoliciesSurviveTheLog(t *testing.T) {
	p := policy.Policy{
		VHost: "/", Name: "limits", Pattern: "^a", ApplyTo: policy.ApplyToQueues, Priority: -3, Operator: true,
		Definition: amqp.Table{"max-length": int64(5), "ha-params": []any{"a"}, "ha-mode": "nodes"},
	}
	decoded, err := p.Table().Raw().Decode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := policy.FromTable("/", decoded); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, error %v, want %+v", got, err, p)
	}
	for field := range decoded {
		damaged, _ := p.Table().Raw().Decode()
		damaged[field] = amqp.Timestamp(1)
		if _, err := policy.FromTable("/", damaged); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("a wrong %s is error %v", field, err)
		}
	}
}
