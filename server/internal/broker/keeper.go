package broker

import (
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// An exchange that keeps messages does so in queues of its own, which no client sees: x-delayed-message in
// one whose messages are due when their delay is over, x-recent-history in one that gives up its oldest. So
// what they keep is stored, confirmed, checkpointed and recovered like everything else in a queue; and a
// message that is due goes on as dead letters do, its new record and the end of the old one being one batch
// of the log.

// keeperKey names an exchange's own queue: an exchange can have one of each purpose.
type keeperKey struct {
	exchange string
	purpose  queue.Keeping
}

// missingKeepersLocked are the declarations of the queues that exchanges need and do not have: a policy has
// come, or a crash between two batches.
func (vh *VHost) missingKeepersLocked() []*change {
	var missing []*change
	for x := range vh.topology.router.Exchanges() {
		for _, c := range keeperChanges(&x) {
			if vh.topology.keepers[keeperKey{x.Name, c.keeps}] == nil {
				missing = append(missing, c)
			}
		}
	}
	return missing
}

// keeperChanges are the declarations of the queues that a new exchange needs.
func keeperChanges(x *router.Exchange) []*change {
	var changes []*change
	keeper := func(purpose queue.Keeping) {
		changes = append(changes, &change{op: declareKeeper, keeps: purpose, queue: queue.Declaration{Name: x.Name}})
	}
	if x.Type == router.DelayedMessage || x.Delays {
		keeper(queue.ForLater)
	}
	if x.History() > 0 {
		keeper(queue.ForHistory)
	}
	return changes
}

func (vh *VHost) applyDeclareKeeper(c *change, lsn segment.LSN) error {
	x, ok := vh.topology.router.Exchange(c.queue.Name)
	if !ok {
		return router.NoExchange{Name: c.queue.Name}
	}
	rules, key := queue.NoRules, keeperKey{x.Name, c.keeps}
	if rules.Keeps = c.keeps; rules.Keeps == queue.ForHistory {
		rules.MaxLength = int64(x.History())
	}
	d := queue.Declaration{ID: c.queue.ID, Name: x.Name, Durable: x.Durable}
	if d.ID == 0 {
		d.ID = segment.QueueID(lsn)
	}
	if _, ok := vh.topology.keepers[key]; ok {
		return nil // told again by a catalogue or a replay
	}
	q, err := vh.broker.newQueue(d, vh.state.agenda)
	if err != nil {
		return err
	}
	vh.state.Lock()
	defer vh.unlockState()
	q.SetRules(rules, 0)
	vh.state.byID[d.ID] = q
	vh.topology.keepers[key] = q
	return nil
}

// dropKeepers ends the queues of exchanges that are gone. It follows on all that may delete an exchange.
func (vh *VHost) dropKeepers() {
	for key, q := range vh.topology.keepers {
		if _, ok := vh.topology.router.Exchange(key.exchange); ok {
			continue
		}
		delete(vh.topology.keepers, key)
		if vh.broker.replaying {
			vh.broker.deleted[q.ID] = struct{}{}
		}
		vh.state.Lock()
		delete(vh.state.byID, q.ID)
		q.Delete()
		vh.unlockState()
		vh.broker.checkpoints.drop(q.ID)
	}
}

// tellHistory publishes what the source of a new binding remembers to its destination, the oldest first
// (chapter 7.6).
func (vh *VHost) tellHistory(b *router.Binding) error {
	vh.topology.RLock()
	q := vh.topology.keepers[keeperKey{b.Source, queue.ForHistory}]
	destination, ok := vh.topology.router.Queue(b.Destination)
	vh.topology.RUnlock()
	if q == nil || b.DestinationKind == router.ToQueue && !ok {
		return nil
	}
	vh.state.Lock()
	remembered := q.Remembered()
	vh.state.Unlock()

	view := vh.broker.log.NewView()
	defer view.Release()
	var staged staging
	var f forwarder
	var memory []byte
	for _, lsn := range remembered {
		p, err := storedPublication(view, lsn, &memory)
		if err != nil {
			vh.broker.logger.Error("message of an exchange's history cannot be read from the log; see 'millrace log verify'",
				"exchange", b.Source, "vhost", vh.Name, "lsn", lsn, "error", err)
			continue
		}
		p.Time = time.Now().UnixMilli()
		var r *route
		if b.DestinationKind == router.ToQueue {
			r = vh.newRoute([]*queue.Queue{destination}, 0, 0)
		} else if r, err = f.again(vh, b.Destination, &p); err != nil {
			continue // the exchange has just been deleted
		}
		if r, _ = staged.admitted(vh, r); len(r.queues) > 0 {
			staged.stage(vh.ID, &p, r)
		}
		if staged.batch.Len() >= burialBytes {
			if err := staged.flush(vh); err != nil {
				return err
			}
			view.Release()
		}
	}
	return staged.flush(vh)
}

// again finds the way of a message that an exchange remembers from another exchange on.
func (f *forwarder) again(vh *VHost, exchange string, p *Publication) (*route, error) {
	copies, _, err := copiesOf(&p.Header)
	if err != nil {
		return nil, err
	}
	return f.route(vh, []byte(exchange), copies, p, false)
}

// flush brings messages that the broker publishes by itself to the log and to their queues.
func (s *staging) flush(vh *VHost) error {
	if len(s.publishes) == 0 {
		return nil
	}
	var first segment.LSN
	if err := vh.broker.appendPatiently(&s.batch, vh.broker.stop, func(lsn segment.LSN) {
		first = lsn
		vh.state.Lock()
	}); err != nil {
		return err
	}
	s.pushLocked(first)
	vh.unlockState()
	s.reset()
	return nil
}
