package session

import (
	"github.com/millrace-mq/millrace/server/amqp"
)

// method executes a method of an open channel and answers it.
func (ch *channel) method(m amqp.Method) error {
	switch m := m.(type) {
	case *amqp.ChannelOpen:
		return amqp.Errorf(amqp.ChannelError, m.ID(), "second 'channel.open' seen") // CHAN-02
	case *amqp.ChannelClose:
		return ch.close()
	case *amqp.ChannelFlow:
		return ch.flow(m)
	case *amqp.AccessRequest:
		ch.reply(&amqp.AccessRequestOk{Ticket: 1})
		return nil
	case *amqp.ExchangeDeclare:
		return ch.exchangeDeclare(m)
	case *amqp.ExchangeDelete:
		return ch.exchangeDelete(m)
	case *amqp.ExchangeBind:
		return ch.exchangeBind(m)
	case *amqp.ExchangeUnbind:
		return ch.exchangeUnbind(m)
	case *amqp.QueueDeclare:
		return ch.queueDeclare(m)
	case *amqp.QueueBind:
		return ch.queueBind(m)
	case *amqp.QueueUnbind:
		return ch.queueUnbind(m)
	case *amqp.QueuePurge:
		return ch.queuePurge(m)
	case *amqp.QueueDelete:
		return ch.queueDelete(m)
	case *amqp.BasicQos:
		return ch.basicQos(m)
	case *amqp.BasicConsume:
		return ch.basicConsume(m)
	case *amqp.BasicCancel:
		return ch.basicCancel(m)
	case *amqp.BasicGet:
		return ch.basicGet(m)
	case *amqp.BasicRecover:
		return ch.basicRecover(m.ID(), m.Requeue, true)
	case *amqp.BasicRecoverAsync:
		return ch.basicRecover(m.ID(), m.Requeue, false)
	case *amqp.ConfirmSelect:
		return ch.confirmSelect(m)
	case *amqp.BasicCancelOk: // the answer to our own basic.cancel is not asked for and ignored (CONS-07)
		return nil
	case *amqp.TxSelect:
		return ch.txSelect()
	case *amqp.TxCommit:
		return ch.txCommit(m)
	case *amqp.TxRollback:
		return ch.txRollback(m)
	}
	return amqp.UnimplementedMethod(m.ID()) // those of a connection too, on any channel but 0
}

func (ch *channel) reply(m amqp.Method) { ch.conn.out.method(ch.Number, m) }

// replyUnless answers a method that did not ask for silence.
func (ch *channel) replyUnless(noWait bool, m amqp.Method) {
	if !noWait {
		ch.reply(m)
	}
}

// close answers channel.close (ERR-06).
func (ch *channel) close() error {
	ch.release()
	ch.conn.dropChannel(ch.Number)
	ch.conn.open--
	ch.reply(&amqp.ChannelCloseOk{})
	return nil
}

func (ch *channel) flow(m *amqp.ChannelFlow) error {
	if !m.Active { // CHAN-03
		return amqp.Errorf(amqp.NotImplemented, m.ID(), "active=false")
	}
	ch.reply(&amqp.ChannelFlowOk{Active: true})
	return nil
}
