// Package benchmarks answers how fast a broker is: it is the load generator behind 'millrace bench', and
// the benchmark of the whole path (publish, route, append, deliver, acknowledge) that 'make bench' runs.
//
// A named [Workload] is run against a broker over TCP: one started for it, or any that speaks
// AMQP 0-9-1. The generator is a client of its own, made so that it costs far less than a broker: what
// it publishes is encoded once and only stamped again, what it reads is parsed where it lies, and
// neither allocates per message. Its cost is reported beside the broker's all the same.
//
// Numbers of a broker that loses messages are worth nothing, so every run is checked: each body carries
// its producer and sequence number, and what is lost, duplicated, reordered or delivered to a queue
// that it was not routed to fails the run. Bodies too small for a stamp are only counted.
//
// It knows nothing of the broker but the protocol and, for its cost, its process id. Microbenchmarks
// stand beside the code that they measure, not here.
//
// Called by cmd/millrace:
//
//	code := benchmarks.Run(ctx, []string{"--workload", "confirm-1k"}, os.Stdin, os.Stdout, os.Stderr)
//
// Goroutines of a run: two for each producer (one writes, one reads confirms), one for each consumer,
// one that samples the broker's memory, and one that reads the output of a broker started here. The run
// waits for all of them.
package benchmarks
