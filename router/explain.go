package router

import "slices"

// Explanation is why a message goes where it goes: the exchanges on its way, in the order in which it
// reaches them, the one that it was published to first. Its queues are those of Route, save for exchanges
// that leave the choice to chance.
type Explanation[Q comparable] struct {
	Steps  []Step
	Queues []Q // each once
}

// Step is what one exchange does with a message.
type Step struct {
	Exchange Exchange
	// From is the index of the step that led here, -1 for the first; Through is the binding that did, and nil
	// says that the exchange is the alternate of the one before (ROUTE-03).
	From    int
	Through *Binding
	// Matched are the bindings that the message takes, sorted. What the default exchange has instead of a
	// binding leads from "" to a queue by its name. Bindings to one destination may be several.
	Matched []Binding
	// Chance says that the exchange sends the message through one of Matched only, nobody knows which.
	Chance bool
	// Held says that the exchange keeps the message until its delay is over: it has gone no further.
	Held bool
	// Remembered says that the exchange keeps the message for new bindings.
	Remembered bool
	// Alternate is the exchange that takes the message since nothing matched; empty if there is none, or
	// something matched. Missing says that no such exchange exists.
	Alternate string
	Missing   bool
}

// Explain tells why a message goes where Route says. It asks the same matchers, and is for people who wait for
// the answer: its cost is linear in the bindings of the exchanges on the way, and it allocates. The functions
// of the message may be called more than once. The errors are those of Route.
func (r *Router[Q]) Explain(m *Message) (Explanation[Q], error) {
	x, ok := r.exchanges[string(m.Exchange)]
	if !ok {
		return Explanation[Q]{}, NoExchange{Name: string(m.Exchange)}
	}
	e := explainer[Q]{router: r, message: m, seen: make(map[string]bool), reached: make(map[string]bool)}
	e.visit(x, -1, nil)
	for i := 0; i < len(e.found.Steps); i++ { // breadth first, as Route goes
		if err := e.follow(i); err != nil {
			return Explanation[Q]{}, err
		}
	}
	return e.found, nil
}

// explainer is an Explain under way.
type explainer[Q comparable] struct {
	router  *Router[Q]
	message *Message
	found   Explanation[Q]
	seen    map[string]bool // exchanges
	reached map[string]bool // queues
	scratch Scratch[Q]
}

// visit puts an exchange on the way unless it is there.
func (e *explainer[Q]) visit(x *exchange[Q], from int, through *Binding) {
	if !e.seen[x.declared.Name] {
		e.seen[x.declared.Name] = true
		e.found.Steps = append(e.found.Steps, Step{Exchange: x.declared, From: from, Through: through})
	}
}

// follow finds out what an exchange does with the message, and where it leads.
func (e *explainer[Q]) follow(i int) error {
	at := &e.found.Steps[i]
	x := e.router.exchanges[at.Exchange.Name]
	matched, err := e.ask(x, at)
	if err != nil {
		return err
	}
	if len(matched) == 0 && !at.Held && x.alternate != "" {
		at.Alternate = x.alternate
		alternate, ok := e.router.exchanges[x.alternate]
		if at.Missing = !ok; ok {
			e.visit(alternate, i, nil)
		}
		return nil
	}
	at.Matched = matched
	for n := range matched {
		b := &matched[n]
		if b.DestinationKind == ToExchange {
			e.visit(e.router.exchanges[b.Destination], i, b)
		} else if !e.reached[b.Destination] {
			e.reached[b.Destination] = true
			e.found.Queues = append(e.found.Queues, e.router.queues[b.Destination].self.queue)
		}
	}
	return nil
}

// ask returns the bindings of an exchange that the message takes.
func (e *explainer[Q]) ask(x *exchange[Q], at *Step) ([]Binding, error) {
	s := &e.scratch
	s.begin(nil, e.message, e.router.ids.limit)
	visit := s.visit
	x.matcher.match(s)
	_, out, err := s.end(nil, false)
	if err != nil {
		return nil, err
	}
	if out.Kept != nil {
		at.Held, at.Remembered = len(out.Kept.Delayed) > 0, len(out.Kept.History) > 0
	}
	if at.Held {
		return nil, nil
	}
	matcher := x.matcher
	if delayed, ok := matcher.(*delayedMatcher[Q]); ok {
		matcher = delayed.matcher
	}
	if _, ok := matcher.(defaultMatcher[Q]); ok {
		return e.named(), nil
	}
	switch matcher.(type) {
	case *randomMatcher[Q], *localRandomMatcher[Q]:
		at.Chance = len(x.bindings) > 0
	}
	var found []*binding[Q]
	for _, b := range x.bindings {
		// What the matcher took is marked; of several bindings that lead there not all need have matched.
		if at.Chance || s.marks[b.destination.self.id] == visit && e.took(x, matcher, b) {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, (*binding[Q]).compare)
	bindings := make([]Binding, len(found))
	for i, b := range found {
		bindings[i] = b.declared
	}
	return bindings, nil
}

// named is what the default exchange does: keys are names of queues (ROUTE-05).
func (e *explainer[Q]) named() (found []Binding) {
	for _, key := range slices.Concat([][]byte{e.message.Key}, e.message.ExtraKeys) {
		name := string(key)
		same := func(b Binding) bool { return b.Key == name }
		if _, ok := e.router.queues[name]; ok && !slices.ContainsFunc(found, same) {
			found = append(found, Binding{Destination: name, Key: name})
		}
	}
	return found
}

// took reports whether a binding led to its destination, which the message reached from its source.
func (e *explainer[Q]) took(x *exchange[Q], m matcher[Q], b *binding[Q]) bool {
	switch m.(type) {
	case *directMatcher[Q], *topicMatcher[Q], *headersMatcher[Q]:
		return e.alone(x, b)
	case *consistentMatcher[Q]:
		return !b.waiting
	}
	return true // all that lead there do: fanout, and x-modulus-hash, which knows destinations only
}

// alone reports whether a binding would match if its exchange had no other.
func (e *explainer[Q]) alone(x *exchange[Q], b *binding[Q]) bool {
	ids := &idPool{limit: e.router.ids.limit}
	m, err := newMatcherOf[Q](routesAs(x.declared.Type, x.declared.Arguments), &x.declared, ids)
	if err != nil {
		return false
	}
	m.add(&binding[Q]{declared: b.declared, identity: b.identity, source: x, destination: b.destination})
	var s Scratch[Q]
	s.begin(nil, e.message, ids.limit)
	m.match(&s)
	return s.matched
}
