// Package broker joins the parts: it appends what clients publish to the log, applies each record to
// the queues in log order, hands out deliveries, tells publishers when their messages are safe, and
// rebuilds all of it at start. It knows exchanges, queues, messages and users; it knows no frames.
//
// # One rule
//
// The log is the truth. A change is made by appending a record and applying it; recovery applies the
// same records to the view that the index holds. What is applied reads no clock.
//
// # Locks
//
// In this order, each may be taken while holding those before it:
//
//  1. access lock (Broker.accessWrite): users, permissions, and which virtual hosts there are.
//  2. topology lock of a virtual host (VHost.topology): exchanges, bindings, names of queues.
//  3. append lock of the log (inside wal): the order of records. Taken by wal.Log.Append.
//  4. state lock of a virtual host (VHost.state): the contents of its queues, its channels and consumers.
//  5. leaf locks: a client's confirms, a connection's outbox, who is connected.
//
// The append lock is handed over: Append calls back while it still holds it, the callback takes the
// state lock, then the append lock is released and the records are applied under the state lock alone.
// So records are applied in log order while the next append is already being written.
//
// Topology is written with its own lock and the append lock held, so it may be read under either: by
// routing under the first, by the log's catalogue of a new segment under the second. Access is written with
// the access lock and the append lock held; it is a state that never changes, replaced as a whole, so anybody
// may read it.
//
// No lock is held across an fsync, a socket write or a channel send.
//
// # Goroutines
//
// Callers are the connections' readers (one each) and writers. The broker itself runs eight, which end in Close:
// the journal writer, which puts settled entries and horizons into the log; the checkpointer; the relocator, which
// takes what is needed out of files of the log of which little is; the undertaker, who carries dead messages; the
// clock; the follower, which hands out what has waited for a sync; the retimer, which tells queues whose TTL has
// changed when their messages came; the watch for alarms, which also tries again what a full disk has put off.
package broker
