package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// blockings lists to connection.blocked and connection.unblocked.
func (c *client) blockings() <-chan amqp.Blocking {
	return c.conn.NotifyBlocked(make(chan amqp.Blocking, 16))
}

func TestAlarmsBlockPublishersAndNobodyElse(t *testing.T) { // CONN-20, CONN-21, FLOW-02
	needsProcess(t)
	for reason, flags := range map[string][]string{
		"low on memory":        {"--memory-limit", "1B"},
		"low on disk":          {"--disk-free-limit", "1000TiB"},
		"low on memory & disk": {"--memory-limit", "1B", "--disk-free-limit", "1000TiB"},
	} {
		t.Run(reason, func(t *testing.T) {
			b := newBroker(t, flags...)
			publisher, consumer := b.connect(t), b.connect(t)
			blocked := publisher.blockings()
			queue := publisher.declare("q", queueSpec{durable: true})
			publisher.confirmMode()
			deliveries, err := consumer.Consume(queue, "", false, false, false, false, nil)
			consumer.must(err)
			publisher.sendConfirmed("", queue, amqp.Publishing{Body: []byte("the first")}) // is taken in
			if got := await(t, "connection.blocked", blocked); !got.value.Active || got.value.Reason != reason {
				t.Fatalf("blocked: %+v", got.value)
			}
			publisher.send("", queue, "waits")
			consumer.must(await(t, "delivery", deliveries).value.Ack(false))
			consumer.wantReady(queue, 0) // consumers, and whoever does not publish, go on
			if other := b.connect(t); other.ready(queue) != 0 {
				t.Error("what a blocked connection sent was handled")
			}
			if code := b.Stop(); code != 0 { // a blocked connection does not hold a stop up
				t.Errorf("exit code %d", code)
			}
			publisher.wantConnectionClosed(amqp.ConnectionForced, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
		})
	}
}

// startOnSmallDisk runs the broker with its data on a file system of its own, in memory, that only it sees.
func startOnSmallDisk(t *testing.T, megabytes int, flags ...string) *Broker {
	t.Helper()
	needsProcess(t)
	if out, err := exec.Command("unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /tmp").CombinedOutput(); err != nil {
		t.Skipf("no file system of our own can be mounted here: %v %s", err, out)
	}
	dir := t.TempDir()
	script := filepath.Join(t.TempDir(), "millrace")
	text := fmt.Sprintf("#!/bin/sh\nexec unshare -rm sh -c 'mount -t tmpfs -o size=%dm tmpfs %s && exec %s \"$@\"' sh \"$@\"\n",
		megabytes, dir, binaryPath(t))
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := launchBroker(script, dir, flags...)
	if b != nil {
		t.Cleanup(func() { // what is on that disk goes with it: there is no log to verify
			if code := b.Stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if fault := processFault(b.stderr.String()); fault != "" || t.Failed() {
				t.Errorf("%s\n%s", fault, b.stderr.String())
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFullDiskHoldsPublishersUpUntilConsumersMakeRoom(t *testing.T) { // FLOW-02
	b := startOnSmallDisk(t, 24, "--disk-free-limit", "4MiB", "--checkpoint-every", "200ms")
	publisher := b.connect(t)
	blocked := publisher.blockings()
	queue := publisher.declare("q", queueSpec{durable: true})
	publisher.confirmMode()
	const messages = 20_000
	confirms := publisher.NotifyPublish(make(chan amqp.Confirmation, messages))
	sent := make(chan error, 1)
	go func() {
		for n := range messages {
			text := fmt.Sprintf("%d %s", n, strings.Repeat("x", 2000))
			err := publisher.PublishWithContext(context.Background(), "", queue, false, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(text)})
			if err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	if got := await(t, "connection.blocked", blocked); !got.value.Active || got.value.Reason != "low on disk" {
		t.Fatalf("blocked: %+v", got.value)
	}
	go func() {
		for range blocked { // again and again
		}
	}()
	consumer := b.connect(t) // comes to a full disk
	consumer.qos(500)
	deliveries, err := consumer.Consume(queue, "", false, false, false, false, nil)
	consumer.must(err)
	for n := range messages {
		d := await(t, fmt.Sprintf("delivery %d", n), deliveries)
		if want := fmt.Sprintf("%d ", n); !strings.HasPrefix(string(d.value.Body), want) {
			t.Fatalf("delivery %.20q, want %s", d.value.Body, want)
		}
		if n%100 == 99 {
			consumer.must(d.value.Ack(true))
		}
	}
	if err := await(t, "end of publishing", sent).value; err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for n := range messages {
		select {
		case c := <-confirms:
			if !c.Ack || c.DeliveryTag != uint64(n+1) {
				t.Fatalf("confirm %+v, want %d", c, n+1)
			}
		case <-deadline:
			t.Fatalf("%d of %d messages confirmed", n, messages)
		}
	}
	t.Logf("crash: 1 rounds, 0 cut points, 1 faults, %d looked for, 0 lost", messages)
}
