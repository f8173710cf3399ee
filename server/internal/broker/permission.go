package broker

import (
	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// What a client may do is asked for before what exists (AUTH-02), by the table of chapter 24. All errors are
// *amqp.Error.

// mayUse refuses an operation on a queue or an exchange (AUTH-01).
func (c *Client) mayUse(o access.Operation, r access.Resource, method amqp.MethodID) error {
	return c.permits.Check(o, r, method)
}

// mayDeclareQueue refuses a declaration; what a new queue's arguments refer to comes later. A passive
// declaration asks for any permission at all.
func (c *Client) mayDeclareQueue(d *QueueDeclaration) error {
	if d.Passive {
		return c.permits.CheckAny(access.Queue(d.Name), amqp.QueueDeclareID)
	}
	err := c.mayUse(access.Configure, access.Queue(d.Name), amqp.QueueDeclareID)
	if err != nil && isReserved(d.Name) && !d.generated {
		return reservedQueue(d.Name) // nobody may
	}
	return err
}

// mayCreateQueue refuses a new queue if there are enough (QUEUE-17), or if it is to dead-letter to an exchange
// that the client may not write to, or what the client may not read. The caller holds the topology lock.
func (c *Client) mayCreateQueue(d *QueueDeclaration) error {
	const method = amqp.QueueDeclareID
	vh := c.vhost
	if err := vh.checkQueueLimits(d.Name); err != nil {
		return err
	}
	exchange, ok := d.Arguments["x-dead-letter-exchange"].(string)
	if !ok {
		return nil
	}
	if err := c.mayUse(access.Read, access.Queue(d.Name), method); err != nil {
		return err
	}
	return c.mayUse(access.Write, access.Exchange(exchange), method)
}

func (vh *VHost) checkQueueLimits(name string) error {
	b := vh.broker
	if err := b.access.State().CheckQueue(vh.Name, name, int(vh.queues.Load())); err != nil {
		return err
	}
	declared := 0
	for _, host := range b.hosts() {
		declared += int(host.queues.Load())
	}
	return b.cfg.Limits.CheckQueue(name, declared)
}

// mayDeclareExchange is mayDeclareQueue for exchanges.
func (c *Client) mayDeclareExchange(d *ExchangeDeclaration) error {
	const method = amqp.ExchangeDeclareID
	if d.Name == "" {
		return c.vhost.exchangeError(method, router.ErrDefaultExchange, d.Name)
	}
	if d.Passive {
		return c.permits.CheckAny(access.Exchange(d.Name), method)
	}
	return c.mayUse(access.Configure, access.Exchange(d.Name), method)
}

// mayCreateExchange refuses a new exchange if there are enough (EXCH-12), or if what it cannot route is to go
// where the client may not write to, or what the client may not read. The caller holds the topology lock.
func (c *Client) mayCreateExchange(x *router.Exchange) error {
	const method = amqp.ExchangeDeclareID
	declared := 0
	for _, host := range c.vhost.broker.hosts() {
		declared += int(host.exchanges.Load())
	}
	if err := c.vhost.broker.cfg.Limits.CheckExchange(c.vhost.Name, x.Name, declared); err != nil {
		return err
	}
	alternate, ok := x.Arguments["alternate-exchange"].(string)
	if !ok {
		return nil
	}
	if err := c.mayUse(access.Read, access.Exchange(x.Name), method); err != nil {
		return err
	}
	return c.mayUse(access.Write, access.Exchange(alternate), method)
}

// mayBind refuses to bind or unbind: that writes to the destination and reads from the source, and the topic
// that it reads is the binding's key.
func (c *Client) mayBind(method amqp.MethodID, b *router.Binding) error {
	destination := access.Queue(b.Destination)
	if b.DestinationKind == router.ToExchange {
		destination = access.Exchange(b.Destination)
	}
	if err := c.mayUse(access.Write, destination, method); err != nil {
		return err
	}
	if b.Source == "" || destination == access.Exchange("") {
		return c.vhost.bindingError(method, router.ErrDefaultExchange, b)
	}
	if err := c.mayUse(access.Read, access.Exchange(b.Source), method); err != nil {
		return err
	}
	if !c.restrictsTopics(b.Source) {
		return nil
	}
	return c.permits.CheckTopic(access.Read, b.Source, b.Key, method)
}

// MayConsume refuses another consumer on a channel that has enough (CONS-09), or one of a queue that the
// client may not read. count is asked if there is a limit.
func (c *Client) MayConsume(queue string, count func() int) error {
	if limits := c.vhost.broker.cfg.Limits; limits.ConsumersPerChannel > 0 {
		if err := limits.CheckConsumer(count()); err != nil {
			return err
		}
	}
	return c.mayUse(access.Read, access.Queue(queue), amqp.BasicConsumeID)
}

// MayStillRead reports whether the queue of a consumer may still be read.
func (c *Client) MayStillRead(consumer *queue.Consumer) bool {
	c.vhost.state.Lock()
	q := consumer.Queue()
	c.vhost.state.Unlock()
	return q == nil || c.mayUse(access.Read, access.Queue(q.Name), amqp.BasicConsumeID) == nil
}

// MayStay refuses a connection whose user may not enter its virtual host any more (CONN-10).
func (c *Client) MayStay() error {
	if c.vhost.broker.access.State().MayEnter(c.user.Name, c.vhost.Name) {
		return nil
	}
	return amqp.Errorf(amqp.NotAllowed, amqp.ConnectionUpdateSecretID,
		"access to vhost '%s' refused for user '%s'", c.vhost.Name, c.user.Name)
}

// mayWrite refuses to publish to an exchange. Most messages go where one has just gone.
func (c *Client) mayWrite(keys amqp.Keys) error {
	exchange := keys.Exchange()
	if c.permits.Remembers(access.Write, access.KindExchange, exchange) {
		return nil
	}
	return c.mayUse(access.Write, access.Exchange(string(exchange)), amqp.BasicPublishID)
}

// mayWriteTopics refuses routing keys that the client may not write (AUTH-03), those of copies among them
// (CC-03).
func (c *Client) mayWriteTopics(keys amqp.Keys, copies [][]byte) error {
	if !c.permits.RestrictsAnyTopics() {
		return nil
	}
	exchange := string(keys.Exchange())
	if !c.restrictsTopics(exchange) {
		return nil
	}
	check := func(key []byte) error {
		return c.permits.CheckTopic(access.Write, exchange, string(key), amqp.BasicPublishID)
	}
	if err := check(keys.RoutingKey()); err != nil {
		return err
	}
	for _, key := range copies {
		if err := check(key); err != nil {
			return err
		}
	}
	return nil
}

// restrictsTopics reports whether not every topic of an exchange is the client's. Only topic exchanges have
// topics.
func (c *Client) restrictsTopics(exchange string) bool {
	if !c.permits.RestrictsTopics(exchange) {
		return false
	}
	c.vhost.topology.RLock()
	defer c.vhost.topology.RUnlock()
	x, ok := c.vhost.topology.router.Exchange(exchange)
	return ok && x.Type == router.Topic
}
