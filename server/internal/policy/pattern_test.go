package policy_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

func TestPatternsMatchAnywhereInAName(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "anything", true},
		{"b", "abc", true},
		{"^b", "abc", false},
		{"^(foo|bar)\\.", "bar.x", true},
		{"^\\d+$", "123", true},
		// Look-aheads behind a leading ^, as RabbitMQ's guides have them.
		{`^(?!amq\.).*`, "orders", true},
		{`^(?!amq\.).*`, "amq.topic", false},
		{`^(?!amq\.)`, "x.amq.", true},
		{`^(?!(amq|mqtt)\.|x)[^)|]+$`, "mqtt.1", false},
		{`^(?!(amq|mqtt)\.|x)[^)|]+$`, "y", true},
		{`^(?!(amq|mqtt)\.|x)[^)|]+$`, "y|", false},
		{`^(?!a)(?=.*z)(b|c)`, "cz", true},
		{`^(?!a)(?=.*z)(b|c)`, "c", false},
		{`^(?![)a\)[:digit:]])`, "5", false},
		{`^(?![)a\)[:digit:]])`, ")", false},
		{`^(?![)a\)[:digit:]])`, "b", true},
		{`^(?!\Q(\E)b`, "b", true},
	} {
		var set policy.Set
		p := policy.Policy{Name: "p", Pattern: test.pattern, Definition: amqp.Table{"max-length": int64(1)}}
		if _, err := set.Put(p); err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		_, applied := set.EffectiveQueue(test.name, policy.Defaults(policy.Classic))
		if got := applied.Policy == "p"; got != test.want {
			t.Errorf("%s matches %q: %v, want %v", test.pattern, test.name, got, test.want)
		}
	}
}

func TestPatternsThatGoDoesNotHaveAreRefused(t *testing.T) {
	for _, pattern := range []string{
		"[", "(", "a**", `(a)\1`, "a(?!b)", "(?<!a)b", "a++", "(?>a)", `\K`,
		"^(?!a)b|c", "^(?!a)*", "^(?!a", "^(?!(a)b", "^(?!(?!a))", `^(?!\Qa)`, "^(?![)b", "^(?!a)(",
	} {
		var set policy.Set
		if _, err := set.Put(policy.Policy{Name: "p", Pattern: pattern}); err == nil {
			t.Errorf("%s compiles", pattern)
		}
		if len(set.List(false)) != 0 {
			t.Errorf("%s is in the set", pattern)
		}
	}
}

// No pattern, and no name, makes trouble.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{`^(?!amq\.).*`, "^(?![", `^(?!\`, "^(?=[[:", `^(?!\Q`, "^(?!a|)b", "(?i)x", "^(?!]a)[]"} {
		f.Add(seed, "amq.topic")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		var set policy.Set
		if _, err := set.Put(policy.Policy{Name: "p", Pattern: pattern, Definition: amqp.Table{"max-length": int64(1)}}); err != nil {
			return
		}
		set.EffectiveQueue(name, policy.Defaults(policy.Classic))
	})
}
