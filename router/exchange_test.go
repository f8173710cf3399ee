package router_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func TestEachTypeCanBeDeclared(t *testing.T) { // EXCH-01
	w := newWorld(t)
	for _, kind := range router.Types() {
		w.exchange(kind, "of-"+kind)
	}
	for _, e := range router.Predeclared() {
		w.declare(e)
	}
	if !slices.IsSorted(router.Types()) {
		t.Error("types are not sorted")
	}
}

func TestUnknownTypeIsRefused(t *testing.T) { // EXCH-02
	w := newWorld(t)
	w.exchange(router.Direct, "e")
	for _, name := range []string{"e", "new"} {
		_, err := w.Declare(router.Exchange{Name: name, Type: "x-nope"})
		if unknown, ok := errors.AsType[router.UnknownType](err); !ok || unknown.Type != "x-nope" {
			t.Errorf("%s: %v, want UnknownType x-nope", name, err)
		}
	}
}

func TestDefaultExchangeCannotBeChanged(t *testing.T) { // EXCH-03
	w := newWorld(t)
	w.exchange(router.Fanout, "f")
	w.queue("q")
	generation := w.Generation()
	_, declared := w.Declare(router.Exchange{Type: router.Direct, Durable: true})
	_, deleted := w.Delete("")
	_, from := w.Bind(router.Binding{Source: "", Destination: "q"})
	_, to := w.Bind(router.Binding{Source: "f", DestinationKind: router.ToExchange})
	_, unfrom := w.Unbind(router.Binding{Source: "", Destination: "q"})
	_, unto := w.Unbind(router.Binding{Source: "f", DestinationKind: router.ToExchange})
	alternate := w.SetAlternate("", "f")
	for i, err := range []error{declared, deleted, from, to, unfrom, unto, alternate} {
		if !errors.Is(err, router.ErrDefaultExchange) {
			t.Errorf("case %d: %v", i, err)
		}
	}
	if w.Generation() != generation {
		t.Error("refusals changed the generation")
	}
}

func TestRedeclare(t *testing.T) { // EXCH-06
	current := router.Exchange{Name: "e", Type: router.Direct, Durable: true, Arguments: args{"alternate-exchange": "a", "other": 1}}
	change := func(change func(e *router.Exchange)) router.Exchange {
		e := current
		change(&e)
		return e
	}
	for _, c := range []struct {
		declare router.Exchange
		want    string
	}{
		{current, ""},
		{change(func(e *router.Exchange) { e.Arguments = args{"alternate-exchange": "a"} }), ""},
		{change(func(e *router.Exchange) { e.Alternate = "policy" }), ""},
		{router.Exchange{Name: "e", Type: router.Topic}, "inequivalent arg 'type': received 'topic' but current is 'direct'"},
		{router.Exchange{Name: "e", Type: router.Direct}, "inequivalent arg 'durable': received 'false' but current is 'true'"},
		{
			change(func(e *router.Exchange) { e.AutoDelete, e.Internal, e.Arguments = true, true, nil }),
			"inequivalent arg 'auto_delete': received 'true' but current is 'false'",
		},
		{change(func(e *router.Exchange) { e.Internal, e.Arguments = true, nil }), "inequivalent arg 'internal': received 'true' but current is 'false'"},
		{
			change(func(e *router.Exchange) { e.Arguments = nil }),
			"inequivalent arg 'alternate-exchange': received none but current is the value 'a' of type 'longstr'",
		},
		{
			change(func(e *router.Exchange) { e.Arguments = args{"alternate-exchange": "b"} }),
			"inequivalent arg 'alternate-exchange': received 'b' but current is 'a'",
		},
	} {
		w := newWorld(t)
		w.declare(current)
		exists, err := w.CheckDeclare(c.declare)
		created, again := w.Declare(c.declare)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want || !exists || created || !errors.Is(again, err) {
			t.Errorf("%+v: exists %v, %q, created %v, %v; want %q", c.declare, exists, got, created, again, c.want)
		}
	}
}

