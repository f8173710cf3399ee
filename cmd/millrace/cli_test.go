package main_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// outcome is what a finished command left.
type outcome struct {
	code           int
	stdout, stderr string
}

// millrace runs the binary to its end. A command that should refuse to
// start and serves instead is killed and reported.
func millrace(t *testing.T, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(binaryPath(t), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("millrace %s did not end; stdout %q, stderr %q", strings.Join(args, " "), &stdout, &stderr)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wantRefusal checks that the command failed with the code and with one
// line on stderr that says why.
func (o outcome) wantRefusal(t *testing.T, code int, words ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d", o.code, code)
	}
	line, rest, _ := strings.Cut(o.stderr, "\n")
	if rest != "" || !strings.HasPrefix(line, "millrace") {
		t.Errorf("stderr is not one line of millrace's:\n%s", o.stderr)
	}
	for _, word := range words {
		if !strings.Contains(line, word) {
			t.Errorf("stderr does not name %q: %s", word, line)
		}
	}
	if strings.Contains(o.stdout, "listening") {
		t.Errorf("said that it listens: %s", o.stdout)
	}
}

func TestUnclearCommandLinesAreRefused(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	cases := map[string]struct {
		args  []string
		words []string
	}{
		"unknown command":           {[]string{"dance"}, []string{`"dance"`}},
		"unknown flag":              {[]string{"serve", "--nope"}, []string{"--nope"}},
		"flag without a value":      {[]string{"serve", "--data"}, []string{"--data"}},
		"stray argument":            {[]string{"serve", "extra"}, []string{`"extra"`}},
		"unknown sync level":        {[]string{"serve", "--sync", "maybe"}, []string{"maybe", "disk", "os"}},
		"unknown log level":         {[]string{"serve", "--log-level", "loud"}, []string{"loud", "debug"}},
		"size that is none":         {[]string{"serve", "--segment-size", "64Mib"}, []string{"64Mib", "MiB"}},
		"negative size":             {[]string{"serve", "--retain-bytes", "-1MiB"}, []string{"-1MiB"}},
		"segments too small":        {[]string{"serve", "--segment-size", "1KiB"}, []string{"segment size"}},
		"duration without a unit":   {[]string{"serve", "--retain-time", "10"}, []string{"retain-time"}},
		"duration of unknown unit":  {[]string{"serve", "--retain-time", "5parsecs"}, []string{"5parsecs"}},
		"negative time":             {[]string{"serve", "--retain-time", "-1h"}, []string{"retained time -1h0m0s"}},
		"negative interval":         {[]string{"serve", "--checkpoint-every", "-1s"}, []string{"checkpoint"}},
		"address without a port":    {[]string{"serve", "--listen", "localhost"}, []string{"localhost"}},
		"several faults, one line":  {[]string{"serve", "--sync", "maybe", "--listen", "localhost"}, []string{"maybe", "localhost"}},
		"names with a space":        {[]string{"serve", "--loopback-users", "guest, ann"}, []string{`" ann"`}},
		"empty name of data folder": {[]string{"serve", "--data", ""}, []string{"data folder"}},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			millrace(t, row.args...).wantRefusal(t, 2, row.words...)
		})
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	for command, word := range map[string]string{
		"--help": "serve", "help": "serve", "-h": "serve", "serve --help": "--segment-size", "serve -h": "--segment-size",
		"log --help": "verify", "version": "millrace", "--version": "millrace",
	} {
		got := millrace(t, strings.Fields(command)...)
		if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, word) {
			t.Errorf("millrace %s: code %d, stderr %q, stdout:\n%s", command, got.code, got.stderr, got.stdout)
		}
	}
	if got := millrace(t); got.code != 2 || !strings.Contains(got.stderr, "serve") {
		t.Errorf("millrace without arguments: code %d, stderr:\n%s", got.code, got.stderr)
	}
}

func TestSizesAndDurationsAreReadWithTheirUnits(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir(),
		"--segment-size", "64MiB", "--retain-bytes", "1GiB", "--retain-time", "10m", "--checkpoint-every", "500ms",
		"--max-message-size", "20KiB", "--heartbeat", "30s", "--sync", "os", "--log-level", "warn")
	c := b.connect(t)
	if level := c.conn.Properties["sync"]; !strings.Contains(b.StartLine, "sync os") {
		t.Errorf("sync level: client is told %v, stdout says %q", level, b.StartLine)
	}
	c.send("", "q", strings.Repeat("x", 20<<10+1))
	c.wantClosed(406, "PRECONDITION_FAILED - message size 20481 is larger than configured max size 20480")
}

// The start line tells what an operator asks first.
func TestStartLineTellsAddressFolderAndRecovery(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	c.declare("q", queueSpec{durable: true})
	c.sendMessage("", "q", persistent("one"))
	c.sendMessage("", "q", persistent("two"))
	c.wantReady("q", 2)
	b = b.restart(t)
	for _, part := range []string{b.address(t), b.Dir, "1 queue", "2 messages"} {
		if !strings.Contains(b.StartLine, part) {
			t.Errorf("start line without %q: %s", part, b.StartLine)
		}
	}
}

func TestSignalsEndTheBrokerCleanly(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		b := startBroker(t, t.TempDir())
		b.connect(t)
		_ = b.cmd.Process.Signal(signal)
		await(t, "end of the process", b.exited)
		if code := b.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%v: exit code %d", signal, code)
		}
	}
}

func TestPortInUseIsToldInOneLine(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	dir := t.TempDir()
	millrace(t, "serve", "--data", dir, "--listen", address, "--log-level", "error").wantRefusal(t, 1, address, "in use")
	startBroker(t, dir) // the folder is free again
}

