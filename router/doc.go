// Package router answers one question: which queues get this message?
//
// A Router holds the exchanges, the bindings and the queue names of one vhost, and routes messages
// by them: the default exchange, direct, fanout, topic and headers exchanges, and those that RabbitMQ
// has in plugins (x-consistent-hash, x-modulus-hash, x-random, x-local-random, x-recent-history,
// x-delayed-message), bindings between exchanges, alternate exchanges, CC and BCC keys. It follows
// RabbitMQ; the clauses of the behaviour specification that a line obeys are named beside it
// (ROUTE-01, TOPIC-03, …; 7.6 is the chapter of the plugins).
//
// The package refuses to know protocol, storage, permissions, policies and time. It reads no wire,
// writes no file, starts no goroutine and takes no lock. What a queue is stays the caller's affair:
// Router is generic over it. Messages that an exchange keeps, to tell them again (x-recent-history)
// or until they are due (x-delayed-message), are the broker's to keep: Route only tells of them
// (Kept). Names that are reserved, exclusive queues, direct reply-to and the texts of AMQP errors are
// the broker's; errors here are small types with the data those texts need.
//
// The broker calls it. A change is checked (CheckDeclare, CheckBind, InUse), logged, then applied
// (Declare, Bind, Delete, …); applying is deterministic, so that a replay of the log gives the same
// router, down to the exchanges that delete themselves. So does a replay of the listings, in their
// order. Chance, which x-random asks for, comes from a source that belongs to the caller's Scratch.
//
// # Locking
//
// The owner guards a Router with a read-write lock: methods that change it need the write lock, all
// others the read lock. Route writes to nothing but the caller's Scratch, so that any number of
// callers route at once. Generation alone needs no lock: it is what lets a Cache answer without one.
//
// # Cost
//
// Route allocates nothing once its Scratch has grown, unless the functions of the Message do when an
// exchange on the path asks for its headers. A fan-out is linear in its bindings: queues and exchanges
// carry small dense ids, and being visited is one word in the Scratch. Topic patterns stand in a trie
// that is walked with a set of states, so that any number of '#' costs at most words × patterns. Bindings
// of a headers exchange are filed by what they ask for, and a message is compared with those only that
// share a header with it.
// x-consistent-hash looks at each destination, x-modulus-hash and the random ones at the one they
// take.
//
//	r := router.New[*Queue]()
//	r.Declare(router.Exchange{Name: "logs", Type: router.Topic})
//	r.AddQueue("errors", q)
//	r.Bind(router.Binding{Source: "logs", Destination: "errors", Key: "*.error.#"})
//	var s router.Scratch[*Queue]
//	queues, _, err := r.Route(nil, &router.Message{Exchange: []byte("logs"), Key: []byte("db.error")}, &s)
package router
