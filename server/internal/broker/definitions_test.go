package broker_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/definitions"
)

func parse(t testing.TB, text string) *definitions.Definitions {
	t.Helper()
	d, err := definitions.Parse("d.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// define applies definitions after others, which may be nil.
func (f *fixture) define(text string, previous *definitions.Definitions) *definitions.Definitions {
	f.Helper()
	d := parse(f, text)
	if err := f.broker.ApplyDefinitions(d, previous); err != nil {
		f.Fatal(err)
	}
	return d
}

// example is the file that the documentation shows.
func example(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/examples/definitions/definitions.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDefinitionsAreBroughtAboutAndStay(t *testing.T) { // DUR-01
	t.Parallel()
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			f := openWith(t, broker.Config{NoFirstStart: true})
			f.define(example(t), nil)
			before := tell(f.broker.Access())
			end.end(f)
			want(t, "access", tell(f.broker.Access()), before)
			f.user("operator", "change me")
			f.user("shop", "shop")
			if _, ok := f.broker.Access().User("guest"); ok {
				t.Error("there is a default user beside those of the file") // AUTH-06
			}
			vh := f.broker.VHost("shop")
			want(t, "policies", len(vh.Policies(false)), 2)
			want(t, "operator policies", len(vh.Policies(true)), 1)
			c := f.clientOf(f.user("operator", "change me"), "shop")
			if !c.stage(c.ch, "orders", "shop.eu.1", persistent, "m") {
				t.Error("the binding is missing")
			}
			if !c.stage(c.ch, "orders", "shop.asia", persistent, "m") {
				t.Error("the alternate exchange is missing")
			}
			c.flush()
			want(t, "ready", c.ready("orders.eu"), 1)
			want(t, "ready dead letters", c.ready("dead"), 1)
		})
	}
}

func TestDefinitionsAppliedAgainWriteNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	d := f.define(example(t), nil)
	before := f.broker.LastInLog()
	f.define(example(t), nil)
	f.define(example(t), d)
	want(t, "last record", f.broker.LastInLog(), before)
}

func TestDefinitionsThatAreFaultyChangeNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, test := range []struct{ name, text, want string }{
		{
			"unknown names",
			`{"permissions":[{"user":"nobody","vhost":"/","configure":"","write":"","read":""},{"user":"guest","vhost":"nowhere","configure":"","write":"","read":""}],
			"queues":[{"vhost":"nowhere","name":"q"}],"policies":[{"vhost":"nowhere","name":"p","pattern":"","definition":{"max-length":1}}]}`,
			`d.json:1:17: permissions[0]: there is no user "nobody", here or in the broker; add him to users
d.json:1:83: permissions[1]: there is no virtual host "nowhere", here or in the broker; add it to vhosts
d.json:2:14: queues[0]: there is no virtual host "nowhere", here or in the broker; add it to vhosts
d.json:2:58: policies[0]: there is no virtual host "nowhere", here or in the broker; add it to vhosts`,
		},
		{
			"bindings of what is not there",
			`{"queues":[{"vhost":"/","name":"q"}],"bindings":[{"vhost":"/","source":"x","destination":"q","destination_type":"queue","routing_key":""},
			{"vhost":"/","source":"amq.direct","destination":"r","destination_type":"queue","routing_key":""},
			{"vhost":"/","source":"amq.direct","destination":"y","destination_type":"exchange","routing_key":""}]}`,
			`d.json:1:50: bindings[0]: no exchange 'x' in vhost '/'
d.json:2:4: bindings[1]: no queue 'r' in vhost '/'
d.json:3:4: bindings[2]: no exchange 'y' in vhost '/'`,
		},
		{
			"exchanges that cannot be",
			`{"exchanges":[{"vhost":"/","name":"a","type":"anycast"},{"vhost":"/","name":"b","type":"direct","arguments":{"alternate-exchange":5}}]}`,
			`d.json:1:15: exchanges[0]: unknown exchange type 'anycast'
d.json:1:57: exchanges[1]: invalid type 'long' for arg 'alternate-exchange' in exchange 'b' in vhost '/'`,
		},
		{
			"queues that cannot be, in a host that is to come",
			`{"vhosts":[{"name":"v"}],"queues":[{"vhost":"v","name":"q","arguments":{"x-queue-type":"stream"}}]}`,
			`d.json:1:36: queues[0]: stream queues are not available yet`,
		},
	} {
		before := f.broker.LastInLog()
		err := f.broker.ApplyDefinitions(parse(t, test.text), nil)
		var faulty *definitions.Faulty
		if !errors.As(err, &faulty) || err.Error() != test.want {
			t.Errorf("%s: got\n%v\nwant\n%s", test.name, err, test.want)
		}
		want(t, "last record after "+test.name, f.broker.LastInLog(), before)
	}
}

