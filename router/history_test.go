package router_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/router"
)

func TestHistoryLength(t *testing.T) { // 7.6
	for _, c := range []struct {
		kind      string
		arguments args
		want      int
		text      string
	}{
		{router.RecentHistory, nil, 20, ""},
		{router.RecentHistory, args{"x-recent-history-length": int8(5)}, 5, ""},
		{router.RecentHistory, args{"x-recent-history-length": int64(math.MaxInt64)}, math.MaxInt64, ""},
		{router.RecentHistory, args{"x-recent-history-length": 0}, 0, "Invalid argument 0, 'x-recent-history-length' must be a positive integer"},
		{router.RecentHistory, args{"x-recent-history-length": -1}, 0, "Invalid argument -1, 'x-recent-history-length' must be a positive integer"},
		{router.RecentHistory, args{"x-recent-history-length": 5.0}, 0, "Invalid argument 5.0, 'x-recent-history-length' must be a positive integer"},
		{router.RecentHistory, args{"x-recent-history-length": "5"}, 0, `Invalid argument <<"5">>, 'x-recent-history-length' must be a positive integer`},
		{router.DelayedMessage, args{"x-delayed-type": "x-recent-history", "x-recent-history-length": 7}, 7, ""},
		{router.DelayedMessage, args{"x-delayed-type": "fanout", "x-recent-history-length": 7}, 0, ""},
		{router.Fanout, args{"x-recent-history-length": 0}, 0, ""},
	} {
		w := newWorld(t)
		e := router.Exchange{Name: "x", Type: c.kind, Arguments: c.arguments}
		_, err := w.Declare(e)
		var want error
		if c.text != "" {
			want = router.Refused{Text: c.text}
		}
		if !errors.Is(err, want) || want == nil && e.History() != c.want {
			t.Errorf("%s %v: %v, history %d; want %v, %d", c.kind, c.arguments, err, e.History(), want, c.want)
		}
	}
}

// keeps shows what a routing left with exchanges.
func keeps(k *router.Kept) (delayed, history []string) {
	if k == nil {
		return nil, nil
	}
	for _, x := range k.Delayed {
		delayed = append(delayed, x.Exchange)
	}
	for _, x := range k.History {
		history = append(history, x.Exchange)
	}
	return delayed, history
}

func (w *world) wantKept(m *router.Message, delayed, history []string) {
	w.t.Helper()
	_, out, err := w.Route(nil, m, &w.scratch)
	if err != nil {
		w.t.Fatal(err)
	}
	gotDelayed, gotHistory := keeps(out.Kept)
	if !slices.Equal(gotDelayed, delayed) || !slices.Equal(gotHistory, history) {
		w.t.Errorf("%s %q: delayed %q, history %q; want %q, %q", m.Exchange, m.Key, gotDelayed, gotHistory, delayed, history)
	}
}

func TestHistoryIsAFanoutThatTellsWhoRemembers(t *testing.T) { // 7.6
	w := newWorld(t)
	w.exchange(router.RecentHistory, "x", "y")
	w.exchange(router.Topic, "t")
	w.queue("a", "b")
	w.bind("x k -> a", "x => y", "y -> b", "t some => y", "t any -> a")
	w.wantRoute(message("x", "whatever"), "a", "b")
	w.wantKept(message("x", "whatever"), nil, []string{"x", "y"})
	w.wantKept(message("t", "some"), nil, []string{"y"})
	w.wantKept(message("t", "any"), nil, nil)
	if _, err := w.Delete("y"); err != nil {
		t.Fatal(err)
	}
	w.exchange(router.RecentHistory, "y")
	w.wantKept(message("y", "nowhere"), nil, []string{"y"}) // remembered all the same
}

func TestCacheAnswersWhatIsKept(t *testing.T) { // 7.6
	w := newWorld(t)
	w.declare(router.Exchange{Name: "x", Type: router.RecentHistory, Arguments: args{"x-recent-history-length": 3}})
	w.exchange(router.Fanout, "f")
	w.queue("q")
	w.bind("x -> q", "f -> q")
	c := router.NewCache(w.Router)
	plain := mustRoute(t, c, message("f", "k"))
	first := mustRoute(t, c, message("x", "k"))
	kept := first.Set.Kept()
	if _, history := keeps(kept); plain.Set.Kept() != nil || !slices.Equal(history, []string{"x"}) || kept.History[0].History != 3 {
		t.Fatalf("kept %+v", kept)
	}
	if first.Set == plain.Set {
		t.Error("one Set for messages that are kept and others")
	}
	if d, ok := c.Lookup(message("x", "other")); !ok || d != first {
		t.Errorf("found %+v, %v", d, ok)
	}
	w.queue("unrelated")
	if again := mustRoute(t, c, message("x", "k")); again.Set != first.Set {
		t.Error("a change elsewhere took the Set away")
	}
	// What the Memo says of an exchange must not be believed of another that has its name.
	if _, err := w.Delete("x"); err != nil {
		t.Fatal(err)
	}
	w.exchange(router.RecentHistory, "x")
	w.bind("x -> q")
	if again := mustRoute(t, c, message("x", "k")); again.Set == first.Set || again.Set.Kept().History[0].History != 20 {
		t.Errorf("kept %+v", again.Set.Kept())
	}
	if kept.History[0].Exchange != "x" || kept.History[0].History != 3 {
		t.Error("a Set changed")
	}
}
