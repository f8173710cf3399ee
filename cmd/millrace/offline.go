package main

import (
	"context"
	"log/slog"

	"github.com/millrace-mq/millrace/server"
	"github.com/millrace-mq/millrace/server/control"
	"github.com/millrace-mq/millrace/tools"
)

// offline is what the server does for commands that take care of a data folder.
func offline() tools.Offline {
	return tools.Offline{
		Backup: func(ctx context.Context, data, to string, logger *slog.Logger) (control.Backup, error) {
			return server.BackupFolder(ctx, data, to, version, logger)
		},
		Compact: func(ctx context.Context, data string, logger *slog.Logger) (tools.Compacted, error) {
			done, err := server.Compact(ctx, data, logger)
			return tools.Compacted(done), err
		},
		RebuildIndex: func(data string, repair bool, logger *slog.Logger) (tools.Rebuilt, error) {
			done, err := server.RebuildIndex(data, repair, logger)
			return tools.Rebuilt(done), err
		},
	}
}
