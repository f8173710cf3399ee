package main_test

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// client is one connection with one open channel, which is all that most
// scenarios need. Every helper fails the test on an error; scenarios about
// errors call the embedded amqp.Channel itself.
type client struct {
	*channel
	conn   *amqp.Connection
	closed chan *amqp.Error // the connection's close, if the server sent one
}

// channel is an open channel that remembers how it ended.
type channel struct {
	*amqp.Channel
	t        testing.TB
	broker   *Broker
	chClosed chan *amqp.Error
}

// connect opens a connection that is closed when the test ends.
func (b *Broker) connect(t testing.TB) *client {
	t.Helper()
	return b.connectWith(t, amqp.Config{})
}

func (b *Broker) connectWith(t testing.TB, config amqp.Config) *client {
	t.Helper()
	conn, err := amqp.DialConfig(b.URL, config)
	if err != nil {
		t.Fatalf("dial %s: %v", b.URL, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{conn: conn, closed: conn.NotifyClose(make(chan *amqp.Error, 1))}
	c.channel = c.open(t, b)
	return c
}

func (c *client) open(t testing.TB, b *Broker) *channel {
	t.Helper()
	ch, err := c.conn.Channel()
	if err != nil {
		t.Fatalf("channel.open: %v", err)
	}
	return &channel{Channel: ch, t: t, broker: b, chClosed: ch.NotifyClose(make(chan *amqp.Error, 1))}
}

// channel opens one more channel on the connection.
func (c *client) newChannel() *channel {
	c.t.Helper()
	return c.open(c.t, c.broker)
}

// close ends the connection and returns once the server has agreed.
func (c *client) close() {
	c.t.Helper()
	if err := c.conn.Close(); err != nil {
		c.t.Fatalf("connection.close: %v", err)
	}
}

// must fails the test on an error of the embedded channel's methods.
func (c *channel) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// name makes a name that no other test uses, for brokers that are shared.
func (c *channel) name(word string) string { return c.t.Name() + "." + word }

type queueSpec struct {
	durable, autoDelete, exclusive bool
	args                           amqp.Table
}

// queue declares a queue under a name of the test's own.
func (c *channel) queue(word string, spec queueSpec) string {
	c.t.Helper()
	return c.declare(c.name(word), spec)
}

func (c *channel) declare(name string, spec queueSpec) string {
	c.t.Helper()
	queue, err := c.QueueDeclare(name, spec.durable, spec.autoDelete, spec.exclusive, false, spec.args)
	if err != nil {
		c.t.Fatalf("queue.declare %q: %v", name, err)
	}
	c.atEnd(func(ch *amqp.Channel) { _, _ = ch.QueueDelete(queue.Name, false, false, false) })
	return queue.Name
}

type exchangeSpec struct {
	durable, autoDelete, internal bool
	args                          amqp.Table
}

func (c *channel) exchange(word, kind string, spec exchangeSpec) string {
	c.t.Helper()
	name := c.name(word)
	if err := c.ExchangeDeclare(name, kind, spec.durable, spec.autoDelete, spec.internal, false, spec.args); err != nil {
		c.t.Fatalf("exchange.declare %q: %v", name, err)
	}
	c.atEnd(func(ch *amqp.Channel) { _ = ch.ExchangeDelete(name, false, false) })
	return name
}

// atEnd undoes a declaration on a broker that outlives the test.
func (c *channel) atEnd(undo func(*amqp.Channel)) {
	if !c.broker.External() {
		return
	}
	url := c.broker.URL
	c.t.Cleanup(func() {
		conn, err := amqp.Dial(url)
		if err != nil {
			return
		}
		defer conn.Close()
		if ch, err := conn.Channel(); err == nil {
			undo(ch)
		}
	})
}

func (c *channel) bind(queue, key, exchange string, args amqp.Table) {
	c.t.Helper()
	if err := c.QueueBind(queue, key, exchange, false, args); err != nil {
		c.t.Fatalf("queue.bind %q to %q: %v", queue, exchange, err)
	}
}

// send publishes a transient message with the given text.
func (c *channel) send(exchange, key, body string) {
	c.t.Helper()
	c.sendMessage(exchange, key, amqp.Publishing{Body: []byte(body)})
}

// sendAll publishes each text in turn.
func (c *channel) sendAll(exchange, key string, bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		c.send(exchange, key, body)
	}
}

func (c *channel) sendMessage(exchange, key string, message amqp.Publishing) {
	c.t.Helper()
	if err := c.PublishWithContext(context.Background(), exchange, key, false, false, message); err != nil {
		c.t.Fatalf("basic.publish to %q: %v", exchange, err)
	}
}

// sendConfirmed publishes on a channel in confirm mode and waits for the ack.
func (c *channel) sendConfirmed(exchange, key string, message amqp.Publishing) {
	c.t.Helper()
	confirmation, err := c.PublishWithDeferredConfirmWithContext(context.Background(), exchange, key, false, false, message)
	if err != nil {
		c.t.Fatalf("basic.publish to %q: %v", exchange, err)
	}
	c.wantConfirmed(confirmation)
}

func (c *channel) wantConfirmed(confirmation *amqp.DeferredConfirmation) {
	c.t.Helper()
	if acked := await(c.t, "confirm", confirmation.Done()); !acked.closed || !confirmation.Acked() {
		c.t.Fatalf("publish %d was not confirmed", confirmation.DeliveryTag)
	}
}

func (c *channel) confirmMode() {
	c.t.Helper()
	if err := c.Confirm(false); err != nil {
		c.t.Fatalf("confirm.select: %v", err)
	}
}

func (c *channel) qos(prefetch int) {
	c.t.Helper()
	if err := c.Qos(prefetch, 0, false); err != nil {
		c.t.Fatalf("basic.qos: %v", err)
	}
}

// ready is the queue's number of ready messages. Its answer comes after the
// effect of everything sent on this channel before.
func (c *channel) ready(queue string) int {
	c.t.Helper()
	state, err := c.QueueDeclarePassive(queue, false, false, false, false, nil)
	if err != nil {
		c.t.Fatalf("passive queue.declare %q: %v", queue, err)
	}
	return state.Messages
}

// wantReady waits until the queue has just that many ready messages.
func (c *channel) wantReady(queue string, want int) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	got := c.ready(queue)
	for ; got != want && time.Now().Before(deadline); got = c.ready(queue) {
	}
	if got != want {
		c.t.Fatalf("queue %q has %d ready messages, want %d", queue, got, want)
	}
}

