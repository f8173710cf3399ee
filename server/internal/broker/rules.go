package broker

import (
	"maps"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// facts is what is known of a queue besides its arguments.
func facts(vhost string, d *queue.Declaration) policy.Queue {
	return policy.Queue{
		VHost: vhost, Name: d.Name, ServerNamed: d.ServerNamed || isGenerated(d.Name),
		Durable: d.Durable, Exclusive: d.Exclusive, AutoDelete: d.AutoDelete,
	}
}

// wish is facts of a declaration, for which the host's default type counts.
func (vh *VHost) wish(d *queue.Declaration) policy.Queue {
	q := facts(vh.Name, d)
	q.DefaultType = vh.defaultType()
	return q
}

// defaultType is the type of the host's queues that are declared without one (QUEUE-18).
func (vh *VHost) defaultType() policy.Type { return defaultTypeIn(vh.broker.access.State(), vh.Name) }

func defaultTypeIn(s *access.State, vhost string) policy.Type {
	v, _ := s.VHost(vhost)
	t, ok := policy.ParseType(v.DefaultQueueType)
	if !ok {
		return policy.Classic
	}
	return t
}

// withDefaultType says a new queue's type in its arguments if they do not, and the host's default made it: a
// later default is for later queues.
func (vh *VHost) withDefaultType(args amqp.Table, t policy.Type) amqp.Table {
	const key = "x-queue-type"
	if _, ok := args[key]; ok || t == policy.Classic {
		return args
	}
	args = maps.Clone(args)
	if args == nil {
		args = amqp.Table{}
	}
	args[key] = t.String()
	return args
}

// rulesOf returns the rules of a queue: what its arguments ask for, which were checked when it was declared,
// and what policies make of that. The topology may be read.
func (vh *VHost) rulesOf(d *queue.Declaration) queue.Rules {
	settings, _ := vh.topology.policies.EffectiveQueue(d.Name, vh.settingsOf(d))
	r := rules(&settings)
	if !settings.ConsumerTimeout.OK {
		r.Patience = max(0, vh.broker.cfg.ConsumerTimeout.Milliseconds())
	}
	return r
}

// settingsOf returns what a queue's arguments ask for.
func (vh *VHost) settingsOf(d *queue.Declaration) policy.Settings {
	settings, err := policy.ParseQueue(facts(vh.Name, d), amqp.Table(d.Arguments))
	if err != nil {
		return policy.Defaults(policy.Classic) // an older millrace let them pass
	}
	return settings
}

// quorumMaxPriority is the highest priority of messages in a quorum queue (PRIO-03).
const quorumMaxPriority = 31

// maxRetry bounds the least wait of a returned message, in milliseconds: ten years, that its multiples can be
// reckoned with.
const maxRetry = 10 * 365 * 24 * 3600 * 1000

// rules are the settings as a queue understands them.
func rules(s *policy.Settings) queue.Rules {
	r := queue.NoRules
	if s.MessageTTL.OK {
		r.TTL = s.MessageTTL.Value.Milliseconds()
	}
	if s.Expires.OK {
		r.Expires = s.Expires.Value.Milliseconds()
	}
	r.MaxLength, r.MaxBytes = s.MaxLength, s.MaxLengthBytes
	r.Rejects = s.Overflow.Value == policy.RejectPublish || s.Overflow.Value == policy.RejectPublishDLX
	r.DropsLowest = s.Overflow.Value == policy.DropLowestPriority
	r.LettersRejected = s.Overflow.Value == policy.RejectPublishDLX
	r.DeadLetters = s.DeadLetterExchange.OK
	r.DeadLetterExchange = s.DeadLetterExchange.Value
	r.DeadLetterKey, r.DeadLetterKeySet = s.DeadLetterRoutingKey.Value, s.DeadLetterRoutingKey.OK
	r.SingleActive = s.SingleActiveConsumer
	r.AfterSync = s.DeliverAfterSync
	r.MaxPriority = s.MaxPriority
	r.Patience = s.ConsumerTimeout.Value.Milliseconds()
	if s.Type == policy.Quorum {
		r.CountsReturns, r.DeliveryLimit = true, s.DeliveryLimit.Value
		r.MaxPriority = quorumMaxPriority
		retry := s.DelayedRetry.Value
		r.RetryFailed = retry == policy.RetryAll || retry == policy.RetryFailed
		r.RetryReturned = retry == policy.RetryAll || retry == policy.RetryReturned
		r.RetryMin = min(s.DelayedRetryMin.Value.Milliseconds(), maxRetry)
		r.RetryMax = s.DelayedRetryMax.Value.Milliseconds()
		// DLX-11; a queue that gives up its oldest cannot insist.
		r.LettersSurely = s.DeadLetterStrategy.Value == policy.AtLeastOnce && r.Rejects
	}
	return r
}
