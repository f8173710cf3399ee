package router_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/router"
)

type args = map[string]any

func TestHeadersMatching(t *testing.T) {
	moment := time.Unix(1700000000, 0)
	for _, c := range []struct {
		clause  string
		binding args
		headers args
		want    bool
	}{
		{"HEADERS-01", args{"a": 1, "b": 2}, args{"a": 1, "b": 2, "c": 3}, true}, // all by default
		{"HEADERS-01", args{"a": 1, "b": 2}, args{"a": 1}, false},
		{"HEADERS-01", args{"x-match": "all", "a": 1, "b": 2}, args{"a": 1, "b": 3}, false},
		{"HEADERS-01", args{"x-match": "any", "a": 1, "b": 2}, args{"b": 2}, true},
		{"HEADERS-01", args{"x-match": "any", "a": 1, "b": 2}, args{"c": 2}, false},
		{"HEADERS-02", args{"x-match": "all", "a": 1, "x-b": 2}, args{"a": 1}, true},
		{"HEADERS-02", args{"x-match": "any", "a": 1, "x-b": 2}, args{"x-b": 2}, false},
		{"HEADERS-02", args{"x-match": "all-with-x", "a": 1, "x-b": 2}, args{"a": 1}, false},
		{"HEADERS-02", args{"x-match": "all-with-x", "a": 1, "x-b": 2}, args{"a": 1, "x-b": 2}, true},
		{"HEADERS-02", args{"x-match": "any-with-x", "a": 1, "x-b": 2}, args{"x-b": 2}, true},
		{"HEADERS-02", args{"x-match": "any-with-x"}, args{"x-match": "any-with-x"}, false},
		{"HEADERS-02", args{"x-match": "all-with-x"}, args{}, true},
		{"HEADERS-03", args{"a": nil}, args{"a": "whatever"}, true},
		{"HEADERS-03", args{"a": nil}, args{"a": nil}, true},
		{"HEADERS-03", args{"a": nil}, args{"b": 1}, false},
		{"HEADERS-03", args{"a": 1}, args{"a": nil}, false},
		{"HEADERS-03", args{"a": int8(1)}, args{"a": uint32(1)}, true},
		{"HEADERS-03", args{"a": int64(-1)}, args{"a": int16(-1)}, true},
		{"HEADERS-03", args{"a": "1"}, args{"a": 1}, false},
		{"HEADERS-03", args{"a": 1}, args{"a": 1.0}, false},
		{"HEADERS-03", args{"a": float32(0.5)}, args{"a": 0.5}, true},
		{"HEADERS-03", args{"a": true}, args{"a": 1}, false},
		{"HEADERS-03", args{"a": true}, args{"a": true}, true},
		{"HEADERS-03", args{"a": "x"}, args{"a": []byte("x")}, false},
		{"HEADERS-03", args{"a": moment}, args{"a": moment.UTC()}, true},
		{"HEADERS-03", args{"a": []any{1, "b"}}, args{"a": []any{int8(1), "b"}}, true},
		{"HEADERS-03", args{"a": []any{1, "b"}}, args{"a": []any{"b", 1}}, false},
		{"HEADERS-03", args{"a": args{"n": 1}}, args{"a": args{"n": int8(1)}}, true},
		{"HEADERS-03", args{"A": 1}, args{"a": 1}, false},
		{"HEADERS-04", args{}, nil, true},
		{"HEADERS-04", args{"x-match": "all"}, args{"a": 1}, true},
		{"HEADERS-04", args{"x-match": "any"}, args{"a": 1}, false},
		{"HEADERS-04", args{"a": 1}, nil, false},
		{"HEADERS-04", args{"x-match": "any", "a": nil}, nil, false},
	} {
		w := newWorld(t)
		w.exchange(router.Headers, "h")
		w.queue("q")
		w.bindWith(c.binding, "h -> q")
		m := message("h", "ignored") // HEADERS-05
		if c.headers != nil {
			withHeaders(m, c.headers)
		}
		if got := len(w.route(m)) == 1; got != c.want {
			t.Errorf("%s: binding %v, headers %v: %v, want %v", c.clause, c.binding, c.headers, got, c.want)
		}
	}
}

