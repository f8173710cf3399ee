package tools

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/server/control"
)

// Offline is what only the server knows how to do to a data folder, on which no broker may run meanwhile; an error says
// so if one does. The command line gives it to the commands that need it.
type Offline struct {
	// Backup makes an empty or missing folder, given by its absolute path, a copy of the data folder.
	Backup func(ctx context.Context, data, to string, logger *slog.Logger) (control.Backup, error)
}

// warnings are what the server's parts have to say while they work for a command.
func warnings(c *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
