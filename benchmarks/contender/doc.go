// Package contender answers which broker is measured, and what its processes use: CPU time and memory.
//
// A contender is either there already and named by its URL, with the ids of its processes if its cost is
// to be known, or it is started here: this very executable or another one that is run as 'millrace
// serve' on a folder that goes with it. It never speaks AMQP; package load does.
//
// Called by package benchmarks and by its suites:
//
//	c, err := contender.Parse("rabbitmq=amqp://guest:guest@127.0.0.1:5672/,pid=4711", contender.TLS{})
//	running, err := c.Start(ctx, contender.Settings{})
//	defer running.Stop()
//
// Goroutines: one for each broker started here, which reads its output and waits for its end, and one
// for each meter between Begin and End, which looks at the memory. Stop and End wait for them.
package contender
