package router_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/router"
)

func TestTopicMatching(t *testing.T) {
	for _, c := range []struct {
		clause  string
		pattern string
		match   string // keys, separated by spaces; <> is the empty key
		differ  string
	}{
		{"TOPIC-01", "a..b", "a..b", "a.b a...b a.x.b"},
		{"TOPIC-01", ".", ".", "<> .. a."},
		{"TOPIC-02", "*", "a * #", "<> a.b ."},
		{"TOPIC-02", "*.*", ". a. .a a.b", "<> a a.b.c .."},
		{"TOPIC-02", "a.*.c", "a.b.c a..c", "a.c a.b.b.c"},
		{"TOPIC-03", "#", "<> a . a.b a.b.c", ""},
		{"TOPIC-03", "a.#", "a a. a.b a.b.c", "<> b ab .a"},
		{"TOPIC-03", "#.a", "a .a b.a b.c.a", "<> a. a.b"},
		{"TOPIC-03", "#.a.#", "a a.b b.a b.a.c a.a", "<> b b.c"},
		{"TOPIC-03", "#.#", "<> a a.b", ""},
		{"TOPIC-03", "*.#", "a . a.b a.b.c", "<>"},
		{"TOPIC-03", "#.*", "a . a.b", "<>"},
		{"TOPIC-03", "#.*.#", "a a.b a.b.c", "<>"},
		{"TOPIC-03", "*.#.*", "a.b . a.b.c", "<> a"},
		{"TOPIC-03", "a.#.b", "a.b a.x.b a..b a.b.b", "a b a.b.c"},
		{"TOPIC-03", "a.#.b.#.c", "a.b.c a.x.b.y.z.c a.b.b.c.c", "a.c a.b c.b.a"},
		{"TOPIC-04", "<>", "<>", "a . #"},
		{"TOPIC-04", "a*", "a*", "ab a a."},
		{"TOPIC-04", "#a.b", "#a.b", "a.b x.a.b"},
		{"TOPIC-04", "a.b", "a.b", "a.* a.# * #"},
		{"TOPIC-05", "#.a.#.a.#.a.#", "a.a.a a.x.a.x.a x.a.a.a.x", "a.a a.x.a"},
	} {
		w := newWorld(t)
		w.exchange(router.Topic, "t")
		w.queue("q")
		w.bind("t " + strings.ReplaceAll(c.pattern, "<>", "") + " -> q")
		check := func(keys string, want int) {
			for key := range strings.FieldsSeq(keys) {
				key = strings.ReplaceAll(key, "<>", "")
				if got := w.route(message("t", key)); len(got) != want {
					t.Errorf("%s: pattern %q, key %q: %d queues, want %d", c.clause, c.pattern, key, len(got), want)
				}
			}
		}
		check(c.match, 1)
		check(c.differ, 0)
	}
}

// The pattern that defeats a matcher with backtracking: many '#', and a key that almost matches.
func TestManyHashesDoNotBlowUp(t *testing.T) { // TOPIC-05
	w := newWorld(t)
	w.exchange(router.Topic, "t")
	w.queue("q")
	w.bind("t " + strings.Repeat("#.a.", 60) + "z -> q")
	w.bind("t " + strings.Repeat("*.#.", 60) + "z -> q")
	w.bind("t " + strings.Repeat("#.", 120) + "z -> q")
	key := strings.TrimSuffix(strings.Repeat("a.", 120), ".")
	w.wantRoute(message("t", key)) // one that backtracks does not return from here
	w.wantRoute(message("t", key+".z"), "q")
}

// Words and patterns from few letters, so that they often meet.
var (
	someWord    = rapid.SampledFrom([]string{"a", "b", "c", "", "*", "#"})
	someKey     = rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(someWord, 0, 6).Draw(t, "key"), ".") })
	patternWord = rapid.SampledFrom([]string{"a", "b", "", "*", "*", "#", "#", "a*"})
	somePattern = rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(patternWord, 0, 6).Draw(t, "pattern"), ".")
	})
)

func TestTopicTrieAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.exchange(router.Topic, "t")
		bound := map[string]string{} // pattern to queue
		for i, pattern := range rapid.SliceOfNDistinct(somePattern, 0, 30, rapid.ID[string]).Draw(rt, "patterns") {
			name := fmt.Sprint("q", i)
			w.queue(name)
			if _, err := w.Bind(router.Binding{Source: "t", Destination: name, Key: pattern}); err != nil {
				rt.Fatal(err)
			}
			bound[pattern] = name
		}
		check := func() {
			for range 5 {
				key := someKey.Draw(rt, "key")
				var want []string
				for pattern, name := range bound {
					if topicMatches(pattern, key) {
						want = append(want, name)
					}
				}
				slices.Sort(want)
				if got := w.route(message("t", key)); !slices.Equal(got, want) {
					rt.Fatalf("key %q: %q, want %q (patterns %q)", key, got, want, bound)
				}
			}
		}
		check()
		for pattern, name := range bound { // pruning must not hurt what stays
			if rapid.Bool().Draw(rt, "unbind") {
				if _, err := w.Unbind(router.Binding{Source: "t", Destination: name, Key: pattern}); err != nil {
					rt.Fatal(err)
				}
				delete(bound, pattern)
			}
		}
		check()
	})
}

func FuzzTopic(f *testing.F) {
	f.Add("a.*.#", "a.b.c")
	f.Add("#.#.#", "")
	f.Add("#.a.#.b.*", "a.a.b.c")
	f.Add("..", ".*.#")
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if strings.Count(pattern, "#") > 6 || len(pattern) > 255 || len(key) > 255 {
			t.Skip("too slow for the oracle, or no shortstr")
		}
		w := newWorld(t)
		w.exchange(router.Topic, "t")
		w.queue("q")
		if _, err := w.Bind(router.Binding{Source: "t", Destination: "q", Key: pattern}); err != nil {
			t.Fatal(err)
		}
		if got, want := len(w.route(message("t", key))) == 1, topicMatches(pattern, key); got != want {
			t.Errorf("pattern %q, key %q: %v, want %v", pattern, key, got, want)
		}
	})
}
