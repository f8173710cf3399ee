package broker

import (
	"errors"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// transaction is the uncommitted work of a channel: its publishes, staged apart from the connection's.
// Its settlements are reserved at the queue.Channel. A commit is one batch of the log, which is there as
// a whole or not at all: so a transaction is atomic across queues, also through a crash. Owned by the
// connection's reader.
type transaction struct {
	staging
	replies    []*Publication // answers that no queue and no log holds (REPLY-03)
	replyBytes int
	logged     bool   // the batch has the reserved settlements: a commit has been refused by a full disk
	names      naming // in the batch
}

// reply keeps an answer until the commit.
func (tx *transaction) reply(p *Publication) {
	tx.replies = append(tx.replies, p.clone())
	tx.replyBytes += len(p.Keys) + len(p.Header.Raw) + int(p.Header.BodySize)
}

func (tx *transaction) reset() {
	tx.staging.reset()
	tx.names.reset()
	tx.replies, tx.replyBytes, tx.logged = nil, 0, false
}

// Uncommitted is about how many bytes of memory the publishes of the open transaction take.
func (ch *Channel) Uncommitted() int {
	if ch.tx == nil {
		return 0
	}
	const each = 128 // of a message, besides its record
	size := each * (len(ch.tx.publishes) + len(ch.tx.replies))
	if len(ch.tx.publishes) > 0 {
		size += ch.tx.batch.Len()
	}
	return size + ch.tx.replyBytes
}

// SelectTx switches the channel to transactions (TX-01). Errors are *amqp.Error.
func (ch *Channel) SelectTx() error {
	if ch.confirming {
		return amqp.Errorf(amqp.PreconditionFailed, amqp.TxSelectID, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.tx = &transaction{names: naming{broker: ch.client.vhost.broker}}
	}
	return nil
}

// Transactional reports whether SelectTx was called.
func (ch *Channel) Transactional() bool { return ch.tx != nil }

// Commit makes what the channel has published and settled since the last commit take effect, as one. It
// returns when the log is synced as far as the promise of commit-ok asks. What the connection has staged
// must have been flushed. wal.ErrFull means that there is no room for it: nothing has taken effect, and Commit
// may be called again.
func (ch *Channel) Commit() error {
	c, tx := ch.client, ch.tx
	if !tx.logged && tx.refused(c.vhost) { // TX-04: nothing of it is applied
		ch.Rollback()
		return amqp.Errorf(amqp.PreconditionFailed, amqp.TxCommitID, "partial tx completion")
	}
	if err := ch.commit(); err != nil {
		if tx.logged = errors.Is(err, wal.ErrFull); !tx.logged {
			tx.reset()
		}
		return err
	}
	for _, p := range tx.replies {
		c.reply(p)
	}
	tx.reset()
	return nil
}

// commit brings the transaction to the log and the queues.
func (ch *Channel) commit() error {
	c, tx := ch.client, ch.tx
	if !tx.logged {
		tx.batch.Vital = tx.batch.Count() == 0 // settlements alone make room
		ch.logReserved()
	}
	if tx.batch.Count() == 0 {
		c.vhost.state.Lock()
		ch.Channel.Commit()
		c.vhost.unlockState()
		return nil
	}
	var first segment.LSN
	last := segment.LSN(tx.batch.Count() - 1)
	if err := c.vhost.broker.log.Append(&tx.batch, func(lsn segment.LSN) {
		first = lsn
		c.vhost.state.Lock()
	}); err != nil {
		return err
	}
	tx.names.appended(first)
	tx.pushLocked(first)
	ch.Channel.Commit()
	c.vhost.unlockState()
	if len(tx.publishes) > 0 {
		c.brought(tx.batch.Len(), true, time.Now().UnixMilli())
	}
	// commit-ok is a promise like a confirm, for settlements too: it stands on the sync of the batch.
	return c.vhost.broker.settleDown(true, first+last)
}

// logReserved puts the reserved settlements into the transaction's batch. They cannot change before the
// commit: only this channel can settle them.
func (ch *Channel) logReserved() {
	type left struct {
		queue  *queue.Queue
		by     *queue.Taker
		reason segment.SettleReason
	}
	ranges := make(map[left][]segment.Range)
	var order []left
	vh := ch.client.vhost
	now := time.Now().UnixMilli()
	vh.state.Lock()
	defer vh.state.Unlock()
	ch.Channel.Reserved(func(q *queue.Queue, by *queue.Taker, reason segment.SettleReason, lsn segment.LSN) {
		l := left{q, by, reason}
		if ranges[l] == nil {
			order = append(order, l)
		}
		ranges[l] = append(ranges[l], segment.Range{From: lsn, To: lsn})
	})
	for _, l := range order {
		ch.tx.batch.AppendSettled(segment.SettleHead{
			Time: now, VHost: vh.ID, Queue: l.queue.ID, Reason: l.reason, Consumer: ch.tx.names.name(&ch.tx.batch, vh, l.by, now),
		}, ranges[l])
	}
}

// Rollback forgets what was published and settled since the last commit. Deliveries stay with the client
// (TX-02).
func (ch *Channel) Rollback() {
	ch.tx.reset()
	ch.client.vhost.state.Lock()
	ch.Channel.Rollback()
	ch.client.vhost.state.Unlock()
}
