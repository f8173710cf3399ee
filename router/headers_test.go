package router_test

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
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

// headerValues has several of each class that are equal, nearly equal, or of another class.
var headerValues = []any{
	nil, 1, int8(1), uint64(1), 2, int64(1) << 40, int64(-1), uint64(math.MaxUint64), uint(math.MaxUint64),
	1.0, float32(0.5), 0.5, 0.0, math.Copysign(0, -1), math.NaN(), true, false, "", "1", "b", []byte("b"),
	[]byte{},
	time.Unix(1700000000, 0), time.Unix(1700000000, 0).UTC(), time.Unix(1700000000, 1), someTime(1700000000),
	time.Time{},
	[]any{1},
	[]any{int8(1)},
	[]any{1, 2},
	[]any{2, 1},
	[]any{},
	someArray{uint8(1)},
	[]any{args{"n": 1}},
	[]any{nil},
	args{"n": 1},
	args{"n": int8(1)},
	args{"n": 1, "m": 2},
	args{"m": int16(2), "n": 1.0},
	args{},
	someTable{"n": 1},
	args{"n": args{"n": 1}},
	args{"n": []any{float32(0.5)}},
	args{"n": []any{0.5}},
	args{"n": nil},
	someDecimal{1, 2},
	someDecimal{1, 3},
	[1]any{[]int{1}},
}

// What codecs have of their own.
type (
	someTime    int64
	someArray   []any
	someTable   map[string]any
	someDecimal struct {
		scale uint8
		value int32
	}
)

func (t someTime) Time() time.Time { return time.Unix(int64(t), 0) }

// headersModel drives a headers exchange through changes, and compares it with the rule of chapter 7.5 applied to
// each binding.
type headersModel struct {
	*world
	bindings []router.Binding
	table    *rapid.Generator[args]
}

func (m *headersModel) Bind(t *rapid.T) {
	rule := m.table.Draw(t, "rule")
	if mode := rapid.SampledFrom([]string{"", "all", "any", "all-with-x", "any-with-x"}).Draw(t, "mode"); mode != "" {
		rule["x-match"] = mode
	}
	b := router.Binding{Source: "h", Destination: fmt.Sprint("q", rapid.IntRange(0, 7).Draw(t, "queue")), Arguments: rule}
	added, err := m.world.Bind(b)
	if err != nil {
		t.Fatal(err)
	}
	if added {
		m.bindings = append(m.bindings, b)
	}
}

func (m *headersModel) Unbind(t *rapid.T) {
	if len(m.bindings) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.bindings)-1).Draw(t, "binding")
	if removed, err := m.world.Unbind(m.bindings[i]); err != nil || len(removed.Bindings) != 1 {
		t.Fatal(removed, err)
	}
	m.bindings = slices.Delete(m.bindings, i, i+1)
}

func (m *headersModel) check(t *rapid.T) {
	headers := m.table.Draw(t, "headers")
	if len(m.bindings) > 0 && rapid.Bool().Draw(t, "aimed") { // to meet one rule whole
		maps.Copy(headers, rapid.SampledFrom(m.bindings).Draw(t, "at").Arguments)
	}
	var queues, destinations []string
	for _, b := range m.bindings {
		if headersMatch(b.Arguments, headers) {
			destinations = append(destinations, b.Destination)
		}
	}
	slices.Sort(destinations)
	queues = slices.Compact(slices.Clone(destinations))
	asked := withHeaders(message("h"), headers)
	if got := m.route(asked); !slices.Equal(got, queues) {
		t.Fatalf("headers %v: %q, want %q of %v", headers, got, queues, m.bindings)
	}
	explained, err := m.Explain(asked)
	if err != nil {
		t.Fatal(err)
	}
	var matched []string
	for _, b := range explained.Steps[0].Matched {
		matched = append(matched, b.Destination)
	}
	if slices.Sort(matched); !slices.Equal(matched, destinations) {
		t.Fatalf("headers %v: explained by %+v, want %q", headers, explained.Steps[0].Matched, destinations)
	}
}

func TestHeadersAgreeWithOracle(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c", "x-d", "x-match-not"})
	for _, c := range []struct {
		name   string
		values []any // few are met often, and many bindings stand in one list
	}{
		{"all kinds of values", headerValues},
		{"few values", []any{nil, 1, int8(1), "1", 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := rapid.MapOfN(name, rapid.SampledFrom(c.values), 0, 4)
			rapid.Check(t, func(rt *rapid.T) {
				m := &headersModel{world: newWorld(t), table: table}
				m.exchange(router.Headers, "h")
				m.queue("q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7")
				rt.Repeat(map[string]func(*rapid.T){
					"bind": m.Bind, "bind2": m.Bind, "bind3": m.Bind, "unbind": m.Unbind, "": m.check,
				})
			})
		})
	}
}

func TestEqualValuesHaveOneHash(t *testing.T) {
	seed := maphash.MakeSeed()
	for _, a := range headerValues {
		for _, b := range headerValues {
			if router.Equal(a, b) && router.HashValue(seed, a) != router.HashValue(seed, b) {
				t.Errorf("%T %v equals %T %v but has another hash", a, a, b, b)
			}
		}
	}
}

// What a Cache shares Sets by is the order of the queues, and headers come in any order.
func TestHeadersFindQueuesInOneOrder(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Headers, "h")
	headers := args{}
	for i := range 8 {
		q, name := fmt.Sprint("q", i), fmt.Sprint("h", i%4)
		w.queue(q)
		w.bindWith(args{"x-match": "any", name: i, "a": nil}, "h -> "+q)
		headers[name] = i
	}
	m := withHeaders(message("h"), headers)
	want, _, _ := w.Route(nil, m, &w.scratch)
	for range 20 {
		if got, _, _ := w.Route(nil, m, &w.scratch); !slices.Equal(got, want) {
			t.Fatalf("%q, then %q", want, got)
		}
	}
}
