package load

import (
	"context"
	"fmt"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/server/amqp"
)

// pipelined is how many declarations are under way at the same time while a workload is made ready.
const pipelined = 64

// declare makes a workload's exchange, queues and bindings anew.
func declare(ctx context.Context, a contender.Address, w *Workload) error {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return err
	}
	defer c.hangUp()
	if err := remove(c, w); err != nil {
		return err
	}
	queues := w.Queues + w.IdleQueues
	err = c.callEach(queues, amqp.QueueDeclareOkID, func(i int) amqp.Method { return declaration(w, w.nameOf(i)) })
	if err != nil || w.Exchange == ExchangeDefault {
		return closeAfter(c, err)
	}
	exchange := &amqp.ExchangeDeclare{Exchange: w.exchangeName(), Type: string(w.Exchange), Durable: true}
	if _, err := c.call(firstChannel, exchange, amqp.ExchangeDeclareOkID); err != nil {
		return err
	}
	bindings := append(w.bindings(), w.idleBindings()...)
	err = c.callEach(len(bindings), amqp.QueueBindOkID, func(i int) amqp.Method {
		b := bindings[i]
		return &amqp.QueueBind{Queue: w.queueName(b.queue), Exchange: w.exchangeName(), RoutingKey: b.key, Arguments: b.arguments}
	})
	return closeAfter(c, err)
}

func closeAfter(c *connection, err error) error {
	if err != nil {
		return err
	}
	return c.close()
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
func declareQueue(c *connection, w *Workload, name string) error {
	_, err := c.call(firstChannel, declaration(w, name), amqp.QueueDeclareOkID)
	return err
}

// callEach sends n methods and takes their answers, some at the same time.
func (c *connection) callEach(n int, answer amqp.MethodID, method func(i int) amqp.Method) error {
	var out []byte
	for from := 0; from < n; from += pipelined {
		to := min(from+pipelined, n)
		out = out[:0]
		for i := from; i < to; i++ {
			out = amqp.AppendMethod(out, firstChannel, method(i))
		}
		if _, err := c.net.Write(out); err != nil {
			return err
		}
		for i := from; i < to; i++ {
			if _, err := c.await(answer, nil); err != nil {
				return fmt.Errorf("%v %d of %d: %w", method(i).ID(), i+1, n, err)
			}
		}
	}
	return nil
}

// ready is how many messages are in the queues.
func ready(c *connection, w *Workload) (sum uint64, err error) {
	for i := range w.Queues {
		answer, err := c.call(firstChannel, &amqp.QueueDeclare{Queue: w.queueName(i), Passive: true}, amqp.QueueDeclareOkID)
		if err != nil {
			return sum, fmt.Errorf("queue %s: %w", w.queueName(i), err)
		}
		sum += uint64(answer.(*amqp.QueueDeclareOk).MessageCount)
	}
	return sum, nil
}

// countReady tells how many messages are in queues that are there.
func countReady(ctx context.Context, a contender.Address, w *Workload) (uint64, error) {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return 0, err
	}
	defer c.hangUp()
	sum, err := ready(c, w)
	return sum, closeAfter(c, err)
}

// undeclare removes what declare made. left is how many messages were still in the queues.
func undeclare(ctx context.Context, a contender.Address, w *Workload) (left uint64, err error) {
	c, err := dial(ctx, a, 1)
	if err != nil {
		return 0, err
	}
	defer c.hangUp()
	if left, err = ready(c, w); err != nil {
		return left, fmt.Errorf("after the run: %w", err)
	}
	return left, closeAfter(c, remove(c, w))
}

// remove deletes queues and exchange; deleting what is not there is no error (RabbitMQ's extension).
func remove(c *connection, w *Workload) error {
	err := c.callEach(w.Queues+w.IdleQueues, amqp.QueueDeleteOkID, func(i int) amqp.Method {
		return &amqp.QueueDelete{Queue: w.nameOf(i)}
	})
	if err != nil || w.Exchange == ExchangeDefault {
		return err
	}
	_, err = c.call(firstChannel, &amqp.ExchangeDelete{Exchange: w.exchangeName()}, amqp.ExchangeDeleteOkID)
	return err
}
