package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/wal"
)

// checkpointer stores the view now and then, so that a restart has little to replay, and lets the log
// recycle what nobody needs.
//
// A checkpoint is fuzzy: mark and topology are taken at one moment, then the queues are copied one by
// one while work goes on, so the view may hold more of a queue than the mark says. That is harmless, for
// applying a record twice is. The view must never hold more than the log, though: before it is committed,
// the log is synced beyond all that was copied.
type checkpointer struct {
	broker *Broker
	done   chan struct{}

	mu struct {
		sync.Mutex
		dropped []segment.QueueID // deleted since the last checkpoint
	}

	// Owned by the goroutine, and by Close when that has ended.
	generations map[uint32]uint64 // of the topology as last stored
	access      uint64            // generation, as last stored
	chunks      uint64            // of the catalogue as last stored
	last        segment.LSN       // the last record when the last checkpoint was written
}

// journalPatience is how long a checkpoint waits for the journal. On a full disk the journal waits for
// the room that this checkpoint makes.
const journalPatience = time.Second

func newCheckpointer(b *Broker) *checkpointer {
	return &checkpointer{broker: b, done: make(chan struct{}), generations: make(map[uint32]uint64)}
}

// drop says that a queue has been deleted.
func (c *checkpointer) drop(id segment.QueueID) {
	c.mu.Lock()
	c.mu.dropped = append(c.mu.dropped, id)
	c.mu.Unlock()
}

func (c *checkpointer) run(stop <-chan struct{}) {
	defer close(c.done)
	const look = 250 * time.Millisecond
	ticker := time.NewTicker(min(look, c.broker.cfg.CheckpointEvery))
	defer ticker.Stop()
	written, at := time.Now(), c.broker.log.Written()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		volume := c.broker.log.Written() - at
		if time.Since(written) < c.broker.cfg.CheckpointEvery && volume < c.broker.cfg.CheckpointBytes {
			continue
		}
		if c.broker.log.Last() == c.last && !c.broker.journal.blocked.Load() || c.broker.Err() != nil {
			continue
		}
		if err := c.write(); err != nil {
			c.broker.condemnIndex(err)
			c.broker.logger.Error("checkpoint not written; a restart will replay more of the log", "error", err)
		} else {
			c.broker.relocator.wake()
		}
		written, at = time.Now(), c.broker.log.Written()
	}
}

// write stores one checkpoint and retires what it makes unneeded.
func (c *checkpointer) write() error {
	b := c.broker
	ck := b.index.Checkpoint()
	mark := c.copyTopology(ck)

	c.mu.Lock()
	dropped := c.mu.dropped
	c.mu.dropped = nil
	c.mu.Unlock()
	floor := mark + 1
	for _, vh := range b.hosts() {
		floor = min(floor, vh.copyQueues(ck))
	}
	for _, id := range dropped {
		ck.DropQueue(id)
	}

	// What the view knows to be gone the log must know too, or a view made anew from it would bring it back.
	b.journal.await(journalPatience)
	// The view must not know what the log could lose.
	if err := b.log.SyncTo(context.Background(), b.log.Last()); err != nil {
		return err
	}
	// Nor what it never got: a log that has stopped may be synced up to its last record, and settlements that the
	// journal could not write are in the copies of their queues all the same.
	if err := b.journal.err(); errors.Is(err, wal.ErrStopped) {
		return err
	}
	if err := ck.Commit(mark); err != nil {
		return err
	}
	c.last = mark
	history, _ := b.history(b.logFiles())
	if err := b.log.Retire(min(floor, history)); err != nil && !errors.Is(err, wal.ErrStopped) {
		b.logger.Warn("log files not recycled", "error", err)
	}
	return nil
}

// copyQueues copies what changed in the queues of the host and returns the lowest record that one of them still needs.
func (vh *VHost) copyQueues(ck *index.Checkpoint) segment.LSN {
	floor := ^segment.LSN(0)
	for q := range vh.queuesInTurn {
		if err := q.Err(); err != nil {
			vh.broker.logger.Error("queue cannot read its index", "queue", q.Name, "vhost", vh.Name, "error", err)
			vh.broker.condemnIndex(err)
		}
		for level := range q.Levels() {
			if head, ok := level.Head(); ok {
				floor = min(floor, head)
			}
			ck.Queue(level)
		}
	}
	return min(floor, vh.sendingFloor())
}

// sendingFloor is the lowest record that a connection of the host has yet to send.
func (vh *VHost) sendingFloor() segment.LSN {
	floor := ^segment.LSN(0)
	vh.clients.Lock()
	defer vh.clients.Unlock()
	for c := range vh.clients.open {
		floor = min(floor, c.floor())
	}
	return floor
}

// catalogueObject is the kind of the index's objects that hold the catalogue, numbered from 0.
const catalogueObject byte = 'T'

// copyTopology takes the mark, and stores the catalogue as of then if the topology has changed.
func (c *checkpointer) copyTopology(ck *index.Checkpoint) segment.LSN {
	b := c.broker
	b.accessWrite.Lock()
	defer b.accessWrite.Unlock()
	hosts := b.hosts()
	for _, vh := range hosts {
		vh.topology.RLock()
		defer vh.topology.RUnlock()
	}
	// No change of topology or access is under way. Every other record up to the mark has been applied, or will have
	// been when its state lock, which is held by now, is let go of.
	mark := b.log.Barrier()
	generation := b.access.Generation()
	changed := generation != c.access
	c.access = generation
	for _, vh := range hosts {
		// All only grow, so their sum tells of every change of the catalogue.
		generation := vh.topology.router.Generation() + vh.topology.revision + vh.retimed.Load()
		if c.generations[vh.ID] != generation {
			c.generations[vh.ID] = generation
			changed = true
		}
	}
	if !changed {
		return mark
	}
	var chunks uint64
	b.catalogue(func(payload []byte) {
		ck.PutObject(index.ObjectKey{Kind: catalogueObject, ID: chunks}, payload)
		chunks++
	})
	for id := chunks; id < c.chunks; id++ {
		ck.DeleteObject(index.ObjectKey{Kind: catalogueObject, ID: id})
	}
	c.chunks = chunks
	return mark
}
