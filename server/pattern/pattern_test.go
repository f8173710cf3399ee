package pattern_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/pattern"
)

func TestPatterns(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{"", "a"}, nil},
		{".*", []string{"", "a", "a\nb"}, nil},
		{"a", []string{"a", "bab"}, []string{"", "b"}},
		{"^a", []string{"a", "ab"}, []string{"ba"}},
		{"^a|b$", []string{"ax", "xb"}, []string{"xax"}},
		{`^(?!amq\.).*`, []string{"", "a", "xamq.", "amq"}, []string{"amq.", "amq.direct"}},
		{`^(?!amq\.)(?!x|y)(?=..).*$`, []string{"ab"}, []string{"amq.a", "xa", "ya", "a"}},
		{`^(?!a)`, []string{"", "b"}, []string{"a"}},
		{`^(?!a[)]b)(c|a)`, []string{"cx", "ab"}, []string{"a)b", "x"}},
		{`^(?!a\)b)[|]`, []string{"|"}, []string{"a"}},
		{`^(?!a)[]|)]b`, []string{"]b", "|b", ")b"}, []string{"b"}},
		{`^(?!a)[^]|)]b`, []string{"xb"}, []string{"]b", "|b", "ab"}},
		{`^(?!(a|b)c)(a|b)\|?`, []string{"a|", "b"}, []string{"ac", "bc"}},
		{`^(?!(amq|mqtt)\.|x)[^)|]+$`, []string{"y"}, []string{"mqtt.1", "y|"}},
		{`^(?!a)(?=.*z)(b|c)`, []string{"cz"}, []string{"c"}},
		{`^(?![)a\)[:digit:]])`, []string{"b"}, []string{"5", ")"}},
		{`^(?!\Q(\E)b`, []string{"b"}, nil},
	}
	for _, test := range tests {
		p, err := pattern.Compile(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if p.String() != test.pattern {
			t.Errorf("%s became %s", test.pattern, p)
		}
		for _, name := range test.yes {
			if !p.Match(name) {
				t.Errorf("%s does not match %q", test.pattern, name)
			}
		}
		for _, name := range test.no {
			if p.Match(name) {
				t.Errorf("%s matches %q", test.pattern, name)
			}
		}
	}
}

func TestWhatCannotBeMatchedIsRefused(t *testing.T) {
	for source, want := range map[string]string{
		"(":         "error parsing regexp: missing closing ): `(`",
		"a\xff":     "error parsing regexp: invalid UTF-8: `\xff`",
		"(?!a)b":    "error parsing regexp: invalid or unsupported Perl syntax: `(?!`",
		"^(?!a)b|c": "error parsing regexp: a look-ahead with an alternative outside of a group behind it",
		"^(?!a":     "error parsing regexp: invalid or unsupported Perl syntax: `(?!`",
		"^(?!*)":    "error parsing regexp: missing argument to repetition operator: `*`",
		"^(?!a)*":   "error parsing regexp: missing argument to repetition operator: `*`",
		`(a)\1`:     "error parsing regexp: invalid escape sequence: `\\1`",
	} {
		_, err := pattern.Compile(source)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", source, err, want)
		}
	}
	for _, source := range []string{
		"[", "a**", "a(?!b)", "(?<!a)b", "a++", "(?>a)", `\K`, "^(?!a)b)|c",
		"^(?!a))b|(c", "^(?!(a)b", "^(?!(?!a))", `^(?!\Qa)`, "^(?![)b", "^(?!a)(",
	} {
		if _, err := pattern.Compile(source); err == nil {
			t.Errorf("%s compiles", source)
		}
	}
}

// No pattern, and no name, makes trouble.
func FuzzPattern(f *testing.F) {
	for _, source := range []string{
		"", ".*", `^(?!amq\.).*`, "^(?!a[)]b)(c|a)", "^(?=[^]|)]\\))b", "^(?!a", "(", "^(?!a)b|c", "\\", "[", "^(?!a)\\",
		"^(?![", `^(?!\`, "^(?=[[:", `^(?!\Q`, "^(?!a|)b", "(?i)x", "^(?!]a)[]",
	} {
		f.Add(source, "amq.topic")
	}
	f.Fuzz(func(t *testing.T, source, name string) {
		p, err := pattern.Compile(source)
		if err != nil {
			return
		}
		p.Match(name)
		if p.String() != source {
			t.Errorf("%q became %q", source, p)
		}
	})
}
