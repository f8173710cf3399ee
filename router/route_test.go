package router_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func TestEachQueueGetsOneCopy(t *testing.T) { // ROUTE-01
	w := newWorld(t)
	w.exchange(router.Direct, "d")
	w.exchange(router.Topic, "t")
	w.exchange(router.Fanout, "f", "f2")
	w.queue("q", "other")
	w.bind("d k -> q", "d l -> q", "d m -> other")
	w.bindWith(map[string]any{"n": 1}, "d k -> q")
	w.bind("t # -> q", "t *.# -> q", "t a -> q", "t a.# -> q", "t #.#.a -> q")
	w.bind("f -> q", "f x -> q", "f => d", "f => t", "f => f2", "f2 -> q")
	for _, m := range []*router.Message{
		message("d", "k"), message("d", "k", "l"), message("t", "a"), message("t", "a", "a", "b"),
		message("f", "k"), message("f", "a", "k", "l"), message("", "q", "q"),
	} {
		w.wantRoute(m, "q")
	}
	w.wantRoute(message("f", "k", "m"), "other", "q")
}

func TestCCAndBCCKeysRouteInEveryType(t *testing.T) { // CC-01
	w := newWorld(t)
	w.queue("a", "b", "c")
	w.exchange(router.Direct, "d")
	w.exchange(router.Topic, "t")
	w.bind("d ka -> a", "d kb -> b", "d kc -> c", "t x.* -> a", "t y.# -> b")
	w.wantRoute(message("d", "ka", "kb", "none"), "a", "b")
	w.wantRoute(message("d", "none", "kc"), "c")
	w.wantRoute(message("t", "x.1", "y"), "a", "b")
	w.wantRoute(message("", "a", "c"), "a", "c")
}

func TestExchangeBindingsAreFollowedThroughCycles(t *testing.T) { // ROUTE-02, EXCH-23
	w := newWorld(t)
	w.exchange(router.Direct, "a", "b", "c", "self")
	w.queue("qa", "qb", "qc")
	w.bind("a k => b", "b k => c", "c k => a", "a k -> qa", "b k -> qb", "c k -> qc", "c other -> qa")
	for _, start := range []string{"a", "b", "c"} {
		w.wantRoute(message(start, "k"), "qa", "qb", "qc")
	}
	w.wantRoute(message("c", "other"), "qa")
	w.bind("self s => self", "self s -> qa")
	w.wantRoute(message("self", "s"), "qa")
}

func TestAlternateExchange(t *testing.T) { // ROUTE-03
	w := newWorld(t)
	for _, e := range []router.Exchange{
		{Name: "first", Type: router.Direct, Alternate: "second"},
		{Name: "second", Type: router.Direct, Arguments: map[string]any{"alternate-exchange": "third"}, Alternate: "ignored"},
		{Name: "third", Type: router.Fanout},
		{Name: "ignored", Type: router.Fanout},
		{Name: "dangling", Type: router.Direct, Alternate: "nowhere"},
		{Name: "ring1", Type: router.Direct, Alternate: "ring2"},
		{Name: "ring2", Type: router.Direct, Alternate: "ring1"},
		{Name: "outer", Type: router.Fanout, Alternate: "ignored"},
	} {
		w.declare(e)
	}
	w.queue("q1", "q2", "q3", "wrong")
	w.bind("first k1 -> q1", "second k2 -> q2", "third -> q3", "ignored -> wrong", "outer => first", "ring2 r -> q1")

	w.wantRoute(message("first", "k1"), "q1")         // routed: the alternate is not asked
	w.wantRoute(message("first", "k2"), "q2")         // same keys in the alternate
	w.wantRoute(message("first", "none"), "q3")       // transitively, argument before policy
	w.wantRoute(message("first", "none", "k2"), "q2") // extra keys too
	w.wantRoute(message("outer", "none"), "q3")       // asked of the exchange on the way, not of the outer
	w.wantRoute(message("dangling", "k"))             // a missing alternate is none
	w.wantRoute(message("ring1", "nobody"))           // and a ring ends
	w.wantRoute(message("ring1", "r"), "q1")          // after it was asked
	w.declare(router.Exchange{Name: "nowhere", Type: router.Fanout})
	w.bind("nowhere -> q2")
	w.wantRoute(message("dangling", "k"), "q2") // it may come later

	if err := w.SetAlternate("dangling", ""); err != nil {
		t.Fatal(err)
	}
	w.wantRoute(message("dangling", "k"))
	if err := w.SetAlternate("second", "nowhere"); err != nil {
		t.Fatal(err)
	}
	w.wantRoute(message("first", "none"), "q3")
}

// A destination that was visited before still counts as one: the alternate is for messages that an
// exchange routes nowhere, not for those it routes nowhere new.
func TestAlternateIsNotAskedWhenAllTargetsWereSeen(t *testing.T) { // ROUTE-03
	w := newWorld(t)
	w.exchange(router.Fanout, "start", "spare")
	w.declare(router.Exchange{Name: "again", Type: router.Fanout, Alternate: "spare"})
	w.declare(router.Exchange{Name: "back", Type: router.Fanout, Alternate: "spare"})
	w.queue("q", "wrong")
	w.bind("start -> q", "start => again", "start => back", "again -> q", "back => start", "spare -> wrong")
	w.wantRoute(message("start"), "q")
}

func TestRoutingSeesTheBindingsOfTheMoment(t *testing.T) { // ROUTE-04
	w := newWorld(t)
	w.exchange(router.Topic, "t")
	w.queue("q")
	w.wantRoute(message("t", "k"))
	w.bind("t k -> q")
	w.wantRoute(message("t", "k"), "q")
	w.unbind("t k -> q")
	w.wantRoute(message("t", "k"))
}

