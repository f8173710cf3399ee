package router_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func TestModulusHashTakesOneOfTheDestinationsByName(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ModulusHash, "x")
	w.exchange(router.Fanout, "b")
	names := []string{"d", "c", "b", "a"}
	w.queue(names...)
	w.queue("behind")
	w.bind("b -> behind")
	for _, name := range names {
		w.bind("x any -> " + name)
	}
	w.bind("x => b")
	// Sorted by name, a queue before an exchange of the same name.
	want := func(key string) string {
		return []string{"a", "b", "behind", "c", "d"}[router.HashOf([]byte(key))%5]
	}
	got := w.spread(10_000, keyed("%d"))
	for i, q := range got {
		if q != want(fmt.Sprint(i)) {
			t.Fatalf("key %d went to %s, want %s", i, q, want(fmt.Sprint(i)))
		}
	}
	wantShares(t, "even", got, map[string]float64{"a": 1, "b": 1, "behind": 1, "c": 1, "d": 1})

	w.bind("x other -> a", "x -> c") // the number of bindings does not matter
	if !slices.Equal(w.spread(1000, keyed("%d")), got[:1000]) {
		t.Error("a second binding to a destination moved messages")
	}
	w.unbind("x any -> a")
	if !slices.Equal(w.spread(1000, keyed("%d")), got[:1000]) {
		t.Error("one of two bindings to a destination went, and moved messages")
	}
	w.unbind("x other -> a")
	if slices.Contains(w.spread(1000, keyed("%d")), "a") {
		t.Error("messages go where nothing is bound")
	}
}

func TestModulusHashIsRemembered(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.ModulusHash, "x")
	w.queue("a", "b")
	w.bind("x -> a", "x -> b")
	c := router.NewCache(w.Router)
	want := mustRoute(t, c, message("x", "k"))
	if got, ok := c.Lookup(message("x", "k")); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
}
