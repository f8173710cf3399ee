package main_test

import (
	"bytes"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// shopDefinitions are the users and the topology of the shop, which docs/cookbook.md tells of.
const shopDefinitions = "../../docs/examples/cookbook/shop.json"

// shopScene is an afternoon of a web shop. Users web and importer publish to the exchange shop; billing and mail have a
// consumer each, and audit has none. The importer sends a lot of stock, and among it an order that no consumer can read.
// At 16:00 billing's consumer is replaced by one that acknowledges everything and does nothing, until 17:00.
func shopScene(c *scene) {
	web, importer := c.login("web", "web-1"), c.login("importer", "importer-1")
	billing, mail := c.login("billing", "billing-1"), c.login("mail", "mail-1")
	bills := consume(c, billing, "billing", "billing-1.4")
	mails := consume(c, mail, "mail", "mail-2.0")
	settle := func(deliveries <-chan amqp.Delivery, settle func(amqp.Delivery) error) {
		c.must(settle(<-deliveries))
		c.pass(time.Second)
	}
	ack := func(d amqp.Delivery) error { return d.Ack(false) }
	publish := func(n int) {
		c.publish(web, "shop", "order.created", amqp.Publishing{
			ContentType: "application/json", MessageId: fmt.Sprintf("o-%d", n), UserId: "web", AppId: "webshop/2.1", Timestamp: time.Now(),
			Headers: amqp.Table{"host": "web-1", "trace": fmt.Sprintf("%04x", n*7919)}, Body: fmt.Appendf(nil, `{"order":%d,"total":%d}`, n, n%7*10+9),
		})
	}
	order := func(n int) {
		publish(n)
		settle(bills, ack)
		settle(mails, ack)
	}

	for n := 101; n <= 103; n++ {
		order(n)
		c.pass(10 * time.Minute)
	}
	for n := range 60 {
		c.publish(importer, "shop", "stock.changed", amqp.Publishing{
			ContentType: "application/json", UserId: "importer", AppId: "stock-import", Headers: amqp.Table{"file": "stock-0102.csv", "line": int32(n + 1)},
			Body: fmt.Appendf(nil, `{"article":%d,"text":"%s"}`, 7000+n, bytes.Repeat([]byte("stock "), 500)),
		})
	}
	c.publish(importer, "shop", "order.created", amqp.Publishing{
		ContentType: "application/json", UserId: "importer", AppId: "stock-import", Headers: amqp.Table{"file": "stock-0102.csv", "line": int32(61)},
		Body: []byte(`{"order":"7061;blue socks`),
	})
	settle(bills, func(d amqp.Delivery) error { return d.Nack(false, true) })
	settle(bills, func(d amqp.Delivery) error { return d.Nack(false, false) })
	settle(mails, ack)
	order(104)

	// The bad deploy.
	c.pass(time.Until(sceneBegin.Truncate(time.Hour).Add(time.Hour)))
	c.must(billing.Cancel("billing-1.4", false))
	c.pass(time.Second) // in which the broker notes what had been handed out
	bills = consume(c, billing, "billing", "billing-1.5")
	for n := 105; n <= 110; n++ {
		c.pass(9 * time.Minute)
		order(n)
	}
	c.pass(time.Until(sceneBegin.Truncate(time.Hour).Add(2 * time.Hour)))
	c.must(billing.Cancel("billing-1.5", false))
	c.pass(time.Minute)
	for n := 111; n <= 112; n++ {
		publish(n)
		settle(mails, ack)
	}
}

// consume starts a consumer of one message at a time.
func consume(c *scene, ch *amqp.Channel, queue, tag string) <-chan amqp.Delivery {
	c.t.Helper()
	c.must(ch.Qos(1, 0, false))
	deliveries, err := ch.Consume(queue, tag, false, false, false, false, nil)
	c.must(err)
	c.pass(time.Second)
	return deliveries
}
