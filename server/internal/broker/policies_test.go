package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func (f *fixture) host() *broker.VHost { return f.broker.VHost("/") }

// policy sets a policy named after its pattern.
func (f *fixture) policy(pattern string, definition amqp.Table) {
	f.Helper()
	f.setPolicy(policy.Policy{Name: pattern, Pattern: pattern, Definition: definition})
}

func (f *fixture) operatorPolicy(pattern string, definition amqp.Table) {
	f.Helper()
	f.setPolicy(policy.Policy{Name: pattern, Pattern: pattern, Definition: definition, Operator: true})
}

func (f *fixture) setPolicy(p policy.Policy) {
	f.Helper()
	if err := f.host().SetPolicy(p); err != nil {
		f.Fatalf("policy %q: %v", p.Name, err)
	}
}

func (f *fixture) dropPolicy(name string, operator bool) {
	f.Helper()
	if err := f.host().DeletePolicy(name, operator); err != nil {
		f.Fatalf("policy %q: %v", name, err)
	}
}

// awaitReady waits until the queue has so many ready messages.
func (c *client) awaitReady(name string, n int) {
	c.f.Helper()
	got := c.ready(name)
	for deadline := time.Now().Add(patience); got != n && time.Now().Before(deadline); got = c.ready(name) {
	}
	want(c.f, "ready in "+name, got, n)
}

// awaitGone waits until a queue is not reached any more. To publish is not to use it (TTL-06).
func (c *client) awaitGone(name string) {
	c.f.Helper()
	for deadline := time.Now().Add(patience); c.stage(c.ch, "", name, amqp.Properties{}, ""); c.flush() {
		if time.Now().After(deadline) {
			c.f.Fatalf("queue %q is still there", name)
		}
	}
}

func TestPolicyShortensAQueueThatIsTooLong(t *testing.T) { // POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	c.durable("other")
	c.send("q", "a", "b", "c", "d")
	c.send("other", "a", "b", "c", "d")
	f.policy("^q$", amqp.Table{"max-length": int64(2)})
	want(t, "ready", c.ready("q"), 2)
	want(t, "ready where the policy does not apply", c.ready("other"), 4)
	c.send("q", "e")
	want(t, "messages", c.drain("q"), "d e")
	f.dropPolicy("^q$", false)
	c.send("q", "1", "2", "3")
	want(t, "ready without the policy", c.ready("q"), 3)
}

func TestOperatorPolicyBeatsPolicyAndArgument(t *testing.T) { // POL-03
	t.Parallel()
	f := open(t)
	c := f.client()
	f.policy("q", amqp.Table{"max-length": int64(5)})
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-max-length": int64(10)}})
	send := func() {
		for i := range 12 {
			c.send("q", fmt.Sprint(i))
		}
	}
	send()
	want(t, "argument 10, policy 5", c.ready("q"), 5)
	f.operatorPolicy("q", amqp.Table{"max-length": int64(3)})
	want(t, "and operator policy 3", c.ready("q"), 3)
	f.dropPolicy("q", false)
	f.operatorPolicy("q", amqp.Table{"max-length": int64(30)})
	send()
	want(t, "argument 10, operator policy 30", c.ready("q"), 10)
}

func TestPolicyRejectsPublishes(t *testing.T) { // LEN-03, POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	selectConfirms(t, c.ch)
	c.durable("q")
	c.send("q", "a")
	c.send("q", "b") // now the route is remembered
	f.policy("q", amqp.Table{"max-length": int64(2), "overflow": "reject-publish"})
	c.send("q", "c")
	c.sink.await(t, "refusal", func() bool { return len(c.sink.mu.refusals) == 1 })
	want(t, "messages", c.drain("q"), "a b")
}

func TestPolicyDeadLetters(t *testing.T) { // DLX-10, POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("dead")
	c.durable("mine")
	f.policy("^q", amqp.Table{"dead-letter-exchange": "", "dead-letter-routing-key": "dead"})
	c.durable("q")
	c.queue(broker.QueueDeclaration{Name: "q.own", Durable: true, Arguments: amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "mine",
	}})
	c.send("q", "a", "b")
	c.send("q.own", "c")
	f.operatorPolicy("^q", amqp.Table{"max-length": int64(0)})
	c.awaitReady("dead", 2)
	c.awaitReady("mine", 1)
	want(t, "dead messages", c.drain("dead"), "a b")
	f.dropPolicy("^q", false)
	c.send("q", "dropped")
	c.send("q.own", "carried")
	c.awaitReady("mine", 2)
	want(t, "dead without an exchange", c.ready("dead"), 0)
}

func TestPolicyExpiresQueuesAndMessages(t *testing.T) { // TTL-01, TTL-06, POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("unused")
	c.durable("used")
	c.consume("used", queue.Consumer{Tag: "c"})
	f.policy("used$", amqp.Table{"expires": int64(50)})
	c.awaitGone("unused")
	c.durable("q")
	f.policy("q", amqp.Table{"message-ttl": int64(50)})
	c.send("q", "a")
	c.awaitReady("q", 0)
	if !c.exists("used") {
		t.Error("the queue with a consumer is gone")
	}
}

