package router_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

// world is a router whose queues are their own names, with a test to complain to.
type world struct {
	t *testing.T
	*router.Router[string]
	scratch router.Scratch[string]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, Router: router.New[string]()}
}

func (w *world) exchange(kind string, names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.declare(declaration(name, kind))
	}
}

// declaration has the arguments without which a type cannot be declared.
func declaration(name, kind string) router.Exchange {
	e := router.Exchange{Name: name, Type: kind}
	if kind == router.DelayedMessage {
		e.Arguments = args{"x-delayed-type": router.Topic}
	}
	return e
}

// bindingKey returns a key that a binding of the type may have, as a weight or a pattern: one of many,
// where the type has many.
func bindingKey(kind string, n int) string {
	switch kind {
	case router.ConsistentHash:
		return fmt.Sprint(n + 1)
	case router.LocalRandom:
		return ""
	}
	return fmt.Sprintf("a.%d.#", n)
}

func (w *world) declare(e router.Exchange) {
	w.t.Helper()
	if created, err := w.Declare(e); err != nil || !created {
		w.t.Fatalf("declare %+v: created %v, %v", e, created, err)
	}
}

func (w *world) queue(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if err := w.AddQueue(name, name); err != nil {
			w.t.Fatal(err)
		}
	}
}

// parse reads "source key -> queue" or "source key => exchange". The key is quoted by nothing, so it
// has no spaces; a key that is missing is empty.
func (w *world) parse(line string, arguments map[string]any) router.Binding {
	w.t.Helper()
	words := strings.Fields(line)
	if len(words) == 3 {
		words = slices.Insert(words, 1, "")
	}
	if len(words) != 4 {
		w.t.Fatalf("no binding: %q", line)
	}
	b := router.Binding{Source: words[0], Key: words[1], Destination: words[3], Arguments: arguments}
	if words[2] == "=>" {
		b.DestinationKind = router.ToExchange
	}
	return b
}

func (w *world) bind(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		w.bindWith(nil, line)
	}
}

func (w *world) bindWith(arguments map[string]any, line string) {
	w.t.Helper()
	if added, err := w.Bind(w.parse(line, arguments)); err != nil || !added {
		w.t.Fatalf("bind %q: added %v, %v", line, added, err)
	}
}

func (w *world) unbind(line string) router.Removed {
	w.t.Helper()
	removed, err := w.Unbind(w.parse(line, nil))
	if err != nil {
		w.t.Fatalf("unbind %q: %v", line, err)
	}
	return removed
}

func message(exchange string, keys ...string) *router.Message {
	m := &router.Message{Exchange: []byte(exchange)}
	for i, key := range keys {
		if i == 0 {
			m.Key = []byte(key)
		} else {
			m.ExtraKeys = append(m.ExtraKeys, []byte(key))
		}
	}
	return m
}

func withHeaders(m *router.Message, headers map[string]any) *router.Message {
	m.Headers = func() (map[string]any, error) { return headers, nil }
	return m
}

func withHeader(m *router.Message, name, value string) *router.Message {
	m.Header = func(asked string) ([]byte, bool, error) { return []byte(value), asked == name, nil }
	return m
}

func withProperty(m *router.Message, name, value string) *router.Message {
	m.Property = func(asked string) ([]byte, bool) { return []byte(value), asked == name }
	return m
}

func withDelay(m *router.Message) *router.Message {
	m.Delayed = func() (bool, error) { return true, nil }
	return m
}

// route returns where a message goes, sorted; a queue that came twice stays twice.
func (w *world) route(m *router.Message) []string {
	w.t.Helper()
	queues, _, err := w.Route(nil, m, &w.scratch)
	if err != nil {
		w.t.Fatalf("route %s %q: %v", m.Exchange, m.Key, err)
	}
	slices.Sort(queues)
	return queues
}

func (w *world) wantRoute(m *router.Message, want ...string) {
	w.t.Helper()
	if got := w.route(m); !slices.Equal(got, want) {
		w.t.Errorf("exchange %q key %q: routed to %q, want %q", m.Exchange, m.Key, got, want)
	}
}

func (w *world) exists(name string) bool {
	_, ok := w.Exchange(name)
	return ok
}
