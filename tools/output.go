package tools

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace-mq/millrace/tools/command"
	"github.com/millrace-mq/millrace/tools/render"
	"github.com/millrace-mq/millrace/tools/selection"
	"github.com/millrace-mq/millrace/tools/terminal"
)

// output is how a command shows records, as its flags say.
type output struct {
	command   *cobra.Command
	format    string
	asJSON    bool
	decode    bool
	most      int
	separator string
}

// outputFlags gives a command the flags that say how records are shown.
func outputFlags(c *cobra.Command) *output {
	o := &output{command: c}
	f := c.Flags()
	f.StringVarP(&o.format, "output", "o", "human", "how records are shown: human, json (an object a line), raw (bodies alone) or hex")
	command.Choices(c, "output", "human\tlines for people", "json\tan object a line", "raw\tbodies of messages, nothing else", "hex\ta line and a dump of the body")
	f.BoolVar(&o.asJSON, "json", false, "the same as --output json")
	f.BoolVar(&o.decode, "decode", false, "undo the content encoding of bodies (gzip, zstd, deflate) and show JSON as such; human does unless --decode=false")
	f.IntVar(&o.most, "max-body", 4096, "how many `bytes` of a body human and hex show; 0 is all")
	f.StringVar(&o.separator, "separator", `\n`, "what raw writes behind each body, with escapes as in Go")
	return o
}

// parse reads the format.
func (o *output) parse() (render.Format, error) {
	if o.asJSON {
		if o.command.Flags().Changed("output") && o.format != "json" {
			return 0, command.Usagef("--json and --output %s contradict each other", o.format)
		}
		return render.JSON, nil
	}
	format, err := render.ParseFormat(o.format)
	return format, command.Usage(err)
}

// renderer makes what shows records.
func (o *output) renderer(out io.Writer, names render.Names) (*render.Renderer, error) {
	format, err := o.parse()
	if err != nil {
		return nil, err
	}
	separator, err := strconv.Unquote(`"` + o.separator + `"`)
	if err != nil {
		return nil, command.Usagef(`--separator %q has an escape that is not one of Go's, like \n or \x00`, o.separator)
	}
	decode := o.decode
	if !o.command.Flags().Changed("decode") {
		decode = format == render.Human
	}
	return render.New(out, render.Config{
		Format: format, Color: terminal.Of(o.command.OutOrStdout()).HasColours(), Names: names, Decode: decode, MaxShown: max(o.most, 0),
		Separator: separator,
	}), nil
}

// tell writes a line about what a command came upon.
func tell(c *cobra.Command, format string, args ...any) {
	fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", c.CommandPath(), fmt.Sprintf(format, args...))
}

// tellFailed tells of records for which the filter's expression could not be evaluated.
func tellFailed(c *cobra.Command, filter *selection.Filter) {
	if n, err := filter.Failed(); n > 0 {
		first, _, _ := strings.Cut(err.Error(), "\n") // behind it the expression is repeated
		tell(c, "--where could not be evaluated for %d records, which are left out; the first: %s", n, first)
	}
}

// unlessClosed is what a command returns when it could not write: nobody who closes a pipe wants to hear of it.
func unlessClosed(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