func TestDefinitionsReadAgainRemoveWhatIsGone(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	first := f.define(`{
		"users":[{"name":"ann","password":"a"},{"name":"bob","password":"b","limits":{"max-channels":5}}],
		"vhosts":[{"name":"/"},{"name":"v"}],
		"permissions":[{"user":"ann","vhost":"/","configure":"","write":"","read":""},{"user":"bob","vhost":"/","configure":"","write":"","read":""},
			{"user":"bob","vhost":"v","configure":"","write":"","read":""}],
		"topic_permissions":[{"user":"bob","vhost":"/","exchange":"amq.topic","write":"a","read":"b"}],
		"parameters":[{"component":"vhost-limits","vhost":"v","name":"limits","value":{"max-queues":1}},
			{"component":"operator_policy","vhost":"/","name":"p","value":{"pattern":"q","definition":{"max-length":3}}}],
		"policies":[{"vhost":"/","name":"p","pattern":"q","definition":{"max-length":2}},{"vhost":"v","name":"p","pattern":"q","definition":{"max-length":2}}],
		"queues":[{"vhost":"/","name":"q"}],"exchanges":[{"vhost":"/","name":"x","type":"fanout"}],
		"bindings":[{"vhost":"/","source":"x","destination":"q","destination_type":"queue","routing_key":""}]}`, nil)
	f.policy("mine", amqp.Table{"max-length": int64(1)})
	f.define(`{"users":[{"name":"bob","password":"other"}],"permissions":[{"user":"bob","vhost":"/","configure":"","write":".","read":""}],
		"policies":[{"vhost":"/","name":"new","pattern":"q","definition":{"max-length":5}}]}`, first)
	state := f.broker.Access()
	if _, ok := state.User("ann"); ok {
		t.Error("ann is still there")
	}
	f.user("bob", "other")
	if _, ok := state.User("guest"); !ok {
		t.Error("a user is gone that the file has never had")
	}
	want(t, "bob's limits", len(state.UserLimits("bob")), 0)
	want(t, "v's limits", len(state.VHostLimits("v")), 0)
	want(t, "bob may enter v", state.MayEnter("bob", "v"), false)
	for p := range state.TopicPermissions() {
		t.Errorf("topic permission %v is still there", p)
	}
	permission, _ := state.Permission("bob", "/")
	want(t, "bob may write", permission.Write, ".")
	var names []string
	for _, p := range f.host().Policies(false) {
		names = append(names, p.Name)
	}
	want(t, "policies", strings.Join(names, " "), "mine new")
	want(t, "policies of v", len(f.broker.VHost("v").Policies(false)), 0)
	want(t, "operator policies", len(f.host().Policies(true)), 0)
	if !c.stage(c.ch, "x", "", persistent, "m") {
		t.Error("exchange, queue or binding is gone")
	}
	c.flush()
}

func TestDefinitionsLeaveWhatExistsAsItIs(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-max-length": int64(1)}})
	c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "direct"})
	f.define(`{"queues":[{"vhost":"/","name":"q","durable":false}],
		"exchanges":[{"vhost":"/","name":"x","type":"fanout"},{"vhost":"/","name":"amq.topic","type":"topic"},{"vhost":"/","name":"amq.rabbitmq.log","type":"topic"}],
		"bindings":[{"vhost":"/","source":"x","destination":"q","destination_type":"queue","routing_key":"k"}]}`, nil)
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-max-length": int64(1)}})
	c.exchange(broker.ExchangeDeclaration{Name: "x", Type: "direct"})
	want(t, "routed", c.stage(c.ch, "x", "k", persistent, "m"), true)
	if err := c.DeclareExchange(broker.ExchangeDeclaration{Name: "amq.rabbitmq.log", Passive: true}); err == nil {
		t.Error("a name of the broker's own was taken from a file")
	}
	c.flush()
}

func TestDefinitionsWithoutVirtualHostsHaveTheDefaultOne(t *testing.T) { // CONN-15
	t.Parallel()
	f := openWith(t, broker.Config{NoFirstStart: true})
	f.define(`{"users":[{"name":"u","password":"p"}],"permissions":[{"user":"u","vhost":"/","configure":".*","write":".*","read":".*"}]}`, nil)
	f.clientOf(f.user("u", "p"), "/").durable("q")
}

func TestQueuesOfDefinitionsHaveTheDefaultTypeOfTheirHost(t *testing.T) { // QUEUE-18
	t.Parallel()
	f := open(t)
	f.define(`{"vhosts":[{"name":"v","default_queue_type":"quorum"}],"queues":[{"vhost":"v","name":"q","arguments":{"x-delivery-limit":3}}],
		"permissions":[{"user":"guest","vhost":"v","configure":".*","write":".*","read":".*"}]}`, nil)
	f.define(`{"vhosts":[{"name":"v","default_queue_type":"classic"}]}`, nil)
	c := f.clientOf(f.user("guest", "guest"), "v")
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(3)}})
}
