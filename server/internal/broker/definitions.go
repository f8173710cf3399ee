package broker

import (
	"errors"
	"reflect"
	"slices"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/definitions"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// ApplyDefinitions brings about what a file says, and returns when it is on disk. Everything is checked before
// anything is changed: a *definitions.Faulty has changed nothing. What is there already stays as it is, also
// queues and exchanges that the file wants otherwise. Users, permissions, limits and policies that the previous
// reading of the file had, which may be nil, and this one has not, are removed. One call at a time.
func (b *Broker) ApplyDefinitions(d, previous *definitions.Definitions) error {
	changes, err := definedAccess(b.Access(), d, previous, b.cfg.FirstStart.VHost)
	if err != nil {
		return err
	}
	next, err := b.Access().With(changes...)
	if err != nil {
		return err
	}
	var faults definitions.Faulty
	checkNames(&faults, d, next)
	hosts := hostsOf(d, previous)
	for _, h := range hosts {
		if _, ok := next.VHost(h.name); ok {
			b.rehearse(&faults, h, defaultTypeIn(next, h.name))
		}
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if err := b.ChangeAccess(changes...); err != nil {
		return err
	}
	done := len(changes)
	for _, h := range hosts {
		n, err := b.define(h)
		if err != nil {
			return err
		}
		done += n
	}
	b.logger.Info("definitions applied", "changes", done)
	return nil
}

// hostDefinitions is what a file says of the inside of a virtual host.
type hostDefinitions struct {
	name      string
	policies  []definitions.Policy
	dropped   []definitions.Policy // that the file does not have any more
	exchanges []definitions.Exchange
	queues    []definitions.Queue
	bindings  []definitions.Binding
}

// hostsOf sorts definitions by virtual host.
func hostsOf(d, previous *definitions.Definitions) []*hostDefinitions {
	var hosts []*hostDefinitions
	byName := make(map[string]*hostDefinitions)
	host := func(name string) *hostDefinitions {
		if byName[name] == nil {
			byName[name] = &hostDefinitions{name: name}
			hosts = append(hosts, byName[name])
		}
		return byName[name]
	}
	type id struct {
		vhost, name string
		operator    bool
	}
	present := make(map[id]bool)
	for _, p := range d.Policies {
		host(p.VHost).policies = append(host(p.VHost).policies, p)
		present[id{p.VHost, p.Name, p.Operator}] = true
	}
	if previous != nil {
		for _, p := range previous.Policies {
			if !present[id{p.VHost, p.Name, p.Operator}] {
				host(p.VHost).dropped = append(host(p.VHost).dropped, p)
			}
		}
	}
	for _, x := range d.Exchanges {
		host(x.VHost).exchanges = append(host(x.VHost).exchanges, x)
	}
	for _, q := range d.Queues {
		host(q.VHost).queues = append(host(q.VHost).queues, q)
	}
	for _, x := range d.Bindings {
		host(x.VHost).bindings = append(host(x.VHost).bindings, x)
	}
	return hosts
}

// checkNames finds what is said of users and virtual hosts that will not exist.
func checkNames(faults *definitions.Faulty, d *definitions.Definitions, next *access.State) {
	vhost := func(where definitions.Where, name string) {
		if _, ok := next.VHost(name); !ok {
			faults.Add(where, "there is no virtual host %q, here or in the broker; add it to vhosts", name)
		}
	}
	user := func(where definitions.Where, name string) {
		if _, ok := next.User(name); !ok {
			faults.Add(where, "there is no user %q, here or in the broker; add him to users", name)
		}
	}
	for _, l := range d.VHostLimits {
		vhost(l.Where, l.VHost)
	}
	for _, p := range d.Permissions {
		vhost(p.Where, p.VHost)
		user(p.Where, p.User)
	}
	for _, p := range d.TopicPermissions {
		vhost(p.Where, p.VHost)
		user(p.Where, p.User)
	}
	for _, p := range d.Policies {
		vhost(p.Where, p.VHost)
	}
	for _, x := range d.Exchanges {
		vhost(x.Where, x.VHost)
	}
	for _, q := range d.Queues {
		vhost(q.Where, q.VHost)
	}
	for _, x := range d.Bindings {
		vhost(x.Where, x.VHost)
	}
}

// rehearse does with a router of its own what define will do with the virtual host's, and tells of all that
// would fail. defaultType is what the host's will be.
func (b *Broker) rehearse(faults *definitions.Faulty, h *hostDefinitions, defaultType policy.Type) {
	vh := b.VHost(h.name)
	scratch := newRouter()
	if vh == nil {
		vh = &VHost{Name: h.name} // to come; for the texts of errors
	} else {
		vh.topology.RLock()
		for x := range vh.topology.router.Exchanges() {
			_, _ = scratch.Declare(x) // the predeclared ones are there
		}
		for name, q := range vh.topology.router.Queues() {
			_ = scratch.AddQueue(name, q)
		}
		vh.topology.RUnlock()
	}
	for i := range h.exchanges {
		x := definedExchange(&h.exchanges[i])
		if _, exists := scratch.Exchange(x.Name); exists || isReserved(x.Name) {
			continue
		}
		if _, err := scratch.Declare(x); err != nil {
			faults.Add(h.exchanges[i].Where, "%s", textOf(vh.exchangeError(amqp.ExchangeDeclareID, err, x.Name)))
		}
	}
	for i := range h.queues {
		d := definedQueue(&h.queues[i])
		if _, exists := scratch.Queue(d.Name); exists {
			continue
		}
		wish := facts(h.name, &d)
		wish.DefaultType = defaultType
		if err := vh.checkQueue(&d, wish); err != nil {
			faults.Add(h.queues[i].Where, "%s", textOf(err))
		}
		_ = scratch.AddQueue(d.Name, nil)
	}
	for i := range h.bindings {
		binding := definedBinding(&h.bindings[i])
		if _, err := scratch.Bind(binding); err != nil {
			faults.Add(h.bindings[i].Where, "%s", textOf(vh.bindingError(amqp.QueueBindID, err, &binding)))
		}
	}
}

func definedExchange(x *definitions.Exchange) router.Exchange {
	return router.Exchange{
		Name: x.Name, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal, Arguments: x.Arguments,
	}
}

func definedQueue(q *definitions.Queue) queue.Declaration {
	return queue.Declaration{Name: q.Name, Durable: q.Durable, AutoDelete: q.AutoDelete, Arguments: q.Arguments}
}

func definedBinding(d *definitions.Binding) router.Binding {
	b := router.Binding{Source: d.Source, Destination: d.Destination, Key: d.RoutingKey, Arguments: d.Arguments}
	if d.ToExchange {
		b.DestinationKind = router.ToExchange
	}
	return b
}

// textOf is what a client would be told, without the numbers that are for clients.
func textOf(err error) string {
	var refused *amqp.Error
	if errors.As(err, &refused) {
		return refused.Text
	}
	return err.Error()
}

// changesAtOnce is how many changes of definitions make a batch of the log.
const changesAtOnce = 256

// define brings about what was rehearsed, as far as it is not there, and returns how many changes that took.
// Policies come first: what is declared then begins with the right rules.
func (b *Broker) define(h *hostDefinitions) (int, error) {
	vh := b.VHost(h.name)
	if vh == nil {
		return 0, nil // only policies to drop, and they went with it
	}
	vh.topology.Lock()
	changes := vh.policyChangesLocked(h)
	lsn, err := vh.commitMany(changes)
	if len(changes) > 0 {
		vh.applyRules()
	}
	bound := 0
	for _, missing := range []func(*hostDefinitions) []*change{
		vh.missingExchangesLocked, func(*hostDefinitions) []*change { return vh.missingKeepersLocked() },
		vh.missingQueuesLocked, vh.missingBindingsLocked,
	} {
		if err != nil {
			break
		}
		more := missing(h)
		if bound = len(more); bound == 0 {
			continue
		}
		lsn, err = vh.commitMany(more)
		changes = append(changes, more...)
	}
	vh.topology.Unlock()
	if err != nil {
		return 0, err
	}
	for _, c := range changes[len(changes)-bound:] {
		if err := vh.tellHistory(&c.binding); err != nil {
			return 0, err
		}
	}
	return len(changes), b.settleDown(true, lsn) // who waits for the definitions waits for this sync
}

// commitMany commits changes, however many.
func (vh *VHost) commitMany(changes []*change) (last segment.LSN, err error) {
	for some := range slices.Chunk(changes, changesAtOnce) {
		if last, err = vh.commit(some...); err != nil {
			return 0, err
		}
	}
	return last, nil
}

func (vh *VHost) policyChangesLocked(h *hostDefinitions) []*change {
	var changes []*change
	for i := range h.policies {
		p := h.policies[i].Policy
		if present, ok := vh.topology.policies.Policy(p.Name, p.Operator); !ok || !reflect.DeepEqual(present, p) {
			changes = append(changes, &change{op: putPolicy, policy: p})
		}
	}
	for i := range h.dropped {
		p := &h.dropped[i]
		if _, ok := vh.topology.policies.Policy(p.Name, p.Operator); ok {
			changes = append(changes, &change{op: deletePolicy, policy: policy.Policy{Name: p.Name, Operator: p.Operator}})
		}
	}
	return changes
}

func (vh *VHost) missingExchangesLocked(h *hostDefinitions) []*change {
	var changes []*change
	for i := range h.exchanges {
		x := definedExchange(&h.exchanges[i])
		present, exists := vh.topology.router.Exchange(x.Name)
		switch {
		case exists:
			if err := router.Equivalent(present, x); err != nil {
				vh.leftAsItIs("exchange", x.Name, h.exchanges[i].Where, err)
			}
		case isReserved(x.Name):
			vh.broker.logger.Warn("exchange of the definitions not made: names with amq. are the broker's own",
				"exchange", x.Name, "vhost", vh.Name, "where", h.exchanges[i].String())
		default:
			changes = append(changes, &change{op: declareExchange, exchange: x})
		}
	}
	return changes
}

func (vh *VHost) missingQueuesLocked(h *hostDefinitions) []*change {
	var changes []*change
	for i := range h.queues {
		d := definedQueue(&h.queues[i])
		if present, exists := vh.topology.router.Queue(d.Name); exists {
			if err := vh.checkEquivalent(present, &d); err != nil {
				vh.leftAsItIs("queue", d.Name, h.queues[i].Where, err)
			}
			continue
		}
		if err := vh.checkQueue(&d, vh.wish(&d)); err != nil { // somebody has just changed the host's default type
			vh.broker.logger.Error("queue of the definitions not made",
				"queue", d.Name, "vhost", vh.Name, "where", h.queues[i].String(), "error", textOf(err))
			continue
		}
		changes = append(changes, &change{op: declareQueue, queue: d})
	}
	return changes
}

func (vh *VHost) missingBindingsLocked(h *hostDefinitions) []*change {
	var changes []*change
	for i := range h.bindings {
		binding := definedBinding(&h.bindings[i])
		if exists, err := vh.topology.router.CheckBind(binding); err == nil && !exists {
			changes = append(changes, &change{op: bind, binding: binding})
		}
	}
	return changes
}

// leftAsItIs tells of something that exists and is not what the file says.
func (vh *VHost) leftAsItIs(kind, name string, where definitions.Where, err error) {
	vh.broker.logger.Warn(kind+" of the definitions exists with other properties and stays as it is",
		kind, name, "vhost", vh.Name, "where", where.String(), "difference", textOf(err))
}
