package router

import (
	"slices"
	"sync/atomic"
)

// Router holds the exchanges, bindings and queue names of one vhost. Its owner guards it: see the
// package's words on locking. Create it with New.
type Router[Q comparable] struct {
	exchanges map[string]*exchange[Q]
	queues    map[string]*vertex[Q]

	// Ids of vertices (and of the '#' nodes of topic tries) are dense, so that a Scratch can mark
	// them in an array. Invariant: every id in use is below ids.limit.
	ids *idPool

	generation atomic.Uint64 // written under the owner's write lock, read without
}

// idPool hands out small numbers and takes them back.
type idPool struct {
	limit uint32
	free  []uint32
}

func (p *idPool) take() uint32 {
	if n := len(p.free); n > 0 {
		id := p.free[n-1]
		p.free = p.free[:n-1]
		return id
	}
	p.limit++
	return p.limit - 1
}

func (p *idPool) give(id uint32) { p.free = append(p.free, id) }

// New makes a router that has the default exchange and nothing else.
func New[Q comparable]() *Router[Q] {
	r := &Router[Q]{
		exchanges: make(map[string]*exchange[Q]),
		queues:    make(map[string]*vertex[Q]),
		ids:       &idPool{},
	}
	r.install(Exchange{Type: Direct, Durable: true}, defaultMatcher[Q]{queues: r.queues})
	return r
}

func (r *Router[Q]) install(e Exchange, m matcher[Q]) {
	x := &exchange[Q]{declared: e, bindings: make(map[identity]*binding[Q]), matcher: m}
	x.self = target[Q]{id: r.ids.take(), exchange: x}
	x.resolveAlternate()
	r.exchanges[e.Name] = x
}

// Generation changes with every change of the router. What was routed at a generation holds as long
// as that generation does. It may be called without the owner's lock.
func (r *Router[Q]) Generation() uint64 { return r.generation.Load() }

func (r *Router[Q]) changed() { r.generation.Add(1) }

// CheckDeclare tells whether Declare would succeed, and whether the exchange is there already. An
// existing exchange that is not equivalent is a Mismatch (EXCH-06).
func (r *Router[Q]) CheckDeclare(e Exchange) (exists bool, err error) {
	if e.Name == "" {
		return true, ErrDefaultExchange
	}
	if !slices.Contains(Types(), e.Type) {
		return false, UnknownType{Type: e.Type}
	}
	if x, ok := r.exchanges[e.Name]; ok {
		return true, Equivalent(x.declared, e)
	}
	if value, ok := e.Arguments[argAlternate]; ok {
		if _, ok := value.(string); !ok {
			return false, WrongType{Arg: argAlternate, Type: TypeName(value)}
		}
	}
	return false, checkArguments(e.Type, e.Arguments)
}

// Declare adds an exchange, unless an equivalent one is there.
func (r *Router[Q]) Declare(e Exchange) (created bool, err error) {
	exists, err := r.CheckDeclare(e)
	if err != nil || exists {
		return false, err
	}
	m, err := newMatcher[Q](&e, r.ids)
	if err != nil {
		return false, err
	}
	r.install(e, m)
	r.changed()
	return true, nil
}

// SetAlternate replaces the alternate exchange that a policy gives; empty takes it away.
func (r *Router[Q]) SetAlternate(name, alternate string) error {
	x, err := r.changeable(name)
	if err != nil {
		return err
	}
	x.declared.Alternate = alternate
	x.resolveAlternate()
	r.changed()
	return nil
}

// SetDelays says whether a policy makes the exchange hold messages with a delay. One that does so by its type
// goes on.
func (r *Router[Q]) SetDelays(name string, delays bool) error {
	x, err := r.changeable(name)
	if err != nil {
		return err
	}
	x.declared.Delays = delays
	if x.declared.Type == DelayedMessage {
		return nil
	}
	wrapped, held := x.matcher.(*delayedMatcher[Q])
	switch {
	case delays && !held:
		x.matcher = &delayedMatcher[Q]{matcher: x.matcher, keeper: newKeeper(&x.declared)}
	case !delays && held:
		x.matcher = wrapped.matcher
	}
	r.changed()
	return nil
}

// InUse tells whether the exchange has a binding as source: what if-unused asks (EXCH-11).
func (r *Router[Q]) InUse(name string) (bool, error) {
	x, err := r.find(name)
	if err != nil {
		return false, err
	}
	return len(x.bindings) > 0, nil
}

// Delete removes an exchange with all bindings from and to it (EXCH-11).
func (r *Router[Q]) Delete(name string) (Removed, error) {
	x, err := r.changeable(name)
	if err != nil {
		return Removed{}, err
	}
	var out removal[Q]
	r.deleteExchange(x, &out)
	r.changed()
	return out.report(1), nil
}

// AddQueue makes a queue reachable: by the default exchange at once, by others after Bind.
func (r *Router[Q]) AddQueue(name string, q Q) error {
	if _, ok := r.queues[name]; ok {
		return QueueExists{Name: name}
	}
	r.queues[name] = &vertex[Q]{self: target[Q]{id: r.ids.take(), queue: q}}
	r.changed()
	return nil
}

// Queue finds a queue by its name.
func (r *Router[Q]) Queue(name string) (q Q, ok bool) {
	v, ok := r.queues[name]
	if !ok {
		return q, false
	}
	return v.self.queue, true
}

// RemoveQueue forgets a queue and its bindings. Removing one that is not there changes nothing.
func (r *Router[Q]) RemoveQueue(name string) Removed {
	v, ok := r.queues[name]
	if !ok {
		return Removed{}
	}
	var out removal[Q]
	delete(r.queues, name)
	r.clearIncoming(v, &out)
	r.ids.give(v.self.id)
	r.changed()
	return out.report(0)
}

// find returns an exchange, or NoExchange; the empty name is the default exchange.
func (r *Router[Q]) find(name string) (*exchange[Q], error) {
	if x, ok := r.exchanges[name]; ok {
		return x, nil
	}
	return nil, NoExchange{Name: name}
}

// changeable returns an exchange that is not the default one: that one stays as it is (EXCH-03).
func (r *Router[Q]) changeable(name string) (*exchange[Q], error) {
	if name == "" {
		return nil, ErrDefaultExchange
	}
	return r.find(name)
}
