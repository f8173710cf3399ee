// Package command answers what a command of millrace is like: how its help reads, how its errors are told and
// which exit code it ends with. Each area makes its commands with cobra and returns them; this package knows none
// of them, and prints what cobra would print in words of its own.
//
// A command has Use, Short, Long, Example and RunE, and writes to its OutOrStdout and ErrOrStderr. Its context ends
// with the first Ctrl-C; it then tidies up and returns the context's error. What it returns decides the rest:
//
//   - nil: exit code 0.
//   - Usage(err): 2, and the line points at the help. Flags and arguments that are off are such errors already.
//   - an error that is context.Canceled: 130, "interrupted".
//   - ErrFaults: 1, without another line; the faults have been told.
//   - any other: 1, and one line, "millrace log ls: …".
//
// A command without RunE has children and needs one of them. A command without Args takes none. For instance:
//
//	root := command.Root("0.1.0", tools.LogCommand(), benchmarks.Command())
//	os.Exit(command.Run(ctx, root, command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:]))
//
// It starts no goroutines.
package command
