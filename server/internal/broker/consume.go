package broker

import (
	"cmp"
	"errors"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// Consume starts a subscription. started is called when it is certain, before the first delivery is
// made. Errors are *amqp.Error.
func (c *Client) Consume(name string, consumer *queue.Consumer, started func()) error {
	const method = amqp.BasicConsumeID
	vh := c.vhost
	vh.topology.RLock() // so that the queue is not deleted meanwhile
	defer vh.topology.RUnlock()
	q, err := c.findLocked(method, name)
	if err != nil {
		return err
	}
	if consumer.ConsumerRules, err = vh.consumerRules(q, consumer.Arguments); err != nil {
		return err
	}
	vh.state.Lock()
	defer vh.unlockState()
	switch err := q.Consume(consumer); {
	case errors.Is(err, queue.ErrSharedLimit): // QOS-03
		return amqp.Errorf(amqp.NotImplemented, method, "queue '%s' in vhost '%s' does not support global qos", name, vh.Name)
	case err != nil: // CONS-04
		return amqp.Errorf(amqp.AccessRefused, method, "queue '%s' in vhost '%s' in exclusive use", name, vh.Name)
	}
	started()
	return nil
}

// consumerRules reads the arguments of a subscription (CONS-05). Errors are *amqp.Error.
func (vh *VHost) consumerRules(q *queue.Queue, args map[string]any) (queue.ConsumerRules, error) {
	settings := policy.Defaults(policy.Classic)
	if q.Quorum {
		settings.Type = policy.Quorum
	}
	said, err := policy.ParseConsumer(facts(vh.Name, &q.Declaration), settings, amqp.Table(args))
	r := queue.ConsumerRules{Priority: said.Priority}
	if said.Timeout.OK {
		r.Patience = cmp.Or(said.Timeout.Value.Milliseconds(), -1)
	}
	return r, err
}

// CancelConsumer ends a subscription, and with it an auto-delete queue that has no other.
func (c *Client) CancelConsumer(consumer *queue.Consumer) {
	c.vhost.state.Lock()
	consumer.Cancel()
	c.vhost.unlockState()
	c.vhost.deleteOrphans()
}

// Ended reports whether a subscription has ended, be it that its queue was deleted.
func (c *Client) Ended(consumer *queue.Consumer) bool {
	c.vhost.state.Lock()
	defer c.vhost.state.Unlock()
	return consumer.Queue() == nil
}

// Take delivers one message of a queue to a basic.get (CONS-11). found is false when the queue is empty.
func (c *Client) Take(name string, ch *Channel, noAck bool) (found bool, err error) {
	const method = amqp.BasicGetID
	vh := c.vhost
	if err := c.mayUse(access.Read, access.Queue(name), method); err != nil {
		return false, err
	}
	for {
		vh.topology.RLock()
		q, err := c.findLocked(method, name)
		if err != nil {
			vh.topology.RUnlock()
			return false, err
		}
		written := vh.broker.journal.nextWrite()
		vh.state.Lock()
		vh.state.agenda.SyncedTo(vh.broker.log.Synced())
		found, err := q.Take(ch.Channel, noAck, time.Now().UnixMilli())
		vh.unlockState()
		vh.topology.RUnlock()
		if errors.Is(err, queue.ErrSingleActive) { // SAC-04
			return false, amqp.Errorf(amqp.ResourceLocked, method, "cannot obtain access to locked queue '%s' in vhost '%s'. "+
				"basic.get operations are not supported by quorum queues with single active consumer", name, vh.Name)
		}
		if errors.Is(err, queue.ErrNotSynced) {
			// Nothing that is in the queue now is above the log's last record. The wait is one sync at most, so that
			// Stop need not end it.
			if err := vh.broker.settleDown(true, vh.broker.log.Last()); err != nil {
				return false, err
			}
			continue
		}
		if !errors.Is(err, queue.ErrBehindHorizon) {
			return found, err
		}
		if err := vh.broker.journal.err(); err != nil {
			return false, err // the horizon will not rise any more
		}
		select { // the journal writer was woken by unlockState
		case <-written:
		case <-vh.broker.stop:
			return false, errStopped
		}
	}
}