func TestPolicyThatChangesNothingForAQueueDoesNotPutOffItsExpiry(t *testing.T) { // TTL-06
	t.Parallel()
	f := open(t)
	c := f.client()
	f.policy("^q$", amqp.Table{"expires": int64(100)})
	c.durable("q")
	deadline := time.Now().Add(patience)
	for i := 0; c.stage(c.ch, "", "q", amqp.Properties{}, ""); i++ {
		if time.Now().After(deadline) {
			t.Fatal("the queue outlives its time while policies of other queues change")
		}
		f.policy("^other$", amqp.Table{"max-length": int64(i)})
		c.flush()
	}
}

func TestPolicyGivesExchangesAnAlternate(t *testing.T) { // ROUTE-03, POL-05
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durableBound("amq.fanout", "lost", "")
	c.durableExchange("x", "direct")
	c.exchange(broker.ExchangeDeclaration{Name: "x.own", Type: "direct", Durable: true, Arguments: amqp.Table{"alternate-exchange": "nowhere"}})
	routed := func(exchange string) bool {
		defer c.flush()
		return c.stage(c.ch, exchange, "key", persistent, "m")
	}
	for _, exchange := range []string{"x", "x.own", "amq.direct"} {
		want(t, exchange+" without a policy", routed(exchange), false)
	}
	f.policy("^(x|amq.direct)", amqp.Table{"alternate-exchange": "amq.fanout"})
	c.exchange(broker.ExchangeDeclaration{Name: "x.new", Type: "topic"})
	for exchange, reached := range map[string]bool{"x": true, "x.new": true, "amq.direct": true, "amq.topic": false, "x.own": false} {
		want(t, exchange+" with the policy", routed(exchange), reached)
	}
	f.dropPolicy("^(x|amq.direct)", false)
	want(t, "x without the policy again", routed("x"), false)
}

func TestPolicyForQuorumQueuesLimitsDeliveries(t *testing.T) { // QQ-03
	t.Parallel()
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum"}})
	f.setPolicy(policy.Policy{Name: "p", Pattern: "", ApplyTo: policy.ApplyToQuorumQueues, Definition: amqp.Table{"delivery-limit": int64(1)}})
	c.send("q", "a")
	for round := range 2 {
		want(t, "delivery", len(c.drain("q")) > 0, true)
		c.ch.Settle(amqp.BasicRejectID, queue.Tag(round+1), false, queue.Failed)
		c.flush()
	}
	want(t, "messages after two returns", c.drain("q"), "")
}

func TestPoliciesReturnAfterTheEnd(t *testing.T) { // DUR-01
	afterEach(t, func(f *fixture, c *client) {
		f.policy("gone", amqp.Table{"max-length": int64(1)})
		c.durable("before")
		c.send("before", "a", "b", "c")
		f.policy("e", amqp.Table{"max-length": int64(100)})
		f.setPolicy(policy.Policy{Name: "e", Pattern: "e", Priority: -3, ApplyTo: policy.ApplyToClassicQueues, Definition: amqp.Table{"max-length": int64(2)}})
		f.operatorPolicy("op", amqp.Table{"message-ttl": int64(3600000)})
		f.dropPolicy("gone", false)
		f.policy("^amq", amqp.Table{"alternate-exchange": "amq.fanout"})
		c.bind("amq.fanout", "before", "")
		c.sendConfirmed("before", "d")
	}, func(f *fixture, c *client) {
		want(f, "policies", f.host().Policies(false), []policy.Policy{
			{VHost: "/", Name: "^amq", Pattern: "^amq", ApplyTo: "all", Definition: amqp.Table{"alternate-exchange": "amq.fanout"}},
			{VHost: "/", Name: "e", Pattern: "e", Priority: -3, ApplyTo: "classic_queues", Definition: amqp.Table{"max-length": int64(2)}},
		})
		want(f, "operator policies", f.host().Policies(true), []policy.Policy{
			{VHost: "/", Name: "op", Pattern: "op", ApplyTo: "all", Operator: true, Definition: amqp.Table{"message-ttl": int64(3600000)}},
		})
		want(f, "routed by the alternate exchange", c.stage(c.ch, "amq.direct", "nobody's", persistent, "e"), true)
		c.flush()
		want(f, "messages", c.drain("before"), "d e")
		c.durable("after here")
		c.send("after here", "1", "2", "3")
		want(f, "ready in a new queue", c.ready("after here"), 2)
	})
}

func TestPoliciesSurviveTheSegmentThatTheyWereSetIn(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10})
	c := f.client()
	f.policy("^q$", amqp.Table{"max-length": int64(2)})
	c.durable("q")
	set := f.broker.FirstInLog()
	body := string(make([]byte, 4<<10))
	for f.broker.FirstInLog() <= set+4 {
		for range 20 {
			c.send("q", body)
		}
		f.broker.FlushJournal()
		f.checkpoint()
	}
	f.crash(loseIndex)
	c = f.client()
	want(t, "policies", len(f.host().Policies(false)), 1)
	c.send("q", "a", "b", "c")
	want(t, "ready", c.ready("q"), 2)
}

func TestBadPoliciesChangeNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	vh := f.host()
	for _, p := range []policy.Policy{
		{Name: "p", Pattern: "(", Definition: amqp.Table{"max-length": int64(1)}},
		{Name: "p", Pattern: "", Definition: amqp.Table{"max-lenght": int64(1)}},
		{Name: "p", Pattern: ""},
		{Name: "", Pattern: "", Definition: amqp.Table{"max-length": int64(1)}},
		{Name: "p", Pattern: "", ApplyTo: "everything", Definition: amqp.Table{"max-length": int64(1)}},
		{Name: "p", Pattern: "", Operator: true, Definition: amqp.Table{"dead-letter-exchange": "x"}},
	} {
		var invalid *policy.Invalid
		if err := vh.SetPolicy(p); !errors.As(err, &invalid) {
			t.Errorf("policy %v: %v", p, err)
		}
	}
	if err := vh.DeletePolicy("p", false); !errors.Is(err, broker.ErrNoPolicy) {
		t.Errorf("deletion of a policy that is not there: %v", err)
	}
	want(t, "policies", len(vh.Policies(false))+len(vh.Policies(true)), 0)
}

func TestManyQueuesObeyAChangedPolicy(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	for i := range 50 {
		f.policy(fmt.Sprintf("^some%d[.].*$", i), amqp.Table{"max-length": int64(i)})
	}
	for i := range 200 {
		c.queue(broker.QueueDeclaration{Name: fmt.Sprintf("q%d", i)})
		c.send(fmt.Sprintf("q%d", i), "a", "b")
	}
	f.policy("^q", amqp.Table{"max-length": int64(1)})
	for i := range 200 {
		want(t, "ready", c.ready(fmt.Sprintf("q%d", i)), 1)
	}
}

// sendAged publishes persistent messages that entered so long ago.
func (c *client) sendAged(name string, age time.Duration, p amqp.Properties, bodies ...string) {
	c.f.Helper()
	for _, body := range bodies {
		m := publication("", name, p, body)
		m.Time -= age.Milliseconds()
		if _, err := c.ch.Publish(m); err != nil {
			c.f.Fatal(err)
		}
	}
	c.flush()
}

func hours(n int64) amqp.Table { return amqp.Table{"message-ttl": n * time.Hour.Milliseconds()} }

func TestPolicyExpiresWhatIsInTheQueueAlready(t *testing.T) { // POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	long := persistent
	long.Expiration = fmt.Sprint(20 * time.Hour.Milliseconds())
	c.sendAged("q", 9*time.Hour, persistent, "old")
	c.sendAged("q", 5*time.Hour, long, "middle")
	c.sendAged("q", time.Hour, persistent, "young")
	f.policy("q", hours(12))
	f.operatorPolicy("q", hours(7))
	c.awaitReady("q", 2)
	f.policy("q", hours(4))
	c.awaitReady("q", 1)
	want(t, "messages", c.drain("q"), "young")
}

// A TTL that was lengthened, and one that was taken away, hold for what is in the queue too.
func TestPolicyLetsMessagesLiveLonger(t *testing.T) { // POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	c.durable("mark")
	f.policy("^q$", hours(1))
	c.sendAged("q", time.Hour-300*time.Millisecond, persistent, "a") // is about to expire
	f.policy("^q$", hours(2))
	f.policy("^mark$", amqp.Table{"message-ttl": int64(600)})
	c.send("mark", "m")
	c.awaitReady("mark", 0)
	want(t, "ready", c.ready("q"), 1)
}

func TestChangedTTLHoldsAfterTheEnd(t *testing.T) { // POL-04, DUR-01
	afterEach(t, func(f *fixture, c *client) {
		c.durable("q")
		c.sendAged("q", 9*time.Hour, persistent, "old")
		c.sendAged("q", 5*time.Hour, persistent, "middle")
		f.checkpoint() // has them without deadlines
		f.policy("q", hours(10))
		f.policy("q", hours(12))
		f.policy("q", hours(7))
		c.sendConfirmed("q", "young")
	}, func(f *fixture, c *client) {
		c.awaitReady("q", 2)
		f.policy("q", hours(3))
		c.awaitReady("q", 1)
		want(f, "messages", c.drain("q"), "young")
	})
}

// The last checkpoint has the policy, and no message with the deadline that it makes.
func TestMessagesThatWereNotRetimedBeforeTheEndAreAfterIt(t *testing.T) { // POL-04
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("q")
	for i := range 20 {
		c.sendAged("q", time.Duration(i)*time.Hour, persistent, fmt.Sprint(i))
	}
	f.broker.Stop() // so nobody retimes
	f.policy("q", hours(12))
	f.checkpoint()
	f.restart()
	c = f.client()
	c.awaitReady("q", 12)
	f.checkpoint() // now it has them
	f.crash()
	c = f.client()
	c.awaitReady("q", 12)
	f.policy("q", hours(20))
	f.policy("q", hours(6))
	c.awaitReady("q", 6)
}
