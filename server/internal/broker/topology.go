package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// commit appends changes to the log as one batch and applies them. The caller holds the topology lock and
// has checked that they can be applied. It returns the number of the last one's record.
func (vh *VHost) commit(changes ...*change) (last segment.LSN, err error) {
	return vh.commitIf(nil, changes...)
}

// commitIf is commit, unless may, asked when no message can come any more, returns an error, which
// commitIf's matches then. nil is always.
func (vh *VHost) commitIf(may func() error, changes ...*change) (last segment.LSN, err error) {
	if vh.topology.deleted {
		return 0, vh.deletedError()
	}
	batch := &vh.topology.batch
	batch.Reset()
	batch.Vital = true
	now := time.Now().UnixMilli()
	for _, c := range changes {
		c.vhost = vh.ID
		vh.topology.encoded = c.appendTo(vh.topology.encoded[:0])
		batch.Append(segment.KindTopology, 0, vh.ID, now, vh.topology.encoded)
	}
	err = vh.broker.log.AppendIf(batch, may, func(first segment.LSN) {
		for i, c := range changes {
			last = first + segment.LSN(i)
			vh.apply(c, last) // under the append lock: see the package's words on topology
			vh.broker.restated.change(c, last)
		}
		vh.count()
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", changes[0].op, err)
	}
	return last, nil
}

// apply makes a change that the log holds, now or at recovery. What it returns matters at recovery
// only: what was checked before commit does not fail.
func (vh *VHost) apply(c *change, lsn segment.LSN) error {
	r := vh.topology.router
	switch c.op {
	case declareExchange:
		return vh.applyDeclareExchange(c.exchange)
	case deleteExchange:
		_, err := r.Delete(c.exchange.Name)
		vh.dropKeepers()
		return err
	case declareKeeper:
		return vh.applyDeclareKeeper(c, lsn)
	case declareQueue:
		return vh.applyDeclareQueue(c, lsn)
	case deleteQueue:
		vh.applyDeleteQueue(&c.queue)
		return nil
	case bind:
		_, err := r.Bind(c.binding)
		return err
	case unbind:
		_, err := r.Unbind(c.binding)
		vh.dropKeepers()
		return err
	case putPolicy, deletePolicy:
		return vh.applyPolicy(c)
	}
	return fmt.Errorf("operation %q cannot be applied to a virtual host", c.op)
}

func (vh *VHost) applyDeclareQueue(c *change, lsn segment.LSN) error {
	d := c.queue
	if d.ID == 0 {
		d.ID = segment.QueueID(lsn)
	}
	if _, ok := vh.topology.router.Queue(d.Name); ok {
		return nil // told again by a catalogue or a replay
	}
	d.Quorum = vh.settingsOf(&d).Type == policy.Quorum
	q, err := vh.broker.newQueue(d, vh.state.agenda)
	if err != nil {
		return err
	}
	vh.state.Lock()
	defer vh.unlockState()
	if q.Horizon() == 0 {
		q.ReplayHorizon(c.horizon)
	}
	// The time is only for the queue's own life, which a restart begins anew: nothing of it is recovered.
	q.SetRules(vh.rulesOf(&d), time.Now().UnixMilli())
	if c.untimed {
		q.Retime()
	}
	vh.state.byID[d.ID] = q
	return vh.topology.router.AddQueue(d.Name, q)
}

func (vh *VHost) applyDeleteQueue(d *queue.Declaration) {
	if vh.broker.replaying {
		vh.broker.deleted[d.ID] = struct{}{}
	}
	q, ok := vh.topology.router.Queue(d.Name)
	if !ok || q.ID != d.ID { // at recovery the name may have been used again already
		return
	}
	vh.topology.router.RemoveQueue(d.Name)
	vh.dropKeepers()
	vh.state.Lock()
	defer vh.unlockState()
	delete(vh.state.byID, q.ID)
	for _, consumer := range q.Delete() {
		consumer.Channel.Outlet().(*Client).sink.Cancel(consumer.Channel.Number, consumer.Tag) // QUEUE-13
	}
	vh.broker.checkpoints.drop(q.ID)
}

// settleDown waits until a change of something durable is safe: its -ok is a promise like a confirm, and
// stands on the fdatasync that SyncTo waits for, or with --sync os on the write that Append has made.
func (b *Broker) settleDown(durable bool, lsn segment.LSN) error {
	if !durable || lsn == 0 || b.cfg.Sync == wal.SyncOS {
		return nil
	}
	return b.log.SyncTo(context.Background(), lsn)
}

// predeclared reports whether every virtual host has the exchange from the start (chapter 6.1).
func predeclared(exchange string) bool { return exchange == "" || isReserved(exchange) }

// isReserved reports whether a name belongs to the broker (EXCH-04, QUEUE-05).
func isReserved(name string) bool { return strings.HasPrefix(name, "amq.") }

// cleanName strips what RabbitMQ strips from declared names (EXCH-05, QUEUE-05).
func cleanName(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}

func newRouter() *router.Router[*queue.Queue] {
	r := router.New[*queue.Queue]()
	for _, x := range router.Predeclared() {
		if _, err := r.Declare(x); err != nil {
			panic(err) // predeclared exchanges are equivalent to themselves
		}
	}
	return r
}