func TestEquivalentArguments(t *testing.T) { // EXCH-06, QUEUE-08
	for _, c := range []struct {
		current, received args
		want              string
	}{
		{nil, nil, ""},
		{args{"n": int8(5)}, args{"n": int64(5)}, ""},
		{args{"ignored": 1}, nil, ""},
		{nil, args{"n": int64(5)}, "inequivalent arg 'n': received the value '5' of type 'long' but current is none"},
		{nil, args{"n": int32(5)}, "inequivalent arg 'n': received the value '5' of type 'signedint' but current is none"},
		{args{"s": "x"}, nil, "inequivalent arg 's': received none but current is the value 'x' of type 'longstr'"},
		{args{"n": 5}, args{"n": 6}, "inequivalent arg 'n': received '6' but current is '5'"},
		{args{"n": 5}, args{"n": 5.0}, "inequivalent arg 'n': received '5.0' but current is '5'"},
		{args{"n": 5, "s": "a"}, args{"n": 6, "s": "b"}, "inequivalent arg 's': received 'b' but current is 'a'"},
	} {
		got := ""
		if err := router.EquivalentArguments(c.current, c.received, "s", "n"); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v against %v: %q, want %q", c.received, c.current, got, c.want)
		}
	}
}

func TestAlternateArgumentMustBeText(t *testing.T) { // EXCH-08
	w := newWorld(t)
	_, err := w.Declare(router.Exchange{Name: "e", Type: router.Direct, Arguments: args{"alternate-exchange": int64(5)}})
	if wrong, ok := errors.AsType[router.WrongType](err); !ok || wrong != (router.WrongType{Arg: "alternate-exchange", Type: "long"}) {
		t.Errorf("got %v", err)
	}
	if w.exists("e") {
		t.Error("the refused exchange is there")
	}
}

func TestAutoDelete(t *testing.T) { // EXCH-10
	for _, c := range []struct {
		name    string
		do      func(w *world) router.Removed
		deleted string
	}{
		{"unbinding the last", func(w *world) router.Removed { return w.unbind("one -> q") }, "one"},
		{"unbinding one of two", func(w *world) router.Removed { return w.unbind("two -> q") }, ""},
		{"deleting the queue", func(w *world) router.Removed { return w.RemoveQueue("q") }, "one"},
		{"unbinding what was never bound", func(w *world) router.Removed { return w.unbind("never -> q") }, ""},
		{"losing a binding as destination", func(w *world) router.Removed { return w.unbind("plain => never") }, ""},
		{"deleting a destination cascades", func(w *world) router.Removed {
			removed, err := w.Delete("end")
			if err != nil {
				w.t.Fatal(err)
			}
			return removed
		}, "end chain1 chain2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			for name := range strings.FieldsSeq("one two never chain1 chain2") {
				w.declare(router.Exchange{Name: name, Type: router.Fanout, AutoDelete: true})
			}
			w.exchange(router.Fanout, "plain", "end")
			w.queue("q", "other")
			w.bind("one -> q", "two -> q", "two -> other", "plain => never", "plain -> q", "end -> other")
			w.bind("chain1 => end", "chain2 => chain1", "plain => chain2")
			var deleted []string
			for _, e := range c.do(w).Exchanges {
				deleted = append(deleted, e.Name)
				if w.exists(e.Name) {
					t.Errorf("%s is reported deleted and there", e.Name)
				}
			}
			if got := strings.Join(deleted, " "); got != c.deleted {
				t.Errorf("deleted %q, want %q", got, c.deleted)
			}
			for _, name := range strings.Fields("one two never chain1 chain2 plain end") {
				if w.exists(name) == slices.Contains(deleted, name) {
					t.Errorf("%s: exists %v", name, w.exists(name))
				}
			}
		})
	}
}

