package broker

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// QueueDeclaration is queue.declare's wish.
type QueueDeclaration struct {
	Name                                    string
	Passive, Durable, Exclusive, AutoDelete bool
	Arguments                               amqp.Table

	generated bool // the broker made the name
}

// QueueInfo is what queue.declare-ok tells (QUEUE-06).
type QueueInfo struct {
	Name             string
	Ready, Consumers int
}

// DeclareQueue makes a queue, or checks that an equivalent one exists. Errors are *amqp.Error unless the
// log fails.
func (c *Client) DeclareQueue(d QueueDeclaration) (QueueInfo, error) {
	const method = amqp.QueueDeclareID
	vh := c.vhost
	d.Name = cleanName(d.Name)
	if d.Name == "" && !d.Passive {
		if err := d.generateName(vh.Name); err != nil {
			return QueueInfo{}, err
		}
	}
	if info, known := vh.replyQueue(d.Name); known {
		return info, nil
	}
	if err := c.mayDeclareQueue(&d); err != nil {
		return QueueInfo{}, err
	}
	if d.Exclusive {
		d.Durable = false // it ends with its connection (QUEUE-10)
	}
	vh.topology.Lock()
	q, exists := vh.topology.router.Queue(d.Name)
	var lsn segment.LSN
	var err error
	switch {
	case exists:
		if err = c.redeclare(q, d); err == nil {
			vh.use(q)
		}
	case d.Passive:
		err = vh.noQueue(method, d.Name)
	default:
		q, lsn, err = c.createQueueLocked(d)
	}
	vh.topology.Unlock()
	if err != nil {
		return QueueInfo{}, err
	}
	if lsn == 0 {
		lsn = segment.LSN(q.ID) // somebody else's declaration may not be on disk yet
	}
	if err := vh.broker.settleDown(q.Durable, lsn); err != nil {
		return QueueInfo{}, err
	}
	vh.state.Lock()
	defer vh.state.Unlock()
	return QueueInfo{Name: d.Name, Ready: q.Ready(), Consumers: q.Consumers()}, nil
}

func (c *Client) createQueueLocked(d QueueDeclaration) (*queue.Queue, segment.LSN, error) {
	vh := c.vhost
	if isReserved(d.Name) && !d.generated {
		return nil, 0, reservedQueue(d.Name)
	}
	if err := c.mayCreateQueue(&d); err != nil {
		return nil, 0, err
	}
	declaration := queue.Declaration{
		Name: d.Name, Durable: d.Durable, Exclusive: d.Exclusive, AutoDelete: d.AutoDelete, ServerNamed: d.generated,
		Arguments: d.Arguments,
	}
	if d.Exclusive {
		declaration.Owner = c
	}
	if err := vh.checkQueue(&declaration, vh.wish(&declaration)); err != nil {
		return nil, 0, err
	}
	lsn, err := vh.commit(&change{op: declareQueue, queue: declaration})
	if err != nil {
		return nil, 0, err
	}
	q, ok := vh.topology.router.Queue(d.Name)
	if !ok {
		return nil, 0, errors.New("queue is missing right after its declaration was applied")
	}
	if d.Exclusive {
		c.own(q)
	}
	return q, lsn, nil
}

// checkQueue refuses what a new queue cannot be, and notes the type that it has without having asked for it.
// Errors are *amqp.Error.
func (vh *VHost) checkQueue(d *queue.Declaration, wish policy.Queue) error {
	settings, err := policy.ParseQueue(wish, amqp.Table(d.Arguments))
	if err != nil {
		return err
	}
	if settings.Type == policy.Stream {
		return amqp.Errorf(amqp.NotImplemented, amqp.QueueDeclareID, "stream queues are not available yet")
	}
	d.Arguments = vh.withDefaultType(amqp.Table(d.Arguments), settings.Type)
	return nil
}

// redeclare checks a declaration of a queue that exists (QUEUE-07, QUEUE-08, QUEUE-09).
func (c *Client) redeclare(q *queue.Queue, d QueueDeclaration) error {
	const method = amqp.QueueDeclareID
	vh := c.vhost
	if q.Exclusive && q.Owner != c || !d.Passive && d.Exclusive != q.Exclusive {
		return vh.locked(method, q.Name)
	}
	if d.Passive {
		return nil
	}
	return vh.checkEquivalent(q, &queue.Declaration{Durable: d.Durable, AutoDelete: d.AutoDelete, Arguments: d.Arguments})
}

// checkEquivalent compares a queue with what a declaration says it should be (QUEUE-07, QUEUE-08). Errors are
// *amqp.Error.
func (vh *VHost) checkEquivalent(q *queue.Queue, d *queue.Declaration) error {
	err := router.EquivalentFlag("durable", q.Durable, d.Durable)
	if err == nil {
		err = router.EquivalentFlag("auto_delete", q.AutoDelete, d.AutoDelete)
	}
	if err == nil {
		f := facts(vh.Name, &q.Declaration)
		var now policy.Settings
		if now, err = policy.ParseQueue(f, amqp.Table(q.Arguments)); err == nil {
			err = policy.Equivalent(now.Type, amqp.Table(q.Arguments), vh.wish(&q.Declaration), amqp.Table(d.Arguments))
		}
	}
	var mismatch router.Mismatch
	if errors.As(err, &mismatch) {
		return vh.inequivalent(amqp.QueueDeclareID, "queue", q.Name, mismatch)
	}
	return err
}

// use says that somebody asked for the queue (TTL-06).
func (vh *VHost) use(q *queue.Queue) {
	vh.state.Lock()
	defer vh.unlockState()
	q.Use(time.Now().UnixMilli())
}

