// Command millrace is a storage-first message broker. Run it with --help.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for failed
	exitUsage  = 2 // what was asked for is not clear
)

// version is set by the linker for releases.
var version = "0.1.0-dev"

// command is one subcommand.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int
}

func commands() []command {
	return []command{
		{"serve", "run the broker", serve},
		{"bench", "measure a broker", bench},
		{"log", "look into a data folder's log", logCommand},
		{"version", "print the version", printVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	if len(args) == 0 {
		usage(errOut)
		return exitUsage
	}
	switch args[0] {
	case "help", "--help", "-h":
		usage(out)
		return exitOK
	case "--version":
		return printVersion(ctx, nil, in, out, errOut)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], in, out, errOut)
		}
	}
	fmt.Fprintf(errOut, "millrace: unknown command %q; 'millrace help' lists them\n", args[0])
	return exitUsage
}

func usage(w io.Writer) {
	var b strings.Builder
	b.WriteString("Millrace is a storage-first message broker that RabbitMQ's clients connect to unchanged.\n\n" +
		"Usage: millrace COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.summary)
	}
	b.WriteString("\n'millrace COMMAND --help' tells more about each.\n")
	io.WriteString(w, b.String())
}

func printVersion(_ context.Context, _ []string, _ io.Reader, out, _ io.Writer) int {
	fmt.Fprintf(out, "millrace %s\n", version)
	return exitOK
}
