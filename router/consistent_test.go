package router_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func TestConsistentHashArgumentsAreChecked(t *testing.T) { // 7.6
	for _, c := range []struct {
		arguments args
		want      error
	}{
		{nil, nil},
		{args{"hash-header": "h"}, nil},
		{args{"hash-header": ""}, nil},
		{args{"hash-property": "correlation_id"}, nil},
		{args{"hash-property": "message_id"}, nil},
		{args{"hash-property": "timestamp"}, nil},
		{args{"hash-property": "foo"}, router.Refused{Text: "Unsupported property: foo"}},
		{
			args{"hash-property": "message_id", "hash-header": "h"},
			router.Refused{Text: "hash-header and hash-property are mutually exclusive"},
		},
		{args{"hash-header": int64(5)}, router.WrongType{Arg: "hash-header", Type: "long"}},
		{args{"hash-property": true}, router.WrongType{Arg: "hash-property", Type: "bool"}},
	} {
		w := newWorld(t)
		e := router.Exchange{Name: "x", Type: router.ConsistentHash, Arguments: c.arguments}
		_, checked := w.CheckDeclare(e)
		_, err := w.Declare(e)
		if !errors.Is(err, c.want) || !errors.Is(checked, c.want) || w.exists("x") != (c.want == nil) {
			t.Errorf("%v: %v and %v, want %v", c.arguments, checked, err, c.want)
		}
	}
}

func TestConsistentHashBindingKeyIsAWeight(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ConsistentHash, "x")
	w.queue("q")
	for _, c := range []struct{ key, text string }{
		{"1", ""},
		{"007", ""},
		{"10001", ""}, // 4.x stops at 10000, 3.x does not
		{"99999999999999999999999", ""},
		{"0", "The binding key must be greater than 0"},
		{"-1", "The binding key must be greater than 0"},
		{"-99999999999999999999999", "The binding key must be greater than 0"},
		{"a", `The binding key must be an integer: <<"a">>`},
		{"", "The binding key must be an integer: <<>>"},
		{"1.5", `The binding key must be an integer: <<"1.5">>`},
		{" 1", `The binding key must be an integer: <<" 1">>`},
		{"0x10", `The binding key must be an integer: <<"0x10">>`},
	} {
		b := router.Binding{Source: "x", Destination: "q", Key: c.key}
		_, checked := w.CheckBind(b)
		_, err := w.Bind(b)
		var want error
		if c.text != "" {
			want = router.Refused{Text: c.text}
		}
		if !errors.Is(err, want) || !errors.Is(checked, want) {
			t.Errorf("key %q: %v and %v, want %v", c.key, checked, err, want)
		}
	}
}

// spread sends messages by a rule that makes one of a number, and tells which queue each went to.
func (w *world) spread(n int, make func(i int) *router.Message) []string {
	w.t.Helper()
	went := []string{}
	for i := range n {
		m := make(i)
		queues := w.route(m)
		if len(queues) != 1 {
			w.t.Fatalf("key %q went to %q, want one queue", m.Key, queues)
		}
		went = append(went, queues[0])
	}
	return went
}

func keyed(format string) func(i int) *router.Message {
	return func(i int) *router.Message { return message("x", fmt.Sprintf(format, i)) }
}

// wantShares holds the counts against the shares with a chi-square bound that chance passes 999 times
// of 1000.
func wantShares(t *testing.T, name string, went []string, shares map[string]float64) {
	t.Helper()
	counts, sum, chi := map[string]int{}, 0.0, 0.0
	for _, q := range went {
		counts[q]++
	}
	for _, share := range shares {
		sum += share
	}
	for q, share := range shares {
		expected := float64(len(went)) * share / sum
		chi += (float64(counts[q]) - expected) * (float64(counts[q]) - expected) / expected
	}
	bounds := map[int]float64{1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 9: 27.88, 99: 148.2} // by degrees of freedom
	bound, ok := bounds[len(shares)-1]
	if !ok {
		t.Fatalf("no bound for %d shares", len(shares))
	}
	if chi > bound {
		t.Errorf("%s: chi-square %.1f, want at most %.1f: %v", name, chi, bound, counts)
	}
}

