package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/millrace-mq/millrace/server/control"
	"github.com/millrace-mq/millrace/server/internal/broker"
)

// operator does what is asked for at the control socket.
type operator struct {
	broker  *broker.Broker
	version string
}

// Backup implements control.Operator.
func (o operator) Backup(ctx context.Context, to string) (control.Backup, error) {
	done, err := o.broker.Backup(ctx, to)
	return told(done, o.version, err)
}

// BackupFolder makes a folder, given by its absolute path, which must be empty or missing, a copy of a data folder that
// no broker runs on; what is there stays as it is. Errors are those of control.Operator.
func BackupFolder(ctx context.Context, data, to, version string, logger *slog.Logger) (control.Backup, error) {
	done, err := broker.BackupFolder(ctx, data, to, logger)
	return told(done, version, err)
}

func told(b broker.Backup, version string, err error) (control.Backup, error) {
	if errors.Is(err, broker.ErrNoBackup) {
		err = control.Refused(err)
	}
	if err != nil {
		return control.Backup{}, err
	}
	return control.Backup{
		Version: version, First: uint64(b.First), Last: uint64(b.Last), Mark: uint64(b.Mark), Time: b.Time,
	}, nil
}