func TestHeadersBindingIsRefused(t *testing.T) { // HEADERS-01
	w := newWorld(t)
	w.exchange(router.Headers, "h")
	w.queue("q")
	for _, c := range []struct {
		value any
		text  string
	}{
		{"foo", `Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`},
		{"", `Invalid x-match field value <<>>; expected all, any, all-with-x, or any-with-x`},
		{int64(5), `Invalid x-match field type long (value 5); expected longstr`},
		{true, `Invalid x-match field type bool (value true); expected longstr`},
		{nil, `Invalid x-match field type void (value undefined); expected longstr`},
		{[]byte("all"), `Invalid x-match field type binary (value <<"all">>); expected longstr`},
	} {
		b := router.Binding{Source: "h", Destination: "q", Arguments: args{"x-match": c.value}}
		_, checked := w.CheckBind(b)
		_, err := w.Bind(b)
		refused, ok := errors.AsType[router.Refused](err)
		if !ok || refused.Text != c.text || !errors.Is(checked, err) {
			t.Errorf("x-match %v: %v and %v, want %s", c.value, checked, err, c.text)
		}
		if w.HasBinding(b) {
			t.Errorf("x-match %v: the refused binding is there", c.value)
		}
	}
}

func TestHeadersAreDecodedOnceAndOnlyOnDemand(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Headers, "h1", "h2")
	w.exchange(router.Fanout, "f", "plain")
	w.queue("q1", "q2")
	w.bind("f => h1", "f => h2", "plain -> q1", "h1 -> q1", "h2 -> q2")
	calls := 0
	count := func() (map[string]any, error) { calls++; return nil, nil }
	m := message("f")
	m.Headers = count
	w.wantRoute(m, "q1", "q2")
	if calls != 1 {
		t.Errorf("decoded %d times for two headers exchanges", calls)
	}
	m = message("plain")
	m.Headers = count
	w.wantRoute(m, "q1")
	if calls != 1 {
		t.Error("decoded without a headers exchange on the path")
	}
}

func TestHeadersThatCannotBeDecodedFailTheRoute(t *testing.T) { // WIRE-14
	w := newWorld(t)
	w.exchange(router.Fanout, "f")
	w.exchange(router.Headers, "h")
	w.queue("q")
	w.bind("f -> q", "f => h")
	m := message("f")
	broken := errors.New("bad tag")
	m.Headers = func() (map[string]any, error) { return nil, broken }
	w.wantRoute(m, "q") // no binding asks for them
	w.bindWith(args{"a": 1}, "h -> q")
	got, _, err := w.Route(nil, m, &w.scratch)
	if !errors.Is(err, broken) || len(got) != 0 {
		t.Errorf("got %q, %v; want %v", got, err, broken)
	}
	w.wantRoute(withHeaders(message("f"), nil), "q") // the scratch has not kept the error
}

func TestHeadersAgreeWithOracle(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c", "x-d"})
	value := rapid.SampledFrom([]any{nil, 1, int8(1), 2, 1.0, "1", "b", true, []byte("b"), []any{1}, args{"n": 1}})
	table := rapid.MapOfN(name, value, 0, 3)
	mode := rapid.SampledFrom([]string{"", "all", "any", "all-with-x", "any-with-x"})
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.exchange(router.Headers, "h")
		rules := map[string]args{}
		for i := range rapid.IntRange(0, 12).Draw(rt, "bindings") {
			rule := table.Draw(rt, "rule")
			if m := mode.Draw(rt, "mode"); m != "" {
				rule["x-match"] = m
			}
			q := fmt.Sprintf("q%02d", i)
			w.queue(q)
			w.bindWith(rule, "h -> "+q)
			rules[q] = rule
		}
		for q := range rules {
			if rapid.IntRange(0, 3).Draw(rt, "gone") == 0 {
				w.RemoveQueue(q)
				delete(rules, q)
			}
		}
		for range 5 {
			headers := table.Draw(rt, "headers")
			var want []string
			for q, rule := range rules {
				if headersMatch(rule, headers) {
					want = append(want, q)
				}
			}
			slices.Sort(want)
			if got := w.route(withHeaders(message("h"), headers)); !slices.Equal(got, want) {
				rt.Fatalf("headers %v: %q, want %q of %v", headers, got, want, rules)
			}
		}
	})
}
