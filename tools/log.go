package tools

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
)

// LogCommand is 'millrace log'. offline is for those of its commands that change a data folder.
func LogCommand(offline Offline) *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "look into a data folder's log",
		Long: "Look into a data folder's log. What only looks may be used beside a running broker and changes nothing; compact,\n" +
			"rebuild-index and verify --repair need the folder for themselves.",
		GroupID: command.GroupHistory,
	}
	c.AddCommand(lsCommand(), statCommand(), catCommand(), tailCommand(), explainCommand(), queueCommand(), verifyCommand(offline))
	c.AddCommand(compactCommand(offline), rebuildCommand(offline), exportCommand(), importCommand())
	return c
}

// dataFlag gives a command --data and returns where its value will be.
func dataFlag(c *cobra.Command) *string {
	data := c.Flags().String("data", "millrace-data", "data folder")
	command.Folder(c, "data")
	return data
}

// jsonFlag gives a command --json and returns where its value will be.
func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "one JSON object a line")
}

// logOf is the folder of a data folder's log.
func logOf(data string) string { return filepath.Join(data, "log") }