func TestDefaultExchangeRoutesByQueueName(t *testing.T) { // ROUTE-05
	w := newWorld(t)
	w.queue("q", "a.b", "*")
	w.wantRoute(message("", "q"), "q")
	w.wantRoute(message("", "a.b"), "a.b")
	w.wantRoute(message("", "*"), "*")
	w.wantRoute(message("", "Q"))
	w.RemoveQueue("q")
	w.wantRoute(message("", "q"))
}

func TestDirectComparesOctets(t *testing.T) { // 7.2
	w := newWorld(t)
	w.exchange(router.Direct, "d")
	w.queue("q", "wild", "empty")
	w.bind("d k\x00\xff -> q", "d # -> wild", "d -> empty")
	w.wantRoute(message("d", "k\x00\xff"), "q")
	w.wantRoute(message("d", "k\x00"))
	w.wantRoute(message("d", "#"), "wild")
	w.wantRoute(message("d", ""), "empty")
}

func TestFanoutIgnoresKeys(t *testing.T) { // 7.3
	w := newWorld(t)
	w.exchange(router.Fanout, "f")
	w.queue("a", "b")
	w.bind("f x -> a", "f -> b")
	w.wantRoute(message("f", "whatever"), "a", "b")
	w.wantRoute(message("f", "", "x"), "a", "b")
}

func TestRouteReportsMissingExchange(t *testing.T) {
	w := newWorld(t)
	dst := []string{"kept"}
	got, _, err := w.Route(dst, message("nox", "k"), &w.scratch)
	if missing, ok := errors.AsType[router.NoExchange](err); !ok || missing.Name != "nox" {
		t.Errorf("error %v, want NoExchange nox", err)
	}
	if !slices.Equal(got, dst) {
		t.Errorf("dst became %q", got)
	}
}

func TestRouteAppends(t *testing.T) {
	w := newWorld(t)
	w.queue("q")
	got, _, err := w.Route([]string{"q"}, message("", "q"), &w.scratch)
	if want := []string{"q", "q"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q: what is in dst is another message's", got, err, want)
	}
}

func TestOutcomeTellsInternalAndDependence(t *testing.T) { // EXCH-09
	w := newWorld(t)
	w.exchange(router.Direct, "d")
	w.exchange(router.Topic, "t")
	w.exchange(router.Fanout, "f", "f=>f", "f=>d", "f=>h")
	w.exchange(router.Headers, "h")
	w.exchange(router.ConsistentHash, "hash")
	w.exchange(router.ModulusHash, "mod")
	w.exchange(router.RecentHistory, "history")
	w.exchange(router.Random, "random")
	w.exchange(router.DelayedMessage, "delayed")
	w.declare(router.Exchange{Name: "inner", Type: router.Fanout, Internal: true})
	w.declare(router.Exchange{Name: "f~h", Type: router.Fanout, Alternate: "h"})
	w.declare(router.Exchange{Name: "f=>inner", Type: router.Fanout})
	w.queue("q")
	w.bind("f=>f => f", "f=>d => d", "f=>h => h", "f -> q", "f=>inner => inner")
	for _, c := range []struct {
		message *router.Message
		want    router.Outcome
	}{
		{message("", "q"), router.Outcome{Depends: router.OnKey}},
		{message("", "q", "cc"), router.Outcome{Depends: router.OnMessage}},
		{message("d", "k"), router.Outcome{Depends: router.OnKey}},
		{message("t", "k"), router.Outcome{Depends: router.OnKey}},
		{message("f", "k"), router.Outcome{Depends: router.OnExchange}},
		{message("f", "k", "cc"), router.Outcome{Depends: router.OnExchange}},
		{message("f=>f", "k"), router.Outcome{Depends: router.OnExchange}},
		{message("f=>d", "k"), router.Outcome{Depends: router.OnKey}},
		{message("f=>h", "k"), router.Outcome{Depends: router.OnMessage}},
		{message("f~h", "k"), router.Outcome{Depends: router.OnMessage}},
		{message("hash", "k"), router.Outcome{Depends: router.OnKey}},
		{message("hash", "k", "cc"), router.Outcome{Depends: router.OnMessage}},
		{message("mod", "k"), router.Outcome{Depends: router.OnKey}},
		{message("history", "k"), router.Outcome{Depends: router.OnExchange}},
		{message("random", "k"), router.Outcome{Depends: router.OnMessage}},
		{message("delayed", "k"), router.Outcome{Depends: router.OnMessage}},
		{message("inner", "k"), router.Outcome{Internal: true}},
		{message("f=>inner", "k"), router.Outcome{}},
	} {
		_, got, err := w.Route(nil, c.message, &w.scratch)
		if err != nil || got.Internal != c.want.Internal || got.Depends != c.want.Depends {
			t.Errorf("%s: %+v, %v; want %+v", c.message.Exchange, got, err, c.want)
		}
	}
}

func TestOneScratchServesManyRouters(t *testing.T) {
	var s router.Scratch[string]
	for size := 50; size > 0; size-- {
		w := newWorld(t)
		w.exchange(router.Fanout, "f")
		for i := range size {
			name := fmt.Sprint("q", i)
			w.queue(name)
			w.bind("f -> " + name)
		}
		got, _, err := w.Route(nil, message("f"), &s)
		if err != nil || len(got) != size {
			t.Fatalf("%d queues, %v; want %d", len(got), err, size)
		}
	}
}