func TestAutoDeleteInACycleEnds(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.declare(router.Exchange{Name: name, Type: router.Fanout, AutoDelete: true})
	}
	w.queue("q")
	w.bind("a => b", "b => a", "b => b", "a => a", "a -> q")
	removed, err := w.Delete("a")
	if err != nil || len(removed.Bindings) != 4 || len(removed.Exchanges) != 1 {
		t.Errorf("%+v, %v; want a alone, and its four bindings", removed, err)
	}
	if removed = w.unbind("b => b"); len(removed.Exchanges) != 1 || w.exists("b") {
		t.Errorf("%+v: b should be deleted with its last binding, to itself", removed)
	}
}

func TestDeleteRemovesBindingsFromAndTo(t *testing.T) { // EXCH-11
	w := newWorld(t)
	w.exchange(router.Topic, "e", "source", "target")
	w.queue("q")
	w.bind("e a -> q", "e b => target", "source c => e", "source d -> q", "e e => e")
	if inUse, err := w.InUse("e"); err != nil || !inUse {
		t.Errorf("in use: %v, %v", inUse, err)
	}
	if inUse, err := w.InUse("target"); err != nil || inUse {
		t.Errorf("a destination only: in use: %v, %v", inUse, err)
	}
	removed, err := w.Delete("e")
	if err != nil || len(removed.Bindings) != 4 || len(removed.Exchanges) != 1 || removed.Exchanges[0].Name != "e" {
		t.Errorf("removed %+v, %v", removed, err)
	}
	w.wantRoute(message("source", "c"))
	w.wantRoute(message("source", "d"), "q")
	for _, b := range slices.Collect(w.Bindings()) {
		if b.Key != "d" {
			t.Errorf("still there: %+v", b)
		}
	}
	if _, err := w.Delete("e"); !errors.Is(err, router.NoExchange{Name: "e"}) {
		t.Errorf("second delete: %v", err)
	}
	if _, err := w.InUse("e"); !errors.Is(err, router.NoExchange{Name: "e"}) {
		t.Errorf("in use after delete: %v", err)
	}
}

func TestBindingIdentity(t *testing.T) { // EXCH-20
	w := newWorld(t)
	w.exchange(router.Direct, "e", "q")
	w.queue("q")
	given := []router.Binding{
		{Source: "e", Destination: "q"},
		{Source: "e", Destination: "q", Key: "k"},
		{Source: "e", Destination: "q", DestinationKind: router.ToExchange, Key: "k"},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": 1}},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": "1"}},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": 1.0}},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": nil}},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": 1, "b": 2}},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": args{"b": 1}}},
		{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": []any{}}},
	}
	for i, b := range given {
		if exists, err := w.CheckBind(b); err != nil || exists {
			t.Errorf("%d exists: %v, %v", i, exists, err)
		}
		if added, err := w.Bind(b); err != nil || !added {
			t.Errorf("%d added: %v, %v", i, added, err)
		}
	}
	generation := w.Generation()
	again := router.Binding{Source: "e", Destination: "q", Key: "k", Arguments: args{"b": int8(2), "a": uint16(1)}}
	for _, b := range append(slices.Clone(given), again) {
		if exists, err := w.CheckBind(b); err != nil || !exists || !w.HasBinding(b) {
			t.Errorf("%+v is not found: %v", b, err)
		}
		if added, err := w.Bind(b); err != nil || added {
			t.Errorf("%+v added twice, %v", b, err)
		}
	}
	unknown := router.Binding{Source: "e", Destination: "q", Key: "k", Arguments: args{"a": 2}}
	if removed, err := w.Unbind(unknown); err != nil || len(removed.Bindings) != 0 {
		t.Errorf("unbind with other arguments: %+v, %v", removed, err)
	}
	if w.Generation() != generation {
		t.Error("what changed nothing changed the generation")
	}
	if removed, err := w.Unbind(again); err != nil || len(removed.Bindings) != 1 || !w.HasBinding(given[3]) || w.HasBinding(again) {
		t.Errorf("unbind: %+v, %v", removed, err)
	}
}

