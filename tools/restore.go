package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
	"github.com/millrace-mq/millrace/wal"
)

// RestoreCommand is 'millrace restore'.
func RestoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore SRC",
		Short: "make a data folder of a backup",
		Long: "Make a data folder, which must be missing or empty, of the backup in SRC, and check all of it: each file against\n" +
			"the checksum that 'millrace backup' took, then the log as 'millrace log verify' does. The backup is copied and stays\n" +
			"as it is. A broker can be started on the folder then.",
		Example: `
  millrace restore /srv/backup/monday --data /var/lib/millrace
  millrace serve --data /var/lib/millrace`,
		GroupID: command.GroupHistory,
		Args:    command.Args("SRC"),
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		r := restore{from: args[0], data: *data, command: c}
		m, err := r.run(c.Context())
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		if *asJSON {
			err = render.NewEncoder(out).Encode(m)
		} else {
			_, err = fmt.Fprintf(out, "%s: records %d to %d as of %s, %d bytes\n", *data, m.First, m.Last,
				m.Time.Format(render.TimeFormat), m.bytes())
		}
		if err != nil {
			return err
		}
		return r.verify()
	}
	return c
}

// restore is one run of 'millrace restore'.
type restore struct {
	from, data string
	command    *cobra.Command
}

// unfinished is behind the names of folders that are not whole yet: a broker does not take them for a log.
const unfinished = ".unfinished"

// run copies. The log gets its name before the index: what is started in between makes the index from the log.
func (r *restore) run(ctx context.Context) (m manifest, err error) {
	m, err = readManifest(r.from)
	if err != nil {
		return m, err
	}
	made, err := makeFolder(r.data)
	if err != nil {
		return m, err
	}
	defer func() {
		if err == nil {
			return
		}
		if made {
			err = errors.Join(err, os.RemoveAll(r.data))
			return
		}
		for _, name := range []string{"log", "index"} {
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.data, name+unfinished)))
		}
	}()
	progress := terminal.NewProgress(r.command.ErrOrStderr(), "restore", m.bytes(), terminal.Bytes)
	defer progress.Close()
	folders := map[string]bool{}
	for _, f := range m.Files {
		top, rest, ok := strings.Cut(f.Name, "/")
		if !ok || top != "log" && top != "index" {
			return m, fmt.Errorf("%s: %q is no file of a data folder", filepath.Join(r.from, manifestName), f.Name)
		}
		path := filepath.Join(r.data, top+unfinished, filepath.FromSlash(rest))
		if dir := filepath.Dir(path); !folders[dir] {
			folders[dir] = true
			if err := os.MkdirAll(dir, 0o750); err != nil {
				return m, err
			}
		}
		if err := r.file(ctx, f, path, progress); err != nil {
			return m, err
		}
	}
	for dir := range folders {
		if err := syncFolder(dir); err != nil {
			return m, err
		}
	}
	for _, name := range []string{"log", "index"} {
		err := os.Rename(filepath.Join(r.data, name+unfinished), filepath.Join(r.data, name))
		if err != nil && !(name == "index" && m.Mark == 0 && errors.Is(err, fs.ErrNotExist)) {
			return m, err
		}
	}
	return m, errors.Join(syncFolder(r.data), syncFolder(filepath.Dir(r.data)))
}

// makeFolder makes the folder, or finds it empty.
func makeFolder(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, os.MkdirAll(dir, 0o750)
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: it has %s; choose another --data, or move what is there out of the way", dir, entries[0].Name())
	}
	return false, err
}

// file copies one file and compares it with what the backup says of it.
func (r *restore) file(ctx context.Context, f backed, path string, progress *terminal.Progress) (err error) {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	from := filepath.Join(r.from, filepath.FromSlash(f.Name))
	crc, n, err := copyFile(ctx, to, from, progress)
	switch {
	case err != nil:
		return err
	case n != f.Bytes:
		return fmt.Errorf("%s has %d bytes, but had %d when the backup was made", from, n, f.Bytes)
	case fmt.Sprintf("%08x", crc) != f.CRC:
		return fmt.Errorf("%s is damaged: its checksum is %08x, but was %s when the backup was made", from, crc, f.CRC)
	}
	return to.Sync()
}

// verify tells what was wrong with the log already when the backup was made.
func (r *restore) verify() error {
	report, err := wal.Verify(logOf(r.data))
	if err != nil {
		return err
	}
	for _, fault := range report.Faults {
		fmt.Fprintln(r.command.OutOrStdout(), fault)
	}
	if len(report.Faults) > 0 {
		return command.ErrFaults
	}
	return nil
}
