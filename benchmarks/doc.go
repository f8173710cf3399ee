// Package benchmarks is the command line of 'millrace bench': its flags, its reports and its exit codes.
// What a flag asks for is done by the packages below it.
//
//   - load puts a load on a broker and tells what came of it.
//   - contender says which broker is measured, starts it if need be, and reads what its processes use.
//   - suite runs named scenarios on several brokers in turns, and compares them.
//   - chart draws the comparison.
//   - limit measures what the machine allows without any broker.
//
// Nothing here knows more of a broker than the protocol and its process ids. Microbenchmarks stand beside the code
// that they measure.
//
// Called by cmd/millrace:
//
//	code := benchmarks.Run(ctx, []string{"--workload", "confirm-1k"}, os.Stdin, os.Stdout, os.Stderr)
//
// It starts no goroutines of its own.
package benchmarks