func TestBindNamesTheFirstMissingEnd(t *testing.T) { // EXCH-21
	w := newWorld(t)
	w.exchange(router.Direct, "e")
	w.queue("q")
	for _, c := range []struct {
		binding router.Binding
		want    error
	}{
		{router.Binding{Source: "nox", Destination: "noq"}, router.NoExchange{Name: "nox"}},
		{router.Binding{Source: "nox", Destination: "q"}, router.NoExchange{Name: "nox"}},
		{router.Binding{Source: "e", Destination: "noq"}, router.NoQueue{Name: "noq"}},
		{router.Binding{Source: "e", Destination: "nox", DestinationKind: router.ToExchange}, router.NoExchange{Name: "nox"}},
		{router.Binding{Source: "e", Destination: "e"}, router.NoQueue{Name: "e"}},
	} {
		_, checked := w.CheckBind(c.binding)
		_, err := w.Bind(c.binding)
		if !errors.Is(err, c.want) || !errors.Is(checked, c.want) {
			t.Errorf("%+v: %v and %v, want %v", c.binding, checked, err, c.want)
		}
		if removed, err := w.Unbind(c.binding); err != nil || len(removed.Bindings) != 0 { // EXCH-22
			t.Errorf("unbind %+v: %+v, %v", c.binding, removed, err)
		}
	}
}

func TestQueueNamesAreUnique(t *testing.T) {
	w := newWorld(t)
	w.queue("q")
	if err := w.AddQueue("q", "second"); !errors.Is(err, router.QueueExists{Name: "q"}) {
		t.Errorf("second queue: %v", err)
	}
	if q, ok := w.Queue("q"); !ok || q != "q" {
		t.Errorf("found %q, %v", q, ok)
	}
	if _, ok := w.Queue("nope"); ok {
		t.Error("found what is not there")
	}
	generation := w.Generation()
	if removed := w.RemoveQueue("nope"); len(removed.Bindings)+len(removed.Exchanges) != 0 || w.Generation() != generation {
		t.Errorf("removed %+v", removed)
	}
}

func TestListingIsOrderedAndKeepsWhatWasGiven(t *testing.T) {
	w := newWorld(t)
	w.exchange(router.Headers, "h2", "h1")
	w.queue("b", "a")
	w.bindWith(args{"x-match": "any", "n": int8(1)}, "h2 k -> a")
	w.bind("h2 -> a", "h1 k => h2", "h1 k -> b", "h1 k -> a", "h1 j -> b", "h2 => h1")
	show := func(bs []router.Binding) string {
		var out []string
		for _, b := range bs {
			out = append(out, fmt.Sprintf("%s[%s]%s:%s%v", b.Source, b.Key, b.DestinationKind, b.Destination, b.Arguments))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ got, want string }{
		{
			show(slices.Collect(w.Bindings())),
			"h1[k]queue:amap[] h1[j]queue:bmap[] h1[k]queue:bmap[] h1[k]exchange:h2map[] " +
				"h2[]queue:amap[] h2[k]queue:amap[n:1 x-match:any] h2[]exchange:h1map[]",
		},
		{show(slices.Collect(w.BindingsFrom("h2"))), "h2[]queue:amap[] h2[k]queue:amap[n:1 x-match:any] h2[]exchange:h1map[]"},
		{show(slices.Collect(w.BindingsTo(router.ToQueue, "b"))), "h1[j]queue:bmap[] h1[k]queue:bmap[]"},
		{show(slices.Collect(w.BindingsTo(router.ToExchange, "h1"))), "h2[]exchange:h1map[]"},
		{show(slices.Collect(w.BindingsFrom("nox"))), ""},
		{show(slices.Collect(w.BindingsTo(router.ToQueue, "nox"))), ""},
		{show(slices.Collect(w.BindingsTo(router.ToExchange, "nox"))), ""},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
	var exchanges, queues []string
	for e := range w.Exchanges() {
		exchanges = append(exchanges, e.Name)
	}
	for name, q := range w.Queues() {
		queues = append(queues, name+q)
	}
	if !slices.Equal(exchanges, []string{"", "h1", "h2"}) || !slices.Equal(queues, []string{"aa", "bb"}) {
		t.Errorf("exchanges %q, queues %q", exchanges, queues)
	}
	for range w.Bindings() { // may be left early
		break
	}
}
