package router_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func TestRandomTakesEachBindingWithTheSameChance(t *testing.T) { // 7.6
	for _, kind := range []string{router.Random, router.LocalRandom} {
		w := newWorld(t)
		w.scratch.Random = rand.NewPCG(1, 2)
		w.exchange(kind, "x")
		w.queue("a", "b", "c", "d")
		w.bind("x -> a", "x -> b", "x -> c", "x -> d")
		same := func(int) *router.Message { return message("x", "same", "cc") }
		wantShares(t, kind, w.spread(20_000, same), map[string]float64{"a": 1, "b": 1, "c": 1, "d": 1})
		w.bindWith(args{"second": true}, "x -> a") // bindings count, not queues
		wantShares(t, kind, w.spread(20_000, same), map[string]float64{"a": 2, "b": 1, "c": 1, "d": 1})
	}
}

func TestRandomDrawsFromTheSourceItIsGiven(t *testing.T) {
	draw := func(source rand.Source) (routed, cached []string) {
		w := newWorld(t)
		w.scratch.Random = source
		w.exchange(router.Random, "x")
		for i := range 10 {
			w.queue(fmt.Sprint("q", i))
			w.bind(fmt.Sprintf("x k -> q%d", i))
		}
		c := router.NewCache(w.Router)
		c.SetRandom(rand.NewPCG(3, 4))
		for range 50 {
			routed = append(routed, w.route(message("x"))...)
			cached = append(cached, mustRoute(t, c, message("x")).Set.Queues()...)
		}
		return routed, cached
	}
	routed, cached := draw(rand.NewPCG(1, 2))
	again, cachedAgain := draw(rand.NewPCG(1, 2))
	if !slices.Equal(routed, again) || !slices.Equal(cached, cachedAgain) {
		t.Error("one source, two results")
	}
	if other, _ := draw(nil); slices.Equal(routed, other) {
		t.Error("without a source there is no chance")
	}
}

func TestRandomIsNeverRemembered(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.Random, "x")
	w.exchange(router.Fanout, "f")
	w.queue("a", "b")
	w.bind("f => x", "x -> a", "x -> b")
	c := router.NewCache(w.Router)
	for _, m := range []*router.Message{message("x", "k"), message("f", "k")} {
		mustRoute(t, c, m)
		if d, ok := c.Lookup(m); ok {
			t.Errorf("%s: answered %+v", m.Exchange, d)
		}
	}
}

func TestLocalRandomTakesQueuesWithoutKeys(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.LocalRandom, "x", "other")
	w.queue("q")
	for _, c := range []struct {
		line string
		want error
	}{
		{"x k -> q", router.Refused{Text: "Non empty binding 'k' key not permitted"}},
		{"x k => other", router.Refused{Text: "Non empty binding 'k' key not permitted"}},
		{"x => other", router.Refused{Text: "Destination not found"}},
		{"x -> q", nil},
	} {
		b := w.parse(c.line, nil)
		_, checked := w.CheckBind(b)
		_, err := w.Bind(b)
		if !errors.Is(err, c.want) || !errors.Is(checked, c.want) || w.HasBinding(b) != (c.want == nil) {
			t.Errorf("%s: %v and %v, want %v", c.line, checked, err, c.want)
		}
	}
}
