package broker_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// as connects a new user who may do in / what the patterns say.
func (f *fixture) as(name, configure, write, read string, tags ...string) *client {
	f.Helper()
	f.change(account(f, name, "/", configure, write, read, tags...)...)
	return f.clientOf(f.user(name, name), "/")
}

// may describes which of the three permissions an operation needs, by trying it without each of them.
func TestWhatEachOperationNeeds(t *testing.T) { // AUTH-01, AUTH-02
	t.Parallel()
	args := func(key, value string) amqp.Table { return amqp.Table{key: value} }
	for _, test := range []struct {
		name   string
		do     func(*client) error
		method amqp.MethodID
		needs  []string // in the order in which they are asked for: operation, kind, name
	}{
		{"declare exchange", func(c *client) error {
			return c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Type: "fanout"})
		}, amqp.ExchangeDeclareID, []string{"configure exchange x"}},
		{"declare exchange with alternate", func(c *client) error {
			return c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Type: "fanout", Arguments: args("alternate-exchange", "ae")})
		}, amqp.ExchangeDeclareID, []string{"configure exchange x", "read exchange x", "write exchange ae"}},
		{"delete exchange", func(c *client) error { return c.DeleteExchange("x", false) }, amqp.ExchangeDeleteID, []string{"configure exchange x"}},
		{"bind exchange", func(c *client) error { return c.BindExchange("from", "to", "", nil) }, amqp.ExchangeBindID, []string{"write exchange to", "read exchange from"}},
		{"unbind exchange", func(c *client) error { return c.UnbindExchange("from", "to", "", nil) }, amqp.ExchangeUnbindID, []string{"write exchange to", "read exchange from"}},
		{"declare queue", func(c *client) error { return second(c.DeclareQueue(broker.QueueDeclaration{Name: "q"})) }, amqp.QueueDeclareID, []string{"configure queue q"}},
		{"declare queue with dead letters", func(c *client) error {
			return second(c.DeclareQueue(broker.QueueDeclaration{Name: "q", Arguments: args("x-dead-letter-exchange", "")}))
		}, amqp.QueueDeclareID, []string{"configure queue q", "read queue q", "write exchange amq.default"}},
		{"delete queue", func(c *client) error { return second(c.DeleteQueue("q", false, false)) }, amqp.QueueDeleteID, []string{"configure queue q"}},
		{"purge", func(c *client) error { return second(c.Purge("q")) }, amqp.QueuePurgeID, []string{"read queue q"}},
		{"bind queue", func(c *client) error { return c.BindQueue("from", "q", "", nil) }, amqp.QueueBindID, []string{"write queue q", "read exchange from"}},
		{"unbind queue", func(c *client) error { return c.UnbindQueue("from", "q", "", nil) }, amqp.QueueUnbindID, []string{"write queue q", "read exchange from"}},
		{"get", func(c *client) error { return second(c.Take("q", c.ch, true)) }, amqp.BasicGetID, []string{"read queue q"}},
		{"consume", func(c *client) error { return c.MayConsume("q", nil) }, amqp.BasicConsumeID, []string{"read queue q"}},
		{"publish", func(c *client) error {
			return second(c.ch.Publish(publication("x", "", persistent)))
		}, amqp.BasicPublishID, []string{"write exchange x"}},
		{"publish to the default exchange", func(c *client) error {
			return second(c.ch.Publish(publication("", "q", persistent)))
		}, amqp.BasicPublishID, []string{"write exchange amq.default"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			for i, missing := range test.needs {
				var operation, kind, name string
				fmt.Sscan(missing, &operation, &kind, &name)
				patterns := map[string]string{"configure": ".*", "write": ".*", "read": ".*"}
				patterns[operation] = "^(?!" + name + "$)"
				user := fmt.Sprint("u", i)
				c := f.as(user, patterns["configure"], patterns["write"], patterns["read"])
				wantError(t, test.do(c), amqp.AccessRefused, test.method,
					fmt.Sprintf("%s access to %s '%s' in vhost '/' refused for user '%s'", operation, kind, name, user))
			}
			// Whoever has all of them gets as far as anybody.
			c := f.as("all", ".*", ".*", ".*")
			var refused *amqp.Error
			if err := test.do(c); errors.As(err, &refused) && refused.Code == amqp.AccessRefused {
				t.Errorf("with all permissions: %v", err)
			}
		})
	}
}

