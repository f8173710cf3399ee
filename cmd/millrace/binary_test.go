package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	main "github.com/millrace-mq/millrace/cmd/millrace"
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

// Called as millrace the tests' binary is millrace, which spares transcripts the build.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"millrace": main.Main})
}

// suite is the tests with what they leave behind removed.
type suite struct{ *testing.M }

// Run implements testscript.TestingM.
func (s suite) Run() int { return runTests(s.M) }

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
