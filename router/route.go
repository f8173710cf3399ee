package router

import "math/rand/v2"

// Message is what routing looks at.
type Message struct {
	Exchange []byte
	Key      []byte

	// ExtraKeys are the keys of the CC and BCC headers (CC-01).
	ExtraKeys [][]byte

	// The rest of the message is asked for only if an exchange on the path needs it. Errors are
	// returned by Route as they are (WIRE-14). What is nil stands for a message without.

	// Headers decodes the headers of the message. It is called only when a headers exchange is on
	// the path, at most once a Route. The values are read before Route returns, never kept.
	Headers func() (map[string]any, error)

	// Header finds one header. Its value may be given as any octets, if only equal values have equal
	// ones; they are read before the next call. An x-consistent-hash exchange asks.
	Header func(name string) (value []byte, ok bool, err error)

	// Property finds one of correlation_id, message_id and timestamp, likewise.
	Property func(name string) (value []byte, ok bool)

	// Delayed tells whether the message has a delay (see Delay) that is still to come. An
	// x-delayed-message exchange asks. A message that is due must not have it.
	Delayed func() (bool, error)
}

// Dependence tells what a routing result depends on, apart from the state of the router. Each value
// includes those before it.
type Dependence uint8

// What a result can depend on.
const (
	OnExchange Dependence = iota // same for every key: only fanout exchanges on the path
	OnKey                        // same for every message with this exchange and key
	OnMessage                    // more of the message was looked at, or chance: this message only
)

// Outcome tells about a routing result what its queues do not.
type Outcome struct {
	// Internal says that the exchange named by the message is internal: a client must not publish to
	// it (EXCH-09). The routing is done all the same, for those who may.
	Internal bool
	// Depends tells how far the result may be reused at the same generation.
	Depends Dependence
	// Kept is nil unless an exchange on the path keeps the message. It is borrowed from the Scratch
	// until its next Route.
	Kept *Kept

	fingerprint uint64 // of the ids of the queues, in order, and of what is kept
}

// Scratch is the memory one caller routes with. The zero value is ready. It belongs to one caller at
// a time and serves any number of routers. It keeps nothing of a message after Route returned.
type Scratch[Q comparable] struct {
	// Random is what x-random and x-local-random draw from. It is the Scratch's own. One that is
	// missing when it is needed is made, with a seed from the runtime.
	Random rand.Source

	marks []uint64 // by id: the round in which it was last seen
	round uint64   // never repeats, so marks are never cleared

	// State of the Route under way.
	message     *Message
	visit       uint64 // the round that marks visited vertices
	queues      []Q
	frontier    []*exchange[Q] // exchanges reached, in order; a prefix is done
	matched     bool           // the exchange at work matched at least one target
	depends     Dependence
	fingerprint uint64
	headers     headersOf
	kept        Kept // stays until the next Route
	err         error

	words topicScratch[Q]
	found []int // positions of bindings that headers match
}

// Route appends to dst the queues that m goes to, each at most once (ROUTE-01), and returns the
// extended slice. The only errors are NoExchange and what the functions of m return; dst is then
// returned as it was.
func (r *Router[Q]) Route(dst []Q, m *Message, s *Scratch[Q]) ([]Q, Outcome, error) {
	x, ok := r.exchanges[string(m.Exchange)]
	if !ok {
		return dst, Outcome{}, NoExchange{Name: string(m.Exchange)}
	}
	s.begin(dst, m, r.ids.limit)
	s.reach(x)
	// The frontier is a queue, so this is breadth first; the marks are the visited set (ROUTE-02,
	// EXCH-23).
	for i := 0; i < len(s.frontier); i++ {
		at := s.frontier[i]
		s.matched = false
		at.matcher.match(s)
		// What matched counts, not what was new: an exchange all of whose targets were seen before
		// has routed the message (ROUTE-03).
		if !s.matched && at.alternate != "" {
			if alternate, ok := r.exchanges[at.alternate]; ok {
				s.reach(alternate)
			}
		}
	}
	return s.end(dst, x.declared.Internal)
}

func (s *Scratch[Q]) begin(dst []Q, m *Message, ids uint32) {
	if int(ids) > len(s.marks) {
		grown := make([]uint64, ids+ids/4+16)
		copy(grown, s.marks)
		s.marks = grown
	}
	s.round++
	s.visit = s.round
	s.message, s.queues = m, dst
	s.kept.Delayed, s.kept.History = s.kept.Delayed[:0], s.kept.History[:0]
	s.depends, s.fingerprint, s.err = OnExchange, fingerprintBasis, nil
}

// end hands the result over and lets go of everything that is not the Scratch's own.
func (s *Scratch[Q]) end(dst []Q, internal bool) ([]Q, Outcome, error) {
	out := Outcome{Internal: internal, Depends: s.depends, fingerprint: s.fingerprint}
	if out.Depends == OnKey && len(s.message.ExtraKeys) > 0 {
		out.Depends = OnMessage
	}
	if !s.kept.empty() {
		out.Kept = &s.kept
	}
	queues, err := s.queues, s.err
	clear(s.frontier)
	s.frontier = s.frontier[:0]
	s.message, s.queues, s.err = nil, nil, nil
	s.headers = headersOf{}
	if err != nil {
		return dst, Outcome{Internal: internal, Depends: OnMessage}, err
	}
	return queues, out, nil
}

// dependOn notes that the result depends on d at least.
func (s *Scratch[Q]) dependOn(d Dependence) { s.depends = max(s.depends, d) }

// fail makes Route return err, unless there was another before.
func (s *Scratch[Q]) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// reach puts an exchange on the frontier unless it was there.
func (s *Scratch[Q]) reach(x *exchange[Q]) {
	if s.marks[x.self.id] != s.visit {
		s.marks[x.self.id] = s.visit
		s.frontier = append(s.frontier, x)
	}
}

const (
	fingerprintBasis = 14695981039346656037 // FNV-1a, a word at a time
	fingerprintPrime = 1099511628211
)

// take is how a matcher says what matched.
func (s *Scratch[Q]) take(targets []target[Q]) {
	if len(targets) == 0 {
		return
	}
	s.matched = true
	marks, visit, queues, fingerprint := s.marks, s.visit, s.queues, s.fingerprint
	for i := range targets {
		t := &targets[i]
		if t.exchange != nil {
			s.reach(t.exchange)
			continue
		}
		if marks[t.id] == visit {
			continue
		}
		marks[t.id] = visit
		queues = append(queues, t.queue)
		fingerprint = (fingerprint ^ uint64(t.id)) * fingerprintPrime
	}
	s.queues, s.fingerprint = queues, fingerprint
}
