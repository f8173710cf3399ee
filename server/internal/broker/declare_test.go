package broker_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestQueueRedeclaration(t *testing.T) { // QUEUE-07, QUEUE-08, EXCH-06
	t.Parallel()
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{
		"x-message-ttl": int32(5), "x-dead-letter-exchange": "dlx", "mine": "anything",
	}})
	args := func(change amqp.Table) amqp.Table {
		t := amqp.Table{"x-message-ttl": int32(5), "x-dead-letter-exchange": "dlx"}
		for key, value := range change {
			if t[key] = value; value == nil {
				delete(t, key)
			}
		}
		return t
	}
	for _, test := range []struct {
		name string
		d    broker.QueueDeclaration
		want string // behind "inequivalent arg "; empty: no error
	}{
		{"the same", broker.QueueDeclaration{Durable: true, Arguments: args(nil)}, ""},
		{"passive, all else differs", broker.QueueDeclaration{Passive: true, AutoDelete: true, Arguments: amqp.Table{"x-expires": int32(1)}}, ""},
		{"integers of other widths", broker.QueueDeclaration{Durable: true, Arguments: args(amqp.Table{"x-message-ttl": int64(5)})}, ""},
		{"an unknown argument", broker.QueueDeclaration{Durable: true, Arguments: args(amqp.Table{"other": true})}, ""},
		{
			"durable",
			broker.QueueDeclaration{AutoDelete: true, Arguments: args(nil)},
			"'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
		},
		{
			"auto-delete",
			broker.QueueDeclaration{Durable: true, AutoDelete: true, Arguments: args(nil)},
			"'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
		},
		{
			"argument",
			broker.QueueDeclaration{Durable: true, Arguments: args(amqp.Table{"x-message-ttl": int32(6)})},
			"'x-message-ttl' for queue 'q' in vhost '/': received '6' but current is '5'",
		},
		{
			"argument missing",
			broker.QueueDeclaration{Durable: true, Arguments: args(amqp.Table{"x-dead-letter-exchange": nil})},
			"'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current is the value 'dlx' of type 'longstr'",
		},
		{
			"argument too many",
			broker.QueueDeclaration{Durable: true, Arguments: args(amqp.Table{"x-max-length": int32(3)})},
			"'x-max-length' for queue 'q' in vhost '/': received the value '3' of type 'signedint' but current is none",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.d.Name = "q"
			_, err := c.DeclareQueue(test.d)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, amqp.PreconditionFailed, amqp.QueueDeclareID, "inequivalent arg "+test.want)
		})
	}
}

func TestExchangeRedeclaration(t *testing.T) { // EXCH-06, EXCH-07
	t.Parallel()
	f := open(t)
	c := f.client()
	c.exchange(broker.ExchangeDeclaration{Name: "e", Type: "topic", Durable: true, Arguments: amqp.Table{"alternate-exchange": "ae", "mine": "x"}})
	same := amqp.Table{"alternate-exchange": "ae"}
	for _, test := range []struct {
		name string
		d    broker.ExchangeDeclaration
		want string
	}{
		{"the same", broker.ExchangeDeclaration{Type: "topic", Durable: true, Arguments: same}, ""},
		{"passive, all else differs", broker.ExchangeDeclaration{Type: "direct", Passive: true}, ""},
		{"type first", broker.ExchangeDeclaration{Type: "direct"}, "'type' for exchange 'e' in vhost '/': received 'direct' but current is 'topic'"},
		{"durable", broker.ExchangeDeclaration{Type: "topic", AutoDelete: true}, "'durable' for exchange 'e' in vhost '/': received 'false' but current is 'true'"},
		{
			"auto-delete",
			broker.ExchangeDeclaration{Type: "topic", Durable: true, AutoDelete: true, Internal: true},
			"'auto_delete' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
		},
		{
			"internal",
			broker.ExchangeDeclaration{Type: "topic", Durable: true, Internal: true},
			"'internal' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
		},
		{
			"alternate",
			broker.ExchangeDeclaration{Type: "topic", Durable: true},
			"'alternate-exchange' for exchange 'e' in vhost '/': received none but current is the value 'ae' of type 'longstr'",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.d.Name = "e"
			err := c.DeclareExchange(test.d)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, amqp.PreconditionFailed, amqp.ExchangeDeclareID, "inequivalent arg "+test.want)
		})
	}
}

