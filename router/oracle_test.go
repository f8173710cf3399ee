package router_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/millrace-mq/millrace/router"
)

// oracle is the router as one would write it without a thought of speed: lists and recursion.
type oracle struct {
	exchanges map[string]router.Exchange
	queues    map[string]bool
	bindings  []router.Binding
}

func newOracle() *oracle {
	return &oracle{
		exchanges: map[string]router.Exchange{"": {Type: router.Direct, Durable: true}},
		queues:    map[string]bool{},
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
	}
}

// drop removes the bindings that gone chooses, then the exchanges that delete themselves.
func (o *oracle) drop(gone func(router.Binding) bool) {
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

// route returns the names of the queues, sorted.
func (o *oracle) route(exchange string, keys []string, headers map[string]any) []string {
	queues, seen := map[string]bool{}, map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		x, ok := o.exchanges[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		matched := false
		for _, b := range o.bindings {
			if b.Source != name || !o.matches(x.Type, b, keys, headers) {
				continue
			}
			matched = true
			if b.DestinationKind == router.ToQueue {
				queues[b.Destination] = true
			} else {
				visit(b.Destination)
			}
		}
		if name == "" {
			for _, key := range keys {
				if o.queues[key] {
					matched, queues[key] = true, true
				}
			}
		}
		alternate := x.Alternate
		if argument, ok := x.Arguments["alternate-exchange"].(string); ok {
			alternate = argument
		}
		if !matched && alternate != "" {
			visit(alternate)
		}
	}
	visit(exchange)
	return slices.Sorted(maps.Keys(queues))
}

func (o *oracle) matches(kind string, b router.Binding, keys []string, headers map[string]any) bool {
	switch kind {
	case router.Fanout:
		return true
	case router.Direct:
		return slices.Contains(keys, b.Key)
	case router.Topic:
		return slices.ContainsFunc(keys, func(key string) bool { return topicMatches(b.Key, key) })
	}
	return headersMatch(b.Arguments, headers)
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
