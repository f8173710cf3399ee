package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// delayedExchange declares an exchange that holds messages, bound to a durable queue by the given key.
func (c *client) delayedExchange(name, kind, queueName, key string) {
	c.f.Helper()
	c.exchange(broker.ExchangeDeclaration{
		Name: name, Type: "x-delayed-message", Durable: true, Arguments: amqp.Table{"x-delayed-type": kind},
	})
	c.durable(queueName)
	c.bind(name, queueName, key)
}

func delay(ms int, more amqp.Table) amqp.Properties {
	headers := amqp.Table{"x-delay": int32(ms)}
	for key, value := range more {
		headers[key] = value
	}
	return amqp.Properties{DeliveryMode: amqp.Persistent, Headers: headers}
}

// anHour is a delay that no test waits for.
const anHour = 3600_000

// header reads one header of a delivered message.
func (c *client) header(d queue.Delivery, name string) any {
	c.f.Helper()
	record, err := c.view.Record(d.LSN)
	if err != nil {
		c.f.Fatal(err)
	}
	p, err := record.Publish()
	if err != nil {
		c.f.Fatal(err)
	}
	if record.Flags()&segment.FlagBlindCopies != 0 { // as it would be delivered
		p.Header = broker.WithoutBlindCopies(p.Header)
	}
	h, err := amqp.ParseHeader(p.Header)
	if err != nil {
		c.f.Fatal(err)
	}
	raw, _ := h.Headers()
	table, err := raw.Decode()
	if err != nil {
		c.f.Fatal(err)
	}
	return table[name]
}

func TestDelayedMessagesComeInTheOrderInWhichTheyAreDue(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "direct", "q", "k")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	for _, m := range []struct {
		body  string
		delay int
	}{{"slow", 60}, {"quick", 20}, {"middle", 40}, {"at once", 0}} {
		if !c.stage(c.ch, "later", "k", delay(m.delay, nil), m.body) {
			t.Errorf("%s counts as unroutable", m.body)
		}
	}
	c.flush()
	want(t, "deliveries", c.received(4), "at once quick middle slow")
}

func TestDelayedMessageTellsThatItWasDelayed(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "direct", "q", "k")
	c.stage(c.ch, "later", "k", delay(10, amqp.Table{"mine": "kept"}), "m")
	c.flush()
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	c.sink.await(t, "delivery", func() bool { return len(c.sink.mu.deliveries) == 1 })
	d := c.sink.take()[0]
	want(t, "x-delay", fmt.Sprint(c.header(d, "x-delay")), "-10")
	want(t, "other header", fmt.Sprint(c.header(d, "mine")), "kept")
}

// The bindings of the moment at which it is due count.
func TestDelayedMessageIsRoutedWhenItIsDue(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "fanout", "early", "")
	c.durable("late")
	c.stage(c.ch, "later", "", delay(200, nil), "m")
	c.flush()
	if err := c.UnbindQueue("later", "early", "", nil); err != nil {
		t.Fatal(err)
	}
	c.bind("later", "late", "")
	c.consume("late", queue.Consumer{Tag: "c", NoAck: true})
	want(t, "deliveries", c.received(1), "m")
	want(t, "in the queue that was bound before", c.ready("early"), 0)
}

func TestDelayedMessageKeepsItsCopies(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "direct", "q", "k")
	for _, name := range []string{"copied", "hidden", "now"} {
		c.durable(name)
		c.bind("later", name, name)
	}
	// One way leads to a queue without a delay, which must not see the blind copies either.
	c.durableExchange("first", "fanout")
	c.bind("first", "now", "")
	if err := c.BindExchange("first", "later", "", nil); err != nil {
		t.Fatal(err)
	}
	c.stage(c.ch, "first", "k", delay(10, amqp.Table{"CC": []any{"copied"}, "BCC": []any{"hidden"}}), "m")
	c.flush()
	c.consume("now", queue.Consumer{Tag: "now", NoAck: true})
	c.consume("q", queue.Consumer{Tag: "q", NoAck: true})
	c.consume("copied", queue.Consumer{Tag: "copied", NoAck: true})
	c.consume("hidden", queue.Consumer{Tag: "hidden", NoAck: true})
	c.sink.await(t, "4 deliveries", func() bool { return len(c.sink.mu.deliveries) == 4 })
	for _, d := range c.sink.take() {
		if blind := c.header(d, "BCC"); blind != nil {
			t.Errorf("%s sees BCC %v", d.Consumer.Tag, blind)
		}
		if d.Consumer.Tag == "now" && fmt.Sprint(c.header(d, "x-delay")) != "10" {
			t.Errorf("what was not held says x-delay %v", c.header(d, "x-delay"))
		}
	}
}

