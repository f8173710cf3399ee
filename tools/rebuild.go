package tools

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/render"
)

func rebuildCommand(offline Offline) *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild-index",
		Short: "make the index anew from the log, while no broker runs",
		Long: "Set the index aside and make it anew from the log, which has everything. The old one stays beside it, as\n" +
			"index.before-TIME, and can be deleted when nobody wants to look at it. Messages may be marked redelivered without\n" +
			"need afterwards if the log's beginning is gone. The work is that of a start and a stop of the broker.",
		Example: `
  millrace log rebuild-index --data /var/lib/millrace`,
	}
	data, asJSON := dataFlag(c), jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		done, err := offline.RebuildIndex(*data, false, warnings(c))
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		if *asJSON {
			return render.NewEncoder(out).Encode(map[string]any{
				"aside": done.Aside, "records_replayed": done.Replayed, "queues": done.Queues, "messages": done.Messages,
			})
		}
		return printRebuilt(out, done)
	}
	return c
}

func printRebuilt(out io.Writer, done Rebuilt) error {
	if done.Aside != "" {
		fmt.Fprintf(out, "the old index is %s\n", done.Aside)
	}
	_, err := fmt.Fprintf(out, "index made anew: %d queues, %d messages, %d records replayed\n", done.Queues, done.Messages, done.Replayed)
	return err
}