func TestPassiveDeclarationNeedsAnyPermission(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.client().durable("q")
	for i, patterns := range [][3]string{{".*", "", ""}, {"", ".*", ""}, {"", "", ".*"}} {
		c := f.as(fmt.Sprint("u", i), patterns[0], patterns[1], patterns[2])
		want(t, "exists", c.exists("q"), true)
		if err := c.DeclareExchange(broker.ExchangeDeclaration{Name: "amq.topic", Passive: true}); err != nil {
			t.Error(err)
		}
	}
	c := f.as("none", "", "", "")
	_, err := c.DeclareQueue(broker.QueueDeclaration{Name: "q", Passive: true})
	wantError(t, err, amqp.AccessRefused, amqp.QueueDeclareID, "access to queue 'q' in vhost '/' refused for user 'none'")
	err = c.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Passive: true})
	wantError(t, err, amqp.AccessRefused, amqp.ExchangeDeclareID, "access to exchange 'x' in vhost '/' refused for user 'none'")
}

func TestGeneratedNameIsWhatPermissionIsAskedFor(t *testing.T) { // AUTH-02
	t.Parallel()
	f := open(t)
	f.as("gen", "^amq\\.gen-", "", "").queue(broker.QueueDeclaration{})
}

func TestNobodyMayDeclareReservedNames(t *testing.T) { // QUEUE-05
	t.Parallel()
	f := open(t)
	_, err := f.as("ann", "", "", "").DeclareQueue(broker.QueueDeclaration{Name: "amq.q"})
	wantError(t, err, amqp.AccessRefused, amqp.QueueDeclareID, "queue name 'amq.q' contains reserved prefix 'amq.*'")
}

func TestPermissionCountsForTheNextPublish(t *testing.T) { // AUTH-04
	t.Parallel()
	f := open(t)
	f.client().durable("q")
	c := f.as("ann", "", "amq.default", "")
	const refused = "write access to exchange 'amq.default' in vhost '/' refused for user 'ann'"
	c.send("q", "1", "2", "3")
	f.change(access.SetPermission{Permission: access.Permission{User: "ann", VHost: "/"}})
	_, err := c.ch.Publish(publication("", "q", persistent, "no"))
	wantError(t, err, amqp.AccessRefused, amqp.BasicPublishID, refused)
	f.change(access.SetPermission{Permission: access.Permission{User: "ann", VHost: "/", Write: ".*"}})
	c.send("q", "4", "5")
	f.change(access.ClearPermission{User: "ann", VHost: "/"})
	_, err = c.ch.Publish(publication("", "q", persistent, "no"))
	wantError(t, err, amqp.AccessRefused, amqp.BasicPublishID, refused)
	want(t, "messages", f.client().ready("q"), 5)
}

func TestTopicPermissions(t *testing.T) { // AUTH-03, CC-03
	t.Parallel()
	f := open(t)
	owner := f.client()
	owner.durable("q")
	owner.exchange(broker.ExchangeDeclaration{Name: "t", Type: "topic"})
	owner.exchange(broker.ExchangeDeclaration{Name: "d", Type: "direct"})
	c := f.as("a.n", ".*", ".*", ".*")
	for _, exchange := range []string{"t", "d"} {
		f.change(access.SetTopicPermission{Permission: access.TopicPermission{
			User: "a.n", VHost: "/", Exchange: exchange, Write: "^{username}\\.", Read: "^r\\.",
		}})
	}
	publish := func(exchange, key string, p amqp.Properties) error {
		return second(c.ch.Publish(publication(exchange, key, p)))
	}
	copies := amqp.Properties{Headers: amqp.Table{"CC": []any{"a.n.x", "other"}}}
	refused := func(operation, key string) string {
		return fmt.Sprintf("%s access to topic '%s' in exchange 't' in vhost '/' refused for user 'a.n'", operation, key)
	}
	for range 2 { // what was permitted once is looked at again
		for _, err := range []error{publish("t", "a.n.1", persistent), publish("t", "a.n.1", persistent), publish("d", "b", persistent), publish("amq.topic", "b", persistent)} {
			if err != nil {
				t.Error(err)
			}
		}
		wantError(t, publish("t", "axn.1", persistent), amqp.AccessRefused, amqp.BasicPublishID, refused("write", "axn.1"))
		wantError(t, publish("t", "a.n.1", copies), amqp.AccessRefused, amqp.BasicPublishID, refused("write", "other"))
	}
	if err := c.BindQueue("t", "q", "r.x", nil); err != nil {
		t.Error(err)
	}
	wantError(t, c.BindQueue("t", "q", "w.x", nil), amqp.AccessRefused, amqp.QueueBindID, refused("read", "w.x"))
	wantError(t, c.UnbindQueue("t", "q", "w.x", nil), amqp.AccessRefused, amqp.QueueUnbindID, refused("read", "w.x"))
	wantError(t, c.BindExchange("t", "d", "w.x", nil), amqp.AccessRefused, amqp.ExchangeBindID, refused("read", "w.x"))
	if err := c.BindQueue("d", "q", "w.x", nil); err != nil {
		t.Error(err)
	}
	f.change(access.ClearTopicPermissions{User: "a.n", VHost: "/"})
	if err := publish("t", "axn.1", persistent); err != nil {
		t.Error(err)
	}
}

