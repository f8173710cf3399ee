package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// name is that of the program.
const name = "millrace"

// Groups of the root's commands, for cobra.Command.GroupID; one without stands behind them.
const (
	GroupBroker  = "broker"
	GroupHistory = "history"
)

// Root returns the command that holds the others. version is what 'millrace --version' prints behind the name.
func Root(version string, children ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:     name,
		Short:   "a storage-first message broker",
		Long:    "Millrace is a storage-first message broker that RabbitMQ's clients connect to unchanged.",
		Version: version,
		// What cobra has to say is said by Run and in help.go.
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddGroup(
		&cobra.Group{ID: GroupBroker, Title: "The broker:"},
		&cobra.Group{ID: GroupHistory, Title: "What happened, and keeping it:"},
	)
	root.SetHelpCommand(helpCommand())
	root.SetVersionTemplate(name + " {{.Version}}\n")
	root.Flags().Bool("version", false, "print the version")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage(err) })
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { io.WriteString(c.OutOrStdout(), help(c)) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(children...)
	root.AddCommand(completionCommand(), manCommand())
	return root
}

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs the command that the arguments name, tells its error and returns the exit code.
func Run(ctx context.Context, root *cobra.Command, streams Streams, args []string) int {
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for those of the process
	root.InitDefaultHelpCmd()
	furnish(root)
	if len(args) == 0 {
		io.WriteString(streams.Err, help(root))
		return ExitUsage
	}
	c, err := root.ExecuteContextC(ctx)
	code, line := outcome(c.CommandPath(), err)
	if line != "" {
		fmt.Fprintln(streams.Err, line)
	}
	return code
}

// furnish gives the command and those below it what all commands of ours have.
func furnish(c *cobra.Command) {
	c.Flags().SortFlags = false
	c.PersistentFlags().SortFlags = false
	if c.Flags().Lookup("help") == nil {
		c.Flags().BoolP("help", "h", false, "show this text")
	}
	if !c.Runnable() && c.HasSubCommands() {
		c.Args, c.RunE = cobra.ArbitraryArgs, needsChild
		c.Annotations = map[string]string{onlyHolds: "yes"}
	}
	if c.Args == nil {
		c.Args, c.ValidArgsFunction = Args(), cobra.NoFileCompletions
	}
	for _, child := range c.Commands() {
		furnish(child)
	}
}

// onlyHolds is an annotation of commands that do nothing but hold others.
const onlyHolds = "only holds commands"

// needsChild is run when a command that only holds others is given none of them.
func needsChild(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return Usagef("say what to do: %s", childNames(c))
	}
	c.SuggestionsMinimumDistance = 2
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		return Usagef("unknown command %q, did you mean %s?", args[0], strings.Join(similar, " or "))
	}
	return Usagef("unknown command %q", args[0])
}

func childNames(c *cobra.Command) string {
	var names []string
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			names = append(names, child.Name())
		}
	}
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// Args checks that there are as many arguments beside flags as names. A name in brackets may be missing, one with …
// at its end may stand for several.
func Args(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		most := len(names)
		for i, name := range names {
			if strings.Contains(name, "…") {
				most = max(most, len(args))
			}
			if len(args) <= i && !strings.HasPrefix(name, "[") {
				return Usagef("%s is missing", strings.TrimSuffix(name, "…"))
			}
		}
		if len(args) > most {
			return Usagef("unexpected argument %q", args[most])
		}
		return nil
	}
}
