package command

import (
	"strings"

	"github.com/spf13/cobra"
)

const completionExample = `
  source <(millrace completion bash)                                        this shell, bash
  millrace completion bash > /etc/bash_completion.d/millrace                each new one, bash (needs bash-completion)
  millrace completion zsh > "${fpath[1]}/_millrace"                         zsh
  millrace completion fish > ~/.config/fish/completions/millrace.fish       fish`

// completionCommand is 'millrace completion'.
func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print a script that completes commands in a shell",
		Long: "Print a script with which a shell completes commands, flags and what they take: bash, zsh or fish.\n" +
			"It calls millrace for each completion, and stays right when millrace is updated.",
		Example:   completionExample,
		Args:      Args("SHELL"),
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			out := c.OutOrStdout()
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return c.Root().GenZshCompletion(out)
			case "fish":
				return c.Root().GenFishCompletion(out, true)
			}
			return Usagef("there is no script for %q, only for %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// Choices lets shells complete a flag with one of a few words, each of which may have a description behind a tab.
// The flag must exist.
func Choices(c *cobra.Command, flag string, words ...string) {
	complete(c, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// List lets shells complete a flag that takes words with commas between.
func List(c *cobra.Command, flag string, words ...string) {
	complete(c, flag, func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		before := begun[:strings.LastIndexByte(begun, ',')+1]
		var found []string
		for _, word := range words {
			found = append(found, before+word)
		}
		return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// Folder lets shells complete a flag with folders.
func Folder(c *cobra.Command, flag string) {
	complete(c, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
}

func complete(c *cobra.Command, flag string, with cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic(err) // the flag is not there: our own mistake, and every start would show it
	}
}

// Values lets shells complete a flag with words that are found when they are asked for.
func Values(c *cobra.Command, flag string, find func() []string) {
	complete(c, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return find(), cobra.ShellCompDirectiveNoFileComp
	})
}
