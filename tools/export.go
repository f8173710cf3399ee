package tools

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/archive"
	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// product is what archives and brokers are told.
const product = "millrace"

func exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "copy messages to a portable archive",
		Long: `Copy messages to a portable archive: all that the log has, those that the flags select, or with --held what queues hold.
'millrace log import' and 'millrace replay' send an archive to a broker; docs/archive.md has its format. Properties, headers
and bodies are kept octet for octet.

Without --held these are messages as they were published, whatever became of them since: those that were acknowledged
too, as far as the log goes back. The broker may run meanwhile. Without --vhost all virtual hosts are exported.`,
		Example: `
  millrace log export --since 1h --exchange orders -o orders.archive
  millrace log export --queue shipping --held -o shipping.archive
  millrace log export --queue shipping --at 2026-01-02T15:04:05Z -o - | ssh host millrace log import - --declare`,
	}
	s := &logSource{command: c, shown: "export"}
	data := dataFlag(c)
	selected := selectionFlags(c)
	heldFlags(c, s)
	out := c.Flags().StringP("output", "o", "", "`file` to write; - is standard output")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s.data, s.asked, s.now = *data, *selected, time.Now()
		if *out == "" {
			return command.Usagef("say where to write: -o FILE, or -o - for standard output")
		}
		if err := s.check(); err != nil {
			return err
		}
		return export(c, s, *out, *asJSON)
	}
	return c
}

// export writes an archive, and then what is in it.
func export(c *cobra.Command, s *logSource, path string, asJSON bool) error {
	head := archive.Head{
		Writer: product + " " + c.Root().Version, Source: s.String(), Selection: asked(c.Flags(), "held", "at"), Created: s.now,
	}
	if s.held {
		head.Content, head.Queues = archive.Held, s.asked.Queues
		head.At = s.moment.time
	}
	if path == "-" {
		if terminal.Of(c.OutOrStdout()).IsTerminal() {
			return command.Usagef("an archive is not for a terminal: write to a file or a pipe")
		}
		totals, err := writeArchive(c.Context(), c.OutOrStdout(), head, s)
		return errors.Join(err, s.finish(), told(err, c.ErrOrStderr(), "standard output", totals, asJSON))
	}
	var totals archive.Totals
	err := writeFile(path, func(out io.Writer) (err error) {
		totals, err = writeArchive(c.Context(), out, head, s)
		return err
	})
	return errors.Join(err, s.finish(), told(err, c.OutOrStdout(), path, totals, asJSON))
}

func writeArchive(ctx context.Context, out io.Writer, head archive.Head, s source) (archive.Totals, error) {
	w, err := archive.NewWriter(out, head)
	if err != nil {
		return archive.Totals{}, err
	}
	if err := s.each(ctx, w.Write); err != nil {
		return w.Totals(), err
	}
	return w.Totals(), w.Close()
}

// writeFile writes a file that is there as a whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	err = write(out)
	if err == nil {
		err = errors.Join(out.Flush(), f.Chmod(0o644), f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what is wrong is told
	}
	return err
}

// told tells what an archive holds that was written.
func told(failed error, out io.Writer, path string, t archive.Totals, asJSON bool) error {
	if failed != nil {
		return nil
	}
	if asJSON {
		return render.NewEncoder(out).Encode(summarised(path, t))
	}
	_, err := fmt.Fprintf(out, "%s: %s\n", path, totalled(t))
	return err
}

// contained is what an archive holds, as --json tells it.
type contained struct {
	Archive   string     `json:"archive,omitempty"`
	Messages  uint64     `json:"messages"`
	BodyBytes uint64     `json:"body_bytes"`
	First     uint64     `json:"first"`
	Last      uint64     `json:"last"`
	From      *time.Time `json:"from,omitempty"`
	To        *time.Time `json:"to,omitempty"`
}

func summarised(path string, t archive.Totals) contained {
	s := contained{Archive: path, Messages: t.Messages, BodyBytes: t.BodyBytes, First: uint64(t.First), Last: uint64(t.Last)}
	if !t.From.IsZero() {
		from, to := t.From.UTC(), t.To.UTC()
		s.From, s.To = &from, &to
	}
	return s
}

// totalled words how many messages there are, and of when.
func totalled(t archive.Totals) string {
	text := fmt.Sprintf("%d messages, %d bytes of bodies", t.Messages, t.BodyBytes)
	if t.First != 0 {
		text += fmt.Sprintf(", records %d to %d", t.First, t.Last)
	}
	if !t.From.IsZero() {
		text += fmt.Sprintf(", %s to %s", t.From.UTC().Format(render.TimeFormat), t.To.UTC().Format(render.TimeFormat))
	}
	return text
}
