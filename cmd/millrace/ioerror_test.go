package main_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// failFrom has a system call of the running broker fail from now on, as it does on a broken disk.
func (b *Broker) failFrom(t *testing.T, call string) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace, which injects the errors, is not installed")
	}
	cmd := exec.Command(path, "-f", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+call+":error=EIO", "-p", fmt.Sprint(b.cmd.Process.Pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	attached := make(chan string, 1)
	go func() {
		for scanner := bufio.NewScanner(said); scanner.Scan(); {
			select {
			case attached <- scanner.Text():
			default:
			}
		}
	}()
	// The first line tells of all threads that there are; others follow as they are made.
	if line := await(t, "strace", attached).value; !strings.Contains(line, "attached") {
		t.Skipf("strace may not attach here: %s", line)
	}
}

// A write or a sync that fails is never tried again: the broker confirms nothing any more, says why, and ends with an
// error. What it had confirmed is there when it is started again. So it is when no further segment can be made
// (fallocate), but until one is needed there are confirms.
func TestDiskThatFailsEndsTheBrokerAndCostsNothingConfirmed(t *testing.T) {
	needsProcess(t)
	rounds, looked := 0, 0
	for _, call := range []string{"pwrite64", "fdatasync", "fallocate"} {
		t.Run(call, func(t *testing.T) {
			b, err := launchBroker(binaryPath(t), t.TempDir(), "--segment-size", "64KiB", "--checkpoint-every", "50ms")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Kill)
			const sent = 150
			c := fillSegments(t, b, sent)
			confirms := c.NotifyPublish(make(chan amqp.Confirmation, 100))
			confirmed := sent
			b.failFrom(t, call)
			for n := range 20 {
				if c.PublishWithContext(context.Background(), "", "q", false, false, persistent(bodyOf(sent+n))) != nil {
					break // the connection is gone
				}
			}
			select {
			case <-b.exited:
			case <-time.After(patience):
				t.Fatalf("the broker goes on; stderr:\n%s", &b.stderr)
			}
			if code := b.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			for confirm := range confirms { // closed with the connection
				if confirm.Ack && call == "fallocate" {
					confirmed = int(confirm.DeliveryTag)
				} else if confirm.Ack {
					t.Errorf("publish %d was confirmed", confirm.DeliveryTag)
				}
			}
			text := b.stderr.String()
			for _, want := range []string{"the log has stopped", "input/output error", "millrace serve: "} {
				if !strings.Contains(text, want) {
					t.Errorf("stderr does not say %q:\n%s", want, text)
				}
			}
			if fault := processFault(text); fault != "" {
				t.Errorf("broker: %s", fault)
			}
			again := startBroker(t, b.Dir)
			came, _ := readWhole(t, again)
			for n := range confirmed {
				if !came[n] {
					t.Errorf("LOST message %d", n)
				}
			}
			rounds++
			looked += confirmed
		})
	}
	t.Logf("crash: %d rounds, 0 cut points, %[1]d faults, %d looked for, 0 lost", rounds, looked)
}

// A file of the log that somebody removes is still open: the broker goes on with all of it. What is gone then is said
// by whoever looks for it.
func TestFileRemovedUnderTheBrokerIsServedUntilItsEnd(t *testing.T) {
	needsProcess(t)
	const sent = 120
	b := startBroker(t, t.TempDir(), "--segment-size", "64KiB", "--retain-bytes", "100MiB", "--checkpoint-every", "20ms")
	c := fillSegments(t, b, sent)
	files := segmentFiles(t, b.Dir)
	gone := files[len(files)/2]
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	c.sendConfirmed("", "q", persistent(bodyOf(sent))) // the log goes on
	for n := range sent + 1 {
		d, ok, err := c.Get("q", false)
		if err != nil || !ok || string(d.Body) != bodyOf(n) {
			t.Fatalf("message %d: %v, %v", n, ok, err)
		}
	}
	c.close() // gives them back
	if code := b.Stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if got := millrace(t, "log", "verify", "--data", b.Dir); got.code == 0 {
		t.Errorf("log verify misses nothing:\n%s", got.stdout)
	}
	again, err := launchBroker(binaryPath(t), b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Kill) // what is missing stays missing: there is no log to verify
	came, _ := readWhole(t, again)
	if len(came) < sent-25 || len(came) > sent || !came[0] || !came[sent] {
		t.Errorf("%d of %d messages came, one file of 64 KiB was removed", len(came), sent+1)
	}
	if text := again.stderr.String(); !strings.Contains(text, "missing") {
		t.Errorf("stderr does not say what is missing:\n%s", text)
	}
	t.Logf("crash: 1 rounds, 0 cut points, 1 faults, %d looked for, 0 lost", len(came)+sent+1)
}