// REPLY-02: also where the header that is stored still has the blind copies.
func TestDelayedRequestSaysWhoAsks(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "direct", "q", "k")
	if err := c.ch.ConsumeReplies(&queue.Consumer{Tag: "r", NoAck: true}, func() {}); err != nil {
		t.Fatal(err)
	}
	p := delay(10, amqp.Table{"BCC": []any{"nobody"}})
	p.ReplyTo = broker.ReplyTo
	c.stage(c.ch, "later", "k", p, "m")
	c.flush()
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	c.sink.await(t, "delivery", func() bool { return len(c.sink.mu.deliveries) == 1 })
	record, err := c.view.Record(c.sink.take()[0].LSN)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := record.Publish()
	if err != nil {
		t.Fatal(err)
	}
	h, err := amqp.ParseHeader(stored.Header)
	if err != nil {
		t.Fatal(err)
	}
	if to := string(h.ReplyTo()); !strings.HasPrefix(to, broker.ReplyTo+".") {
		t.Errorf("reply-to is %q", to)
	}
}

// LEN-03: what an exchange remembers is published like anything else.
func TestHistoryIsNotToldToAFullQueue(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("recent", "x-recent-history")
	c.refusing("q", 2)
	for _, body := range []string{"1", "2", "3"} {
		c.stage(c.ch, "recent", "", persistent, body)
	}
	c.flush()
	c.bind("recent", "q", "")
	want(t, "told", c.drain("q"), "1 2")
}

// More than fits one batch.
func TestLongHistoryIsToldInOrder(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durableExchange("recent", "x-recent-history")
	c.durable("q")
	body, told := strings.Repeat("m", 100<<10), make([]string, 20)
	for i := range told {
		told[i] = fmt.Sprint(i, body)
		c.stage(c.ch, "recent", "", persistent, told[i])
		c.flush()
	}
	c.bind("recent", "q", "")
	if got := c.drain("q"); got != strings.Join(told, " ") {
		t.Errorf("told %d octets", len(got))
	}
}

func TestWhatIsHeldSurvivesAnyEnd(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			f := open(t)
			c := f.client()
			c.delayedExchange("later", "direct", "q", "k")
			selectConfirms(t, c.ch)
			c.stage(c.ch, "later", "k", delay(anHour, nil), "hour")
			c.stage(c.ch, "later", "k", delay(300, nil), "soon")
			transient := delay(250, nil)
			transient.DeliveryMode = 1
			c.stage(c.ch, "later", "k", transient, "transient")
			c.flush()
			c.sink.await(t, "confirms", func() bool { return c.sink.confirmedLocked(1) == 3 })
			end.end(f)
			want(t, "queues that the broker tells of", f.broker.Recovery().Queues, 1)
			c = f.client()
			c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
			got := strings.ReplaceAll(c.received(1), "transient", "")
			for got = strings.TrimSpace(got); !strings.Contains(got, "soon"); {
				got += " " + c.received(1)
			}
			end.end(f) // and what went on is not there twice
			c = f.client()
			if got := c.drain("q"); strings.Contains(got, "soon") && !strings.Contains(got, "soon+") {
				t.Errorf("again after another end: %s", got)
			}
			want(t, "held", f.broker.Held("/"), 1)
		})
	}
}

func TestDeletedExchangeDropsWhatItHeld(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "direct", "q", "k")
	c.stage(c.ch, "later", "k", delay(anHour, nil), "m")
	c.flush()
	want(t, "held", f.broker.Held("/"), 1)
	if err := c.DeleteExchange("later", false); err != nil {
		t.Fatal(err)
	}
	want(t, "held", f.broker.Held("/"), 0)
	c.delayedExchange("later", "direct", "q", "k")
	want(t, "held by its namesake", f.broker.Held("/"), 0)
	f.crash()
	want(t, "held after a crash", f.broker.Held("/"), 0)
}

// An exchange that deletes itself with its last binding, and one that does not survive a restart.
func TestExchangeThatGoesByItselfDropsWhatItHeld(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durable("q")
	hold := func(name string, autoDelete bool) {
		c.exchange(broker.ExchangeDeclaration{
			Name: name, Type: "x-delayed-message", AutoDelete: autoDelete, Arguments: amqp.Table{"x-delayed-type": "fanout"},
		})
		c.bind(name, "q", "")
		c.stage(c.ch, name, "", delay(anHour, nil), "m")
		c.flush()
	}
	hold("auto", true)
	hold("transient", false)
	want(t, "held", f.broker.Held("/"), 2)
	if err := c.UnbindQueue("auto", "q", "", nil); err != nil {
		t.Fatal(err)
	}
	want(t, "held without the one", f.broker.Held("/"), 1)
	f.restart()
	want(t, "held after a restart", f.broker.Held("/"), 0)
}

// A delay as a retry: dead letters are held like what a client publishes.
func TestDeadLettersAreHeldToo(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "fanout", "q", "")
	c.queue(broker.QueueDeclaration{Name: "first", Durable: true, Arguments: amqp.Table{"x-dead-letter-exchange": "later"}})
	c.stage(c.ch, "", "first", delay(30, nil), "m")
	c.flush()
	c.drain("first")
	c.ch.Settle(amqp.BasicRejectID, 1, false, queue.Rejected)
	c.flush()
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	c.sink.await(t, "delivery", func() bool { return len(c.sink.mu.deliveries) == 1 })
	d := c.sink.take()[0]
	want(t, "x-delay", fmt.Sprint(c.header(d, "x-delay")), "-30")
	if deaths, _ := c.header(d, "x-death").([]any); len(deaths) != 1 {
		t.Errorf("x-death %v", deaths)
	}
}

