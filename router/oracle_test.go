package router_test

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/router"
)

// oracle is the router as one would write it without a thought of speed: lists and recursion.
type oracle struct {
	exchanges map[string]router.Exchange
	queues    map[string]bool
	bindings  []router.Binding

	// counting is the binding that counts of those from a consistent-hash exchange to a destination.
	counting map[destination]router.Binding
}

type destination struct {
	source string
	kind   router.Kind
	name   string
}

func destinationOf(b router.Binding) destination {
	return destination{b.Source, b.DestinationKind, b.Destination}
}

func newOracle() *oracle {
	return &oracle{
		exchanges: map[string]router.Exchange{"": {Type: router.Direct, Durable: true}},
		queues:    map[string]bool{},
		counting:  map[destination]router.Binding{},
	}
}

func sameBinding(a, b router.Binding) bool {
	return a.Source == b.Source && a.DestinationKind == b.DestinationKind && a.Destination == b.Destination &&
		a.Key == b.Key && len(a.Arguments) == len(b.Arguments) &&
		(len(a.Arguments) == 0 || router.Equal(a.Arguments, b.Arguments))
}

func (o *oracle) has(b router.Binding) bool {
	return slices.ContainsFunc(o.bindings, func(have router.Binding) bool { return sameBinding(have, b) })
}

func (o *oracle) bind(b router.Binding) {
	if !o.has(b) {
		o.bindings = append(o.bindings, b)
		o.count()
	}
}

// count lets a binding count where none does, and none where it has gone.
func (o *oracle) count() {
	for d, b := range o.counting {
		if !o.has(b) {
			delete(o.counting, d)
		}
	}
	for _, b := range slices.SortedFunc(slices.Values(o.bindings), router.CompareIdentity) {
		if _, ok := o.counting[destinationOf(b)]; !ok {
			o.counting[destinationOf(b)] = b
		}
	}
}

// refuses tells whether the source does not take such a binding.
func (o *oracle) refuses(b router.Binding) bool {
	switch routesAs(o.exchanges[b.Source]) {
	case router.ConsistentHash:
		n, err := strconv.Atoi(b.Key)
		return err != nil || n < 1
	case router.LocalRandom:
		return b.Key != "" || b.DestinationKind == router.ToExchange
	}
	return false
}

func routesAs(e router.Exchange) string {
	if underlying, ok := e.Arguments["x-delayed-type"].(string); ok {
		return underlying
	}
	return e.Type
}

// drop removes the bindings that gone chooses, then the exchanges that delete themselves.
func (o *oracle) drop(gone func(router.Binding) bool) {
	defer o.count()
	for {
		lost := map[string]bool{}
		o.bindings = slices.DeleteFunc(o.bindings, func(b router.Binding) bool {
			if gone(b) {
				lost[b.Source] = true
				return true
			}
			return false
		})
		deleted := map[string]bool{}
		for name := range lost {
			left := slices.ContainsFunc(o.bindings, func(b router.Binding) bool { return b.Source == name })
			if o.exchanges[name].AutoDelete && !left {
				delete(o.exchanges, name)
				deleted[name] = true
			}
		}
		if len(deleted) == 0 {
			return
		}
		gone = func(b router.Binding) bool { return b.DestinationKind == router.ToExchange && deleted[b.Destination] }
	}
}

func (o *oracle) unbind(b router.Binding) {
	o.drop(func(have router.Binding) bool { return sameBinding(have, b) })
}

func (o *oracle) removeQueue(name string) {
	delete(o.queues, name)
	o.drop(func(b router.Binding) bool { return b.DestinationKind == router.ToQueue && b.Destination == name })
}

func (o *oracle) deleteExchange(name string) {
	delete(o.exchanges, name)
	o.drop(func(b router.Binding) bool {
		return b.Source == name || b.DestinationKind == router.ToExchange && b.Destination == name
	})
}

// asked is a message as the oracle is asked about it.
type asked struct {
	exchange string
	keys     []string
	headers  map[string]any
	delayed  bool
}

// answer is names, sorted.
type answer struct{ queues, delayed, history []string }

