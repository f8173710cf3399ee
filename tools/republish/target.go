package republish

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// Route says where messages go. The zero value is where they were published: to their exchange with their key.
type Route struct {
	// Queues sends each message straight to the queues that it went to, by their names: through the default exchange, once
	// for each.
	Queues bool
	// Queue sends all messages straight to one queue.
	Queue string
	// Exchange sends all messages to one exchange, with their keys. A pointer, for the default exchange has no name.
	Exchange *string
	// Key is sent instead of the messages' own; only for Exchange and the zero value.
	Key *string
}

// straight reports whether queues are named, and not found by routing.
func (r *Route) straight() bool { return r.Queues || r.Queue != "" }

// target asks a broker for exchanges and queues, on a connection of its own.
type target struct {
	address client.Address
	config  client.Config
	declare bool
	conn    *client.Conn
	known   map[string]bool // exchanges, and queues behind a NUL
	// Messages whose headers name further routing keys would go there too. So they go to queues through an exchange of
	// our own, by keys that nobody names.
	private string
	keys    map[string]string // of the private exchange, by queue
}

func newTarget(ctx context.Context, a client.Address, config client.Config, declare bool) (*target, error) {
	t := &target{address: a, config: config, declare: declare, known: map[string]bool{"": true}, keys: map[string]string{}}
	var err error
	t.conn, err = client.Dial(ctx, a, config)
	return t, err
}

// close takes away what was made for the time being.
func (t *target) close() error {
	if t.private != "" {
		if _, err := t.conn.Call(client.FirstChannel, &amqp.ExchangeDelete{Exchange: t.private}, amqp.ExchangeDeleteOkID); err != nil {
			t.conn.HangUp()
			return fmt.Errorf("exchange %s, which was for the time being, is left: %w", t.private, err)
		}
	}
	return t.conn.Close()
}

// exchange makes sure that an exchange is there.
func (t *target) exchange(name string) error {
	if t.known[name] {
		return nil
	}
	_, err := t.conn.Call(client.FirstChannel, &amqp.ExchangeDeclare{Exchange: name, Passive: true}, amqp.ExchangeDeclareOkID)
	var closed *client.Closed
	if errors.As(err, &closed) && closed.Code == amqp.NotFound {
		return fmt.Errorf("no exchange %q in virtual host %q of %s: declare it there, or say where messages go instead",
			name, t.address.VHost, t.address.Host)
	}
	t.known[name] = err == nil
	return err
}

// queue makes sure that a queue is there.
func (t *target) queue(name string) error {
	if t.known["\x00"+name] {
		return nil
	}
	_, err := t.conn.Call(client.FirstChannel, &amqp.QueueDeclare{Queue: name, Passive: true}, amqp.QueueDeclareOkID)
	var closed *client.Closed
	if errors.As(err, &closed) && closed.Code == amqp.NotFound {
		if !t.declare {
			return fmt.Errorf("no queue %q in virtual host %q of %s: declare it there, or with --declare", name, t.address.VHost, t.address.Host)
		}
		if err = t.reopen(); err == nil {
			_, err = t.conn.Call(client.FirstChannel, &amqp.QueueDeclare{Queue: name, Durable: true}, amqp.QueueDeclareOkID)
		}
	}
	if err != nil {
		return fmt.Errorf("queue %q: %w", name, err)
	}
	t.known["\x00"+name] = true
	return nil
}

// reopen opens the channel again that the broker has closed.
func (t *target) reopen() error {
	if err := t.conn.Send(client.FirstChannel, &amqp.ChannelCloseOk{}); err != nil {
		return err
	}
	_, err := t.conn.Call(client.FirstChannel, &amqp.ChannelOpen{}, amqp.ChannelOpenOkID)
	return err
}

// privateKeys are exchange and key that lead to one queue and no other, whatever headers say.
func (t *target) privateKeys(queue string) (exchange, key string, err error) {
	if t.private == "" {
		name := "millrace-replay-" + rand.Text()
		declare := &amqp.ExchangeDeclare{Exchange: name, Type: "direct", AutoDelete: true}
		if _, err := t.conn.Call(client.FirstChannel, declare, amqp.ExchangeDeclareOkID); err != nil {
			return "", "", fmt.Errorf("an exchange for messages with CC or BCC headers: %w", err)
		}
		t.private = name
	}
	if key, ok := t.keys[queue]; ok {
		return t.private, key, nil
	}
	key = rand.Text()
	bind := &amqp.QueueBind{Queue: queue, Exchange: t.private, RoutingKey: key}
	if _, err := t.conn.Call(client.FirstChannel, bind, amqp.QueueBindOkID); err != nil {
		return "", "", fmt.Errorf("queue %q, for messages with CC or BCC headers: %w", queue, err)
	}
	t.keys[queue] = key
	return t.private, key, nil
}
