package router_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/router"
)

// model drives a router, a cache on it and the oracle through the same changes, and compares.
type model struct {
	*world
	oracle *oracle
	cache  *router.Cache[string]

	// What the cache answered, with what it should go on to be.
	kept []keptAnswer
}

type keptAnswer struct {
	set  *router.Set[string]
	want answer
}

var (
	someExchange  = rapid.SampledFrom([]string{"e1", "e2", "e3", "e4", "e5"})
	someQueue     = rapid.SampledFrom([]string{"q1", "q2", "q3", "a", "b"})
	someBindKey   = rapid.SampledFrom([]string{"", "a", "b", "a.b", "*", "a.*", "#", "#.b", "a.#", "q1", "0", "1", "2", "10"})
	someMsgKey    = rapid.SampledFrom([]string{"", "a", "b", "a.b", "b.a.b", "q1", "q2"})
	someHeaders   = rapid.MapOfN(rapid.SampledFrom([]string{"h", "i"}), rapid.SampledFrom([]any{1, int8(1), "x", nil}), 0, 2)
	someAlternate = rapid.SampledFrom([]string{"", "", "e1", "e2", "e3", "nox"})
)

// Those whose answers the oracle can know: all that leave nothing to chance.
var (
	knownTypes = []string{
		router.Direct, router.Fanout, router.Topic, router.Headers,
		router.ConsistentHash, router.ModulusHash, router.RecentHistory,
	}
	someUnderlying = rapid.SampledFrom(knownTypes)
	someType       = rapid.SampledFrom(append(slices.Clone(knownTypes), router.DelayedMessage))
)

func someBinding(t *rapid.T) router.Binding {
	b := router.Binding{Source: someExchange.Draw(t, "source"), Key: someBindKey.Draw(t, "key")}
	if rapid.IntRange(0, 3).Draw(t, "arguments") == 0 {
		b.Arguments = someHeaders.Draw(t, "table")
	}
	if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
		b.DestinationKind, b.Destination = router.ToExchange, someExchange.Draw(t, "destination")
	} else {
		b.Destination = someQueue.Draw(t, "destination")
	}
	return b
}

func (m *model) Declare(t *rapid.T) {
	e := router.Exchange{
		Name: someExchange.Draw(t, "name"), Type: someType.Draw(t, "type"),
		AutoDelete: rapid.Bool().Draw(t, "auto"), Alternate: someAlternate.Draw(t, "alternate"),
	}
	e.Arguments = args{}
	if name := someAlternate.Draw(t, "argument"); name != "" {
		e.Arguments["alternate-exchange"] = name
	}
	if e.Type == router.DelayedMessage {
		e.Arguments["x-delayed-type"] = someUnderlying.Draw(t, "underlying")
	}
	_, exists := m.oracle.exchanges[e.Name]
	created, err := m.Router.Declare(e)
	if created != !exists || !exists && err != nil {
		t.Fatalf("declare %+v: created %v, %v", e, created, err)
	}
	if created {
		m.oracle.exchanges[e.Name] = e
	}
}

func (m *model) SetAlternate(t *rapid.T) {
	name, alternate := someExchange.Draw(t, "name"), someAlternate.Draw(t, "alternate")
	e, exists := m.oracle.exchanges[name]
	if err := m.Router.SetAlternate(name, alternate); (err == nil) != exists {
		t.Fatal(err)
	}
	if exists {
		e.Alternate = alternate
		m.oracle.exchanges[name] = e
	}
}

func (m *model) Delete(t *rapid.T) {
	name := someExchange.Draw(t, "name")
	_, exists := m.oracle.exchanges[name]
	removed, err := m.Router.Delete(name)
	if (err == nil) != exists {
		t.Fatal(err)
	}
	if exists {
		m.checkRemoved(t, removed, func() { m.oracle.deleteExchange(name) })
	}
}