func TestOrderOfPublishChecks(t *testing.T) { // PUB-02
	t.Parallel()
	f := open(t)
	f.client().exchange(broker.ExchangeDeclaration{Name: "t", Type: "topic"})
	c := f.as("ann", "", "^(t|nox|amq.rabbitmq.trace)$", "")
	f.change(access.SetTopicPermission{Permission: access.TopicPermission{User: "ann", VHost: "/", Exchange: "t", Write: "^ok$"}})
	// Each message has all faults of those before it, and one fewer.
	p := amqp.Properties{ReplyTo: broker.ReplyTo, Expiration: "never", UserID: "bob", Headers: amqp.Table{"CC": "no array"}}
	for _, test := range []struct {
		exchange string
		mend     func()
		code     amqp.ReplyCode
		text     string
	}{
		{"secret", func() {}, amqp.AccessRefused, "write access to exchange 'secret' in vhost '/' refused for user 'ann'"},
		{"nox", func() {}, amqp.NotFound, "no exchange 'nox' in vhost '/'"},
		{"amq.rabbitmq.trace", func() {}, amqp.AccessRefused, "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"},
		{"t", func() {}, amqp.PreconditionFailed, "fast reply consumer does not exist"},
		{"t", func() { p.ReplyTo = "" }, amqp.PreconditionFailed, "invalid expiration 'never': no_integer"},
		{"t", func() { p.Expiration = "" }, amqp.PreconditionFailed, `invalid message: {unacceptable_type_in_header,"CC",longstr}`},
		{"t", func() { p.Headers = nil }, amqp.AccessRefused, "write access to topic 'key' in exchange 't' in vhost '/' refused for user 'ann'"},
	} {
		test.mend()
		_, err := c.ch.Publish(publication(test.exchange, "key", p))
		wantError(t, err, test.code, amqp.BasicPublishID, test.text)
	}
	_, err := c.ch.Publish(publication("t", "ok", p))
	wantError(t, err, amqp.PreconditionFailed, amqp.BasicPublishID, "user_id property set to 'bob' but authenticated user was 'ann'")
	f.change(account(t, "ann", "/", "", ".*", "", access.TagImpersonator)...) // PUB-06
	if _, err := c.ch.Publish(publication("t", "ok", p)); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) { // LIM-01, LIM-02, LIM-03, CHAN-06, CONS-09, QUEUE-17, EXCH-12
	t.Parallel()
	f := openWith(t, broker.Config{Limits: access.NodeLimits{Connections: 5, Channels: 6, ConsumersPerChannel: 2, Queues: 3, Exchanges: 18}})
	f.change(host("v"), host("closed"),
		access.SetVHostLimits{VHost: "v", Limits: access.Limits{access.MaxConnections: 2, access.MaxQueues: 1}},
		access.SetVHostLimits{VHost: "closed", Limits: access.Limits{access.MaxConnections: 0}})
	f.change(account(t, "ann", "v", ".*", ".*", ".*")...)
	f.change(account(t, "bob", "v", ".*", ".*", ".*")...)
	f.change(access.SetUserLimits{User: "bob", Limits: access.Limits{access.MaxConnections: 1, access.MaxChannels: 2}})
	refuse := func(user, vhost, text string) {
		t.Helper()
		_, err := f.broker.Connect(f.user(user, user), vhost, newSink(f.broker))
		wantError(t, err, amqp.NotAllowed, amqp.ConnectionOpenID, text)
	}
	refuse("guest", "closed", "access to vhost 'closed' refused for user 'guest': connection limit (0) is reached")
	refuse("guest", "v", "access to vhost 'v' refused for user 'guest'")
	bob := f.clientOf(f.user("bob", "bob"), "v")
	refuse("bob", "v", "connection refused for user 'bob': user connection limit (1) is reached")
	bob.channel(2)
	_, err := bob.OpenChannel(3)
	wantError(t, err, amqp.NotAllowed, 0, "number of channels opened for user 'bob' has reached the maximum allowed user limit of 2")
	f.clientOf(f.user("ann", "ann"), "v")
	refuse("ann", "v", "access to vhost 'v' refused for user 'ann': connection limit (2) is reached")
	bob.close()
	bob = f.clientOf(f.user("bob", "bob"), "v") // there is room again
	others := []*client{f.client(), f.client(), f.client()}
	refuse("guest", "/", "connection refused: node connection limit (5) is reached")
	others[2].close()
	others[0].channel(2)
	others[0].channel(3)
	_, err = bob.OpenChannel(2)
	wantError(t, err, amqp.NotAllowed, 0, "number of channels opened on node 'millrace' has reached the maximum allowed limit of 6")

	bob.durable("q1")
	bob.durable("q1")
	_, err = bob.DeclareQueue(broker.QueueDeclaration{Name: "q2"})
	wantError(t, err, amqp.PreconditionFailed, amqp.QueueDeclareID, "cannot declare queue 'q2': queue limit in vhost 'v' (1) is reached")
	others[0].durable("q2")
	others[0].durable("q3")
	_, err = others[0].DeclareQueue(broker.QueueDeclaration{Name: "q4"})
	wantError(t, err, amqp.PreconditionFailed, amqp.QueueDeclareID, "cannot declare queue 'q4': queue limit in cluster (3) is reached")

	// Each of three hosts has seven of its own, so none can have more.
	err = bob.DeclareExchange(broker.ExchangeDeclaration{Name: "x", Type: "direct"})
	wantError(t, err, amqp.PreconditionFailed, amqp.ExchangeDeclareID, "cannot declare exchange 'x' in vhost 'v': exchange limit of 18 is reached")
	err = bob.MayConsume("q1", func() int { return 2 })
	wantError(t, err, amqp.NotAllowed, amqp.BasicConsumeID, "reached maximum (2) of consumers per channel")
}

