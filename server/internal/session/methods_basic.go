package session

import (
	"maps"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func (ch *channel) basicQos(m *amqp.BasicQos) error {
	if m.PrefetchSize != 0 { // QOS-01
		return amqp.Errorf(amqp.NotImplemented, m.ID(), "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	ch.reply(&amqp.BasicQosOk{}) // before what the new limit lets through
	if m.Global {                // QOS-03
		ch.SetLimit(int(m.PrefetchCount))
	} else { // QOS-02: also clears a shared limit
		ch.prefetch = int(m.PrefetchCount)
		ch.SetLimit(0)
	}
	return nil
}

func (ch *channel) basicConsume(m *amqp.BasicConsume) error {
	name, err := ch.queueName(m.ID(), m.Queue)
	if err != nil {
		return err
	}
	tag := m.ConsumerTag
	if tag == "" {
		tag = "amq.ctag-" + broker.RandomName() // CONS-01
	}
	if old := ch.consumers[tag]; old != nil && !ch.conn.client.Ended(old) || ch.ConsumesReplies(tag) {
		return amqp.Errorf(amqp.NotAllowed, m.ID(), "attempt to reuse consumer tag '%s'", tag)
	}
	if name != broker.ReplyTo {
		if err := ch.conn.client.MayConsume(name, ch.countConsumers); err != nil {
			return err
		}
	}
	consumer := &queue.Consumer{
		Tag: tag, Channel: ch.Channel.Channel, NoAck: m.NoAck, Exclusive: m.Exclusive,
		Limit: ch.prefetch, Arguments: m.Arguments,
	}
	started := func() {
		ch.replyUnless(m.NoWait, &amqp.BasicConsumeOk{ConsumerTag: tag}) // before the first delivery (CONS-02)
	}
	if name == broker.ReplyTo {
		return ch.ConsumeReplies(consumer, started)
	}
	err = ch.conn.client.Consume(name, consumer, started)
	if err != nil {
		return err
	}
	ch.consumers[tag] = consumer
	ch.forgetEnded()
	return nil
}

// forgetEnded forgets consumers whose queues were deleted, whenever their number has doubled.
func (ch *channel) forgetEnded() {
	const few = 16
	if len(ch.consumers) < max(ch.sweep, few) {
		return
	}
	maps.DeleteFunc(ch.consumers, func(_ string, consumer *queue.Consumer) bool { return ch.conn.client.Ended(consumer) })
	ch.sweep = 2 * len(ch.consumers)
}

// countConsumers counts the channel's consumers that have not ended.
func (ch *channel) countConsumers() int {
	n := 0
	for _, consumer := range ch.consumers {
		if !ch.conn.client.Ended(consumer) {
			n++
		}
	}
	return n
}

func (ch *channel) basicCancel(m *amqp.BasicCancel) error {
	if consumer := ch.consumers[m.ConsumerTag]; consumer != nil {
		delete(ch.consumers, m.ConsumerTag)
		ch.conn.client.CancelConsumer(consumer)
	}
	ch.CancelReplies(m.ConsumerTag)
	ch.replyUnless(m.NoWait, &amqp.BasicCancelOk{ConsumerTag: m.ConsumerTag}) // also for an unknown tag (CONS-06)
	return nil
}

func (ch *channel) basicGet(m *amqp.BasicGet) error {
	name, err := ch.queueName(m.ID(), string(m.Queue))
	if err != nil {
		return err
	}
	found, err := ch.conn.client.Take(name, ch.Channel, m.NoAck)
	if err != nil {
		return err
	}
	if !found {
		ch.reply(&amqp.BasicGetEmpty{})
	}
	return nil
}

func (ch *channel) basicRecover(id amqp.MethodID, requeue, answer bool) error {
	if !requeue { // ACK-06
		return amqp.Errorf(amqp.NotImplemented, id, "requeue=false")
	}
	ch.Recover(func() { ch.replyUnless(!answer, &amqp.BasicRecoverOk{}) })
	return nil
}

var _ queue.Outlet = (*broker.Client)(nil)
