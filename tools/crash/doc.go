// Command crash answers whether anything that was promised gets lost: it runs every test that injects faults, a part
// after the other, and prints one table of what was done and what was lost. It is what `make crash` runs.
//
// A test says what it did in one line of its log, which is what is summed up:
//
//	crash: 200 rounds, 0 cut points, 341 faults, 812033 looked for, 0 lost
//
// Looked for are confirmed messages, or records that were declared synced. A part that fails, that says no such
// line, that was skipped as a whole, or that lost something makes the exit code 1, and its whole output is shown. Single
// tests that were skipped, because of what the machine lacks, are counted and named beside the total.
//
// It knows the tests by their names only, and has no goroutines of its own.
package main