func (m *model) AddQueue(t *rapid.T) {
	name := someQueue.Draw(t, "name")
	if err := m.Router.AddQueue(name, name); (err == nil) == m.oracle.queues[name] {
		t.Fatal(err)
	}
	m.oracle.queues[name] = true
}

func (m *model) RemoveQueue(t *rapid.T) {
	name := someQueue.Draw(t, "name")
	m.checkRemoved(t, m.Router.RemoveQueue(name), func() { m.oracle.removeQueue(name) })
}

func (m *model) bindSome(t *rapid.T) {
	b := someBinding(t)
	_, source := m.oracle.exchanges[b.Source]
	_, destination := m.oracle.exchanges[b.Destination]
	if b.DestinationKind == router.ToQueue {
		destination = m.oracle.queues[b.Destination]
	}
	known := m.oracle.has(b)
	added, err := m.Bind(b)
	if (err == nil) != (source && destination && !m.oracle.refuses(b)) || added != (err == nil && !known) {
		t.Fatalf("bind %+v: added %v, %v; known %v", b, added, err, known)
	}
	if added {
		m.oracle.bind(b)
	}
}

func (m *model) Unbind(t *rapid.T) {
	b := someBinding(t)
	if len(m.oracle.bindings) > 0 && rapid.Bool().Draw(t, "known") {
		b = rapid.SampledFrom(m.oracle.bindings).Draw(t, "binding")
	}
	removed, err := m.Router.Unbind(b)
	if err != nil {
		t.Fatal(err)
	}
	m.checkRemoved(t, removed, func() { m.oracle.unbind(b) })
}

// checkRemoved makes the change in the oracle and compares what went.
func (m *model) checkRemoved(t *rapid.T, removed router.Removed, change func()) {
	exchanges, bindings := len(m.oracle.exchanges), len(m.oracle.bindings)
	change()
	if len(removed.Exchanges) != exchanges-len(m.oracle.exchanges) || len(removed.Bindings) != bindings-len(m.oracle.bindings) {
		t.Fatalf("removed %+v; the oracle has %d of %d exchanges and %d of %d bindings left", removed,
			len(m.oracle.exchanges), exchanges, len(m.oracle.bindings), bindings)
	}
	for _, e := range removed.Exchanges {
		if _, ok := m.oracle.exchanges[e.Name]; ok {
			t.Fatalf("%s should not have gone", e.Name)
		}
	}
	for _, b := range removed.Bindings {
		if m.oracle.has(b) {
			t.Fatalf("%+v should not have gone", b)
		}
	}
}

// check compares routing, with and without the cache, and the listings.
func (m *model) check(t *rapid.T) {
	for range 3 {
		ask := asked{
			exchange: rapid.OneOf(someExchange, rapid.Just("")).Draw(t, "exchange"),
			keys:     rapid.SliceOfN(someMsgKey, 1, 2).Draw(t, "keys"),
			headers:  someHeaders.Draw(t, "headers"),
			delayed:  rapid.Bool().Draw(t, "delayed"),
		}
		got := withHeaders(message(ask.exchange, ask.keys...), ask.headers)
		got.Delayed = func() (bool, error) { return ask.delayed, nil }
		if _, ok := m.oracle.exchanges[ask.exchange]; !ok {
			if _, ok := m.cache.Lookup(got); ok {
				t.Fatalf("the cache knows %q, which does not exist", ask.exchange)
			}
			continue
		}
		want := m.oracle.route(ask)
		queues, out, err := m.Route(nil, got, &m.scratch)
		if err != nil || !want.is(queues, out.Kept) {
			t.Fatalf("%+v: %q, %+v, %v; want %+v", ask, queues, out.Kept, err, want)
		}
		m.checkCache(t, got, want)
	}
	m.checkListing(t)
}

func (a answer) is(queues []string, kept *router.Kept) bool {
	delayed, history := keeps(kept)
	return slices.Equal(slices.Sorted(slices.Values(queues)), a.queues) &&
		slices.Equal(slices.Sorted(slices.Values(delayed)), a.delayed) &&
		slices.Equal(slices.Sorted(slices.Values(history)), a.history)
}

