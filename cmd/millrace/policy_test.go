package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// operator sets the policies of a broker: of a Millrace of its own by its definitions file, of a running
// RabbitMQ by the command that MILLRACE_TEST_RABBITMQCTL names, with its first arguments.
type operator struct {
	t        testing.TB
	broker   *Broker
	file     string            // of a Millrace
	policies []json.RawMessage // in it
	names    []string          // of policies, in their order
}

const rabbitmqctl = "MILLRACE_TEST_RABBITMQCTL"

// newOperator starts a broker whose policies can be set.
func newOperator(t testing.TB) *operator {
	t.Helper()
	o := &operator{t: t, file: filepath.Join(t.TempDir(), "definitions.json")}
	if os.Getenv("MILLRACE_TEST_URL") != "" {
		if os.Getenv(rabbitmqctl) == "" {
			t.Skipf("needs %s, the command that sets policies of the broker under test", rabbitmqctl)
		}
		o.broker = newBroker(t)
		return o
	}
	o.write("{}")
	o.broker = startBroker(t, t.TempDir(), "--definitions", o.file)
	return o
}

// set sets a policy of queues, or, if its name ends so, of exchanges or an operator policy. What it is for is
// named as the test is.
func (o *operator) set(name, definition string) {
	o.t.Helper()
	applyTo := "queues"
	if strings.HasSuffix(name, "exchanges") {
		applyTo = "exchanges"
	}
	pattern := "^" + regexp.QuoteMeta(o.t.Name()) + "[.]"
	if o.broker.External() {
		o.control("set_"+kindOf(name), "--apply-to", applyTo, o.t.Name()+name, pattern, definition)
		o.t.Cleanup(func() { o.controlAnyhow("clear_"+kindOf(name), o.t.Name()+name) })
		return
	}
	p, err := json.Marshal(map[string]any{
		"vhost": "/", "name": name, "pattern": pattern, "apply-to": applyTo, "definition": json.RawMessage(definition),
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.forget(name)
	o.policies, o.names = append(o.policies, p), append(o.names, name)
	o.reload()
}

// clear takes a policy away.
func (o *operator) clear(name string) {
	o.t.Helper()
	if o.broker.External() {
		o.control("clear_"+kindOf(name), o.t.Name()+name)
		return
	}
	o.forget(name)
	o.reload()
}

func (o *operator) forget(name string) {
	if i := slices.Index(o.names, name); i >= 0 {
		o.policies, o.names = slices.Delete(o.policies, i, i+1), slices.Delete(o.names, i, i+1)
	}
}

func kindOf(name string) string {
	if strings.HasSuffix(name, "operator") {
		return "operator_policy"
	}
	return "policy"
}

func (o *operator) control(args ...string) {
	o.t.Helper()
	if out, err := o.controlAnyhow(args...); err != nil {
		o.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (o *operator) controlAnyhow(args ...string) ([]byte, error) {
	command := append(strings.Fields(os.Getenv(rabbitmqctl)), args...)
	return exec.Command(command[0], command[1:]...).CombinedOutput()
}

// reload writes the policies to the definitions file and has the broker read it.
func (o *operator) reload() {
	o.t.Helper()
	var policies, parameters []string
	for i, p := range o.policies {
		if kindOf(o.names[i]) == "policy" {
			policies = append(policies, string(p))
		} else {
			parameters = append(parameters, fmt.Sprintf(`{"component":"operator_policy","vhost":"/","name":%q,"value":%s}`, o.names[i], p))
		}
	}
	o.write(fmt.Sprintf(`{"policies":[%s],"parameters":[%s]}`, strings.Join(policies, ","), strings.Join(parameters, ",")))
	o.broker.hangup(o.t, "definitions applied")
}

func (o *operator) write(definitions string) {
	o.t.Helper()
	if err := os.WriteFile(o.file, []byte(definitions), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// hangup has the broker read its definitions again, and waits until it has logged what came of that.
func (b *Broker) hangup(t testing.TB, logged string) {
	t.Helper()
	said := func() int { return strings.Count(b.stderr.String(), `msg="`+logged) }
	before := said()
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, logged, func() bool { return said() > before })
}

// POL-04, LEN-02: lowering a limit drops the surplus at once.
func TestPolicyShortensALiveQueue(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	c.sendAll("", q, "a", "b", "c", "d")
	c.wantReady(q, 4)
	o.set("short", `{"max-length":2}`)
	c.wantReady(q, 2)
	o.set("short", `{"max-length":3}`)
	c.sendAll("", q, "e", "f")
	c.wantReady(q, 3)
	o.clear("short")
	c.sendAll("", q, "g")
	c.wantReady(q, 4)
	c.wantBodies(q, "d", "e", "f", "g")
}

// POL-01, POL-03: an operator policy limits what policy and argument grant.
func TestOperatorPolicyBeatsPolicyAndArgument(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	q := c.queue("q", queueSpec{durable: true, args: amqp.Table{"x-max-length": 10}})
	for range 12 {
		c.send("", q, "m")
	}
	c.wantReady(q, 10)
	o.set("user", `{"max-length":5}`)
	c.wantReady(q, 5)
	o.set("operator", `{"max-length":3}`)
	c.wantReady(q, 3)
}

// POL-04, TTL-01: messages that come are given the time of the policy.
func TestPolicyExpiresMessages(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	grave := c.declare("grave of the expired", queueSpec{durable: true})
	o.set("ttl", `{"message-ttl":50,"dead-letter-exchange":"","dead-letter-routing-key":"grave of the expired"}`)
	eventually(t, "message that expires", func() bool { // RabbitMQ's queues are told in passing
		c.send("", q, "m")
		return c.ready(grave) > 0
	})
	wantDeath(t, c.buried(grave), "expired", q, 1)
	o.clear("ttl")
	eventually(t, "a message that stays", func() bool {
		c.send("", q, "m")
		return c.ready(q) > 1
	})
}

// POL-04: a TTL holds for what is in the queue already, from the time when it came.
func TestPolicyExpiresWhatIsInTheQueueAlready(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	c.sendAll("", q, "a", "b")
	c.sendMessage("", q, amqp.Publishing{Body: []byte("c"), DeliveryMode: amqp.Persistent})
	c.wantReady(q, 3)
	held := c.fetch(q)
	o.set("ttl", `{"message-ttl":50}`)
	c.wantReady(q, 0)
	c.must(held.Nack(false, true))
	c.wantReady(q, 0)
	o.set("ttl", `{"message-ttl":3600000}`)
	c.send("", q, "d")
	c.wantReady(q, 1)
}

// POL-04, TTL-06: a queue that nobody uses expires, its life counted from the policy on.
func TestPolicyExpiresALiveQueue(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	c.exchange("lost", "fanout", exchangeSpec{durable: true})
	o.set("expires", `{"expires":100}`)
	returns := c.NotifyReturn(make(chan amqp.Return, 1))
	eventually(t, "queue that is gone", func() bool { // publishing is not using
		c.must(c.PublishWithContext(t.Context(), "", q, true, false, amqp.Publishing{Body: []byte("m")}))
		select {
		case <-returns:
			return true
		default:
			return false
		}
	})
}

// POL-04, DLX-02, DLX-10: the next message to die goes to the policy's exchange.
func TestPolicyDeadLetters(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	q, own := c.queue("q", queueSpec{durable: true}), c.queue("own", queueSpec{durable: true, args: amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "grave of its own",
	}})
	ownGrave := c.declare("grave of its own", queueSpec{durable: true})
	dlx := c.exchange("dlx", "fanout", exchangeSpec{durable: true})
	grave := c.declare("grave of the policy", queueSpec{durable: true}) // which the policy does not match
	c.bind(grave, "", dlx, nil)
	c.sendAll("", q, "a", "b")
	c.sendAll("", own, "c")
	c.wantReady(q, 2)
	o.set("letters", fmt.Sprintf(`{"dead-letter-exchange":%q,"max-length":1}`, dlx))
	got := c.buried(grave)
	wantDeath(t, got, "maxlen", q, 1)
	if string(got.Body) != "a" {
		t.Errorf("message %q died, want the oldest", got.Body)
	}
	c.must(c.fetch(own).Reject(false))
	if got := c.buried(ownGrave); string(got.Body) != "c" {
		t.Errorf("dead message %q, want c", got.Body)
	}
}

// POL-04, LEN-03: publishes that a policy refuses are nacked.
func TestPolicyRejectsPublishes(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	c.confirmMode()
	q := c.queue("q", queueSpec{durable: true})
	c.sendConfirmed("", q, amqp.Publishing{Body: []byte("a")})
	o.set("reject", `{"max-length":1,"overflow":"reject-publish"}`)
	eventually(t, "refusal", func() bool {
		confirmation, err := c.PublishWithDeferredConfirmWithContext(t.Context(), "", q, false, false, amqp.Publishing{Body: []byte("b")})
		c.must(err)
		await(t, "confirm", confirmation.Done())
		return !confirmation.Acked()
	})
	if got := string(c.fetch(q).Body); got != "a" && got != "b" { // b if RabbitMQ's queue had not been told yet
		t.Errorf("message %q", got)
	}
}

// ROUTE-03, POL-04, POL-05: exchanges are given an alternate, predeclared ones too.
func TestPolicyGivesAnAlternateExchange(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	c := o.broker.connect(t)
	x := c.exchange("x", "direct", exchangeSpec{durable: true})
	lost := c.exchange("lost", "fanout", exchangeSpec{durable: true, args: amqp.Table{"alternate-exchange": "amq.fanout"}}) // which beats the policy's
	q := c.queue("q", queueSpec{})
	c.bind(q, "", lost, nil)
	c.send(x, "nowhere", "a")
	c.wantReady(q, 0)
	o.set("exchanges", fmt.Sprintf(`{"alternate-exchange":%q}`, lost))
	eventually(t, "message in the alternate exchange", func() bool {
		c.send(x, "nowhere", "b")
		return c.ready(q) > 0
	})
	o.clear("exchanges")
	eventually(t, "no message in the alternate exchange", func() bool {
		before := c.ready(q)
		c.send(x, "nowhere", "c")
		return c.ready(q) == before
	})
}
