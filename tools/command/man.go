package command

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is 'millrace man'.
func manCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "man [COMMAND…]",
		Short: "print a manual page, or write all of them",
		Long:  "Print the manual page of a command, or write one for each command into a folder.",
		Example: `
  millrace man log ls | man -l -                     read one
  millrace man --dir /usr/local/share/man/man1       write all of them, millrace.1, millrace-log-ls.1 and so on`,
		Args:              Args("[COMMAND…]"),
		ValidArgsFunction: commandNames,
	}
	c.Flags().StringVar(&dir, "dir", "", "folder to write all pages to; made if missing")
	Folder(c, "dir")
	c.RunE = func(c *cobra.Command, args []string) error {
		header := &doc.GenManHeader{Section: "1", Source: c.Root().Name() + " " + c.Root().Version, Manual: "Millrace"}
		described, err := find(c, args)
		if err != nil {
			return err
		}
		described.Root().DisableAutoGenTag = true
		if dir == "" {
			return doc.GenMan(described, header, c.OutOrStdout())
		}
		if len(args) > 0 {
			return Usagef("--dir writes all pages, so %q cannot be chosen", args[0])
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return doc.GenManTree(c.Root(), header, dir)
	}
	return c
}

// helpCommand is 'millrace help', the same as --help behind the command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "help [COMMAND…]",
		Short:             "tell about a command",
		Example:           "  millrace help log ls",
		Args:              Args("[COMMAND…]"),
		ValidArgsFunction: commandNames,
		RunE: func(c *cobra.Command, args []string) error {
			described, err := find(c, args)
			if err != nil {
				return err
			}
			described.SetOut(c.OutOrStdout())
			return described.Help()
		},
	}
}

// find returns the command that words name, the root for none.
func find(c *cobra.Command, words []string) (*cobra.Command, error) {
	found, rest, err := c.Root().Find(words)
	if err == nil && len(rest) > 0 {
		err = Usagef("there is no command %q", rest[0])
	}
	return found, err
}

// commandNames completes the words of a command.
func commandNames(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	parent, err := find(c, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, child := range parent.Commands() {
		if child.IsAvailableCommand() {
			names = append(names, cobra.CompletionWithDesc(child.Name(), child.Short))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
