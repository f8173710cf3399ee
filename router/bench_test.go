package router_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/router"
)

// load is a router with something to do: messages that a benchmark sends in turn.
type load struct {
	router   *router.Router[int]
	messages []*router.Message
}

func (l *load) must(err error) {
	if err != nil {
		panic(err)
	}
}

func (l *load) bind(n int, key string, arguments map[string]any) {
	name := fmt.Sprint("q", n)
	l.must(l.router.AddQueue(name, n))
	_, err := l.router.Bind(router.Binding{Source: "x", Destination: name, Key: key, Arguments: arguments})
	l.must(err)
}

func newLoad(kind string) *load {
	l := &load{router: router.New[int]()}
	_, err := l.router.Declare(declaration("x", kind))
	l.must(err)
	return l
}

func defaultLoad() *load {
	l := &load{router: router.New[int]()}
	for i := range 1000 {
		l.must(l.router.AddQueue(fmt.Sprint("q", i), i))
		l.messages = append(l.messages, message("", fmt.Sprint("q", i)))
	}
	return l
}

func directLoad(bindings int) *load {
	l := newLoad(router.Direct)
	for i := range bindings {
		l.bind(i, fmt.Sprint("orders.created.", i), nil)
		l.messages = append(l.messages, message("x", fmt.Sprint("orders.created.", i)))
	}
	return l
}

func fanoutLoad(bindings int) *load {
	l := newLoad(router.Fanout)
	for i := range bindings {
		l.bind(i, "", nil)
	}
	l.messages = []*router.Message{message("x", "any.key")}
	return l
}

// topicLoad binds wildcard patterns of the kinds one meets, and sends keys of three to five words;
// each finds a few queues.
func topicLoad(bindings int) *load {
	l := newLoad(router.Topic)
	random := rand.New(rand.NewPCG(1, 2))
	word := func(of string, n int) string { return fmt.Sprint(of, random.IntN(n)) }
	for i := range bindings {
		var key string
		switch i % 5 {
		case 0:
			key = word("region", 5) + ".*." + word("event", 50)
		case 1:
			key = "*." + word("service", 50) + ".*." + word("host", 50)
		case 2:
			key = word("region", 5) + "." + word("service", 50) + ".#"
		case 3:
			key = "#." + word("host", 50)
		case 4:
			key = "*.*." + word("event", 50) + ".#." + word("host", 50)
		}
		l.bind(i, key, nil)
	}
	for i := range 1024 {
		words := []string{word("region", 5), word("service", 50), word("event", 50), word("host", 50), word("pid", 9)}
		l.messages = append(l.messages, message("x", strings.Join(words[:3+i%3], ".")))
	}
	return l
}

// denseLoad is the worst of topics: few words, so that every pattern is nearly matched.
func denseLoad(bindings int) *load {
	l := newLoad(router.Topic)
	random := rand.New(rand.NewPCG(3, 4))
	words := []string{"a", "b", "c", "d", "*", "*", "#"}
	for i := range bindings {
		var pattern []string
		for range 3 + random.IntN(3) {
			pattern = append(pattern, words[random.IntN(len(words))])
		}
		l.bind(i, strings.Join(pattern, "."), nil)
	}
	for i := range 256 {
		var key []string
		for range 3 + i%3 {
			key = append(key, words[random.IntN(4)])
		}
		l.messages = append(l.messages, message("x", strings.Join(key, ".")))
	}
	return l
}

func headersLoad(bindings int) *load {
	l := newLoad(router.Headers)
	for i := range bindings {
		l.bind(i, "", args{"x-match": "all", "type": fmt.Sprint("type", i%10), "shard": int64(i / 10)})
	}
	for i := range 100 {
		headers := args{"type": fmt.Sprint("type", i%10), "shard": int64(i / 10), "user": "u", "retries": int64(3)}
		l.messages = append(l.messages, withHeaders(message("x", "k"), headers))
	}
	return l
}

