package broker

import (
	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
)

// ExchangeDeclaration is exchange.declare's wish.
type ExchangeDeclaration struct {
	Name, Type                             string
	Passive, Durable, AutoDelete, Internal bool
	Arguments                              amqp.Table
}

// DeclareExchange makes an exchange, or checks that an equivalent one exists. Errors are *amqp.Error
// unless the log fails.
func (c *Client) DeclareExchange(d ExchangeDeclaration) error {
	const method = amqp.ExchangeDeclareID
	vh := c.vhost
	d.Name = cleanName(d.Name)
	x := router.Exchange{
		Name: d.Name, Type: d.Type, Durable: d.Durable, AutoDelete: d.AutoDelete, Internal: d.Internal, Arguments: d.Arguments,
	}
	if err := c.mayDeclareExchange(&d); err != nil {
		return err
	}
	vh.topology.Lock()
	lsn, err := c.declareExchangeLocked(x, d.Passive)
	vh.topology.Unlock()
	if err != nil {
		return vh.exchangeError(method, err, d.Name)
	}
	return vh.broker.settleDown(d.Durable, lsn)
}

func (c *Client) declareExchangeLocked(x router.Exchange, passive bool) (segment.LSN, error) {
	vh := c.vhost
	if passive {
		if _, ok := vh.topology.router.Exchange(x.Name); !ok { // EXCH-07
			return 0, router.NoExchange{Name: x.Name}
		}
		return 0, nil
	}
	exists, err := vh.topology.router.CheckDeclare(x)
	if err != nil || exists {
		return vh.broker.log.Last(), err // somebody else's declaration may not be on disk yet
	}
	if isReserved(x.Name) {
		return 0, amqp.Errorf(amqp.AccessRefused, amqp.ExchangeDeclareID,
			"exchange name '%s' contains reserved prefix 'amq.*'", x.Name)
	}
	if err := c.mayCreateExchange(&x); err != nil {
		return 0, err
	}
	x = vh.withPolicies(x)
	return vh.commit(append([]*change{{op: declareExchange, exchange: x}}, keeperChanges(&x)...)...)
}

// DeleteExchange deletes an exchange with its bindings; a missing one is no error (EXCH-11).
func (c *Client) DeleteExchange(name string, ifUnused bool) error {
	const method = amqp.ExchangeDeleteID
	vh := c.vhost
	if name == "" {
		return vh.exchangeError(method, router.ErrDefaultExchange, name)
	}
	if isReserved(name) {
		return amqp.Errorf(amqp.AccessRefused, method, "deletion of system exchange '%s' in vhost '%s' not allowed", name, vh.Name)
	}
	if err := c.mayUse(access.Configure, access.Exchange(name), method); err != nil {
		return err
	}
	vh.topology.Lock()
	x, ok := vh.topology.router.Exchange(name)
	if !ok {
		vh.topology.Unlock()
		return nil
	}
	var lsn segment.LSN
	var err error
	inUse, _ := vh.topology.router.InUse(name)
	switch {
	case ifUnused && inUse:
		err = amqp.Errorf(amqp.PreconditionFailed, method, "exchange '%s' in vhost '%s' in use", name, vh.Name)
	default:
		lsn, err = vh.commit(&change{op: deleteExchange, exchange: router.Exchange{Name: name}})
	}
	vh.topology.Unlock()
	if err != nil {
		return err
	}
	return vh.broker.settleDown(x.Durable, lsn)
}

// BindExchange binds exchange destination to exchange source.
func (c *Client) BindExchange(source, destination, key string, args amqp.Table) error {
	return c.bind(amqp.ExchangeBindID, router.Binding{
		Source: source, Destination: destination, DestinationKind: router.ToExchange, Key: key, Arguments: args,
	})
}

// UnbindExchange takes a binding of exchanges away; one that is not there is no error (EXCH-22).
func (c *Client) UnbindExchange(source, destination, key string, args amqp.Table) error {
	return c.unbind(amqp.ExchangeUnbindID, router.Binding{
		Source: source, Destination: destination, DestinationKind: router.ToExchange, Key: key, Arguments: args,
	})
}

// bind makes a binding of either kind (EXCH-20, EXCH-21).
func (c *Client) bind(method amqp.MethodID, b router.Binding) error {
	vh := c.vhost
	if err := c.mayBind(method, &b); err != nil {
		return err
	}
	vh.topology.Lock()
	exists, err := vh.topology.router.CheckBind(b)
	if err == nil && b.DestinationKind == router.ToQueue {
		err = c.checkExclusive(method, b.Destination)
	}
	lsn := vh.broker.log.Last() // somebody else's binding may not be on disk yet
	if err == nil && !exists {
		lsn, err = vh.commit(&change{op: bind, binding: b})
	}
	durable := vh.durable(&b)
	vh.topology.Unlock()
	if err != nil {
		return vh.bindingError(method, err, &b)
	}
	if !exists {
		if err := vh.tellHistory(&b); err != nil {
			return err
		}
	}
	return vh.broker.settleDown(durable, lsn)
}

// unbind takes a binding of either kind away (EXCH-22, QUEUE-16).
func (c *Client) unbind(method amqp.MethodID, b router.Binding) error {
	vh := c.vhost
	if err := c.mayBind(method, &b); err != nil {
		return err
	}
	vh.topology.Lock()
	durable := vh.durable(&b)
	var lsn segment.LSN
	var err error
	if b.DestinationKind == router.ToQueue {
		err = c.checkExclusive(method, b.Destination)
	}
	if err == nil && vh.topology.router.HasBinding(b) {
		lsn, err = vh.commit(&change{op: unbind, binding: b})
	}
	vh.topology.Unlock()
	if err != nil {
		return err
	}
	return vh.broker.settleDown(durable, lsn)
}

// durable reports whether a binding survives a restart: both its ends do (EXCH-13).
func (vh *VHost) durable(b *router.Binding) bool {
	source, ok := vh.topology.router.Exchange(b.Source)
	if !ok || !source.Durable {
		return false
	}
	if b.DestinationKind == router.ToExchange {
		destination, ok := vh.topology.router.Exchange(b.Destination)
		return ok && destination.Durable
	}
	q, ok := vh.topology.router.Queue(b.Destination)
	return ok && q.Durable
}
