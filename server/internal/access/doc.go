// Package access answers one question: who may do what? It knows users and their passwords, virtual
// hosts, permissions, topic permissions and limits, and refuses in RabbitMQ's words.
//
// It reads no clock, opens no file or connection, starts no goroutine and counts nothing: what is open
// is told by its callers, the broker and the sessions, and randomness is handed in. It does not know
// what exists in a virtual host, for a permission is asked for before existence (AUTH-02).
//
// All that it knows is a State, which never changes. A change is a value that can be logged as a field
// table; State.With gives the state after it. Control holds the present state for readers in all
// goroutines. Whoever changes it does so under a lock of his own, and logs between the two steps:
//
//	change := access.PutUser{User: access.User{Name: "ann", PasswordHash: hash, Hashing: access.SHA256}}
//	next, err := control.State().ValidWith(change) // an error: it makes no sense, tell who asked
//	… append access.Encode(change).Raw() to the log …
//	control.Publish(next)
//
// Replaying the log uses With, which looks for no sense: applying is idempotent, and what became moot is passed over.
// With takes many changes at the price of one, so a replay should hand them over in bundles.
//
// Permissions are asked for at each publish, so a connection has a Cache. It forgets everything when any
// state is published; a remembered answer costs one atomic load, a few comparisons and no allocation:
//
//	cache := access.NewCache(control, access.Subject{User: "ann", VHost: "/"})
//	err := cache.Check(access.Write, access.Exchange("orders"), amqp.BasicPublishID)
//
// Errors that a client is told of are *amqp.Error; those of changes are for operators.
package access
