package router_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func mustRoute(t *testing.T, c *router.Cache[string], m *router.Message) router.Decision[string] {
	t.Helper()
	d, err := c.Route(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCacheAnswersUntilTheRouterChanges(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Topic, "t")
	w.queue("q1", "q2")
	w.bind("t a.# -> q1")
	c := router.NewCache(w.Router)
	m := message("t", "a.b")
	if _, ok := c.Lookup(m); ok {
		t.Fatal("an empty cache answers")
	}
	first := mustRoute(t, c, m)
	if d, ok := c.Lookup(m); !ok || d != first || !slices.Equal(d.Set.Queues(), []string{"q1"}) {
		t.Fatalf("found %+v, %v", d, ok)
	}
	for _, other := range []*router.Message{message("t", "a.c"), message("ta", ".b"), message("", "a.b"), message("t", "a.b", "cc")} {
		if d, ok := c.Lookup(other); ok {
			t.Errorf("answers %s %s with %+v", other.Exchange, other.Key, d)
		}
	}
	w.bind("t #.b -> q2")
	if _, ok := c.Lookup(m); ok {
		t.Fatal("answers after a change")
	}
	if d := mustRoute(t, c, m); len(d.Set.Queues()) != 2 {
		t.Errorf("routed to %q", d.Set.Queues())
	}
	if !slices.Equal(first.Set.Queues(), []string{"q1"}) {
		t.Errorf("the old answer became %q", first.Set.Queues())
	}
}

func TestCacheKeepsNoAnswerThatDependsOnTheMessage(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Headers, "h")
	w.exchange(router.Direct, "d")
	w.declare(router.Exchange{Name: "spill", Type: router.Direct, Alternate: "h"})
	w.queue("q1", "q2")
	w.bindWith(args{"a": 1}, "h -> q1")
	w.bind("d k -> q2", "d cc -> q1")
	c := router.NewCache(w.Router)
	for _, m := range []*router.Message{message("h", "k"), message("spill", "k"), message("d", "k", "cc")} {
		mustRoute(t, c, m)
		if d, ok := c.Lookup(m); ok {
			t.Errorf("%s: answered %+v", m.Exchange, d)
		}
	}
	if _, ok := c.Lookup(message("d", "k")); ok {
		t.Error("a message with extra keys answered for one without")
	}
	if d := mustRoute(t, c, withHeaders(message("spill", "k"), args{"a": 1})); len(d.Set.Queues()) != 1 {
		t.Errorf("routed to %q", d.Set.Queues())
	}
}

func TestCacheAnswersFanoutForEveryKey(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Fanout, "f")
	w.queue("q")
	w.bind("f -> q")
	c := router.NewCache(w.Router)
	want := mustRoute(t, c, message("f", "some"))
	for _, m := range []*router.Message{message("f", "some"), message("f", "other"), message("f", ""), message("f", "a", "cc")} {
		if d, ok := c.Lookup(m); !ok || d != want {
			t.Errorf("key %q: %+v, %v", m.Key, d, ok)
		}
	}
}

func TestCacheSharesEqualSets(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Topic, "t")
	w.exchange(router.Headers, "h")
	w.queue("q1", "q2", "q3")
	w.bind("t # -> q1", "t # -> q2", "h -> q3")
	c := router.NewCache(w.Router)
	first := mustRoute(t, c, message("t", "a")).Set
	first.Memo = "encoded"
	if second := mustRoute(t, c, message("t", "b")).Set; second != first {
		t.Error("two keys, one set of queues, two Sets")
	}
	if mustRoute(t, c, message("h", "a")).Set != mustRoute(t, c, message("h", "b")).Set {
		t.Error("a set that depends on the message is not shared")
	}
	w.queue("unrelated")
	if again := mustRoute(t, c, message("t", "a")).Set; again != first || again.Memo != "encoded" {
		t.Error("a change elsewhere took the Set away")
	}
	w.RemoveQueue("q1")
	w.queue("q1")
	w.bind("t # -> q1")
	nowhere := mustRoute(t, c, message("", "nobody"))
	if nowhere.Set == nil || len(nowhere.Set.Queues()) != 0 {
		t.Errorf("nowhere is %+v", nowhere)
	}
}

func TestCacheTellsInternal(t *testing.T) { // EXCH-09
	w := newWorld(t)
	w.declare(router.Exchange{Name: "inner", Type: router.Direct, Internal: true})
	c := router.NewCache(w.Router)
	routed := mustRoute(t, c, message("inner", "k"))
	found, ok := c.Lookup(message("inner", "k"))
	if !routed.Internal || !ok || !found.Internal {
		t.Errorf("routed %+v, found %+v, %v", routed, found, ok)
	}
}

func TestCacheReportsMissingExchange(t *testing.T) {
	w := newWorld(t)
	c := router.NewCache(w.Router)
	if _, err := c.Route(message("nox", "k")); err != (router.NoExchange{Name: "nox"}) {
		t.Errorf("error %v", err)
	}
}

func TestCacheStaysRightWhenItIsFull(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Direct, "d")
	const queues = 3000
	for i := range queues {
		name := fmt.Sprint("q", i)
		w.queue(name)
		w.bind(fmt.Sprintf("d %d -> %s", i, name))
	}
	c := router.NewCache(w.Router)
	for range 3 {
		for i := range queues {
			m := message("d", fmt.Sprint(i))
			d, ok := c.Lookup(m)
			if !ok {
				d = mustRoute(t, c, m)
			}
			if want := fmt.Sprint("q", i); len(d.Set.Queues()) != 1 || d.Set.Queues()[0] != want {
				t.Fatalf("key %d: %q", i, d.Set.Queues())
			}
		}
	}
	for i := range 100 {
		mustRoute(t, c, message("d", fmt.Sprint(i)))
		if _, ok := c.Lookup(message("d", fmt.Sprint(i))); !ok {
			t.Errorf("key %d is not found right after it was routed", i)
		}
	}
}

// Publishers route and look up while the router changes, as the broker has them do it. The race
// detector watches; each answer must be of a moment when it was asked for.
func TestPublishersRunBesideChanges(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Topic, "t")
	w.queue("always", "sometimes")
	w.bind("t # -> always")
	var mu sync.RWMutex
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Go(func() {
			c := router.NewCache(w.Router)
			m := message("t", "a.b.c")
			for range 2000 {
				d, ok := c.Lookup(m)
				if !ok {
					mu.RLock()
					var err error
					d, err = c.Route(m)
					mu.RUnlock()
					if err != nil {
						t.Error(err)
						return
					}
				}
				if queues := d.Set.Queues(); len(queues) == 0 || len(queues) > 2 || !slices.Contains(queues, "always") {
					t.Errorf("routed to %q", queues)
					return
				}
			}
		})
	}
	b := router.Binding{Source: "t", Destination: "sometimes", Key: "a.*.#"}
	for range 500 {
		mu.Lock()
		_, bound := w.Bind(b)
		mu.Unlock()
		mu.Lock()
		_, unbound := w.Unbind(b)
		mu.Unlock()
		if bound != nil || unbound != nil {
			t.Fatal(bound, unbound)
		}
	}
	publishers.Wait()
}
