package main_test

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// CONF-01 to CONF-03
func TestEveryPublishIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	const messages = 2000
	c := newBroker(t).connect(t)
	durable := c.queue("durable", queueSpec{durable: true})
	transient := c.queue("transient", queueSpec{})
	c.confirmMode()
	if err := c.Confirm(false); err != nil {
		t.Fatalf("confirm.select again: %v", err)
	}
	confirms := c.NotifyPublish(make(chan amqp.Confirmation, messages))
	for i := range messages {
		message := amqp.Publishing{DeliveryMode: uint8(i%2 + 1), Body: fmt.Append(nil, i)}
		c.sendMessage("", []string{durable, transient, "nowhere"}[i%3], message)
	}
	for i := range messages {
		confirm := await(t, "confirm", confirms).value
		if confirm.DeliveryTag != uint64(i+1) || !confirm.Ack {
			t.Fatalf("confirm %d is %+v", i+1, confirm)
		}
	}
	c.wantReady(durable, (messages+2)/3)
	c.wantReady(transient, (messages+1)/3)
}

// CONF-04, PUB-04, PUB-05
func TestUnroutableMandatoryPublishIsReturnedThenConfirmed(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	e, q := c.exchange("e", "direct", exchangeSpec{}), c.queue("q", queueSpec{})
	c.bind(q, "key", e, nil)
	c.confirmMode()
	returns := c.NotifyReturn(make(chan amqp.Return, 1))
	publish := func(key string) {
		t.Helper()
		message := amqp.Publishing{
			ContentType: "text/plain", MessageId: "id", Headers: amqp.Table{"k": "v"}, Body: []byte("body"),
		}
		confirmation, err := c.PublishWithDeferredConfirm(e, key, true, false, message)
		if err != nil {
			t.Fatal(err)
		}
		c.wantConfirmed(confirmation)
	}
	publish("key")
	if len(returns) != 0 {
		t.Fatal("a routed message was returned")
	}
	publish("nowhere")
	if len(returns) != 1 {
		t.Fatal("confirmed before it was returned")
	}
	got := <-returns
	if got.ReplyCode != 312 || got.ReplyText != "NO_ROUTE" || got.Exchange != e || got.RoutingKey != "nowhere" {
		t.Errorf("basic.return %d %q for %q %q", got.ReplyCode, got.ReplyText, got.Exchange, got.RoutingKey)
	}
	if string(got.Body) != "body" || got.ContentType != "text/plain" || got.MessageId != "id" || got.Headers["k"] != "v" {
		t.Errorf("the returned message is %+v", got)
	}
}

// PUB-04: without confirms, and without the flag.
func TestUnroutablePublishWithoutConfirms(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	returns := c.NotifyReturn(make(chan amqp.Return, 2))
	for _, mandatory := range []bool{false, true} {
		if err := c.Publish("", c.name("nowhere"), mandatory, false, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "basic.return", returns)
	c.queue("q", queueSpec{}) // a round trip behind both publishes
	if len(returns) != 0 {
		t.Error("a message without mandatory was returned")
	}
}

// PUB-01, ERR-05: what came before the failing publish takes effect.
func TestPublishToAMissingExchangeClosesTheChannel(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	q := c.queue("q", queueSpec{})
	failing := c.newChannel()
	failing.confirmMode()
	failing.send("", q, "before")
	failing.send("nox", "key", "lost")
	failing.wantClosed(404, "NOT_FOUND - no exchange 'nox' in vhost '/'")
	c.wantBodies(q, "before")
}

// PUB-03, PUB-06, PUB-07
func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	t.Run("immediate", func(t *testing.T) {
		c := b.connect(t)
		if err := c.Publish("", "key", false, true, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		c.wantConnectionClosed(540, "NOT_IMPLEMENTED - immediate=true")
	})
	t.Run("another user's id", func(t *testing.T) {
		c := b.connect(t)
		c.sendMessage("", "key", amqp.Publishing{UserId: "other"})
		c.wantClosed(406,
			"PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'")
	})
	for expiration, reason := range map[string]string{
		"abc": "no_integer", "-1": "{value_negative,-1}", "1.5": `{leftover_string,".5"}`,
	} {
		t.Run("expiration "+expiration, func(t *testing.T) {
			c := b.connect(t)
			c.sendMessage("", "key", amqp.Publishing{Expiration: expiration})
			c.wantClosed(406, "PRECONDITION_FAILED - invalid expiration '"+expiration+"': "+reason)
		})
	}
}

// CONF-01
func TestConfirmAndTransactionsExcludeEachOther(t *testing.T) {
	t.Parallel()
	c := newBroker(t).connect(t)
	confirming, transacted := c.newChannel(), c.newChannel()
	confirming.confirmMode()
	wantError(t, confirming.Tx(), 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
	if err := transacted.Tx(); err != nil {
		t.Fatal(err)
	}
	wantError(t, transacted.Confirm(false), 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
	wantError(t, c.TxCommit(), 406, "PRECONDITION_FAILED - channel is not transactional")
}

// 12: tx
func TestTransactionTakesEffectAtCommit(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.connect(t)
	q := c.queue("q", queueSpec{})
	c.send("", q, "consumed in the transaction")
	tx := c.newChannel()
	if err := tx.Tx(); err != nil {
		t.Fatal(err)
	}
	held := tx.wantBodies(q, "consumed in the transaction")[0]
	tx.send("", q, "rolled back")
	if err := tx.TxRollback(); err != nil {
		t.Fatal(err)
	}
	tx.send("", q, "published in the transaction")
	if err := held.Ack(false); err != nil {
		t.Fatal(err)
	}
	if n := tx.ready(q); n != 0 {
		t.Errorf("%d messages before the commit", n)
	}
	if err := tx.TxCommit(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Close(); err != nil { // what it had not settled would come back
		t.Fatal(err)
	}
	c.wantBodies(q, "published in the transaction")
	c.wantReady(q, 0)
}