// findLocked finds a queue that the client may use. The caller holds the topology lock, at least for
// reading.
func (c *Client) findLocked(method amqp.MethodID, name string) (*queue.Queue, error) {
	q, ok := c.vhost.topology.router.Queue(name)
	if !ok {
		return nil, c.vhost.noQueue(method, name)
	}
	if q.Exclusive && q.Owner != c {
		return nil, c.vhost.locked(method, name)
	}
	return q, nil
}

// checkExclusive refuses another connection's exclusive queue; a missing queue is not its business.
func (c *Client) checkExclusive(method amqp.MethodID, name string) error {
	if q, ok := c.vhost.topology.router.Queue(name); ok && q.Exclusive && q.Owner != c {
		return c.vhost.locked(method, name)
	}
	return nil
}

// BindQueue binds a queue to an exchange (QUEUE-15).
func (c *Client) BindQueue(exchange, queue, key string, args amqp.Table) error {
	return c.bind(amqp.QueueBindID, router.Binding{
		Source: exchange, Destination: queue, DestinationKind: router.ToQueue, Key: key, Arguments: args,
	})
}

// UnbindQueue takes a binding away; one that is not there is no error (QUEUE-16).
func (c *Client) UnbindQueue(exchange, queue, key string, args amqp.Table) error {
	return c.unbind(amqp.QueueUnbindID, router.Binding{
		Source: exchange, Destination: queue, DestinationKind: router.ToQueue, Key: key, Arguments: args,
	})
}

// Purge removes the ready messages of a queue and returns how many there were (QUEUE-14).
func (c *Client) Purge(name string) (int, error) {
	vh := c.vhost
	if err := c.mayUse(access.Read, access.Queue(name), amqp.QueuePurgeID); err != nil {
		return 0, err
	}
	vh.topology.RLock()
	defer vh.topology.RUnlock()
	q, err := c.findLocked(amqp.QueuePurgeID, name)
	if err != nil {
		return 0, err
	}
	vh.state.Lock()
	n := q.Purge()
	vh.unlockState()
	return n, nil
}

// DeleteQueue deletes a queue and returns how many messages were ready; a missing one counts none
// (QUEUE-12).
func (c *Client) DeleteQueue(name string, ifUnused, ifEmpty bool) (int, error) {
	const method = amqp.QueueDeleteID
	vh := c.vhost
	if err := c.mayUse(access.Configure, access.Queue(name), method); err != nil {
		return 0, err
	}
	vh.topology.Lock()
	if _, ok := vh.topology.router.Queue(name); !ok {
		vh.topology.Unlock()
		return 0, nil
	}
	q, err := c.findLocked(method, name)
	var n int
	var lsn segment.LSN
	if err == nil {
		// Asked under the append lock: whatever was published before the deletion has been counted.
		lsn, err = vh.commitIf(func() error {
			vh.state.Lock()
			defer vh.state.Unlock()
			n = q.Ready()
			switch {
			case ifUnused && q.Consumers() > 0:
				return amqp.Errorf(amqp.PreconditionFailed, method, "queue '%s' in vhost '%s' in use", name, vh.Name)
			case ifEmpty && n > 0:
				return amqp.Errorf(amqp.PreconditionFailed, method, "queue '%s' in vhost '%s' not empty", name, vh.Name)
			}
			return nil
		}, &change{op: deleteQueue, queue: q.Declaration})
	}
	vh.topology.Unlock()
	if err != nil {
		return 0, err
	}
	return n, vh.broker.settleDown(q.Durable, lsn)
}

// deleteOrphans deletes the auto-delete queues whose last consumer has left (QUEUE-11).
func (vh *VHost) deleteOrphans() {
	vh.state.Lock()
	orphans := vh.state.agenda.TakeOrphaned()
	vh.state.Unlock()
	for _, q := range orphans {
		vh.deleteIf(q, func() bool { return q.Consumers() == 0 })
	}
}

// deleteIf deletes a queue unless that has happened already, or the condition, asked under the state
// lock, does not hold any more.
func (vh *VHost) deleteIf(q *queue.Queue, condition func() bool) {
	vh.topology.Lock()
	defer vh.topology.Unlock()
	vh.state.Lock()
	doomed := !q.Deleted() && condition()
	vh.state.Unlock()
	if !doomed {
		return
	}
	_, err := vh.commit(&change{op: deleteQueue, queue: q.Declaration})
	if errors.Is(err, wal.ErrFull) {
		vh.broker.postpone(func() { vh.deleteIf(q, condition) })
		return
	}
	if err != nil {
		vh.broker.logger.Error("queue not deleted", "queue", q.Name, "vhost", vh.Name, "error", err)
	}
}

// generatedPrefix begins the names that the broker makes, unless the declaration says another (QUEUE-03).
const generatedPrefix = "amq.gen-"

// generateName makes a name that nobody has used (QUEUE-01). Errors are *amqp.Error.
func (d *QueueDeclaration) generateName(vhost string) error {
	prefix, err := policy.NamePrefix(policy.Queue{VHost: vhost}, d.Arguments)
	if err != nil {
		return err
	}
	if !prefix.OK {
		prefix.Value = generatedPrefix
	}
	d.Name, d.generated = prefix.Value+RandomName(), true
	return nil
}

// isGenerated tells names that the broker made before its log said so.
func isGenerated(name string) bool {
	return len(name) == len(generatedPrefix)+22 && strings.HasPrefix(name, generatedPrefix)
}

// RandomName returns 22 characters that nobody has used.
func RandomName() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