func TestConsistentHashFollowsWeights(t *testing.T) { // 7.6
	for _, weights := range [][]int{{1, 1}, {1, 1, 2, 2}, {1, 2, 3, 4, 5}, {1000, 10}, slices.Repeat([]int{1}, 10), slices.Repeat([]int{7}, 100)} {
		w := newWorld(t)
		w.exchange(router.ConsistentHash, "x")
		shares := map[string]float64{}
		for i, weight := range weights {
			q := fmt.Sprint("q", i)
			w.queue(q)
			w.bind(fmt.Sprintf("x %d -> %s", weight, q))
			shares[q] = float64(weight)
		}
		for _, format := range []string{"%d", "%08d", "customer-%d.order.created", "%032x"} {
			wantShares(t, fmt.Sprint(weights, format), w.spread(20_000, keyed(format)), shares)
		}
	}
}

// Minimal movement: a destination that comes takes from the others, one that goes leaves to the others,
// and between those nothing moves.
func TestConsistentHashMovesNoMoreThanItMust(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ConsistentHash, "x")
	for i := range 10 {
		w.queue(fmt.Sprint("q", i))
		w.bind(fmt.Sprintf("x %d -> q%d", 1+i%3, i))
	}
	w.queue("new")
	before := w.spread(5000, keyed("%d"))
	w.bind("x 4 -> new")
	during := w.spread(5000, keyed("%d"))
	moved := 0
	for i := range before {
		if during[i] != before[i] {
			moved++
			if during[i] != "new" {
				t.Fatalf("key %d moved from %s to %s", i, before[i], during[i])
			}
		}
	}
	if share := 5000 * 4 / 23; moved < share*9/10 || moved > share*11/10 { // 19 before, and 4
		t.Errorf("%d keys moved, want about %d", moved, share)
	}
	w.unbind("x 4 -> new")
	if !slices.Equal(w.spread(5000, keyed("%d")), before) {
		t.Error("what moved has not come back")
	}
	w.RemoveQueue("q3")
	for i, q := range w.spread(5000, keyed("%d")) {
		if q != before[i] && before[i] != "q3" {
			t.Fatalf("key %d moved from %s to %s", i, before[i], q)
		}
	}
}

// The mapping hangs on what is bound, not on how it came to be: it outlives a restart.
func TestConsistentHashDoesNotDependOnOrder(t *testing.T) { // 7.6
	var want []string
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		w := newWorld(t)
		w.exchange(router.ConsistentHash, "x")
		w.queue("gone")
		w.bind("x 5 -> gone")
		for _, i := range order {
			w.queue(fmt.Sprint("q", i))
			w.bind(fmt.Sprintf("x %d -> q%d", i+1, i))
		}
		w.RemoveQueue("gone")
		got := w.spread(1000, keyed("%d"))
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("order %v matters", order)
		}
	}
}

// And an upgrade: what this expects must not change.
func TestConsistentHashMapsAsEver(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ConsistentHash, "x")
	w.exchange(router.Fanout, "e")
	w.queue("a", "b", "c", "behind")
	w.bind("x 1 -> a", "x 2 -> b", "x 3 -> c", "x 4 => e", "e -> behind")
	got := strings.Join(w.spread(12, keyed("customer-%d")), " ")
	if want := "behind behind behind b c c c c b c behind a"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestConsistentHashCountsTheFirstBindingToADestination(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ConsistentHash, "x")
	w.queue("a", "b")
	w.bind("x 10 -> a", "x 10 -> b")
	want := w.spread(2000, keyed("%d"))
	w.bind("x 1 -> a", "x 30 -> a")
	w.bindWith(args{"some": "argument"}, "x 90 -> a")
	if got := w.spread(2000, keyed("%d")); !slices.Equal(got, want) {
		t.Error("a second binding to the same destination matters")
	}

	// A catalogue tells the bindings in the order of listing; the same must come of it.
	again := newWorld(t)
	again.exchange(router.ConsistentHash, "x")
	again.queue("b", "a")
	for b := range w.Bindings() {
		if added, err := again.Bind(b); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	if got := again.spread(2000, keyed("%d")); !slices.Equal(got, want) {
		t.Error("after the bindings were told again, messages go elsewhere")
	}

	w.unbind("x 30 -> a")
	if got := w.spread(2000, keyed("%d")); !slices.Equal(got, want) {
		t.Error("a binding that did not count matters when it goes")
	}
	w.unbind("x 10 -> a") // 1 and 90 are left
	wantShares(t, "heir", w.spread(20_000, keyed("%d")), map[string]float64{"a": 1, "b": 10})
	removed := w.RemoveQueue("a")
	if len(removed.Bindings) != 2 || removed.Bindings[0].Key != "1" || removed.Bindings[1].Key != "90" {
		t.Errorf("removed %+v", removed)
	}
	if slices.Contains(w.spread(100, keyed("%d")), "a") {
		t.Error("messages go where nothing is bound")
	}
}

