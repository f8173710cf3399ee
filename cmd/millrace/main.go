// Command millrace is a storage-first message broker. Run it with --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/benchmarks"
	"github.com/millrace-mq/millrace/tools"
	"github.com/millrace-mq/millrace/tools/command"
)

// version is set by the linker for releases.
var version = "0.1.0-dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	root := command.Root(version, serveCommand(), benchmarks.Command(), tools.LogCommand(offline()),
		tools.BackupCommand(offline()), tools.RestoreCommand(), tools.ReplayCommand(), versionCommand())
	os.Exit(command.Run(ctx, root, command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:]))
}

// versionCommand is 'millrace version', the same as --version.
func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write([]byte("millrace " + version + "\n"))
			return err
		},
	}
}
