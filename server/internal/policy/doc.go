// Package policy answers one question: which settings apply to this queue, or to this exchange? It reads
// the arguments of a declaration, holds the policies of a virtual host, and merges the two.
//
// It is plain code: it reads no clock, opens no file, takes no lock and starts no goroutine. What a setting
// does is not its business, nor is where policies are stored.
//
// The broker calls it: [ParseQueue] when a queue is declared, [Equivalent] when it is declared again,
// [ParseConsumer] when somebody subscribes, and [Set.EffectiveQueue] and [Set.EffectiveExchange] for every
// object of a virtual host after one of its policies has changed.
//
//	arguments, err := policy.ParseQueue(policy.Queue{VHost: "/", Name: "orders", Durable: true}, args)
//	var policies policy.Set
//	err = p.Validate()       // worded for the management API
//	_, err = policies.Put(p) // nothing but its pattern can fail now
//	settings, applied := policies.EffectiveQueue("orders", arguments)
//
// # Two steps
//
// Of all policies that match an object one applies, and one operator policy besides (POL-01). These two are
// merged into one definition first: the least of two numbers, else the operator's value. Then the
// definition is merged with the arguments: the least of two numbers, else the argument, except that a
// quorum queue's overflow is the policy's (POL-03).
//
// A policy is passed over for a queue whose type could not have one of its keys, as in RabbitMQ: a policy
// with delivery-limit leaves classic queues to the next policy, with all its keys. Keys of exchanges do
// not count.
package policy
