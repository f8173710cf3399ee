package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/terminal"
)

// help words what a command does: its long text, how it is called, its children, its examples and its flags. On a
// terminal the flags are wrapped to its width.
func help(c *cobra.Command) string {
	var b strings.Builder
	text := c.Long
	if text == "" {
		text = sentence(c.Short)
	}
	fmt.Fprintf(&b, "%s\n\nUsage: %s\n", strings.TrimSpace(text), usageLine(c))
	children(&b, c)
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", strings.Trim(c.Example, "\n"))
	}
	if flags := c.LocalFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", flags.FlagUsagesWrapped(terminal.Of(c.OutOrStdout()).Width()))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n'%s COMMAND --help' tells more about each.\n", c.CommandPath())
	}
	return b.String()
}

// sentence makes one of a line in a list.
func sentence(short string) string {
	if short == "" {
		return short
	}
	return strings.ToUpper(short[:1]) + short[1:] + "."
}

// usageLine is 'millrace log ls [flags]', or with COMMAND where there are children.
func usageLine(c *cobra.Command) string {
	line := c.UseLine() // ends with [flags]
	if !c.HasAvailableSubCommands() {
		return line
	}
	with := c.CommandPath() + " COMMAND [flags]"
	if c.Annotations[onlyHolds] != "" {
		return with
	}
	return line + "\n       " + with
}

// children lists the commands below one, group by group.
func children(b *strings.Builder, c *cobra.Command) {
	list := func(title, group string) {
		for _, child := range c.Commands() {
			if child.GroupID != group || !child.IsAvailableCommand() && child.Name() != "help" {
				continue
			}
			if title != "" {
				fmt.Fprintf(b, "\n%s\n", title)
				title = ""
			}
			fmt.Fprintf(b, "  %-*s  %s\n", max(10, child.NamePadding()), child.Name(), child.Short)
		}
	}
	for _, group := range c.Groups() {
		list(group.Title, group.ID)
	}
	title := "Commands:"
	if len(c.Groups()) > 0 {
		title = "Also:"
	}
	list(title, "")
}