// TTL counts from the moment at which it is due, not from the publish.
func TestTimeToLiveBeginsWhenTheDelayIsOver(t *testing.T) {
	f := open(t)
	c := f.client()
	c.delayedExchange("later", "direct", "q", "k")
	p := delay(50, nil)
	expiration := "20000"
	p.Expiration = expiration
	before := time.Now().UnixMilli()
	c.stage(c.ch, "later", "k", p, "m")
	c.flush()
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	c.sink.await(t, "delivery", func() bool { return len(c.sink.mu.deliveries) == 1 })
	record, err := c.view.Record(c.sink.take()[0].LSN)
	if err != nil {
		t.Fatal(err)
	}
	if record.Time() < before+50 {
		t.Errorf("the message's time is %d ms after its publish, want 50 at least", record.Time()-before)
	}
}

// historyExchange declares an exchange that remembers its last messages.
func (c *client) historyExchange(name string, args amqp.Table) {
	c.f.Helper()
	c.exchange(broker.ExchangeDeclaration{Name: name, Type: "x-recent-history", Durable: true, Arguments: args})
}

func (c *client) tell(exchange string, bodies ...string) {
	c.f.Helper()
	for _, body := range bodies {
		c.stage(c.ch, exchange, "key", persistent, body)
	}
	c.flush()
}

func TestNewBindingIsToldTheRecentHistory(t *testing.T) {
	f := open(t)
	c := f.client()
	c.historyExchange("news", amqp.Table{"x-recent-history-length": int32(3)})
	if c.stage(c.ch, "news", "key", persistent, "0") {
		t.Error("a message that is only remembered counts as routed")
	}
	c.tell("news", "1", "2", "3", "4")
	c.durableBound("news", "q", "")
	want(t, "told", c.drain("q"), "2 3 4")
	c.bind("news", "q", "") // again: it is no new binding
	want(t, "told again", c.ready("q"), 0)
	c.tell("news", "5")
	want(t, "then", c.drain("q"), "5")
	c.durableBound("news", "second", "")
	want(t, "told to another", c.drain("second"), "3 4 5")
}

func TestMessageMayRefuseToBeRemembered(t *testing.T) {
	f := open(t)
	c := f.client()
	c.historyExchange("news", nil)
	c.durableBound("news", "bound", "")
	for _, store := range []bool{true, false} {
		p := amqp.Properties{DeliveryMode: 2, Headers: amqp.Table{"x-recent-history-no-store": !store}}
		c.stage(c.ch, "news", "key", p, fmt.Sprintf("store=%v", store))
	}
	c.flush()
	want(t, "delivered", c.drain("bound"), "store=true store=false")
	c.durableBound("news", "q", "")
	want(t, "told", c.drain("q"), "store=true")
}

func TestExchangeIsToldTheRecentHistory(t *testing.T) {
	f := open(t)
	c := f.client()
	c.historyExchange("news", nil)
	c.tell("news", "1", "2")
	c.durableExchange("next", "direct")
	c.durableBound("next", "q", "key")
	if err := c.BindExchange("news", "next", "", nil); err != nil {
		t.Fatal(err)
	}
	want(t, "told", c.drain("q"), "1 2")
}

func TestHistorySurvivesAnyEnd(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			f := open(t)
			c := f.client()
			c.historyExchange("news", amqp.Table{"x-recent-history-length": int32(2)})
			selectConfirms(t, c.ch)
			c.tell("news", "1", "2", "3")
			c.sink.await(t, "confirms", func() bool { return c.sink.confirmedLocked(1) == 3 })
			end.end(f)
			c = f.client()
			c.durableBound("news", "q", "")
			want(t, "told", c.drain("q"), "2 3")
		})
	}
}

// LavinMQ's policy key: any exchange can be made to hold messages, and stop doing so; what it holds goes on.
func TestPolicyMakesAnExchangeHoldMessages(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durable("q")
	c.durableExchange("x", "direct")
	c.bind("x", "q", "k")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	publish := func(body string, ms int) {
		c.stage(c.ch, "x", "k", delay(ms, nil), body)
		c.flush()
	}
	publish("1", anHour)
	want(t, "without the policy", c.received(1), "1")
	f.policy("^x", amqp.Table{"delayed-message": true})
	c.durableExchange("x2", "fanout")
	c.bind("x2", "q", "")
	publish("2", 1500)
	c.stage(c.ch, "x2", "", delay(anHour, nil), "held")
	publish("3", 0)
	want(t, "at once", c.received(1), "3")
	want(t, "held", f.broker.Held("/"), 2)
	f.dropPolicy("^x", false)
	publish("4", anHour)
	want(t, "with the policy gone", c.received(2), "4 2")
	f.policy("^x", amqp.Table{"delayed-message": true})
	publish("5", anHour)
	f.crash(loseIndex)
	want(t, "held after a crash", f.broker.Held("/"), 2)
}
