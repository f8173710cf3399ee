package tools

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/render"
)

func compactCommand(offline Offline) *cobra.Command {
	c := &cobra.Command{
		Use:   "compact",
		Short: "take out of a log what nobody needs, while no broker runs",
		Long: "Take everything out of the log that no queue needs any more, and compress the rest. A running broker does that by\n" +
			"itself where it is worth while; this leaves nothing to win. History goes too: what was consumed cannot be looked at\n" +
			"or replayed afterwards. Work on the log is that of a start and a stop of the broker, so queues that do not survive\n" +
			"one are gone. After Ctrl-C everything is in its place.",
		Example: `
  millrace log compact --data /var/lib/millrace`,
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		done, err := offline.Compact(c.Context(), *data, warnings(c))
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		if *asJSON {
			return render.NewEncoder(out).Encode(map[string]any{
				"files_before": done.FilesBefore, "bytes_before": done.BytesBefore, "files": done.FilesAfter, "bytes": done.BytesAfter,
				"records_read": done.Records, "records_kept": done.Survivors,
			})
		}
		_, err = fmt.Fprintf(out, "%s: %d bytes in %d files before, %d bytes in %d files now; of %d records read %d were kept\n",
			logOf(*data), done.BytesBefore, done.FilesBefore, done.BytesAfter, done.FilesAfter, done.Records, done.Survivors)
		return err
	}
	return c
}
