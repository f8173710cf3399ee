// Package load puts a load on a broker and tells what came of it: rates, latencies, the broker's cost and
// its faults.
//
// A [Workload] is run against a broker over TCP or TLS by a [Measurement]. The generator is a client of
// its own, made so that it costs far less than a broker: what it publishes is encoded once and only
// stamped again, what it reads is parsed where it lies, and neither allocates per message. Its cost is
// reported beside the broker's all the same.
//
// Numbers of a broker that loses messages are worth nothing, so every run is checked: each body carries
// its producer and sequence number, and what is lost, duplicated, reordered or delivered to a queue
// that it was not routed to is a fault. [Workload.Unchecked] says what of it cannot be checked, and why.
//
// It knows nothing of the broker but the protocol. It starts none; package contender does.
//
//	m := load.Measurement{Workload: w, Address: address, Meter: meter}
//	results, err := m.Run(ctx)
//
// Goroutines of a run: one for each connection, which reads; one for each producer, which writes; one that
// wakes the producers, if many have a rate; one that looks at the counters each second. Run waits for all of them.
package load