// idleLoad has one binding that some messages meet beside many that none does, which ask for the same words or headers.
func idleLoad(kind string, bindings int) *load {
	l := newLoad(kind)
	bind := func(q int, key, item string) {
		if kind == router.Headers {
			l.bind(q, "", args{"x-match": "all", "item": item, "region": "eu"})
		} else {
			l.bind(q, key, nil)
		}
	}
	bind(0, "*.item.#", "item")
	for i := range bindings {
		bind(i+1, fmt.Sprint("*.idle", i, ".#"), fmt.Sprint("idle", i))
	}
	for i := range 4 {
		m := message("x", fmt.Sprint("region", i, ".item.price"))
		l.messages = append(l.messages, withHeaders(m, args{"item": "item", "region": "eu", "price": int32(1000 + i)}))
	}
	return l
}

// anyLoad is of headers bindings that want one of several values, of every kind.
func anyLoad(bindings int) *load {
	l := newLoad(router.Headers)
	for i := range bindings {
		l.bind(i, "", args{"x-match": "any", "n": int64(1000 + i), "f": float64(i) / 2, "t": time.Unix(int64(i), 0), "l": []any{int64(i)}, "m": args{"a": int64(i)}})
	}
	for i := range 100 {
		headers := args{"n": int32(1000 + i), "f": float32(i) / 2, "t": someTime(i), "l": someArray{int64(i)}, "m": someTable{"a": int64(i)}}
		l.messages = append(l.messages, withHeaders(message("x", "k"), headers))
	}
	return l
}

// choiceLoad is of a type that chooses one of the destinations; a thousand keys are sent.
func choiceLoad(kind string, bindings int) *load {
	l := newLoad(kind)
	for i := range bindings {
		l.bind(i, bindingKey(kind, i%5), nil)
	}
	for i := range 1000 {
		l.messages = append(l.messages, message("x", fmt.Sprint("orders.created.", i)))
	}
	return l
}

// partLoad hashes a part of the message.
func partLoad(argument, name string) *load {
	l := &load{router: router.New[int]()}
	_, err := l.router.Declare(router.Exchange{Name: "x", Type: router.ConsistentHash, Arguments: args{argument: name}})
	l.must(err)
	for i := range 10 {
		l.bind(i, "1", nil)
	}
	for i := range 100 {
		value := []byte(fmt.Sprint("customer-", i))
		m := message("x", "k")
		m.Header = func(string) ([]byte, bool, error) { return value, true, nil }
		m.Property = func(string) ([]byte, bool) { return value, true }
		l.messages = append(l.messages, m)
	}
	return l
}

// delayedLoad holds every second message.
func delayedLoad() *load {
	l := newLoad(router.DelayedMessage)
	for i := range 10 {
		l.bind(i, fmt.Sprint("orders.", i, ".#"), nil)
		l.messages = append(l.messages, message("x", fmt.Sprint("orders.", i)), withDelay(message("x", "orders")))
	}
	return l
}

func historyLoad() *load {
	l := newLoad(router.RecentHistory)
	for i := range 10 {
		l.bind(i, "", nil)
	}
	l.messages = []*router.Message{message("x", "any.key")}
	return l
}

var loads = []struct {
	name string
	make func() *load
}{
	{"default/1000", defaultLoad},
	{"direct/1", func() *load { return directLoad(1) }},
	{"direct/1000", func() *load { return directLoad(1000) }},
	{"fanout/10", func() *load { return fanoutLoad(10) }},
	{"fanout/10000", func() *load { return fanoutLoad(10000) }},
	{"topic/1000", func() *load { return topicLoad(1000) }},
	{"topic/10000", func() *load { return topicLoad(10000) }},
	{"topic-dense/1000", func() *load { return denseLoad(1000) }},
	{"topic-idle/0", func() *load { return idleLoad(router.Topic, 0) }},
	{"topic-idle/10000", func() *load { return idleLoad(router.Topic, 10_000) }},
	{"headers/100", func() *load { return headersLoad(100) }},
	{"headers-idle/0", func() *load { return idleLoad(router.Headers, 0) }},
	{"headers-idle/100", func() *load { return idleLoad(router.Headers, 100) }},
	{"headers-idle/10000", func() *load { return idleLoad(router.Headers, 10_000) }},
	{"headers-any/1000", func() *load { return anyLoad(1000) }},
	{"consistent/10", func() *load { return choiceLoad(router.ConsistentHash, 10) }},
	{"consistent/1000", func() *load { return choiceLoad(router.ConsistentHash, 1000) }},
	{"consistent-header/10", func() *load { return partLoad("hash-header", "h") }},
	{"consistent-property/10", func() *load { return partLoad("hash-property", "message_id") }},
	{"modulus/1000", func() *load { return choiceLoad(router.ModulusHash, 1000) }},
	{"random/1000", func() *load { return choiceLoad(router.Random, 1000) }},
	{"local-random/1000", func() *load { return choiceLoad(router.LocalRandom, 1000) }},
	{"history/10", historyLoad},
	{"delayed/10", delayedLoad},
}

