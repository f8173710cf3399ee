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
	// Compact takes out of the log what nobody needs. After the end of ctx everything is in its place.
	Compact func(ctx context.Context, data string, logger *slog.Logger) (Compacted, error)
	// RebuildIndex sets the index aside and makes it anew from the log. If repair is set it goes on without messages
	// whose queues damaged records have told of.
	RebuildIndex func(data string, repair bool, logger *slog.Logger) (Rebuilt, error)
}

// Compacted tells what was done to a log.
type Compacted struct {
	FilesBefore, FilesAfter int
	BytesBefore, BytesAfter int64
	Records, Survivors      int // of the files that were written anew
}

// Rebuilt tells of an index that was made anew.
type Rebuilt struct {
	Aside    string // where the old one is; empty: there was none
	Replayed int    // records
	Queues   int
	Messages int
}

// warnings are what the server's parts have to say while they work for a command.
func warnings(c *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
