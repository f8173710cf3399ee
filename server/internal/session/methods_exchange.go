package session

import (
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
)

func (ch *channel) exchangeDeclare(m *amqp.ExchangeDeclare) error {
	err := ch.conn.client.DeclareExchange(broker.ExchangeDeclaration{
		Name: m.Exchange, Type: m.Type, Passive: m.Passive, Durable: m.Durable,
		AutoDelete: m.AutoDelete, Internal: m.Internal, Arguments: m.Arguments,
	})
	if err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.ExchangeDeclareOk{})
	return nil
}

func (ch *channel) exchangeDelete(m *amqp.ExchangeDelete) error {
	if err := ch.conn.client.DeleteExchange(m.Exchange, m.IfUnused); err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.ExchangeDeleteOk{})
	return nil
}

func (ch *channel) exchangeBind(m *amqp.ExchangeBind) error {
	err := ch.conn.client.BindExchange(m.Source, m.Destination, m.RoutingKey, m.Arguments)
	if err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.ExchangeBindOk{})
	return nil
}

func (ch *channel) exchangeUnbind(m *amqp.ExchangeUnbind) error {
	err := ch.conn.client.UnbindExchange(m.Source, m.Destination, m.RoutingKey, m.Arguments)
	if err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.ExchangeUnbindOk{})
	return nil
}
