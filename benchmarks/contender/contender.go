package contender

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/server/client"
)

// Contender is a broker that can be measured.
type Contender struct {
	Name string

	address    client.Address // of one that runs already
	pids       []int          // its processes, if they are known
	executable string         // of one that is started here; "" otherwise
	sync       string         // its --sync, if it has one of its own
}

// Settings are for brokers that are started here.
type Settings struct {
	Data string // folder in which each gets its own; "" is the system's place for such
	Sync string // what a confirm stands for: disk or os; "" is disk
	CPUs int    // GOMAXPROCS; 0 leaves it to the runtime
}

// Itself names the executable that is running.
const Itself = "millrace"

var (
	namePrefix    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9 ._-]*)=`)
	optionsSuffix = regexp.MustCompile(`(?:,(?:pid|sync)=[^,=]*)+$`)
)

// Parse reads NAME=WHERE,pid=N. WHERE is the URL of a broker that runs, the word millrace for a broker of
// this executable, or the path of another executable that is started as 'PATH serve --data …'. Each
// ",pid=N" names a process of a running broker, whose children are measured too; ",sync=os" is for one
// started here. Without NAME the contender is called after its host or file.
func Parse(text string, trust client.TLS) (Contender, error) {
	var c Contender
	where := text
	if found := namePrefix.FindStringSubmatch(where); found != nil {
		c.Name, where = found[1], where[len(found[0]):]
	}
	options := optionsSuffix.FindString(where)
	where = strings.TrimSuffix(where, options)
	if err := c.locate(where, trust); err != nil {
		return c, err
	}
	for option := range strings.SplitSeq(strings.TrimPrefix(options, ","), ",") {
		if err := c.option(option); err != nil {
			return c, fmt.Errorf("%s: %w", text, err)
		}
	}
	return c, nil
}

func (c *Contender) locate(where string, trust client.TLS) error {
	name := ""
	switch {
	case where == Itself:
		path, err := os.Executable()
		if err != nil {
			return err
		}
		name, c.executable = Itself, path
	case strings.Contains(where, "://"):
		a, err := client.ParseURL(where, trust)
		if err != nil {
			return err
		}
		name, c.address = a.Host, a
	case strings.Contains(where, "/"):
		path, err := filepath.Abs(where)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("a broker to start: %w", err)
		}
		name, c.executable = filepath.Base(path), path
	default:
		return fmt.Errorf("%q is no broker: say amqp://host:port, %s, or the path of an executable", where, Itself)
	}
	if c.Name == "" {
		c.Name = name
	}
	return nil
}

func (c *Contender) option(option string) error {
	name, value, _ := strings.Cut(option, "=")
	switch {
	case option == "":
		return nil
	case name == "pid" && c.Started():
		return errors.New("the process of a broker that is started here needs no id")
	case name == "sync" && !c.Started():
		return errors.New("sync is for a broker that is started here")
	case name == "sync":
		c.sync = value
		return CheckSync(value)
	}
	pids, err := ParsePIDs(value)
	c.pids = append(c.pids, pids...)
	return err
}

// CheckSync says whether a broker that is started here knows such a --sync.
func CheckSync(level string) error {
	if level != "disk" && level != "os" {
		return fmt.Errorf("sync is %q, not disk or os", level)
	}
	return nil
}

// ParsePIDs reads process ids with commas between them; "" is none.
func ParsePIDs(text string) (pids []int, err error) {
	if text == "" {
		return nil, nil
	}
	for field := range strings.SplitSeq(text, ",") {
		pid, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || pid < 1 {
			return nil, fmt.Errorf("%q is no process id", field)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// At is the contender that runs at an address, with its processes if they are known.
func At(a client.Address, pids []int) Contender {
	return Contender{Name: a.Host, address: a, pids: pids}
}

// Started says whether the broker is started here, on a folder of its own for each measurement.
func (c *Contender) Started() bool { return c.executable != "" }

// Running is a broker that can be connected to.
type Running struct {
	Address client.Address
	Meter   *Meter // nil: nobody knows its processes
	Version string // of one that was started; "": ask it

	child *child // nil: it was there before
}

// Start starts the broker if it is one to start.
func (c *Contender) Start(ctx context.Context, s Settings) (*Running, error) {
	if !c.Started() {
		r := &Running{Address: c.address}
		if len(c.pids) > 0 {
			r.Meter = NewMeter(c.pids...)
		}
		return r, nil
	}
	if c.sync != "" {
		s.Sync = c.sync
	}
	child, err := startChild(ctx, c.executable, s)
	if err != nil {
		return nil, err
	}
	return &Running{Address: child.address, Meter: NewMeter(child.pid()), Version: child.version, child: child}, nil
}

// Stop ends a broker that was started, and removes its folder. What it complained about is an error.
func (r *Running) Stop() error {
	if r.child == nil {
		return nil
	}
	return r.child.stop()
}
