package contender

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/millrace-mq/millrace/server/client"
)

// child is a broker of our own: an executable run as 'millrace serve' on a folder that goes with it.
type child struct {
	address client.Address
	version string // as its start-up line has it
	dir     string
	cmd     *exec.Cmd
	stderr  bytes.Buffer // owned by cmd until the process has ended
	ended   chan error
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 60 * time.Second
)

// startChild starts a broker and returns when it listens.
func startChild(ctx context.Context, executable string, s Settings) (*child, error) {
	dir, err := os.MkdirTemp(s.Data, "millrace-bench-")
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir, ended: make(chan error, 1)}
	if err := c.start(ctx, executable, s); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("start a broker: %w", err)
	}
	return c, nil
}

func (c *child) start(ctx context.Context, executable string, s Settings) error {
	level := s.Sync
	if level == "" {
		level = "disk"
	}
	c.cmd = exec.Command(executable, "serve", "--data", c.dir, "--listen", "127.0.0.1:0",
		"--sync", level, "--log-level", "warn")
	if s.CPUs > 0 {
		c.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(s.CPUs))
	}
	// A process group of its own: an interrupt from the keyboard is for us, and we stop it in good order. If we are
	// killed it is told to stop: the thread that starts it lives as long as we do, like all that no goroutine keeps.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	c.cmd.Stderr = &c.stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan []string, 1)
	go func() {
		readStart(stdout, ready)
		c.ended <- c.cmd.Wait()
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case found := <-ready:
		c.version = found[1]
		c.address, err = client.ParseURL("amqp://"+found[2], client.TLS{})
		return err
	case err := <-c.ended:
		err = errors.Join(err, errors.New("no line says where it listens"))
		return fmt.Errorf("it ended before it listened: %w: %s", err, bytes.TrimSpace(c.stderr.Bytes()))
	case <-timeout.C:
		err = errors.New("it does not listen")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
	return err
}

var listening = regexp.MustCompile(`^(.*) listening on ([^\s,]+)`)

// readStart sends what the start-up line says, version and address, and reads on until the broker ends, so that it never
// finds its pipe full.
func readStart(stdout io.Reader, ready chan<- []string) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			ready <- found
			break
		}
	}
	_, _ = io.Copy(io.Discard, stdout)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the broker in good order and removes its folder. What it complained about is an error.
func (c *child) stop() error {
	defer os.RemoveAll(c.dir)
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case err := <-c.ended:
		if err != nil {
			return fmt.Errorf("broker ended with %w: %s", err, bytes.TrimSpace(c.stderr.Bytes()))
		}
	case <-timeout.C:
		_ = c.cmd.Process.Kill()
		<-c.ended
		return fmt.Errorf("broker did not stop within %v: %s", stopTimeout, bytes.TrimSpace(c.stderr.Bytes()))
	}
	if complaint := bytes.TrimSpace(c.stderr.Bytes()); len(complaint) > 0 {
		return fmt.Errorf("broker says: %s", complaint)
	}
	return nil
}
