package suite

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/millrace-mq/millrace/benchmarks/contender"
	"github.com/millrace-mq/millrace/benchmarks/load"
	"github.com/millrace-mq/millrace/server/client"
)

// beside is a neighbour's process: a load generator that gives way to everybody else on this machine (nice 19), so
// that what the others feel of it is the broker's doing.
type beside struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer // owned by cmd until the process has ended
	ended          chan error
	seconds        string        // the file to which it adds a line each second
	cpu            time.Duration // while the measurement ran
}

// besideTimeout is how long a neighbour may take to end.
const besideTimeout = 60 * time.Second

// startBeside starts a neighbour at a broker. Generator is an executable that knows 'bench'.
func startBeside(generator string, a client.Address, n *Neighbour) (*beside, error) {
	if a.TLS != nil {
		return nil, errors.New("neighbours speak plain TCP only")
	}
	seconds, err := os.CreateTemp("", "millrace-neighbour-*.csv")
	if err != nil {
		return nil, err
	}
	_ = seconds.Close() // nothing was written
	args := append([]string{"-n", "19", generator, "bench", "--url", a.URL(), "--json", "--csv", seconds.Name()}, n.Flags...)
	b := &beside{cmd: exec.Command("nice", args...), ended: make(chan error, 1), seconds: seconds.Name()}
	// As a broker that is started here: interrupts are ours, and it does not outlive us.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	b.cmd.Stdout, b.cmd.Stderr = &b.stdout, &b.stderr
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start a neighbour: %w", err), os.Remove(b.seconds))
	}
	go func() { b.ended <- b.cmd.Wait() }()
	return b, nil
}

// begun waits until the neighbour has been at it for a second, or has ended: at nice 19 it may take its time, and what is
// measured before says nothing of it.
func (b *beside) begun(ctx context.Context) error {
	const look = 20 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	for deadline := time.Now().Add(besideTimeout); ; {
		if said, err := os.ReadFile(b.seconds); err != nil || bytes.Count(said, []byte("\n")) > 1 { // the first has names
			return err
		}
		select {
		case err := <-b.ended:
			b.ended <- err // stop says why
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a neighbour has not begun within %v", besideTimeout)
		}
	}
}

// stop interrupts the neighbour, which then deletes its queues, and says what it did.
func (b *beside) stop() (*load.Neighbour, error) {
	defer func() { _ = os.Remove(b.seconds) }()
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(besideTimeout)
	defer timeout.Stop()
	var err error
	select {
	case err = <-b.ended:
	case <-timeout.C:
		_ = b.cmd.Process.Kill()
		<-b.ended
		return nil, fmt.Errorf("a neighbour did not end within %v", besideTimeout)
	}
	var said struct{ Results []load.Result }
	if bad := json.Unmarshal(b.stdout.Bytes(), &said); bad != nil || len(said.Results) == 0 || !said.Results[0].Interrupted {
		return nil, fmt.Errorf("a neighbour ended by itself: %w: %s", cmp.Or(err, errors.New("exit code 0")), bytes.TrimSpace(b.stderr.Bytes()))
	}
	r := &said.Results[0]
	return &load.Neighbour{CPU: b.cpu, PublishRate: r.PublishRate(), DeliverRate: r.DeliverRate()}, nil
}

// both measures a broker, if its processes are known, and beside it a neighbour.
type both struct {
	broker    load.Meter // nil: unknown
	neighbour *contender.Meter
	beside    *beside
}

func newBoth(broker *contender.Meter, b *beside) *both {
	m := &both{neighbour: contender.NewMeter(b.cmd.Process.Pid), beside: b}
	if broker != nil {
		m.broker = broker
	}
	return m
}

func (m *both) Begin() error {
	err := m.neighbour.Begin()
	if err == nil && m.broker != nil {
		err = m.broker.Begin()
	}
	return err
}

func (m *both) End() (used contender.Usage, err error) {
	if m.broker != nil {
		used, err = m.broker.End()
	}
	own, neighbourErr := m.neighbour.End()
	m.beside.cpu = own.CPU
	return used, errors.Join(err, neighbourErr)
}

func (m *both) Resident() (int64, error) {
	if m.broker == nil {
		return 0, nil
	}
	return m.broker.Resident()
}

// measureBeside takes a workload to a broker while a neighbour is there.
func (cfg *Config) measureBeside(ctx context.Context, m load.Measurement, meter *contender.Meter, n *Neighbour) (results []load.Result, err error) {
	b, err := startBeside(cfg.Generator, m.Address, n)
	if err != nil {
		return nil, err
	}
	defer func() {
		did, stopErr := b.stop()
		err = errors.Join(err, stopErr)
		for i := range results {
			results[i].Neighbour = did
		}
	}()
	if err := b.begun(ctx); err != nil {
		return nil, err
	}
	m.Meter = newBoth(meter, b)
	return m.Run(ctx)
}
