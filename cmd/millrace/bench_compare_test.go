package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

var (
	benchCompare = flag.Bool("compare", false, "run a suite of workloads on Millrace and on Debian's RabbitMQ, in turns; what stands behind -- is for 'millrace bench run'")
	benchSuite   = flag.String("compare.suite", "compare", "which suite")
)

// TestBrokersAreCompared is `make bench-compare`. Both brokers have their data below TMPDIR.
func TestBrokersAreCompared(t *testing.T) {
	if !*benchCompare {
		t.Skip("make bench-compare runs it")
	}
	if raceEnabled {
		t.Skip("a broker with the race detector is not to be measured")
	}
	args := []string{"bench", "run", *benchSuite, "--against", "millrace", "--data", t.TempDir()}
	if home := rabbitMQHome(); home == "" {
		fmt.Fprintln(t.Output(), "rabbitmq-server is not installed (Debian has it): Millrace is measured alone")
	} else {
		r := startRabbitMQ(t, home)
		against := "rabbitmq=" + r.url
		for _, pid := range r.pids {
			against += fmt.Sprintf(",pid=%d", pid)
		}
		args = append(args, "--against", against)
	}
	cmd := exec.Command(binaryPath(t), append(args, flag.Args()...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("millrace bench run: %v", err)
	}
}
