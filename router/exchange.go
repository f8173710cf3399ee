package router

// The exchange types.
const (
	Direct  = "direct"
	Fanout  = "fanout"
	Topic   = "topic"
	Headers = "headers"

	ConsistentHash = "x-consistent-hash"
	ModulusHash    = "x-modulus-hash"
	Random         = "x-random"
	LocalRandom    = "x-local-random"
	RecentHistory  = "x-recent-history"
	DelayedMessage = "x-delayed-message"
)

// argAlternate is the declare argument that names an exchange's alternate.
const argAlternate = "alternate-exchange"

// Exchange describes an exchange. The router keeps the argument map it is given: it must not be
// changed afterwards.
type Exchange struct {
	Name       string
	Type       string
	Durable    bool // stored for the owner
	AutoDelete bool // deleted with its last binding as source (EXCH-10)
	Internal   bool // stored and reported by Route; refusing is the owner's
	Arguments  map[string]any

	// Alternate names the exchange that a policy gives to messages this one routes nowhere; empty
	// means none. The argument alternate-exchange beats it (ROUTE-03). The exchange need not exist.
	Alternate string
	// Delays says that a policy makes it hold messages with a delay, whatever its type (see DelayedMessage).
	Delays bool
}

// Types lists the names of the exchange types, sorted (EXCH-01).
func Types() []string {
	return []string{
		Direct, Fanout, Headers, Topic,
		ConsistentHash, DelayedMessage, LocalRandom, ModulusHash, Random, RecentHistory,
	}
}

// Predeclared lists the exchanges that a vhost starts with beside the default one, which is always
// there (6.1).
func Predeclared() []Exchange {
	return []Exchange{
		{Name: "amq.direct", Type: Direct, Durable: true},
		{Name: "amq.fanout", Type: Fanout, Durable: true},
		{Name: "amq.headers", Type: Headers, Durable: true},
		{Name: "amq.match", Type: Headers, Durable: true},
		{Name: "amq.rabbitmq.trace", Type: Topic, Durable: true, Internal: true},
		{Name: "amq.topic", Type: Topic, Durable: true},
	}
}

// exchange is an exchange at work.
type exchange[Q comparable] struct {
	vertex[Q]
	declared  Exchange
	alternate string // in effect; empty for none
	bindings  map[identity]*binding[Q]
	matcher   matcher[Q]
}

// resolveAlternate settles whose alternate exchange is in effect.
func (x *exchange[Q]) resolveAlternate() {
	x.alternate = x.declared.Alternate
	if name, ok := x.declared.Arguments[argAlternate].(string); ok {
		x.alternate = name
	}
}

// matcher is an exchange type at work: the bindings of one exchange, arranged for finding. Adding a
// type means implementing it and naming it in newMatcherOf and Types, and in checkArguments if not all
// declare arguments are right for it.
type matcher[Q comparable] interface {
	// check refuses a binding that the type cannot have.
	check(b *Binding) error
	add(b *binding[Q])
	remove(b *binding[Q])
	// match offers s the targets of s.message and tells it what the answer depends on. It must not
	// write to the matcher.
	match(s *Scratch[Q])
}

// checkArguments refuses declare arguments that an exchange type cannot have.
func checkArguments(kind string, arguments map[string]any) error {
	switch kind {
	case ConsistentHash:
		return checkHashArguments(arguments)
	case RecentHistory:
		return checkHistory(arguments)
	case DelayedMessage:
		return checkDelayed(arguments)
	}
	return nil
}

// newMatcher makes the empty matcher of an exchange.
func newMatcher[Q comparable](e *Exchange, ids *idPool) (matcher[Q], error) {
	made, err := newMatcherOf[Q](routesAs(e.Type, e.Arguments), e, ids)
	if err == nil && (e.Type == DelayedMessage || e.Delays) {
		made = &delayedMatcher[Q]{matcher: made, keeper: newKeeper(e)}
	}
	return made, err
}

// newMatcherOf makes the empty matcher of the type that an exchange routes as.
func newMatcherOf[Q comparable](kind string, e *Exchange, ids *idPool) (matcher[Q], error) {
	switch kind {
	case Direct:
		return &directMatcher[Q]{keys: make(map[string]*bucket[Q])}, nil
	case Fanout:
		return &fanoutMatcher[Q]{}, nil
	case Topic:
		return newTopicMatcher[Q](ids), nil
	case Headers:
		return newHeadersMatcher[Q](), nil
	case ConsistentHash:
		return newConsistentMatcher[Q](e.Arguments), nil
	case ModulusHash:
		return &modulusMatcher[Q]{}, nil
	case Random:
		return &randomMatcher[Q]{}, nil
	case LocalRandom:
		return &localRandomMatcher[Q]{}, nil
	case RecentHistory:
		return &historyMatcher[Q]{keeper: newKeeper(e)}, nil
	}
	return nil, UnknownType{Type: kind}
}
