package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/benchmarks/suite"
	"github.com/millrace-mq/millrace/server/client"
	"github.com/millrace-mq/millrace/tools/command"
)

const suiteText = `Run a suite of workloads on several brokers in turns, and compare them.

A broker is [NAME=]WHERE[,pid=N]. WHERE is the URL of one that runs, the word millrace for one that is started for each
workload, or the path of another millrace to start. With its process id (children count too; may be repeated) its CPU
time and memory are reported.`

const suiteExample = `
  millrace bench run compare --against millrace --against rabbitmq=amqp://guest:guest@127.0.0.1:5672,pid=4711 --rounds 3 --out results
  millrace bench run compare --against new=millrace --against old=./millrace-0.1 --only W3,W9
  millrace bench run scaling --against millrace --only bindings --scale 0.1
  millrace bench run neighbours --against millrace --rounds 3`

// suiteOptions are what 'millrace bench run' is asked for.
type suiteOptions struct {
	cfg   suite.Config
	out   string // a folder; "" is none
	notes []string
}

// suiteCommand is 'millrace bench run'.
func suiteCommand() *cobra.Command {
	var names []string
	for _, s := range suite.All() {
		names = append(names, cobra.CompletionWithDesc(s.Name, s.Summary))
	}
	c := &cobra.Command{
		Use: "run SUITE", Short: "run a suite on several brokers in turns, and compare them",
		Long: suiteText + "\n\nSuites:\n" + suiteList(), Example: suiteExample,
		Args: command.Args("SUITE"), ValidArgs: names,
	}
	resolve := declareSuite(c.Flags())
	command.Folder(c, "data")
	command.Folder(c, "out")
	command.Choices(c, "sync", "disk", "os")
	command.Choices(c, "against", "millrace\tone that is started for each workload")
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := resolve(args[0])
		if err != nil {
			return command.Usage(err)
		}
		line := commandLine(append(args, given(c.Flags())...))
		return runSuite(c.Context(), o, line, c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// declareSuite declares the flags, and returns what reads them once they are parsed.
func declareSuite(flags *pflag.FlagSet) (resolve func(name string) (suiteOptions, error)) {
	var o suiteOptions
	var trust client.TLS
	against := flags.StringArray("against", nil, "a broker; may be repeated; the first one is what the others are compared with")
	flags.IntVar(&o.cfg.Rounds, "rounds", 1, "how often each workload is run on each broker; medians count")
	flags.Float64Var(&o.cfg.Scale, "scale", 1, "multiply numbers of messages")
	flags.StringSliceVar(&o.cfg.Only, "only", nil, "only these workloads, by name or W number, or what is varied: bindings")
	flags.StringVar(&o.out, "out", "", "folder for report.md, results.json and the charts")
	flags.StringArrayVar(&o.notes, "note", nil, "a line for the report, such as a version; may be repeated")
	flags.StringVar(&trust.CA, "tls-ca", "", "file of certificates to trust at amqps://")
	flags.BoolVar(&trust.Insecure, "tls-insecure", false, "take any certificate at amqps://")
	flags.StringVar(&o.cfg.Settings.Data, "data", "", "folder in which a broker started here keeps its data for the time being")
	flags.StringVar(&o.cfg.Settings.Sync, "sync", "disk", "what a confirm of a broker started here stands for: disk or os")
	flags.DurationVar(&o.cfg.Patience, "patience", load.DefaultPatience, "give up when nothing has moved for so long")
	return func(name string) (suiteOptions, error) {
		var err error
		faults := []error{contender.CheckSync(o.cfg.Settings.Sync)}
		if o.cfg.Suite, err = suite.Find(name); err != nil {
			faults = append(faults, err)
		}
		for _, text := range *against {
			c, err := contender.Parse(text, trust)
			faults = append(faults, err)
			o.cfg.Contenders = append(o.cfg.Contenders, c)
		}
		if len(*against) == 0 {
			faults = append(faults, errors.New("say what to measure with --against"))
		}
		if err := errors.Join(faults...); err != nil {
			return o, err
		}
		if o.cfg.Patience < time.Second {
			return o, fmt.Errorf("--patience %v is less than a second", o.cfg.Patience)
		}
		return o, o.cfg.Validate()
	}
}

// runSuite runs a suite; line is what was asked for, for the report.
func runSuite(ctx context.Context, o suiteOptions, line string, out, errOut io.Writer) error {
	var err error
	if o.cfg.Generator, err = os.Executable(); err != nil {
		return err
	}
	showProgress(&o.cfg, errOut)
	outcome, interrupted := suite.Run(ctx, o.cfg)
	if outcome == nil {
		return interrupted
	}
	r := suite.Report{
		Outcome: outcome, Title: "Suite " + outcome.Suite.Name,
		Notes: append(machine(), append(o.notes, "`millrace bench run "+line+"`")...),
	}
	if _, err := io.WriteString(out, r.Markdown(false)); err != nil {
		return err
	}
	if o.out != "" {
		if err := r.Write(o.out); err != nil {
			return err
		}
	}
	if interrupted != nil {
		return interrupted
	}
	if outcome.Failed() {
		return command.ErrFaults
	}
	return nil
}

// given are the flags that were given, as arguments again.
func given(flags *pflag.FlagSet) (args []string) {
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			args = append(args, "--"+f.Name, value)
		}
	})
	return args
}

// commandLine words arguments so that a shell reads them again, but for passwords, for notes, which stand elsewhere,
// and for folders of this machine.
func commandLine(args []string) string {
	words := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--note", "--data", "--out":
			i++
			continue
		}
		word := password.ReplaceAllString(args[i], "$1:…@")
		if strings.ContainsAny(word, " \t'\"$&;|<>()") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// password is what a URL must not tell a reader of the report, but for the one that everybody knows.
var password = regexp.MustCompile(`(://[^:@/]+):[^@/]+@`)

// showProgress tells on errOut what is run: a line for each measurement, and on a terminal how it goes.
func showProgress(cfg *suite.Config, errOut io.Writer) {
	watch := newLive(errOut, "")
	title := ""
	cfg.Begin = func(c suite.Case, broker string, round int) {
		title = fmt.Sprintf("%-18s %-16s round %d", c.Workload.Name, broker, round+1)
		watch.title = title
	}
	if watch.out != nil {
		cfg.Ticks = watch.show
	}
	cfg.End = func(_ suite.Case, _ string, results []load.Result, err error) {
		watch.clear()
		for i := range results {
			r := &results[i]
			cpu := "-"
			if r.Broker != nil {
				cpu = fmt.Sprintf("%.2f", r.PerMessage(r.Broker.CPU))
			}
			fmt.Fprintf(errOut, "%s  %10s published/s  %10s delivered/s  %8s µs  faults: %s\n",
				title, rate(r.PublishRate()), rate(r.DeliverRate()), cpu, r.Trouble())
		}
		if err != nil {
			fmt.Fprintf(errOut, "%s  %s\n", title, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
}

// suiteList words the suites.
func suiteList() string {
	var b strings.Builder
	for _, s := range suite.All() {
		fmt.Fprintf(&b, "  %-10s %s\n", s.Name, s.Summary)
	}
	return b.String()
}
