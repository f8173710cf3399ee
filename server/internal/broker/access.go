package broker

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

// accessWrite is for one change of users, permissions or virtual hosts at a time. Its lock comes before all
// others.
type accessWrite struct {
	sync.Mutex
	batch    segment.Batch
	lastHost uint32 // the highest number that a virtual host has had
}

// Access returns what is known of users, permissions and virtual hosts now.
func (b *Broker) Access() *access.State { return b.access.State() }

// ChangeAccess makes changes that make sense one after the other, all or none, and returns when they are
// safe. They count for open connections from now on (AUTH-04); those whose user or virtual host is deleted
// are closed. A virtual host that is deleted takes its queues and exchanges along. Hosts get their numbers
// here, whatever the changes say. Errors match access.ErrNoUser or access.ErrNoVHost, or are for operators.
func (b *Broker) ChangeAccess(changes ...access.Change) error {
	if len(changes) == 0 {
		return nil
	}
	b.accessWrite.Lock()
	lsn, err := b.changeAccessLocked(slices.Clone(changes))
	b.accessWrite.Unlock()
	if err != nil {
		return err
	}
	// Whoever asked is told that it is done: that stands on this sync.
	return b.settleDown(true, lsn)
}

func (b *Broker) changeAccessLocked(changes []access.Change) (segment.LSN, error) {
	doomed, err := b.planHosts(changes)
	if err != nil {
		return 0, err
	}
	next, err := b.access.State().ValidWith(changes...)
	if err != nil {
		return 0, err
	}
	batch, now := &b.accessWrite.batch, time.Now().UnixMilli()
	batch.Reset()
	batch.Vital = true
	for _, c := range changes {
		var vhost uint32
		if put, ok := c.(access.PutVHost); ok {
			vhost = put.VHost.ID
		}
		batch.Append(segment.KindTopology, 0, vhost, now, access.Encode(c).Raw())
	}
	for _, vh := range doomed {
		vh.topology.Lock()
	}
	var lsn segment.LSN
	err = b.log.Append(batch, func(first segment.LSN) {
		lsn = first + segment.LSN(len(changes)-1)
		for _, c := range changes {
			b.applyHost(c)
			b.restated.access(c)
		}
		b.access.Publish(next)
	})
	for _, vh := range doomed {
		vh.topology.Unlock()
	}
	if err != nil {
		return 0, fmt.Errorf("change of access: %w", err)
	}
	b.closeDoomed(changes, doomed)
	return lsn, nil
}

// planHosts gives the virtual hosts among changes their numbers, and returns those that will be deleted.
func (b *Broker) planHosts(changes []access.Change) (doomed []*VHost, err error) {
	numbers := make(map[string]uint32)
	for _, vh := range b.hosts() {
		numbers[vh.Name] = vh.ID
	}
	last := b.accessWrite.lastHost
	for i, c := range changes {
		switch c := c.(type) {
		case access.PutVHost:
			if t := c.VHost.DefaultQueueType; t != "" {
				if _, ok := policy.ParseType(t); !ok {
					return nil, fmt.Errorf("virtual host %q: unsupported default queue type %q", c.VHost.Name, t)
				}
			}
			if numbers[c.VHost.Name] == 0 {
				last++
				numbers[c.VHost.Name] = last
			}
			c.VHost.ID = numbers[c.VHost.Name]
			changes[i] = c
		case access.DeleteVHost:
			if vh := b.VHost(c.Name); vh != nil && !slices.Contains(doomed, vh) {
				doomed = append(doomed, vh)
			}
			delete(numbers, c.Name)
		}
	}
	return doomed, nil
}

// applyHost creates or deletes a virtual host if that is the change, which the log holds. The caller holds
// the append lock and the topology lock of a host that is deleted, or replays.
func (b *Broker) applyHost(c access.Change) {
	switch c := c.(type) {
	case access.PutVHost:
		b.accessWrite.lastHost = max(b.accessWrite.lastHost, c.VHost.ID)
		if b.host(c.VHost.ID) == nil {
			b.addHost(newVHost(b, c.VHost.ID, c.VHost.Name))
		}
	case access.DeleteVHost:
		vh := b.VHost(c.Name)
		if vh == nil {
			return
		}
		hosts := slices.DeleteFunc(slices.Clone(b.hosts()), func(other *VHost) bool { return other == vh })
		b.vhosts.Store(&hosts)
		vh.applyDeleted()
	}
}

// applyDeleted empties a virtual host that is no more.
func (vh *VHost) applyDeleted() {
	vh.topology.deleted = true
	r := vh.topology.router
	var exchanges, queues []string
	for x := range r.Exchanges() {
		if !predeclared(x.Name) {
			exchanges = append(exchanges, x.Name)
		}
	}
	for name := range r.Queues() {
		queues = append(queues, name)
	}
	for _, name := range exchanges {
		_, _ = r.Delete(name) // it may have gone with another
	}
	for _, name := range queues {
		r.RemoveQueue(name)
	}
	vh.state.Lock()
	defer vh.unlockState()
	for id, q := range vh.state.byID {
		q.Delete() // its consumers' connections are closed
		vh.broker.checkpoints.drop(id)
		if vh.broker.replaying {
			vh.broker.deleted[id] = struct{}{}
		}
	}
	clear(vh.state.byID)
	clear(vh.topology.keepers)
}

// deletedError is what those are told who work in a virtual host that was deleted (chapter 4.5).
func (vh *VHost) deletedError() *amqp.Error {
	return amqp.Errorf(amqp.ConnectionForced, 0, "vhost '%s' is deleted", vh.Name)
}

// replayAccess applies a record of the log: to the virtual hosts at once, for what follows may be in them, to
// all else at the end of the replay.
func (b *Broker) replayAccess(t amqp.Table) error {
	c, err := access.Decode(t)
	if err != nil {
		return err
	}
	b.applyHost(c)
	b.replayed = append(b.replayed, c)
	return nil
}

// firstStart gives a broker without users its first one (AUTH-06), be it that its folder was written before
// there were any.
func (b *Broker) firstStart() error {
	for range b.Access().Users() {
		return nil
	}
	if b.cfg.NoFirstStart {
		return nil
	}
	changes, err := b.cfg.FirstStart.Changes(rand.Reader)
	if err != nil {
		return err
	}
	if _, ok := b.Access().VHost(b.cfg.FirstStart.VHost.Name); ok {
		changes = slices.DeleteFunc(changes, func(c access.Change) bool { _, ok := c.(access.PutVHost); return ok })
	}
	return b.ChangeAccess(changes...)
}

// VHost finds a virtual host; nil if there is none of the name.
func (b *Broker) VHost(name string) *VHost {
	for _, vh := range b.hosts() {
		if vh.Name == name {
			return vh
		}
	}
	return nil
}
