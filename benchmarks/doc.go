// Package benchmarks is the command line of 'millrace bench': its flags and its reports.
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
//	root := command.Root(version, benchmarks.Command())
//
// It starts no goroutines of its own.
package benchmarks
