package benchmarks

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Workload says what load is put on a broker.
type Workload struct {
	Name    string
	Summary string

	Messages   int // published by all producers together
	Size       int // of a body, in bytes
	Persistent bool
	// Window is how many publishes of a producer may be unconfirmed; 0 asks for no confirms.
	Window int
	// Rate is how many messages are sent in a second, by all producers together and whatever the broker
	// does; latency is then measured. 0 sends as fast as it goes.
	Rate int

	Producers int
	Consumers int
	Queues    int
	Exchange  ExchangeKind
	// Bindings of a topic exchange, spread over the queues.
	Bindings int

	AutoAck  bool
	Prefetch int // 0 is no limit
	AckEvery int
	// Backlog publishes everything before the first consumer starts.
	Backlog bool
	// Fill only publishes, and leaves the queues and all that is in them to whoever wants a full broker.
	Fill bool
}

// ExchangeKind is what a workload publishes to.
type ExchangeKind string

// The kinds of exchange.
const (
	ExchangeDefault ExchangeKind = ""       // straight to a queue by its name
	ExchangeFanout  ExchangeKind = "fanout" // to all queues
	ExchangeTopic   ExchangeKind = "topic"  // by patterns, to one queue each
)

const (
	maxProducers = math.MaxUint16 + 1 // a stamp has two octets for them
	maxBindings  = 65536
)

// Validate reports all faults together.
func (w *Workload) Validate() error {
	var faults []error
	between := func(what string, value, from, to int) {
		if value < from || value > to {
			faults = append(faults, fmt.Errorf("%s: %d is not between %d and %d", what, value, from, to))
		}
	}
	between("messages", w.Messages, 1, 1<<40)
	between("size", w.Size, 0, 512<<20)
	between("window", w.Window, 0, 1<<24)
	between("rate", w.Rate, 0, 1e9)
	between("producers", w.Producers, 1, maxProducers)
	between("queues", w.Queues, 1, 1<<20)
	between("consumers", w.Consumers, w.Queues, 1<<20)
	between("prefetch", w.Prefetch, 0, math.MaxUint16)
	if !w.AutoAck {
		most := w.Prefetch
		if most == 0 {
			most = math.MaxInt
		}
		between("ack every", w.AckEvery, 1, most)
	}
	if w.Exchange == ExchangeTopic {
		between("bindings", w.Bindings, 1, maxBindings)
	}
	if w.Rate > 0 && w.Size < stampSize {
		faults = append(faults, fmt.Errorf("latency needs bodies of %d bytes or more", stampSize))
	}
	if w.Rate > 0 && w.Backlog {
		faults = append(faults, errors.New("a backlog has no latency: it goes without a rate"))
	}
	return errors.Join(faults...)
}

// share is how many messages the producer sends.
func (w *Workload) share(producer int) int {
	n := w.Messages / w.Producers
	if producer < w.Messages%w.Producers {
		n++
	}
	return n
}

// interval is the time between two messages of one producer of a workload with a rate.
func (w *Workload) interval() time.Duration {
	return time.Duration(float64(time.Second) * float64(w.Producers) / float64(w.Rate))
}

func (w *Workload) queueName(queue int) string {
	return "millrace-bench." + w.Name + "." + strconv.Itoa(queue)
}

func (w *Workload) exchangeName() string {
	if w.Exchange == ExchangeDefault {
		return ""
	}
	return "millrace-bench." + w.Name
}

// route is one way that messages of a producer take. The producer's message number n takes its route
// n modulo the number of its routes.
type route struct {
	key    string
	queues []int // that it leads to
}

// topicRegions is how many routing keys there are for each pattern.
const topicRegions = 4

// routes returns the routes of a producer.
func (w *Workload) routes(producer int) []route {
	switch w.Exchange {
	case ExchangeFanout:
		all := make([]int, w.Queues)
		for i := range all {
			all[i] = i
		}
		return []route{{"everyone", all}}
	case ExchangeTopic:
		routes := make([]route, 0, topicRegions*w.Bindings)
		for i := range topicRegions * w.Bindings {
			binding := i % w.Bindings
			routes = append(routes, route{fmt.Sprintf("region%d.item%d.price", i/w.Bindings, binding), []int{binding % w.Queues}})
		}
		return routes
	}
	if w.Producers >= w.Queues {
		queue := producer % w.Queues
		return []route{{w.queueName(queue), []int{queue}}}
	}
	var routes []route
	for queue := producer; queue < w.Queues; queue += w.Producers {
		routes = append(routes, route{w.queueName(queue), []int{queue}})
	}
	return routes
}

// pattern is the binding that the topic routes with this number match.
func (w *Workload) pattern(binding int) string { return fmt.Sprintf("*.item%d.#", binding) }

// expected returns how many messages each queue is to get.
func (w *Workload) expected() []int {
	counts := make([]int, w.Queues)
	for producer := range w.Producers {
		routes := w.routes(producer)
		share := w.share(producer)
		for i, r := range routes {
			n := share / len(routes)
			if i < share%len(routes) {
				n++
			}
			for _, q := range r.queues {
				counts[q] += n
			}
		}
	}
	return counts
}
