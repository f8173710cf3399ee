package session

import (
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
)

func (ch *channel) queueDeclare(m *amqp.QueueDeclare) error {
	found, err := ch.conn.client.DeclareQueue(broker.QueueDeclaration{
		Name: m.Queue, Passive: m.Passive, Durable: m.Durable, Exclusive: m.Exclusive,
		AutoDelete: m.AutoDelete, Arguments: m.Arguments,
	})
	if err != nil {
		return err
	}
	ch.lastQueue = found.Name
	ch.replyUnless(m.NoWait, &amqp.QueueDeclareOk{
		Queue: found.Name, MessageCount: uint32(found.Ready), ConsumerCount: uint32(found.Consumers),
	})
	return nil
}

// queueName replaces the empty name by that of the last queue declared on the channel (QUEUE-02).
func (ch *channel) queueName(id amqp.MethodID, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if ch.lastQueue == "" {
		return "", amqp.Errorf(amqp.NotFound, id, "no previously declared queue")
	}
	return ch.lastQueue, nil
}

func (ch *channel) queueBind(m *amqp.QueueBind) error {
	name, err := ch.queueName(m.ID(), m.Queue)
	if err != nil {
		return err
	}
	key := m.RoutingKey
	if m.Queue == "" && key == "" {
		key = name // QUEUE-02
	}
	if err := ch.conn.client.BindQueue(m.Exchange, name, key, m.Arguments); err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.QueueBindOk{})
	return nil
}

func (ch *channel) queueUnbind(m *amqp.QueueUnbind) error {
	name, err := ch.queueName(m.ID(), m.Queue)
	if err != nil {
		return err
	}
	if err := ch.conn.client.UnbindQueue(m.Exchange, name, m.RoutingKey, m.Arguments); err != nil {
		return err
	}
	ch.reply(&amqp.QueueUnbindOk{})
	return nil
}

func (ch *channel) queuePurge(m *amqp.QueuePurge) error {
	name, err := ch.queueName(m.ID(), m.Queue)
	if err != nil {
		return err
	}
	n, err := ch.conn.client.Purge(name)
	if err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.QueuePurgeOk{MessageCount: uint32(n)})
	return nil
}

func (ch *channel) queueDelete(m *amqp.QueueDelete) error {
	name, err := ch.queueName(m.ID(), m.Queue)
	if err != nil {
		return err
	}
	n, err := ch.conn.client.DeleteQueue(name, m.IfUnused, m.IfEmpty)
	if err != nil {
		return err
	}
	ch.replyUnless(m.NoWait, &amqp.QueueDeleteOk{MessageCount: uint32(n)})
	return nil
}
