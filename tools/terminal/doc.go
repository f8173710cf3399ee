// Package terminal answers who reads what is written: somebody at a terminal, how wide it is and whether it shows
// colours, or a pipe or a file, which get neither colours nor progress.
//
//	t := terminal.Of(c.OutOrStdout())
//	fmt.Fprintln(t, t.Paint(terminal.Red, "damaged"))
//
//	p := terminal.NewProgress(c.ErrOrStderr(), "verify", total, terminal.Bytes)
//	defer p.Close()
//	for … {
//		p.Add(n)
//	}
//
// Progress belongs on standard error, so that standard output stays what was asked for. Nothing here reads from a
// terminal. It starts no goroutines.
package terminal
