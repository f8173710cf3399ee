package benchmarks

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
)

// declare makes a workload's exchange, queues and bindings anew.
func declare(ctx context.Context, t target, w *Workload) error {
	c, err := dial(ctx, t)
	if err != nil {
		return err
	}
	defer c.net.Close()
	if err := remove(c, w); err != nil {
		return err
	}
	for i := range w.Queues {
		if _, err := c.call(&amqp.QueueDeclare{Queue: w.queueName(i), Durable: true}, amqp.QueueDeclareOkID); err != nil {
			return err
		}
	}
	if w.Exchange == ExchangeDefault {
		return c.close()
	}
	exchange := &amqp.ExchangeDeclare{Exchange: w.exchangeName(), Type: string(w.Exchange), Durable: true}
	if _, err := c.call(exchange, amqp.ExchangeDeclareOkID); err != nil {
		return err
	}
	bindings := w.Bindings
	if w.Exchange == ExchangeFanout {
		bindings = w.Queues
	}
	for i := range bindings {
		bind := &amqp.QueueBind{Queue: w.queueName(i % w.Queues), Exchange: w.exchangeName(), RoutingKey: w.pattern(i)}
		if _, err := c.call(bind, amqp.QueueBindOkID); err != nil {
			return err
		}
	}
	return c.close()
}

// undeclare removes what declare made. left is how many messages were still in the queues.
func undeclare(ctx context.Context, t target, w *Workload) (left uint64, err error) {
	c, err := dial(ctx, t)
	if err != nil {
		return 0, err
	}
	defer c.net.Close()
	for i := range w.Queues {
		answer, err := c.call(&amqp.QueueDeclare{Queue: w.queueName(i), Passive: true}, amqp.QueueDeclareOkID)
		if err != nil {
			return left, fmt.Errorf("queue %s after the run: %w", w.queueName(i), err)
		}
		left += uint64(answer.(*amqp.QueueDeclareOk).MessageCount)
	}
	if err := remove(c, w); err != nil {
		return left, err
	}
	return left, c.close()
}

// remove deletes queues and exchange; deleting what is not there is no error (RabbitMQ's extension).
func remove(c *connection, w *Workload) error {
	for i := range w.Queues {
		if _, err := c.call(&amqp.QueueDelete{Queue: w.queueName(i)}, amqp.QueueDeleteOkID); err != nil {
			return err
		}
	}
	if w.Exchange == ExchangeDefault {
		return nil
	}
	_, err := c.call(&amqp.ExchangeDelete{Exchange: w.exchangeName()}, amqp.ExchangeDeleteOkID)
	return err
}
