package main_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/millrace-mq/millrace/server"
)

// scenarios are data folders for transcripts, by name. Each is made by a whole broker in fake time with one client,
// so that record numbers, times and sizes are the same in every run. Between what the broker does by itself (dead
// letters, expiries, acknowledgements, which it gathers) and the next step a scenario lets time pass.
var scenarios = map[string]func(*scene){
	"empty":  func(*scene) {},
	"small":  smallScene,
	"orders": ordersScene,
	"shop":   shopScene,
}

// scenarioDefinitions are the definition files of scenarios that have one.
var scenarioDefinitions = map[string]string{"shop": shopDefinitions}

// scene is a broker in fake time and a client's channel to it.
type scene struct {
	t      *testing.T
	broker *server.Server
	conns  []*amqp.Connection // that of ch is the first
	ch     *amqp.Channel
}

// sceneBegin is when every scenario begins.
var sceneBegin = time.Date(2026, time.January, 2, 15, 4, 5, 0, time.UTC)

// makeScenario plays a scenario on a new data folder.
func makeScenario(t *testing.T, dir, name string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(sceneBegin))
		// Nobody accepts at the port, so nothing waits for the network and time can pass.
		s, err := server.Open(server.Config{
			Data: dir, Listen: "127.0.0.1:0", SegmentSize: 64 << 10, RetainBytes: 1 << 30, CheckpointEvery: time.Hour,
			Definitions: scenarioDefinitions[name],
		})
		if err != nil {
			t.Fatal(err)
		}
		c := &scene{t: t, broker: s}
		c.ch = c.login("guest", "scenario")
		scenarios[name](c)
		c.pass(time.Second)
		for _, conn := range c.conns {
			c.must(conn.Close())
		}
		c.must(s.Shutdown())
	})
}

// login connects a user, whose password is its name, and opens a channel in confirm mode.
func (c *scene) login(user, name string) *amqp.Channel {
	c.t.Helper()
	mine, theirs := net.Pipe()
	c.broker.ServeConn(theirs)
	conn, err := amqp.Open(mine, amqp.Config{
		Vhost: "/", SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: user}}, Heartbeat: time.Hour,
		Properties: amqp.Table{"connection_name": name},
	})
	c.must(err)
	ch, err := conn.Channel()
	c.must(err)
	c.must(ch.Confirm(false))
	c.conns = append(c.conns, conn)
	return ch
}

func (c *scene) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// pass lets time pass, at the end of which everything has been done that is due.
func (c *scene) pass(d time.Duration) {
	<-time.After(d) // of the bubble
	synctest.Wait()
}

// queue declares a durable queue.
func (c *scene) queue(name string, args amqp.Table) {
	c.t.Helper()
	_, err := c.ch.QueueDeclare(name, true, false, false, false, args)
	c.must(err)
}

// send publishes a persistent message, waits for its confirm and lets a second pass.
func (c *scene) send(exchange, key string, message amqp.Publishing) {
	c.t.Helper()
	c.publish(c.ch, exchange, key, message)
}

// publish is send on another channel.
func (c *scene) publish(ch *amqp.Channel, exchange, key string, message amqp.Publishing) {
	c.t.Helper()
	message.DeliveryMode = amqp.Persistent
	confirm, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, message)
	c.must(err)
	if !confirm.Wait() {
		c.t.Fatal("not confirmed")
	}
	c.pass(time.Second)
}

// smallScene leaves a durable queue q with two messages.
func smallScene(c *scene) {
	c.queue("q", nil)
	c.send("", "q", amqp.Publishing{Body: []byte("one")})
	c.send("", "q", amqp.Publishing{Body: []byte("two")})
}

// ordersScene is a shop. Exchange orders (topic) is bound to shipping by order.*.eu and to billing by order.#; what
// shipping rejects goes to dead by the exchange dead. Of six orders, shipping's consumer acknowledges the first,
// requeues and then acknowledges the second, and rejects the third; an order in billing expires; a queue is deleted.
func ordersScene(c *scene) {
	c.must(c.ch.ExchangeDeclare("orders", "topic", true, false, false, false, nil))
	c.must(c.ch.ExchangeDeclare("dead", "fanout", true, false, false, false, nil))
	c.queue("shipping", amqp.Table{"x-dead-letter-exchange": "dead"})
	c.queue("billing", nil)
	c.queue("dead", nil)
	c.queue("forgotten", nil)
	c.must(c.ch.QueueBind("shipping", "order.*.eu", "orders", false, nil))
	c.must(c.ch.QueueBind("billing", "order.#", "orders", false, nil))
	c.must(c.ch.QueueBind("dead", "", "dead", false, nil))
	c.pass(time.Second)

	for _, order := range []struct{ key, id, body, expiration string }{
		{"order.created.eu", "o-1", `{"order":1,"total":9.5}`, ""},
		{"order.created.eu", "o-2", `{"order":2,"total":20}`, ""},
		{"order.created.eu", "o-3", `{"order":"three"}`, ""},
		{"order.created.us", "o-4", `{"order":4,"total":3}`, "10000"},
		{"order.cancelled.eu", "o-1", `{"order":1}`, ""},
		{"order.created.us", "o-5", `{"order":5,"total":7}`, ""},
	} {
		c.send("orders", order.key, amqp.Publishing{
			ContentType: "application/json", MessageId: order.id, AppId: "shop", Timestamp: time.Now(), Expiration: order.expiration,
			Headers: amqp.Table{"tenant": "north", "attempt": int32(1)}, Body: []byte(order.body),
		})
	}
	c.send("", "forgotten", amqp.Publishing{ContentType: "text/plain", Body: []byte("nobody reads this")})

	c.must(c.ch.Qos(1, 0, false))
	deliveries, err := c.ch.Consume("shipping", "shipper", false, false, false, false, nil)
	c.must(err)
	settle := func(settle func(amqp.Delivery) error) {
		c.must(settle(<-deliveries))
		c.pass(time.Second)
	}
	settle(func(d amqp.Delivery) error { return d.Ack(false) })
	settle(func(d amqp.Delivery) error { return d.Nack(false, true) })
	settle(func(d amqp.Delivery) error { return d.Ack(false) })
	settle(func(d amqp.Delivery) error { return d.Nack(false, false) })
	c.must(c.ch.Cancel("shipper", false))
	c.pass(time.Second)
	got, ok, err := c.ch.Get("billing", false)
	c.must(err)
	if !ok || got.MessageId != "o-1" {
		c.t.Fatalf("billing gave %q", got.MessageId)
	}
	c.must(got.Ack(false))
	c.pass(time.Second) // acknowledgements are written a little later
	_, err = c.ch.QueueDelete("forgotten", false, false, false)
	c.must(err)
	c.pass(30 * time.Second)
}

// makeScenarios makes all of them below a folder.
func makeScenarios(t *testing.T) (below string) {
	t.Helper()
	below = t.TempDir()
	for name := range scenarios {
		makeScenario(t, filepath.Join(below, name), name)
	}
	return below
}

// copyScenario gives a script its own copy.
func copyScenario(from, to string) error { return os.CopyFS(to, os.DirFS(from)) }