// fetch takes the next message with basic.get, to be settled by the caller,
// and waits for it to arrive.
func (c *channel) fetch(queue string) amqp.Delivery {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		message, ok, err := c.Get(queue, false)
		if err != nil {
			c.t.Fatalf("basic.get %q: %v", queue, err)
		}
		if ok {
			return message
		}
	}
	c.t.Fatalf("basic.get %q: queue stays empty", queue)
	return amqp.Delivery{}
}

// wantBodies fetches as many messages as there are texts and compares.
func (c *channel) wantBodies(queue string, want ...string) []amqp.Delivery {
	c.t.Helper()
	var got []amqp.Delivery
	for i, text := range want {
		message := c.fetch(queue)
		if string(message.Body) != text {
			c.t.Fatalf("message %d of %q is %q, want %q", i, queue, message.Body, text)
		}
		got = append(got, message)
	}
	return got
}

// wantClosed waits for the server's channel.close and compares it.
func (c *channel) wantClosed(code int, text string) {
	c.t.Helper()
	wantError(c.t, errorOf(await(c.t, "channel.close", c.chClosed)), code, text)
}

// wantConnectionClosed waits for the server's connection.close.
func (c *client) wantConnectionClosed(code int, text string) {
	c.t.Helper()
	wantError(c.t, errorOf(await(c.t, "connection.close", c.closed)), code, text)
}

// wantError compares a reply of the server, code and text.
func wantError(t testing.TB, err error, code int, text string) {
	t.Helper()
	var reply *amqp.Error
	if !errors.As(err, &reply) {
		t.Fatalf("got error %v, want %d %q", err, code, text)
	}
	if reply.Code != code || reply.Reason != text {
		t.Fatalf("got %d %q, want %d %q", reply.Code, reply.Reason, code, text)
	}
}

func errorOf(r received[*amqp.Error]) error {
	if r.closed || r.value == nil {
		return nil
	}
	return r.value
}

// received is what a channel gave: a value, or its end.
type received[T any] struct {
	value  T
	closed bool
}

// await waits for the next event on a channel.
func await[T any](t testing.TB, what string, events <-chan T) received[T] {
	t.Helper()
	select {
	case value, ok := <-events:
		return received[T]{value: value, closed: !ok}
	case <-time.After(patience):
		t.Fatalf("no %s in time", what)
		return received[T]{}
	}
}

// eventually checks a condition that no event announces.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		}
	}
}
