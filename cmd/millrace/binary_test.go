package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// These tests drive the built binary from outside, as its users do: over
// TCP with a stock client, through its flags, its exit codes and its data
// folder. With MILLRACE_TEST_URL set, the scenarios run against the broker
// found there instead (RabbitMQ, say); tests that need a process of their
// own are then skipped.

// patience is how long a test waits for anything that has to happen. It is
// never waited out by a test that passes.
const patience = 20 * time.Second

// scratch holds the built binary; TestMain makes and removes it.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "millrace-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	return m.Run()
}

// buildOnce builds millrace at its first call, with the race detector when the
// tests have it too.
var buildOnce = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "millrace")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func binaryPath(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
