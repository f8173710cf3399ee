package load

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Workload says what load is put on a broker.
type Workload struct {
	ID      string // in the list of workloads that brokers are compared by, such as W3; may be ""
	Name    string
	Summary string

	Mode Mode
	// Messages are published by all producers together, not counting those of the warm-up. With a Duration
	// it is 0, and publishing ends when the time is up. In ModeConsume: consumed at most; 0 takes what is there.
	Messages int
	Duration time.Duration
	// WarmUp is how long the load runs before anything is measured. What is sent then is checked all the same.
	WarmUp time.Duration

	Size       Sizes
	Persistent bool
	// Window is how many publishes of a producer may be unconfirmed; 0 asks for no confirms.
	Window int
	// Rate is how many messages are sent in a second, by all producers together and whatever the broker
	// does; latency is then measured from the time that a message was due. 0 sends as fast as it goes.
	Rate int
	// Latency measures it without a rate too, from the time that a message was sent: then a broker that
	// stalls is charged only for what was under way.
	Latency bool

	Producers int
	Consumers int
	// Connections that producers and consumers share, each with a channel of its own; 0 gives each a connection.
	Connections int

	Queues    int
	QueueName string     // "" makes one up; with several queues ".0", ".1" and so on stand behind it
	Arguments amqp.Table // of the queues
	Exchange  ExchangeKind
	// Bindings of a direct, topic or headers exchange, spread over the queues.
	Bindings int
	// BindingKeys and RoutingKeys are used in turn. Without, keys are made up: one for each binding, several
	// for each of a topic exchange.
	BindingKeys, RoutingKeys []string
	// IdleBindings are more bindings of a direct, topic or headers exchange, which no message matches.
	IdleBindings int
	// IdleQueues are declared and not used.
	IdleQueues int

	AutoAck  bool
	Prefetch int // 0 is no limit
	AckEvery int
	// ConsumerRate is how many deliveries are taken in a second, by all consumers together; 0 is as fast as they come.
	// With a prefetch limit the broker keeps the rest, without one it fills the sockets.
	ConsumerRate int
	// StopReading has consumers take nothing from their sockets once they have begun, as clients that hang.
	StopReading bool
	// Prefill is how many messages are in the queues before the measurement begins. While it lasts, consumers
	// keep in step with producers, so that the backlog stays.
	Prefill int
	// PerDelivery divides costs by deliveries, not by publishes.
	PerDelivery bool
}

// Mode is what a run is made of.
type Mode int

// The modes.
const (
	ModeFlow    Mode = iota // publish and consume at the same time
	ModeBacklog             // publish everything, then consume it
	ModePublish             // only publish, and leave the queues and what is in them
	ModeConsume             // only consume, from queues that are there
	ModeDeclare             // only declare the queues
)

// ExchangeKind is what a workload publishes to.
type ExchangeKind string

// The kinds of exchange.
const (
	ExchangeDefault ExchangeKind = "default" // straight to a queue by its name
	ExchangeDirect  ExchangeKind = "direct"  // by equal keys
	ExchangeFanout  ExchangeKind = "fanout"  // to all queues
	ExchangeTopic   ExchangeKind = "topic"   // by patterns
	ExchangeHeaders ExchangeKind = "headers" // by a header of the message
)

const (
	maxProducers = math.MaxUint16 + 1 // a stamp has two octets for them
	maxBindings  = 65536
	maxSize      = 512 << 20
	maxChannels  = 2047 // RabbitMQ's limit, less one
)

// Validate reports all faults together.
func (w *Workload) Validate() error {
	var faults []error
	between := func(what string, value, from, to int) {
		if value < from || value > to {
			faults = append(faults, fmt.Errorf("%s: %d is not between %d and %d", what, value, from, to))
		}
	}
	between("queues", w.Queues, 1, 1<<20)
	between("idle queues", w.IdleQueues, 0, 1<<20)
	if w.produces() {
		w.validateProducing(between)
	}
	if w.consumes() {
		between("consumers", w.Consumers, w.Queues, 1<<20)
		between("prefetch", w.Prefetch, 0, math.MaxUint16)
		between("consumer rate", w.ConsumerRate, 0, 1e9)
		if !w.AutoAck {
			most := w.Prefetch
			if most == 0 {
				most = math.MaxInt
			}
			between("ack every", w.AckEvery, 1, most)
		}
	}
	between("connections", w.Connections, 0, 1<<20)
	if w.Connections > 0 {
		between("channels of a connection", (w.Producers+w.Consumers+w.Connections-1)/w.Connections, 1, maxChannels)
	}
	return errors.Join(append(faults, w.contradictions()...)...)
}

func (w *Workload) validateProducing(between func(what string, value, from, to int)) {
	if w.Duration == 0 {
		between("messages", w.Messages, 1, 1<<40)
	}
	between("window", w.Window, 0, 1<<24)
	between("rate", w.Rate, 0, 1e9)
	between("producers", w.Producers, 1, maxProducers)
	between("prefill", w.Prefill, 0, 1<<40)
	between("idle bindings", w.IdleBindings, 0, maxBindings)
	if w.keyed() && len(w.BindingKeys) == 0 {
		between("bindings", w.Bindings, 1, maxBindings)
	}
}

