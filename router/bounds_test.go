package router

import (
	"fmt"
	"slices"
	"testing"
)

// What was added and removed again must leave nothing behind.
func TestNothingStaysAfterRemoval(t *testing.T) {
	r := New[int]()
	for round := range 3 {
		for i, kind := range Types() {
			e := Exchange{Name: fmt.Sprint("x", i), Type: kind, Arguments: map[string]any{"x-delayed-type": ConsistentHash}}
			if _, err := r.Declare(e); err != nil {
				t.Fatal(err)
			}
		}
		for q := range 100 {
			name := fmt.Sprint("q", q)
			if err := r.AddQueue(name, q); err != nil {
				t.Fatal(err)
			}
			for i, kind := range Types() {
				keys := []string{"a.#.b", fmt.Sprintf("*.%d.#.#.x", q), "", "#", "a.b"}
				switch kind {
				case ConsistentHash, DelayedMessage:
					keys = []string{"3", "1", "2", "7", "11"}
				case LocalRandom:
					keys = make([]string, 5)
				}
				for n, key := range keys {
					b := Binding{Source: fmt.Sprint("x", i), Destination: name, Key: key, Arguments: map[string]any{fmt.Sprint("h", q%7): n}}
					if _, err := r.Bind(b); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		for q := range 100 {
			if removed := r.RemoveQueue(fmt.Sprint("q", q)); len(removed.Bindings) != 5*len(Types()) {
				t.Fatalf("%d bindings removed", len(removed.Bindings))
			}
		}
		for i := range Types() {
			x := r.exchanges[fmt.Sprint("x", i)]
			empty := false
			at := x.matcher
			if delayed, ok := at.(*delayedMatcher[int]); ok {
				at = delayed.matcher
			}
			switch m := at.(type) {
			case *directMatcher[int]:
				empty = len(m.keys) == 0
			case *fanoutMatcher[int]:
				empty = m.empty()
			case *topicMatcher[int]:
				empty = m.root.useless()
			case *headersMatcher[int]:
				empty = m.empty() && len(m.rules)+len(m.index.names)+len(m.index.slots)+len(m.index.values)+len(m.index.always) == 0
			case *consistentMatcher[int]:
				empty = m.empty() && len(m.shares)+len(m.counting)+len(m.waiting) == 0
			case *modulusMatcher[int]:
				empty = len(m.targets)+len(m.names) == 0
			case *randomMatcher[int]:
				empty = m.empty()
			case *localRandomMatcher[int]:
				empty = m.empty()
			case *historyMatcher[int]:
				empty = m.empty()
			}
			if !empty || len(x.bindings)+len(x.incoming) != 0 {
				t.Errorf("round %d: %s still holds something", round, x.declared.Type)
			}
			if _, err := r.Delete(x.declared.Name); err != nil {
				t.Fatal(err)
			}
		}
		// The default exchange keeps one id; all others are free, each once.
		free := slices.Clone(r.ids.free)
		slices.Sort(free)
		if len(slices.Compact(free)) != int(r.ids.limit)-1 || len(r.ids.free) != int(r.ids.limit)-1 {
			t.Errorf("round %d: %d of %d ids are free", round, len(r.ids.free), r.ids.limit)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	r := New[int]()
	if _, err := r.Declare(Exchange{Name: "d", Type: Direct}); err != nil {
		t.Fatal(err)
	}
	const queues, keys = 600, 500
	for q := range queues {
		if err := r.AddQueue(fmt.Sprint("q", q), q); err != nil {
			t.Fatal(err)
		}
	}
	for key := range keys {
		for q := key; q < queues; q++ { // each key has a set of its own
			if _, err := r.Bind(Binding{Source: "d", Destination: fmt.Sprint("q", q), Key: fmt.Sprint(key)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := NewCache(r)
	for range 2 {
		for key := range keys {
			d, err := c.Route(&Message{Exchange: []byte("d"), Key: []byte(fmt.Sprint(key))})
			if err != nil || len(d.Set.Queues()) != queues-key {
				t.Fatalf("key %d: %d queues, %v", key, len(d.Set.Queues()), err)
			}
			held := map[*Set[int]]bool{}
			for _, s := range c.slots {
				if s.decision.Set != nil {
					held[s.decision.Set] = true
				}
			}
			for _, set := range c.sets {
				held[set] = true
			}
			sum := 0
			for set := range held {
				sum += len(set.queues)
			}
			if sum > maxRemembered || len(c.slots) > maxSlots || len(c.sets) > maxSlots {
				t.Fatalf("after key %d the cache holds %d queues in %d slots and %d sets", key, sum, len(c.slots), len(c.sets))
			}
		}
	}
	for i := range 2 * maxSlots { // keys without end, one set
		if _, err := c.Route(&Message{Exchange: []byte("d"), Key: []byte(fmt.Sprint("none", i))}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.slots) != maxSlots {
		t.Errorf("%d slots", len(c.slots))
	}
}

// A queue that was removed must not be kept alive by who once published to it and goes on publishing.
func TestCacheLetsGoOfRemovedQueues(t *testing.T) {
	r := New[*int]()
	c := NewCache(r)
	gone := new(int)
	if err := r.AddQueue("q", gone); err != nil {
		t.Fatal(err)
	}
	route := func(key string) {
		if _, err := c.Route(&Message{Key: []byte(key)}); err != nil {
			t.Fatal(err)
		}
	}
	route("q")
	r.RemoveQueue("q")
	route("other")
	if err := r.AddQueue("third", new(int)); err != nil {
		t.Fatal(err)
	}
	route("other")
	for _, s := range c.slots {
		if s.decision.Set != nil && slices.Contains(s.decision.Set.queues, gone) {
			t.Error("a slot holds it")
		}
	}
	for _, set := range c.sets {
		if slices.Contains(set.queues, gone) {
			t.Error("a set holds it")
		}
	}
	for _, set := range c.older {
		if slices.Contains(set.queues, gone) {
			t.Error("an older set holds it")
		}
	}
	if slices.Contains(c.buffer[:cap(c.buffer)], gone) {
		t.Error("the buffer holds it")
	}
}
