package router_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/router"
)

// told writes an explanation a line a step.
func told(e router.Explanation[string]) string {
	var text strings.Builder
	for _, s := range e.Steps {
		fmt.Fprintf(&text, "%q from %d", s.Exchange.Name, s.From)
		if s.Through != nil {
			fmt.Fprintf(&text, " by %q", s.Through.Key)
		}
		for _, b := range s.Matched {
			fmt.Fprintf(&text, ", %q -> %s", b.Key, b.Destination)
		}
		for _, flag := range []struct {
			set  bool
			text string
		}{
			{s.Chance, ", by chance"},
			{s.Held, ", held"},
			{s.Remembered, ", remembered"},
			{s.Alternate != "", ", else " + s.Alternate},
			{s.Missing, ", which is missing"},
		} {
			if flag.set {
				text.WriteString(flag.text)
			}
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func (w *world) wantTold(m *router.Message, want ...string) {
	w.t.Helper()
	e, err := w.Explain(m)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := told(e); got != strings.Join(want, "\n")+"\n" {
		w.t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestExplainTellsBindingsAndTheWay(t *testing.T) {
	w := newWorld(t)
	w.queue("q1", "q2", "q3", "dump")
	w.exchange(router.Topic, "logs")
	w.exchange(router.Direct, "errors")
	w.exchange(router.Fanout, "all")
	w.declare(router.Exchange{Name: "strict", Type: router.Direct, Alternate: "all"})
	w.declare(router.Exchange{Name: "lost", Type: router.Direct, Alternate: "gone"})
	w.bind("logs #.error -> q1", "logs a.* -> q1", "logs b.# -> q1", "logs a.# => errors", "errors a.error -> q2", "errors x -> q3", "all -> dump")

	w.wantTold(
		message("logs", "a.error"),
		`"logs" from -1, "#.error" -> q1, "a.*" -> q1, "a.#" -> errors`,
		`"errors" from 0 by "a.#", "a.error" -> q2`,
	)
	w.wantTold(message("strict", "k"), `"strict" from -1, else all`, `"all" from 0, "" -> dump`)
	w.wantTold(message("lost", "k"), `"lost" from -1, else gone, which is missing`)
	w.wantTold(message("", "q1", "q3", "nobody", "q1"), `"" from -1, "q1" -> q1, "q3" -> q3`)
}

func TestExplainTellsOfHashesChanceAndKeepers(t *testing.T) {
	w := newWorld(t)
	w.queue("q1", "q2", "q3")
	w.exchange(router.ConsistentHash, "hash")
	w.bind("hash 1 -> q1", "hash 2 -> q1", "hash 1 -> q2")
	w.exchange(router.Random, "dice")
	w.bind("dice -> q1", "dice -> q2")
	w.exchange(router.RecentHistory, "recent")
	w.bind("recent -> q3")
	w.exchange(router.DelayedMessage, "later")
	w.bind("later # -> q3")

	for n := range 20 {
		m := message("hash", fmt.Sprint(n))
		e, err := w.Explain(m)
		if err != nil || len(e.Steps[0].Matched) != 1 || e.Steps[0].Matched[0].Key != "1" {
			t.Fatalf("%v, %+v", err, e)
		}
		w.wantRoute(m, e.Queues...)
	}
	w.wantTold(message("dice", "k"), `"dice" from -1, "" -> q1, "" -> q2, by chance`)
	w.wantTold(message("recent", "k"), `"recent" from -1, "" -> q3, remembered`)
	w.wantTold(withDelay(message("later", "k")), `"later" from -1, held`)
	w.wantTold(message("later", "k"), `"later" from -1, "#" -> q3`)
}

func TestExplainReturnsTheErrorsOfRoute(t *testing.T) {
	w := newWorld(t)
	w.queue("q")
	w.exchange(router.Headers, "h")
	w.bindWith(args{"a": 1}, "h -> q")
	if _, err := w.Explain(message("nowhere", "k")); !errors.As(err, new(router.NoExchange)) {
		t.Errorf("of an exchange that is not there: %v", err)
	}
	bad := errors.New("undecodable")
	m := message("h", "k")
	m.Headers = func() (map[string]any, error) { return nil, bad }
	if _, err := w.Explain(m); !errors.Is(err, bad) {
		t.Errorf("of headers that cannot be decoded: %v", err)
	}
}

// checkExplanation compares an explanation with Route, and each of its steps with the oracle's bindings.
func (m *model) checkExplanation(t *rapid.T) {
	q := asked{
		exchange: someExchange.Draw(t, "published to"), keys: []string{someMsgKey.Draw(t, "routing key")},
		headers: someHeaders.Draw(t, "headers"), delayed: rapid.Bool().Draw(t, "delayed"),
	}
	if rapid.Bool().Draw(t, "copies") {
		q.keys = append(q.keys, someMsgKey.Draw(t, "copy"))
	}
	asks := withHeaders(message(q.exchange, q.keys...), q.headers)
	if q.delayed {
		withDelay(asks)
	}
	want, out, routeErr := m.Route(nil, asks, &m.scratch)
	e, err := m.Explain(asks)
	if (err == nil) != (routeErr == nil) {
		t.Fatalf("explain: %v, route: %v", err, routeErr)
	}
	if err != nil {
		return
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(e.Queues)); !slices.Equal(got, want) {
		t.Fatalf("explained as %q, routed to %q", got, want)
	}
	held := slices.ContainsFunc(e.Steps, func(s router.Step) bool { return s.Held })
	remembered := slices.ContainsFunc(e.Steps, func(s router.Step) bool { return s.Remembered })
	if held != (out.Kept != nil && len(out.Kept.Delayed) > 0) || remembered != (out.Kept != nil && len(out.Kept.History) > 0) {
		t.Fatalf("explained as %+v, kept %+v", e, out.Kept)
	}
	for i, s := range e.Steps {
		m.checkStep(t, e, i, s, q)
	}
}

func (m *model) checkStep(t *rapid.T, e router.Explanation[string], i int, s router.Step, q asked) {
	x := m.oracle.exchanges[s.Exchange.Name]
	if !s.Held && routesAs(x) != router.ModulusHash { // which of several to one destination is not said of that one
		matching := m.oracle.matching(x, q)
		if len(s.Matched) != len(matching) || slices.ContainsFunc(s.Matched, func(b router.Binding) bool {
			return !slices.ContainsFunc(matching, func(have router.Binding) bool { return sameBinding(have, b) })
		}) {
			t.Fatalf("%s matched %+v, want %+v", x.Name, s.Matched, matching)
		}
	}
	if i == 0 {
		return
	}
	from := e.Steps[s.From]
	if s.Through == nil {
		if from.Alternate != s.Exchange.Name {
			t.Fatalf("%s is not the alternate of %+v", s.Exchange.Name, from)
		}
	} else if !slices.ContainsFunc(from.Matched, func(b router.Binding) bool { return sameBinding(b, *s.Through) }) {
		t.Fatalf("%s reached through %+v, which %+v does not have", s.Exchange.Name, s.Through, from)
	}
}

func TestExplainAgreesWithRoute(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		m := &model{world: w, oracle: newOracle(), cache: router.NewCache(w.Router)}
		for range 12 {
			m.Declare(rt)
			m.AddQueue(rt)
			m.bindSome(rt)
			m.bindSome(rt)
			m.bindSome(rt)
		}
		for range 10 {
			m.checkExplanation(rt)
		}
	})
}
