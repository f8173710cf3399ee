package benchmarks

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/benchmarks/load"
)

// Command is 'millrace bench'.
func Command() *cobra.Command {
	c := measureCommand()
	c.AddCommand(listCommand(), suiteCommand(), limitCommand())
	return c
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the workloads and the suites",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "Workloads, for 'millrace bench --workload NAME':\n%s\nSuites, for 'millrace bench run SUITE':\n%s",
				workloadList(), suiteList())
			return err
		},
	}
}

// workloadList words the catalogue.
func workloadList() string {
	var b strings.Builder
	for _, w := range load.Catalogue() {
		fmt.Fprintf(&b, "  %-6s %-17s %s\n", w.ID, w.Name, w.Summary)
	}
	return b.String()
}

// workloadNames are what --workload takes, with what they are.
func workloadNames() []string {
	names := []string{"all"}
	for _, w := range load.Catalogue() {
		names = append(names, w.Name)
	}
	return names
}