// contradictions are options that do not go together.
func (w *Workload) contradictions() (faults []error) {
	for _, c := range []struct {
		is   bool
		text string
	}{
		{w.Messages > 0 && w.Duration > 0, "a number of messages and a duration exclude each other"},
		{w.Duration < 0 || w.WarmUp < 0, "a duration is negative"},
		{w.Mode == ModeBacklog && w.Rate > 0, "a backlog has no latency: it goes without a rate"},
		{w.Mode == ModeBacklog && w.Prefill > 0, "a backlog is not filled before"},
		{w.Mode != ModeFlow && w.Mode != ModePublish && w.WarmUp > 0, "a warm-up goes with publishing only"},
		{w.Mode == ModeConsume && w.Prefill > 0, "consuming alone fills nothing"},
		{w.produces() && w.latency() && w.Size.least() < stampSize, fmt.Sprintf("latency needs bodies of %d bytes or more", stampSize)},
		{(w.ConsumerRate > 0 || w.StopReading) && w.Connections > 0, "consumers that are slow or stop reading have connections of their own"},
		{w.StopReading && (w.Mode != ModeFlow || w.Prefill > 0), "consumers that stop reading neither drain nor keep in step: they go with publishing at the same time, and no prefill"},
		{w.IdleBindings > 0 && !w.keyed(), "idle bindings are for direct, topic and headers exchanges"},
		{len(w.BindingKeys) > 0 && !w.keyed(), "binding keys are for direct, topic and headers exchanges"},
		{w.Exchange == ExchangeDefault && len(w.RoutingKeys) > 0, "the default exchange takes queues' names for routing keys"},
		{w.Exchange == ExchangeHeaders && (len(w.RoutingKeys) > 0) != (len(w.BindingKeys) > 0), "a headers exchange with keys of yours needs both binding and routing keys"},
	} {
		if c.is {
			faults = append(faults, errors.New(c.text))
		}
	}
	return faults
}

func (w *Workload) produces() bool {
	return w.Mode == ModeFlow || w.Mode == ModeBacklog || w.Mode == ModePublish
}

func (w *Workload) consumes() bool {
	return w.Mode == ModeFlow || w.Mode == ModeBacklog || w.Mode == ModeConsume
}

func (w *Workload) latency() bool { return (w.Rate > 0 || w.Latency) && w.Mode != ModeConsume }

// keyed says whether bindings of the exchange are looked through.
func (w *Workload) keyed() bool {
	return w.Exchange == ExchangeDirect || w.Exchange == ExchangeTopic || w.Exchange == ExchangeHeaders
}

// stamped says whether bodies have room for who sent them.
func (w *Workload) stamped() bool { return w.Mode != ModeConsume && w.Size.least() >= stampSize }

// Unchecked says what of the checks a workload does not allow, and why; nothing of it means that all is checked.
func (w *Workload) Unchecked() []string {
	var reasons []string
	switch {
	case w.Mode == ModeDeclare:
		return nil
	case w.Mode == ModePublish:
		return []string{"nothing is consumed, so only confirms are checked"}
	case w.StopReading:
		return []string{"consumers stop reading, so only confirms are checked"}
	case w.Mode == ModeConsume:
		return []string{"messages are only counted: nobody knows what was published"}
	case !w.stamped():
		reasons = append(reasons, fmt.Sprintf("messages are only counted, not told apart: bodies of less than %d bytes have no room for a number", stampSize))
	case w.Consumers > w.Queues:
		reasons = append(reasons, "order is checked for each consumer: between the consumers of a queue there is none")
	}
	if names := w.discarding(); len(names) > 0 {
		reasons = append(reasons, "losses are not faults: the queues discard by "+strings.Join(names, ", "))
	}
	return reasons
}

// discarding names the queue arguments by which a broker may drop messages.
func (w *Workload) discarding() (names []string) {
	for _, name := range []string{"x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-delivery-limit"} {
		if _, ok := w.Arguments[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// consumerInterval is the time between two deliveries that one consumer takes; 0 is none.
func (w *Workload) consumerInterval() time.Duration {
	if w.ConsumerRate == 0 {
		return 0
	}
	return max(time.Duration(float64(time.Second)*float64(w.Consumers)/float64(w.ConsumerRate)), 1)
}

// share is how many of a number of messages the producer sends.
func (w *Workload) share(of, producer int) int {
	n := of / w.Producers
	if producer < of%w.Producers {
		n++
	}
	return n
}

// interval is the time between two messages of one producer of a workload with a rate.
func (w *Workload) interval() time.Duration {
	if w.Rate == 0 {
		return 0
	}
	return max(time.Duration(float64(time.Second)*float64(w.Producers)/float64(w.Rate)), 1)
}

func (w *Workload) queueName(queue int) string {
	if w.QueueName != "" && w.Queues == 1 {
		return w.QueueName
	}
	if w.QueueName != "" {
		return w.QueueName + "." + strconv.Itoa(queue)
	}
	return "millrace-bench." + w.Name + "." + strconv.Itoa(queue)
}

func (w *Workload) idleName(queue int) string {
	return "millrace-bench." + w.Name + ".idle." + strconv.Itoa(queue)
}

func (w *Workload) exchangeName() string {
	if w.Exchange == ExchangeDefault {
		return ""
	}
	return "millrace-bench." + w.Name
}
