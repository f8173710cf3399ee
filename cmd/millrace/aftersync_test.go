package main_test

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A queue that delivers after the sync delivers everything all the same, in order, whether or not its publisher waits
// for that sync. RabbitMQ ignores the argument.
func TestQueueThatDeliversAfterTheSync(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	publisher, c := b.connect(t), b.connect(t)
	for _, durable := range []bool{true, false} {
		q := c.queue(fmt.Sprint("durable ", durable), queueSpec{durable: durable, args: amqp.Table{"x-deliver-after-sync": true}})
		consumer := c.consumer(q, consumerSpec{noAck: true})
		var want []string
		for i := range 30 {
			want = append(want, fmt.Sprint(i))
			publisher.sendMessage("", q, amqp.Publishing{Body: []byte(want[i]), DeliveryMode: uint8(i % 3)})
		}
		consumer.wantBodies(want...)
	}
	got := c.queue("got", queueSpec{durable: true, args: amqp.Table{"x-deliver-after-sync": true}})
	c.send("", got, "m") // on the same channel: it is there when the get comes, and so is its sync when that is answered
	if d, ok, err := c.Get(got, true); err != nil || !ok || string(d.Body) != "m" {
		t.Errorf("get: %q, %v, %v", d.Body, ok, err)
	}
}

// What a consumer of such a queue was told of is there after a kill, though nobody waited for a confirm.
func TestWhatWasSeenAfterTheSyncOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-deliver-after-sync": true}})
	bodies := []string{"a", "b", "c", "d", "e"}
	for _, body := range bodies {
		c.sendMessage("", q, amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent})
	}
	seen := c.consumer(q, consumerSpec{}).wantBodies(bodies...)
	b.Kill()
	c = startBroker(t, b.Dir).connect(t)
	again := c.consumer(q, consumerSpec{}).wantBodies(bodies...)
	if len(again) != len(seen) || !again[0].Redelivered {
		t.Errorf("%d of %d, redelivered: %v", len(again), len(seen), again[0].Redelivered)
	}
}

// QUEUE-08: the argument is checked, and compared.
func TestArgumentDeliverAfterSync(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	if b.External() {
		t.Skip("RabbitMQ does not know the argument")
	}
	c := b.connect(t)
	q := c.queue("q", queueSpec{args: amqp.Table{"x-deliver-after-sync": true}})
	_, err := c.QueueDeclare(q, false, false, false, false, amqp.Table{"x-deliver-after-sync": false})
	wantError(t, err, 406, fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'x-deliver-after-sync' for queue '%s' in vhost '/': "+
		"received 'false' but current is 'true'", q))
	c = b.connect(t)
	_, err = c.QueueDeclare(c.name("other"), false, false, false, false, amqp.Table{"x-deliver-after-sync": "yes"})
	wantError(t, err, 406, fmt.Sprintf("PRECONDITION_FAILED - invalid arg 'x-deliver-after-sync' for queue '%s' in vhost '/': "+
		"{unacceptable_type,longstr}", c.name("other")))
}

// POL-04: the policy comes and goes, and nothing stays behind.
func TestPolicyDeliverAfterSync(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	if o.broker.External() {
		t.Skip("RabbitMQ does not know the policy")
	}
	c := o.broker.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	consumer := c.consumer(q, consumerSpec{noAck: true})
	c.sendAll("", q, "1", "2")
	o.set("sync operator", `{"deliver-after-sync":true}`)
	c.sendAll("", q, "3", "4")
	consumer.wantBodies("1", "2", "3", "4")
	o.clear("sync operator")
	c.sendAll("", q, "5")
	consumer.wantBodies("5")
}
