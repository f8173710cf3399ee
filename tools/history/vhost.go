package history

import (
	"errors"
	"strings"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// vhost is a virtual host that exists.
type vhost struct {
	topology    *Topology
	id          uint32
	name        string
	defaultType string // of queues that do not say theirs
	router      *router.Router[*Queue]
	policies    policies
	keepers     map[*Queue]struct{} // exchanges' own queues
}

func newVHost(t *Topology, id uint32, name string) *vhost {
	v := &vhost{topology: t, id: id, name: name, router: router.New[*Queue](), keepers: make(map[*Queue]struct{})}
	for _, x := range router.Predeclared() {
		_, _ = v.router.Declare(x) // they are equivalent to themselves
	}
	return v
}

// all are the queues of the host.
func (v *vhost) all() []*Queue {
	var all []*Queue
	for _, q := range v.router.Queues() {
		all = append(all, q)
	}
	for q := range v.keepers {
		all = append(all, q)
	}
	return all
}

// change applies a change; known is false for an operation that is not.
func (v *vhost) change(op string, f *fields, lsn segment.LSN) (known bool, err error) {
	switch op {
	case "exchange.declare":
		err = v.declareExchange(f)
	case "exchange.delete":
		if name := f.text("name"); f.err == nil {
			_, err = v.router.Delete(name)
		}
		v.dropKeepers()
	case "queue.declare":
		err = v.declareQueue(f, lsn)
	case "queue.delete":
		v.deleteQueue(f.text("name"), segment.QueueID(f.number("id")))
	case "keeper.declare":
		q := Queue{ID: f.id(lsn), VHost: v.id, Host: v.name, Name: f.text("exchange"), Keeps: f.text("keeps"), Durable: true}
		if q.Declared.LSN = segment.LSN(q.ID); lsn != 0 {
			q.Declared = v.topology.at
		}
		if f.err == nil {
			v.keepers[v.topology.learn(q)] = struct{}{}
		}
	case "bind":
		if b := f.binding(); f.err == nil {
			_, err = v.router.Bind(b)
		}
	case "unbind":
		if b := f.binding(); f.err == nil {
			_, err = v.router.Unbind(b)
		}
		v.dropKeepers()
	case "policy.put":
		if table := field[amqp.Table](f, "policy"); f.err == nil {
			err = v.policies.put(table)
			v.applyPolicies()
		}
	case "policy.delete":
		v.policies.remove(f.text("name"), f.flag("operator"))
		v.applyPolicies()
	default:
		return false, nil
	}
	if unneeded(err) {
		err = nil
	}
	return true, err
}

// unneeded reports whether a change could not be applied because what it is about is not there any more: records
// that told of it are missing.
func unneeded(err error) bool {
	var noExchange router.NoExchange
	var noQueue router.NoQueue
	var mismatch router.Mismatch
	return errors.As(err, &noExchange) || errors.As(err, &noQueue) || errors.As(err, &mismatch)
}

func (v *vhost) declareExchange(f *fields) error {
	x := router.Exchange{
		Name: f.text("name"), Type: f.text("type"), Durable: f.flag("durable"),
		AutoDelete: f.flag("auto_delete"), Internal: f.flag("internal"), Arguments: f.arguments(),
	}
	if f.err != nil {
		return nil
	}
	x.Alternate, x.Delays = v.policies.exchange(x.Name)
	_, err := v.router.Declare(x)
	return err
}

func (v *vhost) declareQueue(f *fields, lsn segment.LSN) error {
	q := Queue{
		ID: f.id(lsn), VHost: v.id, Host: v.name, Name: f.text("name"), Durable: f.flag("durable"),
		Exclusive: f.flag("exclusive"), AutoDelete: f.flag("auto_delete"), Arguments: f.arguments(),
	}
	if f.err != nil {
		return nil
	}
	q.ServerNamed, _ = f.table["server_named"].(bool)
	if q.Declared.LSN = segment.LSN(q.ID); lsn != 0 {
		q.Declared = v.topology.at
	}
	kind, ok := q.Arguments["x-queue-type"].(string)
	if !ok {
		kind = v.defaultType
	}
	q.Quorum = strings.EqualFold(kind, "quorum") && q.Durable
	if before, ok := v.router.Queue(q.Name); ok {
		if before.ID == q.ID {
			return nil
		}
		v.router.RemoveQueue(q.Name) // its deletion is missing
		v.topology.retire(before)
	}
	return v.router.AddQueue(q.Name, v.topology.learn(q))
}

func (v *vhost) deleteQueue(name string, id segment.QueueID) {
	if q := v.topology.queues[id]; q != nil {
		v.topology.retire(q)
	}
	if q, ok := v.router.Queue(name); ok && q.ID == id {
		v.router.RemoveQueue(name)
		v.dropKeepers()
	}
}

// dropKeepers forgets the queues of exchanges that are gone.
func (v *vhost) dropKeepers() {
	for q := range v.keepers {
		if _, ok := v.router.Exchange(q.Name); !ok {
			delete(v.keepers, q)
			v.topology.retire(q)
		}
	}
}

// applyPolicies gives all exchanges what policies have for them now.
func (v *vhost) applyPolicies() {
	var all []router.Exchange
	for x := range v.router.Exchanges() {
		if x.Name != "" { // it has no settings (ROUTE-05)
			all = append(all, x)
		}
	}
	for _, x := range all {
		alternate, delays := v.policies.exchange(x.Name)
		if x.Alternate != alternate {
			_ = v.router.SetAlternate(x.Name, alternate) // it exists
		}
		if x.Delays != delays {
			_ = v.router.SetDelays(x.Name, delays)
		}
	}
}

func (f *fields) binding() router.Binding {
	b := router.Binding{
		Source: f.text("source"), Destination: f.text("destination"), Key: f.text("routing_key"), Arguments: f.arguments(),
	}
	if f.text("destination_type") == router.ToExchange.String() {
		b.DestinationKind = router.ToExchange
	}
	return b
}