func (o *oracle) route(m asked) answer {
	queues, delayed, history, seen := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		x, ok := o.exchanges[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		if x.Type == router.DelayedMessage && m.delayed {
			delayed[name] = true
			return
		}
		if routesAs(x) == router.RecentHistory {
			history[name] = true
		}
		matching := o.matching(x, m)
		for _, b := range matching {
			if b.DestinationKind == router.ToQueue {
				queues[b.Destination] = true
			} else {
				visit(b.Destination)
			}
		}
		alternate := x.Alternate
		if argument, ok := x.Arguments["alternate-exchange"].(string); ok {
			alternate = argument
		}
		if len(matching) == 0 && alternate != "" {
			visit(alternate)
		}
	}
	visit(m.exchange)
	return answer{slices.Sorted(maps.Keys(queues)), slices.Sorted(maps.Keys(delayed)), slices.Sorted(maps.Keys(history))}
}

// matching returns the bindings that a message takes from an exchange.
func (o *oracle) matching(x router.Exchange, m asked) []router.Binding {
	var from []router.Binding
	if x.Name == "" {
		for _, key := range m.keys {
			if o.queues[key] {
				from = append(from, router.Binding{Destination: key})
			}
		}
		return from
	}
	for _, b := range o.bindings {
		if b.Source == x.Name {
			from = append(from, b)
		}
	}
	switch routesAs(x) {
	case router.ConsistentHash:
		return o.rendezvous(from, m.keys[0])
	case router.ModulusHash:
		return modulus(from, m.keys[0])
	}
	return slices.DeleteFunc(from, func(b router.Binding) bool { return !matches(routesAs(x), b, m) })
}

// rendezvous is a race of all that count, each with a runner of its own speed.
func (o *oracle) rendezvous(from []router.Binding, key string) (winner []router.Binding) {
	fastest := math.Inf(1)
	for _, b := range from {
		if !sameBinding(o.counting[destinationOf(b)], b) {
			continue
		}
		weight, _ := strconv.Atoi(b.Key)
		seed := router.Mix(router.HashOf([]byte(b.Destination)) ^ uint64(b.DestinationKind))
		x := float64(router.Mix(router.HashOf([]byte(key))^seed)>>11) / (1 << 53)
		if time := -math.Log1p(-x) / float64(weight); time < fastest {
			fastest, winner = time, []router.Binding{b}
		}
	}
	return winner
}

func modulus(from []router.Binding, key string) []router.Binding {
	slices.SortFunc(from, func(a, b router.Binding) int {
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.DestinationKind, b.DestinationKind))
	})
	from = slices.CompactFunc(from, func(a, b router.Binding) bool { return destinationOf(a) == destinationOf(b) })
	if len(from) == 0 {
		return nil
	}
	i := router.HashOf([]byte(key)) % uint64(len(from))
	return from[i : i+1]
}

func matches(kind string, b router.Binding, m asked) bool {
	switch kind {
	case router.Fanout, router.RecentHistory:
		return true
	case router.Direct:
		return slices.Contains(m.keys, b.Key)
	case router.Topic:
		return slices.ContainsFunc(m.keys, func(key string) bool { return topicMatches(b.Key, key) })
	}
	return headersMatch(b.Arguments, m.headers)
}

// topicMatches is the rule of 7.4 word by word: exponential, and plain.
func topicMatches(pattern, key string) bool {
	return wordsMatch(splitWords(pattern), splitWords(key))
}

func splitWords(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ".")
}

func wordsMatch(pattern, key []string) bool {
	if len(pattern) == 0 {
		return len(key) == 0
	}
	if pattern[0] == "#" {
		return wordsMatch(pattern[1:], key) || len(key) > 0 && wordsMatch(pattern, key[1:])
	}
	return len(key) > 0 && (pattern[0] == "*" || pattern[0] == key[0]) && wordsMatch(pattern[1:], key[1:])
}

func headersMatch(arguments, headers map[string]any) bool {
	mode, _ := arguments["x-match"].(string)
	considered, held := 0, 0
	for name, want := range arguments {
		if name == "x-match" || strings.HasPrefix(name, "x-") && !strings.HasSuffix(mode, "-with-x") {
			continue
		}
		considered++
		if got, ok := headers[name]; ok && (want == nil || router.Equal(want, got)) {
			held++
		}
	}
	if strings.HasPrefix(mode, "any") {
		return held > 0
	}
	return held == considered
}
