package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rabbitMQ is a RabbitMQ of the test's own: with its own name, ports and
// folders, and its own epmd. Nothing of it is seen outside of this machine.
type rabbitMQ struct {
	url    string
	dir    string
	env    []string
	output lockedBuffer
	pids   []int         // of epmd and the broker
	ctl    string        // the command that administers it
	ended  chan struct{} // closed when the broker has ended
}

// rabbitMQPlugins are those whose exchange types Millrace has too.
var rabbitMQPlugins = []string{
	"rabbitmq_consistent_hash_exchange", "rabbitmq_random_exchange", "rabbitmq_sharding", "rabbitmq_recent_history_exchange",
}

// rabbitMQHome is where Debian has RabbitMQ, or "". What stands on the PATH
// there insists on a user of its own; what is in this folder does not.
func rabbitMQHome() string {
	homes, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*")
	if len(homes) == 0 {
		return ""
	}
	return slices.Max(homes)
}

// startRabbitMQ starts one on an empty folder and returns when it answers. It
// is killed when the test ends.
func startRabbitMQ(t testing.TB, home string) *rabbitMQ {
	t.Helper()
	r := &rabbitMQ{dir: t.TempDir()}
	port, distribution, epmd := freePort(t), freePort(t), freePort(t)
	r.url = fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", port)
	r.write(t, "rabbitmq.conf", fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d\nlog.file.level = warning\n", port))
	r.write(t, "enabled_plugins", "["+strings.Join(pluginsIn(home), ",")+"].\n")
	r.env = append(os.Environ(),
		"HOME="+r.dir,             // of the cookie
		"RUNNING_UNDER_SYSTEMD=1", // the script gives its process to the broker
		fmt.Sprintf("RABBITMQ_NODENAME=compat%d@localhost", port),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", distribution),
		"ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", epmd),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_CONFIG_FILE="+filepath.Join(r.dir, "rabbitmq.conf"),
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(r.dir, "none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(r.dir, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(r.dir, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(r.dir, "log"),
		"RABBITMQ_PID_FILE="+filepath.Join(r.dir, "pid"),
	)
	r.ctl = filepath.Join(r.dir, "ctl")
	r.write(t, "ctl", fmt.Sprintf("#!/bin/sh\nexport HOME='%s' RABBITMQ_NODENAME=compat%d@localhost ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=%d\nexec '%s' -q \"$@\"\n",
		r.dir, port, epmd, filepath.Join(home, "sbin", "rabbitmqctl")))
	if err := os.Chmod(r.ctl, 0o700); err != nil {
		t.Fatal(err)
	}
	r.start(t, "epmd", "-address", "127.0.0.1", "-port", fmt.Sprint(epmd))
	eventually(t, "epmd", func() bool { // the broker would start one that stays
		conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", epmd))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	r.ended = r.start(t, filepath.Join(home, "sbin", "rabbitmq-server"))
	if err := r.awaitReady(port); err != nil {
		t.Fatalf("RabbitMQ of %s: %v\n%s", home, err, &r.output)
	}
	return r
}

// start runs a program until the test ends, and tells when it has ended before.
func (r *rabbitMQ) start(t testing.TB, name string, args ...string) (ended chan struct{}) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, r.env, &r.output, &r.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.pids = append(r.pids, cmd.Process.Pid)
	ended = make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its folder goes too
		<-ended
	})
	return ended
}

func (r *rabbitMQ) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitReady waits for the answer to a protocol header, a minute at most.
func (r *rabbitMQ) awaitReady(port int) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		err := greet(port)
		if err == nil {
			return nil
		}
		select {
		case <-r.ended:
			return errors.New("it ended")
		case <-deadline:
			return err
		case <-tick.C:
		}
	}
}

func greet(port int) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", port), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, "AMQP\x00\x00\x09\x01"); err != nil {
		return err
	}
	_, err = readFrame(conn) // connection.start
	return err
}

// pluginsIn are those of rabbitMQPlugins that this RabbitMQ brings.
func pluginsIn(home string) []string {
	return slices.DeleteFunc(slices.Clone(rabbitMQPlugins), func(name string) bool {
		found, _ := filepath.Glob(filepath.Join(home, "plugins", name+"-*"))
		return len(found) == 0
	})
}

// freePort is a port that nobody listens on at this moment.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// firstLine is the first line of a text that says something.
func firstLine(text []byte) string {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return string(line)
		}
	}
	return ""
}
