package session

import (
	"errors"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/wal"
)

func (ch *channel) confirmSelect(m *amqp.ConfirmSelect) error {
	if err := ch.SelectConfirms(); err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.ConfirmSelectOk{})
	return nil
}

func (ch *channel) txSelect() error {
	if err := ch.SelectTx(); err != nil {
		return err
	}
	ch.reply(&amqp.TxSelectOk{})
	return nil
}

// txCommit makes the transaction take effect; what it could not route comes back first (chapter 12).
func (ch *channel) txCommit(m *amqp.TxCommit) error {
	if err := ch.inTx(m.ID()); err != nil {
		return err
	}
	err := ch.Commit()
	if errors.Is(err, wal.ErrFull) {
		err = ch.conn.awaitRoom(ch.Commit)
	}
	if err != nil {
		return err
	}
	if len(ch.returns) > 0 {
		ch.conn.out.addContent(ch.returns)
	}
	ch.returns = nil
	ch.conn.letGo(ch)
	ch.reply(&amqp.TxCommitOk{})
	return nil
}

func (ch *channel) txRollback(m *amqp.TxRollback) error {
	if err := ch.inTx(m.ID()); err != nil {
		return err
	}
	ch.Rollback()
	ch.returns = nil
	ch.conn.letGo(ch)
	ch.reply(&amqp.TxRollbackOk{})
	return nil
}

// inTx refuses what needs tx.select first (TX-01).
func (ch *channel) inTx(id amqp.MethodID) error {
	if ch.Transactional() {
		return nil
	}
	return amqp.Errorf(amqp.PreconditionFailed, id, "channel is not transactional")
}