func TestDataFolderHasOneUser(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	second := millrace(t, append(serveArgs(b.Dir), "--log-level", "error")...)
	second.wantRefusal(t, 1, b.Dir, "use")
	b.connect(t).queue("q", queueSpec{}) // the first one goes on
	b.Kill()
	startBroker(t, b.Dir) // what a killed process leaves locks nobody out
}

func TestLogVerifyNamesTheDamage(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	dir := storeOneMessage(t)
	if got := millrace(t, "log", "verify", "--data", dir); got.code != 0 || got.stderr != "" {
		t.Fatalf("of a sound log: %+v", got)
	}
	segment := firstSegment(t, dir)
	editFile(t, segment, func(data []byte) { data[bytes.LastIndex(data, []byte("kept"))] ^= 1 })
	if got := millrace(t, "log", "verify", "--data", dir); got.code != 1 || !strings.Contains(got.stdout+got.stderr, filepath.Base(segment)) {
		t.Errorf("of a damaged log: %+v", got)
	}
	if got := millrace(t, "log", "verify", "--data", filepath.Join(dir, "nothing here")); got.code == 0 || got.stderr == "" {
		t.Errorf("of no log: %+v", got)
	}
}

// The index of a broker that was killed before its first checkpoint is that of the broker before, with the transient
// messages that the start dropped. That is no fault of it.
func TestLogVerifyLeavesOutWhatAStartDropped(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	q := c.queue("q", queueSpec{durable: true})
	c.confirmMode()
	c.sendConfirmed("", q, amqp.Publishing{DeliveryMode: amqp.Transient, Body: []byte("dropped")})
	c.sendConfirmed("", q, persistent("kept"))
	if code := b.Stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	again := startBroker(t, b.Dir, "--checkpoint-every", never)
	again.Kill()
	if got := millrace(t, "log", "verify", "--data", b.Dir); got.code != 0 || !strings.Contains(got.stdout, "index: 1 queues, 1 messages, as in the log") {
		t.Errorf("%+v", got)
	}
}

// Data that cannot be used is refused, and left as it is.
func TestUnusableDataIsRefused(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	cases := map[string]struct {
		spoil func(t *testing.T, segment string)
		words []string
	}{
		"future format": {
			func(t *testing.T, segment string) {
				editHeader(t, segment, func(header []byte) { header[headerVersionAt] = 99 })
			},
			[]string{"version 99", "newer millrace"},
		},
		"unknown feature": {
			func(t *testing.T, segment string) {
				editHeader(t, segment, func(header []byte) { header[headerRequiredAt+3] = 0x80 })
			},
			[]string{"0x80000000", "newer millrace"},
		},
		"renamed": {
			func(t *testing.T, segment string) {
				if err := os.Rename(segment, filepath.Join(filepath.Dir(segment), "00000000000000000007.seg")); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"renamed", "verify"},
		},
		"unreadable, and the index knows its records": {
			func(t *testing.T, segment string) {
				editFile(t, segment, func(data []byte) {
					for i := range data {
						data[i] = byte(i*7 + 1)
					}
				})
			},
			[]string{"records up to", "missing or damaged"},
		},
	}
	for name, row := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := storeOneMessage(t)
			row.spoil(t, firstSegment(t, dir))
			before := snapshot(t, filepath.Join(dir, "log"))
			got := millrace(t, append(serveArgs(dir), "--log-level", "error")...)
			got.wantRefusal(t, 1, append(row.words, filepath.Join(dir, "log"))...)
			if after := snapshot(t, filepath.Join(dir, "log")); after != before {
				t.Errorf("the refused start changed the log:\n%s\nwas\n%s", after, before)
			}
		})
	}
}

// storeOneMessage leaves a data folder with a durable queue and a message.
func storeOneMessage(t *testing.T) (dir string) {
	t.Helper()
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	c.declare("q", queueSpec{durable: true})
	c.confirmMode()
	c.sendConfirmed("", "q", persistent("kept"))
	c.close()
	if code := b.Stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	return b.Dir
}

// A damaged header costs nothing and stops nothing: the records vouch for
// themselves, and for what the header said.
func TestDamagedSegmentHeaderIsWrittenAnew(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	for name, offset := range map[string]int{"magic": 0, "version": 8, "epoch": 40, "base": 48} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := storeOneMessage(t)
			segment := firstSegment(t, dir)
			editFile(t, segment, func(data []byte) { data[offset] ^= 0xFF })
			b := startBroker(t, dir, "--log-level", "warn")
			b.connect(t).wantReady("q", 1)
			for _, told := range []string{"corruption in synced records", "damaged header written anew", segment} {
				if !strings.Contains(b.stderr.String(), told) {
					t.Errorf("stderr does not tell %q:\n%s", told, &b.stderr)
				}
			}
			b = b.restart(t)
			b.connect(t).wantBodies("q", "kept")
		})
	}
}

func TestUnusableDataPathIsRefused(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a folder"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"a file": file, "below a file": filepath.Join(file, "data"), "where nothing can be made": "/proc/millrace/data",
	} {
		t.Run(name, func(t *testing.T) {
			millrace(t, append(serveArgs(dir), "--log-level", "error")...).wantRefusal(t, 1, filepath.Dir(dir))
		})
	}
	t.Run("without permission", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may read everything")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0); err != nil {
			t.Fatal(err)
		}
		millrace(t, append(serveArgs(dir), "--log-level", "error")...).wantRefusal(t, 1, dir, "permission")
	})
}
