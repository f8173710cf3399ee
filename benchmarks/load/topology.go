package load

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// pipelined is how many declarations are under way at the same time while a workload is made ready.
const pipelined = 64

// declare makes a workload's exchange, queues and bindings anew.
func declare(ctx context.Context, a client.Address, w *Workload) error {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return err
	}
	defer c.HangUp()
	if err := remove(c, w); err != nil {
		return err
	}
	queues := w.Queues + w.IdleQueues
	err = callEach(c, queues, amqp.QueueDeclareOkID, func(i int) amqp.Method { return declaration(w, w.nameOf(i)) })
	if err != nil || w.Exchange == ExchangeDefault {
		return closeAfter(c, err)
	}
	exchange := &amqp.ExchangeDeclare{Exchange: w.exchangeName(), Type: string(w.Exchange), Durable: true}
	if _, err := c.Call(client.FirstChannel, exchange, amqp.ExchangeDeclareOkID); err != nil {
		return err
	}
	bindings := append(w.bindings(), w.idleBindings()...)
	err = callEach(c, len(bindings), amqp.QueueBindOkID, func(i int) amqp.Method {
		b := bindings[i]
		return &amqp.QueueBind{Queue: w.queueName(b.queue), Exchange: w.exchangeName(), RoutingKey: b.key, Arguments: b.arguments}
	})
	return closeAfter(c, err)
}

func closeAfter(c *client.Conn, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// nameOf names the queues and then the idle ones.
func (w *Workload) nameOf(i int) string {
	if i < w.Queues {
		return w.queueName(i)
	}
	return w.idleName(i - w.Queues)
}

func declaration(w *Workload, name string) amqp.Method {
	return &amqp.QueueDeclare{Queue: name, Durable: true, Arguments: w.Arguments}
}

// declareQueue declares one queue and waits for the answer.
func declareQueue(c *client.Conn, w *Workload, name string) error {
	_, err := c.Call(client.FirstChannel, declaration(w, name), amqp.QueueDeclareOkID)
	return err
}

// ready is how many messages are in the queues.
func ready(c *client.Conn, w *Workload) (sum uint64, err error) {
	for i := range w.Queues {
		answer, err := c.Call(client.FirstChannel, &amqp.QueueDeclare{Queue: w.queueName(i), Passive: true}, amqp.QueueDeclareOkID)
		if err != nil {
			return sum, fmt.Errorf("queue %s: %w", w.queueName(i), err)
		}
		sum += uint64(answer.(*amqp.QueueDeclareOk).MessageCount)
	}
	return sum, nil
}

// countReady tells how many messages are in queues that are there.
func countReady(ctx context.Context, a client.Address, w *Workload) (uint64, error) {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return 0, err
	}
	defer c.HangUp()
	sum, err := ready(c, w)
	return sum, closeAfter(c, err)
}

// undeclare removes what declare made. left is how many messages were still in the queues.
func undeclare(ctx context.Context, a client.Address, w *Workload) (left uint64, err error) {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return 0, err
	}
	defer c.HangUp()
	if left, err = ready(c, w); err != nil {
		return left, fmt.Errorf("after the run: %w", err)
	}
	return left, closeAfter(c, remove(c, w))
}

// remove deletes queues and exchange; deleting what is not there is no error (RabbitMQ's extension).
func remove(c *client.Conn, w *Workload) error {
	err := callEach(c, w.Queues+w.IdleQueues, amqp.QueueDeleteOkID, func(i int) amqp.Method {
		return &amqp.QueueDelete{Queue: w.nameOf(i)}
	})
	if err != nil || w.Exchange == ExchangeDefault {
		return err
	}
	_, err = c.Call(client.FirstChannel, &amqp.ExchangeDelete{Exchange: w.exchangeName()}, amqp.ExchangeDeleteOkID)
	return err
}