func (m *model) checkCache(t *rapid.T, got *router.Message, want answer) {
	d, ok := m.cache.Lookup(got)
	if !ok {
		var err error
		if d, err = m.cache.Route(got); err != nil {
			t.Fatal(err)
		}
	}
	m.kept = append(m.kept, keptAnswer{set: d.Set, want: want})
	for _, kept := range m.kept { // a Set never changes
		if !kept.want.is(kept.set.Queues(), kept.set.Kept()) {
			t.Fatalf("cache, %s %s: %q, %+v; want %+v", got.Exchange, got.Key, kept.set.Queues(), kept.set.Kept(), kept.want)
		}
	}
}

// Retell makes the router anew from its listings, as a catalogue does. What is routed must not show it.
func (m *model) Retell(t *rapid.T) {
	again := router.New[string]()
	for e := range m.Exchanges() {
		if e.Name != "" {
			if _, err := again.Declare(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, q := range m.Queues() {
		if err := again.AddQueue(name, q); err != nil {
			t.Fatal(err)
		}
	}
	for b := range m.Bindings() {
		if added, err := again.Bind(b); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	if before, after := slices.Collect(m.Bindings()), slices.Collect(again.Bindings()); !slices.EqualFunc(before, after, sameBinding) {
		t.Fatalf("listed %+v, then %+v", before, after)
	}
	m.Router, m.cache = again, router.NewCache(again)
}

func (m *model) checkListing(t *rapid.T) {
	bindings := slices.Collect(m.Bindings())
	unknown := func(b router.Binding) bool { return !m.oracle.has(b) }
	if len(bindings) != len(m.oracle.bindings) || slices.ContainsFunc(bindings, unknown) {
		t.Fatalf("bindings %+v, want %+v", bindings, m.oracle.bindings)
	}
	exchanges := 0
	for e := range m.Exchanges() {
		exchanges++
		if have := m.oracle.exchanges[e.Name]; have.Type != e.Type || have.Alternate != e.Alternate {
			t.Fatalf("exchange %+v, want %+v", e, have)
		}
		from := slices.Collect(m.BindingsFrom(e.Name))
		if inUse, err := m.InUse(e.Name); err != nil || inUse != (len(from) > 0) {
			t.Fatalf("%s in use: %v, %v", e.Name, inUse, err)
		}
	}
	to := 0
	for name := range m.Queues() {
		to += len(slices.Collect(m.BindingsTo(router.ToQueue, name)))
	}
	for e := range m.Exchanges() {
		to += len(slices.Collect(m.BindingsTo(router.ToExchange, e.Name)))
	}
	if exchanges != len(m.oracle.exchanges) || to != len(bindings) {
		t.Fatalf("%d exchanges, want %d; %d bindings by destination, %d by source", exchanges, len(m.oracle.exchanges), to, len(bindings))
	}
}

func TestRouterAgreesWithOracleUnderRandomChanges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		m := &model{world: w, oracle: newOracle(), cache: router.NewCache(w.Router)}
		rt.Repeat(map[string]func(*rapid.T){
			"declare":      m.Declare,
			"delete":       m.Delete,
			"setAlternate": m.SetAlternate,
			"addQueue":     m.AddQueue,
			"addQueue2":    m.AddQueue,
			"removeQueue":  m.RemoveQueue,
			"bind":         m.bindSome,
			"bind2":        m.bindSome,
			"bind3":        m.bindSome,
			"bind4":        m.bindSome,
			"unbind":       m.Unbind,
			"retell":       m.Retell,
			"":             m.check,
		})
		for _, name := range []string{"e1", "e2", "e3", "e4", "e5"} {
			_, _ = m.Router.Delete(name)
		}
		if left := slices.Collect(m.Bindings()); len(left) != 0 {
			rt.Fatal(fmt.Sprint("left: ", left))
		}
	})
}
