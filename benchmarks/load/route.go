package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
)

// route is one way that messages of a producer take. The producer's message number n takes its route
// n modulo the number of its routes.
type route struct {
	key     string
	headers amqp.Table // of a headers exchange
	queues  []int      // that it leads to, each once
}

// binding is one of the queues' ties to the exchange.
type binding struct {
	queue     int
	key       string
	arguments amqp.Table // of a headers exchange
}

const (
	// topicRegions is how many routing keys there are for each pattern that is made up.
	topicRegions = 4
	// itemHeader is what a headers exchange looks at.
	itemHeader = "item"
)

// bindings returns those of the workload's queues.
func (w *Workload) bindings() []binding {
	var all []binding
	switch {
	case w.Exchange == ExchangeFanout:
		for q := range w.Queues {
			all = append(all, binding{queue: q})
		}
	case w.keyed():
		n := w.Bindings
		if len(w.BindingKeys) > 0 {
			n = max(n, len(w.BindingKeys), w.Queues)
		}
		for i := range n {
			b := binding{queue: i % w.Queues, key: w.bindingKey(i)}
			if w.Exchange == ExchangeHeaders {
				b.arguments, b.key = amqp.Table{"x-match": "all", itemHeader: b.key}, ""
			}
			all = append(all, b)
		}
	}
	return all
}

// idleBindings are those that no message matches. Their keys look like others, so that a broker has to look.
func (w *Workload) idleBindings() []binding {
	all := make([]binding, w.IdleBindings)
	for i := range all {
		key := "idle" + strconv.Itoa(i)
		b := binding{queue: i % w.Queues, key: key}
		switch w.Exchange {
		case ExchangeTopic:
			b.key = "*." + key + ".#"
		case ExchangeHeaders:
			b.arguments, b.key = amqp.Table{"x-match": "all", itemHeader: key}, ""
		}
		all[i] = b
	}
	return all
}

func (w *Workload) bindingKey(i int) string {
	switch {
	case len(w.BindingKeys) > 0:
		return w.BindingKeys[i%len(w.BindingKeys)]
	case w.Exchange == ExchangeTopic:
		return fmt.Sprintf("*.item%d.#", i)
	}
	return "item" + strconv.Itoa(i)
}

// routing holds the routes of a workload, made once.
type routing struct {
	workload *Workload
	shared   []route // of all producers; nil when each has its own
}

func (w *Workload) routing() routing {
	r := routing{workload: w}
	switch {
	case w.Exchange == ExchangeFanout:
		r.shared = w.routesToAll()
	case w.keyed() && len(w.BindingKeys)+len(w.RoutingKeys) > 0:
		r.shared = w.routesByKey()
	case w.keyed():
		r.shared = w.routesMadeUp()
	}
	return r
}

// of returns the routes of a producer: through the default exchange it has its share of the queues.
func (r routing) of(producer int) []route {
	w := r.workload
	if r.shared != nil {
		return r.shared
	}
	if w.Producers >= w.Queues {
		queue := producer % w.Queues
		return []route{{key: w.queueName(queue), queues: []int{queue}}}
	}
	var routes []route
	for queue := producer; queue < w.Queues; queue += w.Producers {
		routes = append(routes, route{key: w.queueName(queue), queues: []int{queue}})
	}
	return routes
}

func (w *Workload) routesToAll() []route {
	all := make([]int, w.Queues)
	for i := range all {
		all[i] = i
	}
	keys := w.RoutingKeys
	if len(keys) == 0 {
		keys = []string{"everyone"}
	}
	var routes []route
	for _, key := range keys {
		routes = append(routes, route{key: key, queues: all})
	}
	return routes
}

// routesMadeUp are those of keys that are made up, each of which leads to one queue.
func (w *Workload) routesMadeUp() []route {
	variants := 1
	if w.Exchange == ExchangeTopic {
		variants = topicRegions
	}
	routes := make([]route, 0, variants*w.Bindings)
	for i := range variants * w.Bindings {
		n := i % w.Bindings
		r := route{key: "item" + strconv.Itoa(n), queues: []int{n % w.Queues}}
		switch w.Exchange {
		case ExchangeTopic:
			r.key = fmt.Sprintf("region%d.item%d.price", i/w.Bindings, n)
		case ExchangeHeaders:
			r.headers, r.key = amqp.Table{itemHeader: r.key}, ""
		}
		routes = append(routes, r)
	}
	return routes
}

// routesByKey finds out where the user's keys lead.
func (w *Workload) routesByKey() []route {
	bindings := w.bindings()
	keys := w.RoutingKeys
	if len(keys) == 0 {
		keys = w.BindingKeys
	}
	var routes []route
	for _, key := range keys {
		r := route{key: key}
		for i, b := range bindings {
			if w.matches(w.bindingKey(i), key) && !slices.Contains(r.queues, b.queue) {
				r.queues = append(r.queues, b.queue)
			}
		}
		if w.Exchange == ExchangeHeaders {
			r.headers, r.key = amqp.Table{itemHeader: key}, ""
		}
		routes = append(routes, r)
	}
	return routes
}

func (w *Workload) matches(pattern, key string) bool {
	if w.Exchange != ExchangeTopic {
		return pattern == key
	}
	return topicMatches(strings.Split(pattern, "."), strings.Split(key, "."))
}

// topicMatches compares words: "*" is any word, "#" any number of words.
func topicMatches(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return topicMatches(pattern[1:], key) || len(key) > 0 && topicMatches(pattern, key[1:])
	case len(key) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == key[0]) && topicMatches(pattern[1:], key[1:])
}

// expected returns how many messages each queue is to get when each producer sent so many.
func (r routing) expected(sent []uint64) []uint64 {
	counts := make([]uint64, r.workload.Queues)
	for producer, n := range sent {
		if n == 0 {
			continue
		}
		routes := r.of(producer)
		for i, route := range routes {
			share := n / uint64(len(routes))
			if uint64(i) < n%uint64(len(routes)) {
				share++
			}
			for _, q := range route.queues {
				counts[q] += share
			}
		}
	}
	return counts
}
