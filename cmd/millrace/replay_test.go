package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// numbered publishes bodies "0" to n-1 to a durable queue, confirmed.
func numbered(c *channel, queue string, n int) {
	c.t.Helper()
	_, err := c.QueueDeclare(queue, true, false, false, false, nil)
	c.must(err)
	for i := range n {
		c.sendConfirmed("", queue, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte{byte(i), byte(i >> 8)}, Headers: amqp.Table{"n": int64(i)}})
	}
}

// taken takes all messages of a queue, acknowledging them.
func taken(c *channel, queue string) (got []amqp.Delivery) {
	c.t.Helper()
	for {
		d, ok, err := c.Get(queue, true)
		c.must(err)
		if !ok {
			return got
		}
		got = append(got, d)
	}
}

func number(d amqp.Delivery) int { return int(d.Body[0]) | int(d.Body[1])<<8 }

// A replay that was interrupted tells up to where all is confirmed, and goes on from there: what is sent twice is little,
// and nothing is left out.
func TestAReplayGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	const n = 300
	dir := t.TempDir()
	b := startBroker(t, filepath.Join(dir, "data"))
	c := b.connect(t).newChannel()
	c.confirmMode()
	numbered(c, "past", n)
	progress := filepath.Join(dir, "progress")
	args := []string{
		"replay", "--data", filepath.Join(dir, "data"), "--queue", "past", "--to-url", b.URL, "--to-queue", "again", "--declare",
		"--rate", "100", "--progress-file", progress,
	}
	cmd := exec.Command(binaryPath(t), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first messages", func() bool {
		q, err := c.QueueDeclare("again", true, false, false, false, nil)
		return err == nil && q.Messages > 20
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Fatalf("exit code %d\n%s", code, &out)
	}
	var noted struct {
		LSN      uint64 `json:"lsn"`
		Messages int    `json:"messages"`
	}
	data, err := os.ReadFile(progress)
	if err == nil {
		err = json.Unmarshal(data, &noted)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := taken(c, "again")
	if noted.Messages != len(first) || noted.Messages >= n || int64(noted.LSN) != first[len(first)-1].Headers["x-millrace-lsn"] {
		t.Errorf("%s says %s, and %d messages arrived\n%s", progress, data, len(first), &out)
	}
	args[len(args)-3] = "100000" // the pace may be another
	run(t, args...)
	all := append(first, taken(c, "again")...)
	if len(all) != n {
		t.Fatalf("%d messages arrived, want %d", len(all), n)
	}
	for i, d := range all {
		when, err := time.Parse("2006-01-02T15:04:05.000Z", d.Headers["x-millrace-time"].(string))
		if number(d) != i || d.Headers["n"] != int64(i) || err != nil || time.Since(when) > time.Hour {
			t.Fatalf("message %d is %v, headers %v, %v", i, d.Body, d.Headers, err)
		}
	}
	o := millrace(t, append(args, "--to-key", "x")...)
	o.wantRefusal(t, 2, "--to-key")
	args[8] = "elsewhere"
	millrace(t, args...).wantRefusal(t, 1, "is of another replay")
}

// Copies of what a queue holds are made without taking it.
func TestCopiesOfAQueueLeaveItAsItIs(t *testing.T) {
	b := newBroker(t)
	c := b.connect(t).newChannel()
	c.confirmMode()
	source, target := c.name("source"), c.name("target")
	numbered(c, source, 150)
	c.atEnd(func(ch *amqp.Channel) {
		_, _ = ch.QueueDelete(source, false, false, false)
		_, _ = ch.QueueDelete(target, false, false, false)
	})
	out := run(t, "replay", "--from-url", b.URL, "--from-queue", source, "--to-url", b.URL, "--to-queue", target, "--declare")
	if !strings.HasPrefix(out, "150 messages, 300 bytes of bodies: confirmed by ") {
		t.Errorf("%s", out)
	}
	for _, queue := range []string{target, source} {
		c.wantReady(queue, 150)
		for i, d := range taken(c, queue) {
			if number(d) != i || d.Redelivered != (queue == source) || len(d.Headers) != 1 {
				t.Fatalf("%s: message %d is %v, redelivered %v, headers %v", queue, i, d.Body, d.Redelivered, d.Headers)
			}
		}
	}
}