func TestRefusedTopology(t *testing.T) { // chapter 27
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	c.send("q", "m")
	c.exchange(broker.ExchangeDeclaration{Name: "e", Type: "direct"})
	c.bind("e", "q", "k")
	const onDefault = "operation not permitted on the default exchange"
	for _, test := range []struct {
		name   string
		do     func() error
		code   amqp.ReplyCode
		method amqp.MethodID
		text   string
	}{
		{
			"passive queue", func() error { return second(c.DeclareQueue(broker.QueueDeclaration{Name: "noq", Passive: true})) },
			amqp.NotFound, amqp.QueueDeclareID, "no queue 'noq' in vhost '/'",
		},
		{
			"passive queue without a name", func() error { return second(c.DeclareQueue(broker.QueueDeclaration{Passive: true})) },
			amqp.NotFound, amqp.QueueDeclareID, "no queue '' in vhost '/'",
		},
		{
			"reserved queue", func() error { return second(c.DeclareQueue(broker.QueueDeclaration{Name: "amq.foo"})) },
			amqp.AccessRefused, amqp.QueueDeclareID, "queue name 'amq.foo' contains reserved prefix 'amq.*'",
		},
		{"purge", func() error { return second(c.Purge("noq")) }, amqp.NotFound, amqp.QueuePurgeID, "no queue 'noq' in vhost '/'"},
		{
			"consume", func() error { return c.Consume("noq", &queue.Consumer{Channel: c.ch.Channel}, func() {}) },
			amqp.NotFound, amqp.BasicConsumeID, "no queue 'noq' in vhost '/'",
		},
		{"get", func() error { return second(c.Take("noq", c.ch, true)) }, amqp.NotFound, amqp.BasicGetID, "no queue 'noq' in vhost '/'"},
		{
			"delete if empty", func() error { return second(c.DeleteQueue("q", true, true)) },
			amqp.PreconditionFailed, amqp.QueueDeleteID, "queue 'q' in vhost '/' not empty",
		},
		{
			"bind to no exchange", func() error { return c.BindQueue("nox", "noq", "", nil) },
			amqp.NotFound, amqp.QueueBindID, "no exchange 'nox' in vhost '/'",
		},
		{"bind no queue", func() error { return c.BindQueue("e", "noq", "", nil) }, amqp.NotFound, amqp.QueueBindID, "no queue 'noq' in vhost '/'"},
		{"bind to the default exchange", func() error { return c.BindQueue("", "q", "", nil) }, amqp.AccessRefused, amqp.QueueBindID, onDefault},
		{"unbind from the default exchange", func() error { return c.UnbindQueue("", "q", "", nil) }, amqp.AccessRefused, amqp.QueueUnbindID, onDefault},
		{
			"bind with a bad x-match", func() error { return c.BindQueue("amq.headers", "q", "", amqp.Table{"x-match": "foo"}) },
			amqp.PreconditionFailed, amqp.QueueBindID, `Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`,
		},
		{
			"exchange of no type", func() error { return c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Type: "x-nope"}) },
			amqp.PreconditionFailed, amqp.ExchangeDeclareID, "unknown exchange type 'x-nope'",
		},
		{
			"reserved exchange", func() error { return c.DeclareExchange(broker.ExchangeDeclaration{Name: "amq.foo", Type: "direct"}) },
			amqp.AccessRefused, amqp.ExchangeDeclareID, "exchange name 'amq.foo' contains reserved prefix 'amq.*'",
		},
		{
			"default exchange", func() error { return c.DeclareExchange(broker.ExchangeDeclaration{Type: "direct"}) },
			amqp.AccessRefused, amqp.ExchangeDeclareID, onDefault,
		},
		{
			"passive default exchange", func() error { return c.DeclareExchange(broker.ExchangeDeclaration{Passive: true}) },
			amqp.AccessRefused, amqp.ExchangeDeclareID, onDefault,
		},
		{
			"passive exchange", func() error { return c.DeclareExchange(broker.ExchangeDeclaration{Name: "nox", Passive: true}) },
			amqp.NotFound, amqp.ExchangeDeclareID, "no exchange 'nox' in vhost '/'",
		},
		{"alternate of a wrong type", func() error {
			return c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Type: "direct", Arguments: amqp.Table{"alternate-exchange": int64(1)}})
		}, amqp.PreconditionFailed, amqp.ExchangeDeclareID, "invalid type 'long' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"},
		{
			"delete system exchange", func() error { return c.DeleteExchange("amq.direct", false) },
			amqp.AccessRefused, amqp.ExchangeDeleteID, "deletion of system exchange 'amq.direct' in vhost '/' not allowed",
		},
		{"delete default exchange", func() error { return c.DeleteExchange("", false) }, amqp.AccessRefused, amqp.ExchangeDeleteID, onDefault},
		{
			"delete if unused", func() error { return c.DeleteExchange("e", true) },
			amqp.PreconditionFailed, amqp.ExchangeDeleteID, "exchange 'e' in vhost '/' in use",
		},
		{"bind exchanges", func() error { return c.BindExchange("nox", "e", "", nil) }, amqp.NotFound, amqp.ExchangeBindID, "no exchange 'nox' in vhost '/'"},
		{"bind no exchange", func() error { return c.BindExchange("e", "nox", "", nil) }, amqp.NotFound, amqp.ExchangeBindID, "no exchange 'nox' in vhost '/'"},
		{"bind the default exchange", func() error { return c.BindExchange("e", "", "", nil) }, amqp.AccessRefused, amqp.ExchangeBindID, onDefault},
		{"unbind the default exchange", func() error { return c.UnbindExchange("e", "", "", nil) }, amqp.AccessRefused, amqp.ExchangeUnbindID, onDefault},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.do(), test.code, test.method, test.text) })
	}
	c.consume("q", queue.Consumer{Tag: "c"})
	_, err := c.DeleteQueue("q", true, true) // if-unused is checked first (QUEUE-12)
	wantError(t, err, amqp.PreconditionFailed, amqp.QueueDeleteID, "queue 'q' in vhost '/' in use")
	_, err = f.broker.Connect(f.user("guest", "guest"), "nope", newSink(f.broker))
	wantError(t, err, amqp.NotAllowed, amqp.ConnectionOpenID, "vhost nope not found")
}

