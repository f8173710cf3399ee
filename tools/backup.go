package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/server/control"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// BackupCommand is 'millrace backup'.
func BackupCommand(offline Offline) *cobra.Command {
	c := &cobra.Command{
		Use:   "backup DEST",
		Short: "copy a data folder, beside a running broker too",
		Long: "Make DEST, which must be missing or empty, a copy of the data folder from which a broker can be started after\n" +
			"'millrace restore'. Everything that was confirmed before the command is in it. A running broker makes the copy\n" +
			"itself and goes on working: files that do not change any more are linked where DEST is on the same file system,\n" +
			"and cost no room until the broker gives them up. The backup is finished when " + manifestName + " is there.",
		Example: `
  millrace backup /srv/backup/monday --data /var/lib/millrace
  millrace backup /mnt/other-disk/$(date +%F) --data /var/lib/millrace --json`,
		GroupID: command.GroupHistory,
		Args:    command.Args("DEST"),
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		b := backup{data: *data, to: args[0], offline: offline, command: c}
		m, err := b.run(c.Context())
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		if *asJSON {
			return render.NewEncoder(out).Encode(m)
		}
		_, err = fmt.Fprintf(out, "%s: records %d to %d in %d files, %d bytes\n", args[0], m.First, m.Last, len(m.Files), m.bytes())
		return err
	}
	return c
}

// backup is one run of 'millrace backup'.
type backup struct {
	data, to string
	offline  Offline
	command  *cobra.Command
}

func (b *backup) run(ctx context.Context) (m manifest, err error) {
	if _, err := os.Stat(b.data); err != nil {
		return m, err
	}
	to, err := filepath.Abs(b.to)
	if err != nil {
		return m, err
	}
	if real, err := filepath.EvalSymlinks(to); err == nil {
		to = real // the broker sees whether that lies in its folder, and what is there is listed
	}
	entries, err := os.ReadDir(to)
	existed := err == nil
	switch {
	case len(entries) > 0:
		return m, fmt.Errorf("%s is not empty: it has %s", b.to, entries[0].Name())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return m, err
	}
	copied := false
	defer func() {
		// A broker tidies up by itself. But it may have been killed.
		if err != nil && !errors.Is(err, control.ErrRefused) && (copied || ctx.Err() == nil) {
			err = errors.Join(err, removeBackup(to, existed))
		}
	}()
	done, err := b.copy(ctx, to)
	if err != nil {
		return m, err
	}
	copied = true
	data, err := filepath.Abs(b.data)
	if err != nil {
		return m, err
	}
	m = manifestOf(done, data)
	total, err := sizeOf(to)
	if err != nil {
		return m, err
	}
	progress := terminal.NewProgress(b.command.ErrOrStderr(), "checksums", total, terminal.Bytes)
	defer progress.Close()
	if err := m.sum(ctx, to, progress); err != nil {
		return m, err
	}
	return m, m.write(to)
}

// copy has the broker make the copy, or makes it where none runs.
func (b *backup) copy(ctx context.Context, to string) (control.Backup, error) {
	client, err := control.Dial(b.data)
	if err == nil {
		return client.Backup(ctx, to)
	}
	if !errors.Is(err, control.ErrNoBroker) {
		return control.Backup{}, err
	}
	return b.offline.Backup(ctx, b.data, to, warnings(b.command))
}

// removeBackup takes a copy away that does not become a backup.
func removeBackup(to string, existed bool) error {
	if !existed {
		return os.RemoveAll(to)
	}
	var errs []error
	for _, name := range []string{"log", "index", manifestName + ".tmp", manifestName} {
		errs = append(errs, os.RemoveAll(filepath.Join(to, name)))
	}
	return errors.Join(errs...)
}

// sizeOf is how many bytes the files below a folder have.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