func BenchmarkRoute(b *testing.B) {
	for _, c := range loads {
		b.Run(c.name, func(b *testing.B) {
			l := c.make()
			var s router.Scratch[int]
			var queues []int
			i, found := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				queues, _, _ = l.router.Route(queues[:0], l.messages[i%len(l.messages)], &s)
				found += len(queues)
				i++
			}
			b.ReportMetric(float64(found)/float64(b.N), "queues/op")
		})
	}
}

// BenchmarkCache sends messages the way a publisher does: asked of memory first.
func BenchmarkCache(b *testing.B) {
	for _, c := range loads {
		b.Run(c.name, func(b *testing.B) {
			l := c.make()
			cache := router.NewCache(l.router)
			i, hits := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				m := l.messages[i%len(l.messages)]
				if _, ok := cache.Lookup(m); ok {
					hits++
				} else if _, err := cache.Route(m); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
		})
	}
}

func BenchmarkBindUnbind(b *testing.B) {
	for _, kind := range router.Types() {
		b.Run(kind, func(b *testing.B) {
			l := newLoad(kind)
			for i := range 1000 {
				l.bind(i, bindingKey(kind, i), nil)
			}
			change := router.Binding{Source: "x", Destination: "q1", Key: bindingKey(kind, 2000)}
			if kind == router.LocalRandom {
				change.Arguments = args{"a": 1}
			}
			b.ReportAllocs()
			for b.Loop() {
				_, bound := l.router.Bind(change)
				_, unbound := l.router.Unbind(change)
				if bound != nil || unbound != nil {
					b.Fatal(bound, unbound)
				}
			}
		})
	}
}

func TestSteadyRoutingAllocatesNothing(t *testing.T) {
	for _, c := range loads {
		t.Run(c.name, func(t *testing.T) {
			l := c.make()
			extra := message("x", "orders.created.1", "region1.service1.event1", "q1")
			extra.Exchange = l.messages[0].Exchange
			var s router.Scratch[int]
			queues := make([]int, 0, 20000)
			i := 0
			route := func() {
				queues, _, _ = l.router.Route(queues[:0], l.messages[i%len(l.messages)], &s)
				queues, _, _ = l.router.Route(queues[:0], extra, &s)
				i++
			}
			for range l.messages {
				route() // the scratch grows
			}
			if n := testing.AllocsPerRun(200, route); n != 0 {
				t.Errorf("Route: %v allocations", n)
			}
			cache := router.NewCache(l.router)
			publish := func() {
				m := l.messages[i%len(l.messages)]
				if _, ok := cache.Lookup(m); !ok {
					_, _ = cache.Route(m)
				}
				i++
			}
			for range 3 * len(l.messages) {
				publish()
			}
			if n := testing.AllocsPerRun(200, publish); n != 0 {
				t.Errorf("Cache: %v allocations", n)
			}
		})
	}
}

// Keys that never repeat are no reason to allocate either.
func TestCacheAllocatesNothingForKeysThatNeverRepeat(t *testing.T) {
	l := fanoutLoad(1)
	_, err := l.router.Declare(router.Exchange{Name: "t", Type: router.Topic})
	l.must(err)
	_, err = l.router.Bind(router.Binding{Source: "t", Destination: "q0", Key: "order.*"})
	l.must(err)
	cache := router.NewCache(l.router)
	m := message("t", "order.00000000")
	next := func() {
		for i := len(m.Key) - 1; ; i-- {
			if m.Key[i]++; m.Key[i] <= '9' {
				break
			}
			m.Key[i] = '0'
		}
		if _, ok := cache.Lookup(m); !ok {
			_, _ = cache.Route(m)
		}
	}
	for range 100_000 { // every slot gets its memory
		next()
	}
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
