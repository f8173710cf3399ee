package broker

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// ErrNoPolicy answers the deletion of a policy that does not exist.
var ErrNoPolicy = errors.New("no such policy")

// SetPolicy adds a policy to the virtual host, or replaces the one of the same name in its list. It holds for
// what exists and for what comes (POL-04), and is on disk when SetPolicy returns. A policy that is not valid
// is a *policy.Invalid; any other error is the log's.
func (vh *VHost) SetPolicy(p policy.Policy) error {
	p.VHost = vh.Name
	if err := p.Validate(); err != nil {
		return err
	}
	if p.Name == "" {
		return &policy.Invalid{Faults: []string{"the policy has no name"}}
	}
	if p.ApplyTo == "" {
		p.ApplyTo = policy.ApplyToAll
	}
	vh.topology.Lock()
	if present, ok := vh.topology.policies.Policy(p.Name, p.Operator); ok && reflect.DeepEqual(present, p) {
		vh.topology.Unlock()
		return vh.broker.settleDown(true, vh.broker.log.Last()) // somebody else's may not be on disk yet
	}
	return vh.changePolicy(&change{op: putPolicy, policy: p})
}

// DeletePolicy takes a policy, or an operator policy, away. What it gave ends at once, and the deletion is on
// disk when DeletePolicy returns. The error matches ErrNoPolicy if it does not exist.
func (vh *VHost) DeletePolicy(name string, operator bool) error {
	vh.topology.Lock()
	if _, ok := vh.topology.policies.Policy(name, operator); !ok {
		vh.topology.Unlock()
		return fmt.Errorf("%w: %q in virtual host %q", ErrNoPolicy, name, vh.Name)
	}
	return vh.changePolicy(&change{op: deletePolicy, policy: policy.Policy{Name: name, Operator: operator}})
}

// Policies returns the policies, or the operator policies, in the order of precedence.
func (vh *VHost) Policies(operator bool) []policy.Policy {
	vh.topology.RLock()
	defer vh.topology.RUnlock()
	return vh.topology.policies.List(operator)
}

// changePolicy brings a change of the policies to the log and gives the queues their new rules. The caller has
// taken the topology lock, which is let go of when all obey: what is told of a change holds everywhere.
func (vh *VHost) changePolicy(c *change) error {
	lsn, err := vh.commit(c)
	if err == nil {
		vh.applyRules()
		if missing := vh.missingKeepersLocked(); len(missing) > 0 {
			lsn, err = vh.commitMany(missing)
		}
	}
	vh.topology.Unlock()
	if err != nil {
		return err
	}
	return vh.broker.settleDown(true, lsn) // whoever changed it is told when it is on disk
}

// applyPolicy makes a change of the policies that the log holds. Exchanges obey at once, under the locks of
// the topology. Queues need the state lock, and there may be very many: commit leaves them to applyRules. A
// replay has nobody to wait for it, and its queues need the rules of their moment, by which the times of what
// is pushed next are reckoned.
func (vh *VHost) applyPolicy(c *change) error {
	t := &vh.topology
	c.policy.VHost = vh.Name
	if c.op == deletePolicy {
		t.policies.Delete(c.policy.Name, c.policy.Operator)
	} else if _, err := t.policies.Put(c.policy); err != nil {
		return err
	}
	t.revision++
	for x := range t.router.Exchanges() {
		vh.applyToExchange(x)
	}
	if vh.broker.replaying {
		vh.applyRules()
	}
	return nil
}

// applyDeclareExchange adds an exchange with what policies give it.
func (vh *VHost) applyDeclareExchange(x router.Exchange) error {
	_, err := vh.topology.router.Declare(vh.withPolicies(x))
	return err
}

// withPolicies is an exchange with the alternate exchange that policies have for it (ROUTE-03, POL-05), and
// with what they say of delays.
func (vh *VHost) withPolicies(x router.Exchange) router.Exchange {
	settings, _ := vh.topology.policies.EffectiveExchange(x.Name, amqp.Table(x.Arguments))
	x.Alternate, x.Delays = settings.AlternateExchange.Value, settings.DelayedMessage
	return x
}

// applyToExchange gives an exchange what policies have for it.
func (vh *VHost) applyToExchange(x router.Exchange) {
	if x.Name == "" {
		return
	}
	now := vh.withPolicies(x)
	if x.Alternate != now.Alternate {
		_ = vh.topology.router.SetAlternate(x.Name, now.Alternate) // it exists
	}
	if x.Delays != now.Delays {
		_ = vh.topology.router.SetDelays(x.Name, now.Delays)
	}
}

// rulesAtOnce is to how many queues applyRules gives their rules before it lets others at them.
const rulesAtOnce = 64

// applyRules gives all queues the rules that their arguments and the policies make. A queue whose rules stay
// as they were notices nothing: its expiry is not put off. The caller holds the topology lock; what the rules
// are is found out before the state lock is taken.
func (vh *VHost) applyRules() {
	type ruled struct {
		queue *queue.Queue
		rules queue.Rules
	}
	pending := make([]ruled, 0, rulesAtOnce)
	flush := func() {
		now := time.Now().UnixMilli()
		vh.state.Lock()
		for _, r := range pending {
			if r.queue.Rules() != r.rules {
				r.queue.SetRules(r.rules, now)
			}
		}
		vh.unlockStateAt(now) // drops, expires and hands out what the new rules say
		pending = pending[:0]
	}
	for _, q := range vh.topology.router.Queues() {
		if pending = append(pending, ruled{q, vh.rulesOf(&q.Declaration)}); len(pending) == rulesAtOnce {
			flush()
		}
	}
	flush()
}
