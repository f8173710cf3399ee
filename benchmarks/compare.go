package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/benchmarks/suite"
)

const suiteUsage = `Run a suite of workloads on several brokers in turns, and compare them.

Usage: millrace bench run SUITE --against BROKER [--against BROKER …] [flags]

A broker is [NAME=]WHERE[,pid=N]. WHERE is the URL of one that runs, the word millrace for one that is started for each
workload, or the path of another millrace to start. With its process id (children count too; may be repeated) its CPU
time and memory are reported.

Examples:
  millrace bench run compare --against millrace --against rabbitmq=amqp://guest:guest@127.0.0.1:5672,pid=4711 --rounds 3 --out results
  millrace bench run compare --against new=millrace --against old=./millrace-0.1 --only W3,W9
  millrace bench run scaling --against millrace --only bindings --scale 0.1

Flags:
`

// suiteOptions are what 'millrace bench run' is asked for.
type suiteOptions struct {
	cfg   suite.Config
	out   string // a folder; "" is none
	notes []string
}

// parseSuite reads the command line; done says that only the usage text was asked for.
func parseSuite(args []string) (o suiteOptions, usage string, done bool, err error) {
	flags := newFlags("run")
	var trust contender.TLS
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
	done, err = parse(flags, args, "SUITE")
	usage = suiteUsage + flags.FlagUsages() + "\nSuites:\n" + suiteList()
	if err != nil || done {
		return o, usage, done, err
	}
	faults := []error{contender.CheckSync(o.cfg.Settings.Sync)}
	if o.cfg.Suite, err = suite.Find(flags.Arg(0)); err != nil {
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
		return o, usage, false, err
	}
	if o.cfg.Patience < time.Second {
		return o, usage, false, fmt.Errorf("--patience %v is less than a second", o.cfg.Patience)
	}
	return o, usage, false, o.cfg.Validate()
}

// runSuite is 'millrace bench run'.
func runSuite(ctx context.Context, args []string, out, errOut io.Writer) (int, error) {
	o, usage, done, err := parseSuite(args)
	if err != nil {
		return exitUsage, err
	}
	if done {
		_, err := io.WriteString(out, usage)
		return exitOK, err
	}
	showProgress(&o.cfg, errOut)
	outcome, err := suite.Run(ctx, o.cfg)
	if err != nil {
		return exitFailed, err
	}
	r := suite.Report{
		Outcome: outcome, Title: "Suite " + outcome.Suite.Name,
		Notes: append(machine(), append(o.notes, "`millrace bench run "+commandLine(args)+"`")...),
	}
	if _, err := io.WriteString(out, r.Markdown(false)); err != nil {
		return exitFailed, err
	}
	if o.out != "" {
		if err := r.Write(o.out); err != nil {
			return exitFailed, err
		}
	}
	if outcome.Failed() {
		return exitFailed, nil
	}
	return exitOK, nil
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
	cfg.Ticks = watch.show
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