func TestConsistentHashCanHashAHeaderOrAProperty(t *testing.T) { // 7.6
	header := func(value string) *router.Message {
		return withHeader(message("x", "ignored"), "h", value)
	}
	property := func(name string) func(string) *router.Message {
		return func(value string) *router.Message { return withProperty(message("x", "ignored"), name, value) }
	}
	for _, c := range []struct {
		arguments args
		with      func(value string) *router.Message
		without   *router.Message
	}{
		{args{"hash-header": "h"}, header, withHeader(message("x"), "other", "1")},
		{args{"hash-property": "correlation_id"}, property("correlation_id"), withProperty(message("x"), "message_id", "1")},
		{args{"hash-property": "message_id"}, property("message_id"), withProperty(message("x"), "timestamp", "1")},
		{args{"hash-property": "timestamp"}, property("timestamp"), withProperty(message("x"), "correlation_id", "1")},
	} {
		w := newWorld(t)
		w.declare(router.Exchange{Name: "x", Type: router.ConsistentHash, Arguments: c.arguments})
		w.queue("a", "b")
		w.bind("x 1 -> a", "x 1 -> b")
		with := w.spread(2000, func(i int) *router.Message { return c.with(fmt.Sprint(i)) })
		wantShares(t, fmt.Sprint(c.arguments), with, map[string]float64{"a": 1, "b": 1})
		bucket := w.route(c.without)
		for i := range 100 { // one same bucket, whatever else the message has
			w.wantRoute(message("x", fmt.Sprint(i)), bucket...)
		}
		_, out, err := w.Route(nil, c.with("1"), &w.scratch)
		if err != nil || out.Depends != router.OnMessage {
			t.Errorf("%v: %+v, %v", c.arguments, out, err)
		}
	}
}

func TestConsistentHashFailsOnABrokenHeader(t *testing.T) { // WIRE-14
	w := newWorld(t)
	w.declare(router.Exchange{Name: "x", Type: router.ConsistentHash, Arguments: args{"hash-header": "h"}})
	w.exchange(router.Headers, "h")
	w.queue("q")
	w.bind("x 1 -> q", "x 1 => h", "h -> q")
	broken := errors.New("bad tag")
	m := withHeaders(message("x", "k"), nil)
	m.Header = func(string) ([]byte, bool, error) { return nil, false, broken }
	if got, _, err := w.Route(nil, m, &w.scratch); !errors.Is(err, broken) || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestConsistentHashOfTheKeyIsRemembered(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ConsistentHash, "x", "alone")
	w.queue("a", "b")
	w.bind("x 1 -> a", "x 1 -> b")
	c := router.NewCache(w.Router)
	for i := range 50 {
		m := message("x", fmt.Sprint(i))
		want := mustRoute(t, c, m)
		if got, ok := c.Lookup(m); !ok || got != want {
			t.Errorf("key %d: %+v, %v", i, got, ok)
		}
	}
	w.wantRoute(message("alone", "k"))
}

// A key more does not make a destination more (CC-01): which one it is, the first key says.
func TestHashExchangesHaveOneDestinationForAnyNumberOfKeys(t *testing.T) { // 7.6
	for _, kind := range []string{router.ConsistentHash, router.ModulusHash} {
		w := newWorld(t)
		w.exchange(kind, "x")
		for i := range 10 {
			w.queue(fmt.Sprint("q", i))
			w.bind(fmt.Sprintf("x 1 -> q%d", i))
		}
		for i := range 100 {
			want := w.route(message("x", fmt.Sprint(i)))
			w.wantRoute(message("x", fmt.Sprint(i), "cc", fmt.Sprint(i+1)), want...)
		}
	}
}

func TestHashExchangesWithoutBindingsAskTheAlternate(t *testing.T) { // ROUTE-03
	for _, kind := range []string{router.ConsistentHash, router.ModulusHash, router.Random, router.LocalRandom, router.RecentHistory} {
		w := newWorld(t)
		w.declare(router.Exchange{Name: "x", Type: kind, Alternate: "spill"})
		w.exchange(router.Fanout, "spill")
		w.queue("q")
		w.bind("spill -> q")
		w.wantRoute(message("x", "k"), "q")
	}
}
