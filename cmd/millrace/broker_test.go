package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Broker is the broker a test talks to: a `millrace serve` process of its
// own with its own data folder or, with MILLRACE_TEST_URL, a running one.
type Broker struct {
	URL       string // amqp://guest:guest@host:port/
	Dir       string // data folder; "" for a running broker
	StartLine string // what the process said on stdout when it was ready

	cmd    *exec.Cmd
	stderr lockedBuffer
	exited chan struct{} // closed when the process has ended
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// newBroker gives a scenario its broker: fresh, or the one that the
// environment names.
func newBroker(t testing.TB, flags ...string) *Broker {
	t.Helper()
	if url := os.Getenv("MILLRACE_TEST_URL"); url != "" {
		return &Broker{URL: url}
	}
	return startBroker(t, t.TempDir(), flags...)
}

// External reports whether the broker is somebody else's process.
func (b *Broker) External() bool { return b.cmd == nil }

// needsProcess skips a test that starts, stops or damages a broker.
func needsProcess(t testing.TB) {
	t.Helper()
	if os.Getenv("MILLRACE_TEST_URL") != "" {
		t.Skip("needs a broker process of its own")
	}
}

// serveArgs are the flags every broker of these tests is started with: a
// free port, and segments small enough that a test fills several.
func serveArgs(dir string, flags ...string) []string {
	args := []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--segment-size", "1MiB"}
	return append(args, flags...)
}

// startBroker runs the binary on the data folder and returns once it said
// that it listens. The process is stopped when the test ends, and the test
// fails if that stop is not clean.
func startBroker(t testing.TB, dir string, flags ...string) *Broker {
	t.Helper()
	b, err := launchBroker(binaryPath(t), dir, flags...)
	if b != nil {
		t.Cleanup(func() { b.finish(t) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// launchBroker is startBroker without a test: it returns the broker also
// together with an error, so that its stderr can be read.
func launchBroker(path, dir string, flags ...string) (*Broker, error) {
	b := &Broker{Dir: dir, exited: make(chan struct{})}
	b.cmd = exec.Command(path, serveArgs(dir, flags...)...)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	b.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // a race is told at once, not after a pause at exit
	b.cmd.Stderr = &b.stderr
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	go func() {
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			if listening.MatchString(scanner.Text()) {
				line <- scanner.Text()
				break
			}
		}
		for scanner.Scan() { // keep the pipe empty
		}
		_ = b.cmd.Wait()
		close(b.exited)
	}()
	select {
	case b.StartLine = <-line:
		b.URL = "amqp://guest:guest@" + listening.FindStringSubmatch(b.StartLine)[1] + "/"
		return b, nil
	case <-b.exited:
		return b, errors.New("broker ended before it was ready:\n" + b.stderr.String())
	case <-time.After(patience):
		return b, errors.New("broker was not ready in time:\n" + b.stderr.String())
	}
}

// Kill ends the process as kill -9 does and waits until it is gone.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill()
	<-b.exited
}

// Stop asks for a clean shutdown and returns the exit code, or -1 when the
// process had to be killed.
func (b *Broker) Stop() int {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
		return b.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		b.Kill()
		return -1
	}
}

// Running reports whether the process still lives.
func (b *Broker) Running() bool {
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// restart stops the broker cleanly and starts another on its data folder.
func (b *Broker) restart(t testing.TB, flags ...string) *Broker {
	t.Helper()
	if code := b.Stop(); code != 0 {
		t.Fatalf("clean stop: exit code %d", code)
	}
	return startBroker(t, b.Dir, flags...)
}

// finish ends the process after a test and reports what went wrong in it.
func (b *Broker) finish(t testing.TB) {
	if b.Running() {
		if code := b.Stop(); code != 0 {
			t.Errorf("clean stop: exit code %d", code)
		}
		b.verifyLog(t)
	}
	text := b.stderr.String()
	if fault := processFault(text); fault != "" {
		t.Errorf("broker: %s", fault)
	}
	if t.Failed() {
		t.Logf("stderr of the broker:\n%s", text)
	}
}

// verifyLog runs the checker that operators have on what the broker left.
func (b *Broker) verifyLog(t testing.TB) {
	t.Helper()
	verify := exec.Command(b.cmd.Path, "log", "verify", "--data", b.Dir)
	verify.Env = b.cmd.Env
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("log verify: %v\n%s", err, out)
	}
}

// processFault names what no run of the binary may show.
func processFault(stderr string) string {
	for _, mark := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(stderr, mark) {
			return mark
		}
	}
	return ""
}

// lockedBuffer collects the output of a process while a test may read it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
