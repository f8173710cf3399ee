package broker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/broker"
)

// What was confirmed before is in the backup, in whatever state checkpoints and queues were, and a broker opens it.
func TestABackupIsADataFolder(t *testing.T) {
	f := open(t)
	c := f.client()
	c.durable("q")
	c.sendConfirmed("q", "one", "two", "three")
	to := filepath.Join(t.TempDir(), "backup")
	done, err := f.broker.Backup(t.Context(), to)
	if err != nil || done.Last == 0 || done.First != 1 || done.Time.IsZero() {
		t.Fatalf("%+v: %v", done, err)
	}
	c.sendConfirmed("q", "four")
	if _, err := f.broker.Backup(t.Context(), to); !errors.Is(err, broker.ErrNoBackup) {
		t.Errorf("into one that is there: %v", err)
	}

	f.stop()
	f.cfg.Data = to
	f.start()
	want(t, "messages of the backup", f.client().ready("q"), 3)
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	f := open(t)
	f.client().durable("q")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	to := filepath.Join(t.TempDir(), "backup")
	if _, err := f.broker.Backup(ended, to); !errors.Is(err, context.Canceled) || errors.Is(err, broker.ErrNoBackup) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
	if err := os.Mkdir(to, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := f.broker.Backup(ended, to); err == nil {
		t.Error("not interrupted")
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) > 0 {
		t.Errorf("left %v: %v", entries, err)
	}
	if _, err := f.broker.Backup(t.Context(), "relative"); !errors.Is(err, broker.ErrNoBackup) {
		t.Errorf("a relative path: %v", err)
	}
	if _, err := f.broker.Backup(t.Context(), to); err != nil { // nothing is held any more
		t.Error(err)
	}
}