func TestDefaultQueueTypeOfAVirtualHost(t *testing.T) { // QUEUE-18
	t.Parallel()
	f := open(t)
	quorum := access.PutVHost{VHost: access.VHost{Name: "/", DefaultQueueType: "quorum"}}
	c := f.client()
	c.durable("before")
	f.change(quorum)
	c.queue(broker.QueueDeclaration{Name: "before", Durable: true, Arguments: amqp.Table{"x-queue-type": "classic"}})
	c.durable("default")
	c.queue(broker.QueueDeclaration{Name: "transient"})
	c.queue(broker.QueueDeclaration{Name: "default", Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum"}})
	c.queue(broker.QueueDeclaration{Name: "transient", Arguments: amqp.Table{"x-queue-type": "classic"}})
	_, err := c.DeclareQueue(broker.QueueDeclaration{Name: "default", Durable: true, Arguments: amqp.Table{"x-queue-type": "classic"}})
	wantError(t, err, amqp.PreconditionFailed, amqp.QueueDeclareID,
		"inequivalent arg 'x-queue-type' for queue 'default' in vhost '/': received 'classic' but current is 'quorum'")
	quorum.VHost.DefaultQueueType = "classic"
	f.change(quorum) // is for later queues
	f.crash(loseIndex)
	c = f.client()
	c.queue(broker.QueueDeclaration{Name: "default", Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum"}})
	c.consume("default", queue.Consumer{Tag: "c"})
}

func TestConnectionsEndWithTheirUserOrVirtualHost(t *testing.T) { // chapter 4.5
	t.Parallel()
	f := open(t)
	f.change(host("v"))
	f.change(account(t, "ann", "v", ".*", ".*", ".*")...)
	f.change(account(t, "bob", "v", ".*", ".*", ".*")...)
	guest, ann, bob := f.client(), f.clientOf(f.user("ann", "ann"), "v"), f.clientOf(f.user("bob", "bob"), "v")
	closes := func(c *client) string {
		c.sink.mu.Lock()
		defer c.sink.mu.Unlock()
		return fmt.Sprint(c.sink.mu.closes)
	}
	user := f.user("ann", "ann")
	f.change(access.DeleteUser{Name: "ann"})
	want(t, "ann", closes(ann), "[CONNECTION_FORCED - user 'ann' is deleted]")
	_, err := f.broker.Connect(user, "v", newSink(f.broker)) // was about to
	wantError(t, err, amqp.NotAllowed, amqp.ConnectionOpenID, "access to vhost 'v' refused for user 'ann'")
	want(t, "bob", closes(bob), "[]")
	f.change(access.DeleteVHost{Name: "v"})
	want(t, "bob", closes(bob), "[CONNECTION_FORCED - vhost 'v' is deleted]")
	want(t, "guest", closes(guest), "[]")
}
