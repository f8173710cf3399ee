package router_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/router"
)

func TestDelayedTypeIsChecked(t *testing.T) { // 7.6
	const noType = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
	refused := func(text string) error { return router.Refused{Text: text} }
	for _, c := range []struct {
		arguments args
		want      error
	}{
		{args{"x-delayed-type": "direct"}, nil},
		{args{"x-delayed-type": "x-consistent-hash"}, nil},
		{nil, refused(noType)},
		{args{"x-delayed-type": int64(5)}, refused(noType)},
		{args{"x-delayed-type": ""}, refused(noType)},
		{args{"x-delayed-type": "x-nope"}, refused(noType)},
		{args{"x-delayed-type": "x-delayed-message"}, refused("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")},
		{args{"x-delayed-type": "x-consistent-hash", "hash-property": "foo"}, refused("Unsupported property: foo")},
		{
			args{"x-delayed-type": "x-recent-history", "x-recent-history-length": 0},
			refused("Invalid argument 0, 'x-recent-history-length' must be a positive integer"),
		},
	} {
		w := newWorld(t)
		e := router.Exchange{Name: "x", Type: router.DelayedMessage, Arguments: c.arguments}
		_, checked := w.CheckDeclare(e)
		_, err := w.Declare(e)
		if !errors.Is(err, c.want) || !errors.Is(checked, c.want) || w.exists("x") != (c.want == nil) {
			t.Errorf("%v: %v and %v, want %v", c.arguments, checked, err, c.want)
		}
	}
}

func (w *world) delayedExchange(name, underlying string) {
	w.t.Helper()
	w.declare(router.Exchange{
		Name: name, Type: router.DelayedMessage, Alternate: "spill", Arguments: args{"x-delayed-type": underlying},
	})
}

func TestDelayedRoutesAsItsTypeAndChecksBindingsSo(t *testing.T) { // 7.6
	w := newWorld(t)
	w.delayedExchange("t", router.Topic)
	w.delayedExchange("h", router.Headers)
	w.delayedExchange("c", router.ConsistentHash)
	w.queue("a", "b")
	w.bind("t a.* -> a", "t # -> b", "c 1 -> a")
	w.bindWith(args{"n": 1}, "h -> a")
	w.wantRoute(message("t", "a.b"), "a", "b")
	w.wantRoute(message("t", "b", "a.cc"), "a", "b")
	w.wantRoute(withHeaders(message("h"), args{"n": 1}), "a")
	w.wantRoute(withHeaders(message("h"), args{"n": 2}))
	w.wantRoute(message("c", "k"), "a")
	if _, err := w.Bind(w.parse("c x -> b", nil)); !errors.Is(err, router.Refused{Text: `The binding key must be an integer: <<"x">>`}) {
		t.Errorf("got %v", err)
	}
}

func TestDelayedMessageIsHeldAndRoutedWhenDue(t *testing.T) { // 7.6
	w := newWorld(t)
	w.delayedExchange("x", router.Direct)
	w.exchange(router.Fanout, "f", "spill")
	w.queue("now", "later", "unrouted", "alternate")
	w.bind("x k -> later", "f -> now", "f => x", "spill -> alternate")
	held := func(exchange, key string) *router.Message { return withDelay(message(exchange, key)) }

	w.wantRoute(held("x", "k"))
	w.wantKept(held("x", "k"), []string{"x"}, nil)
	w.wantRoute(held("x", "nobody")) // the alternate has its turn when the message is due (ROUTE-03)
	w.wantRoute(held("f", "k"), "now")
	w.wantKept(held("f", "k"), []string{"x"}, nil)

	w.wantRoute(message("x", "k"), "later")
	w.wantKept(message("x", "k"), nil, nil)
	w.wantRoute(message("x", "nobody"), "alternate")
	w.wantRoute(message("f", "k"), "later", "now")

	w.bind("x k -> unrouted") // bindings of the moment it is due
	w.wantRoute(message("x", "k"), "later", "unrouted")
}

func TestDelayedHistoryRemembersWhatIsDue(t *testing.T) { // 7.6
	w := newWorld(t)
	w.delayedExchange("x", router.RecentHistory)
	w.wantKept(withDelay(message("x")), []string{"x"}, nil)
	w.wantKept(message("x"), nil, []string{"x"})
}

func TestDelayIsAskedForOnlyOnADelayedExchange(t *testing.T) {
	w := newWorld(t)
	w.delayedExchange("x", router.Fanout)
	w.exchange(router.Fanout, "f")
	w.queue("q")
	w.bind("x -> q", "f -> q")
	broken := errors.New("bad tag")
	m := message("f")
	m.Delayed = func() (bool, error) { return false, broken }
	w.wantRoute(m, "q")
	m.Exchange = []byte("x")
	if got, out, err := w.Route(nil, m, &w.scratch); !errors.Is(err, broken) || len(got) != 0 || out.Kept != nil { // WIRE-14
		t.Errorf("got %q, %+v, %v", got, out, err)
	}
}

func TestCacheKeepsNoAnswerOfADelayedExchange(t *testing.T) { // 7.6
	w := newWorld(t)
	w.delayedExchange("x", router.Fanout)
	w.queue("q")
	w.bind("x -> q")
	c := router.NewCache(w.Router)
	for range 3 {
		due := mustRoute(t, c, message("x", "k"))
		held := mustRoute(t, c, withDelay(message("x", "k")))
		if !slices.Equal(due.Set.Queues(), []string{"q"}) || due.Set.Kept() != nil {
			t.Errorf("due: %+v", due.Set)
		}
		if delayed, _ := keeps(held.Set.Kept()); len(held.Set.Queues()) != 0 || !slices.Equal(delayed, []string{"x"}) {
			t.Errorf("held: %+v", held.Set)
		}
		if _, ok := c.Lookup(message("x", "k")); ok {
			t.Error("answered")
		}
	}
}

func TestDelayIsAPositiveIntegerOfMilliseconds(t *testing.T) { // 7.6
	for _, c := range []struct {
		header any
		want   time.Duration
	}{
		{int8(1), time.Millisecond},
		{int64(5000), 5 * time.Second},
		{uint32(math.MaxUint32), math.MaxUint32 * time.Millisecond},
		{int64(math.MaxUint32 + 1), 0},
		{0, 0},
		{-5, 0},
		{"5000", 0},
		{5.0, 0},
		{nil, 0},
	} {
		if got, ok := router.Delay(c.header); got != c.want || ok != (c.want > 0) {
			t.Errorf("%T %v: %v, %v; want %v", c.header, c.header, got, ok, c.want)
		}
	}
}