func second[T any](_ T, err error) error { return err }

func TestWhatIsNotThereIsDeletedWithoutError(t *testing.T) { // EXCH-11, EXCH-22, QUEUE-12, QUEUE-16
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.durable("q")
	if n, err := c.DeleteQueue("noq", true, true); n != 0 || err != nil {
		t.Errorf("delete queue: %d, %v", n, err)
	}
	for what, err := range map[string]error{
		"delete exchange": c.DeleteExchange("nox", true), "unbind from nothing": c.UnbindQueue("nox", q, "", nil),
		"unbind nothing": c.UnbindQueue("amq.direct", "noq", "", nil), "unbind no binding": c.UnbindQueue("amq.direct", q, "", nil),
		"unbind exchanges": c.UnbindExchange("nox", "nox2", "", nil),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNamesOfTheServersChoice(t *testing.T) { // QUEUE-01, QUEUE-05
	t.Parallel()
	f := open(t)
	c := f.client()
	name := c.queue(broker.QueueDeclaration{})
	if !regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`).MatchString(name) {
		t.Errorf("name %q", name)
	}
	want(t, "declared again by its name", c.queue(broker.QueueDeclaration{Name: name}), name)
	want(t, "line breaks", c.queue(broker.QueueDeclaration{Name: "a\r\nb\n"}), "ab")
	if other := c.queue(broker.QueueDeclaration{}); other == name {
		t.Error("the same name twice")
	}
}

func TestCountsOfADeclaration(t *testing.T) { // QUEUE-06
	t.Parallel()
	f := open(t)
	c := f.client()
	q := c.queue(broker.QueueDeclaration{Name: "q"})
	c.send(q, "a", "b", "c")
	c.consume(q, queue.Consumer{Tag: "c", Limit: 1})
	info, err := c.DeclareQueue(broker.QueueDeclaration{Name: "q"})
	if err != nil || info.Ready != 2 || info.Consumers != 1 {
		t.Errorf("%+v, %v; want 2 ready, 1 consumer", info, err)
	}
	n, err := c.Purge(q)
	want(t, "purged", n, 2)
	if err != nil {
		t.Error(err)
	}
}

func TestExclusiveQueueIsItsConnectionsOwn(t *testing.T) { // QUEUE-09, QUEUE-10
	t.Parallel()
	f := open(t)
	owner, other := f.client(), f.client()
	q := owner.queue(broker.QueueDeclaration{Name: "q", Exclusive: true, Durable: true}) // stored as not durable
	text := "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another " +
		"connection or the exclusive property value does not match that of the original declaration."
	for method, err := range map[amqp.MethodID]error{
		amqp.QueueDeclareID: second(other.DeclareQueue(broker.QueueDeclaration{Name: q, Exclusive: true})),
		amqp.QueueBindID:    other.BindQueue("amq.direct", q, "", nil),
		amqp.QueueUnbindID:  other.UnbindQueue("amq.direct", q, "", nil),
		amqp.BasicConsumeID: other.Consume(q, &queue.Consumer{Channel: other.ch.Channel}, func() {}),
		amqp.BasicGetID:     second(other.Take(q, other.ch, true)),
		amqp.QueuePurgeID:   second(other.Purge(q)),
		amqp.QueueDeleteID:  second(other.DeleteQueue(q, false, false)),
	} {
		wantError(t, err, amqp.ResourceLocked, method, text)
	}
	for _, d := range []broker.QueueDeclaration{{Passive: true}, {}, {Durable: true}} {
		d.Name = q
		_, err := other.DeclareQueue(d)
		wantError(t, err, amqp.ResourceLocked, amqp.QueueDeclareID, text)
	}
	other.send(q, "anybody may publish")
	want(t, "got", owner.drain(q), "anybody may publish")
	for _, d := range []broker.QueueDeclaration{{Passive: true}, {Exclusive: true}, {Exclusive: true, Durable: true}} {
		d.Name = q
		if _, err := owner.DeclareQueue(d); err != nil {
			t.Errorf("owner declares %+v: %v", d, err)
		}
	}
	two := owner.channel(2)
	owner.consume(q, queue.Consumer{Tag: "other channel", Channel: two.Channel})

	plain := owner.queue(broker.QueueDeclaration{Name: "plain"})
	_, err := owner.DeclareQueue(broker.QueueDeclaration{Name: plain, Exclusive: true})
	wantError(t, err, amqp.ResourceLocked, amqp.QueueDeclareID, strings.Replace(text, "'q'", "'plain'", 1))

	owner.close()
	if other.exists(q) {
		t.Error("outlived its connection")
	}
	other.queue(broker.QueueDeclaration{Name: q, Exclusive: true}) // the name is free at once (ERR-08)
}

func TestOwnerMustRedeclareExclusiveAsExclusive(t *testing.T) { // QUEUE-08: the owner is compared first
	t.Parallel()
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Exclusive: true})
	_, err := c.DeclareQueue(broker.QueueDeclaration{Name: "q"})
	wantError(t, err, amqp.ResourceLocked, amqp.QueueDeclareID,
		"cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another "+
			"connection or the exclusive property value does not match that of the original declaration.")
}

func TestAutoDeleteQueueGoesWithItsLastConsumer(t *testing.T) { // QUEUE-11
	t.Parallel()
	for name, leave := range map[string]func(*client, *queue.Consumer){
		"cancel":        func(c *client, consumer *queue.Consumer) { c.CancelConsumer(consumer) },
		"channel close": func(c *client, _ *queue.Consumer) { c.ch.Close() },
		"connection":    func(c *client, _ *queue.Consumer) { c.close() },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			c, watcher := f.client(), f.client()
			q := watcher.queue(broker.QueueDeclaration{Name: "q", AutoDelete: true, Durable: true})
			other := watcher.consume(q, queue.Consumer{Tag: "other"})
			watcher.CancelConsumer(other)
			if watcher.exists(q) {
				t.Fatal("there after its only consumer left")
			}
			watcher.queue(broker.QueueDeclaration{Name: "q", AutoDelete: true, Durable: true})
			if found, err := watcher.Take(q, watcher.ch, true); found || err != nil {
				t.Fatalf("get: %v, %v", found, err)
			}
			if !watcher.exists(q) {
				t.Fatal("gone after a get")
			}
			leave(c, c.consume(q, queue.Consumer{Tag: "c"}))
			if watcher.exists(q) {
				t.Error("there after its last consumer left")
			}
			want(t, "cancels to who left", c.sink.cancels(), "")
		})
	}
}

func TestAutoDeleteExchangeGoesWithItsLastBinding(t *testing.T) { // EXCH-10
	t.Parallel()
	f := open(t)
	c := f.client()
	c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "fanout", AutoDelete: true})
	passive := func() error { return c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Passive: true}) }
	if err := passive(); err != nil {
		t.Fatal(err)
	}
	q := c.durable("q")
	c.bind("x", q, "")
	if _, err := c.DeleteQueue(q, false, false); err != nil {
		t.Fatal(err)
	}
	wantError(t, passive(), amqp.NotFound, amqp.ExchangeDeclareID, "no exchange 'x' in vhost '/'")
}
