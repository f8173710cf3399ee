package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What was confirmed before a backup began is in it, whatever the broker does meanwhile and afterwards: it is
// published to and consumed from, its segments are retired, relocated and used again, and it is killed at last.
func TestBackupUnderLoadHoldsWhatWasConfirmedBefore(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir(), "--retain-bytes", "0", "--checkpoint-every", "100ms")
	c := b.connect(t)
	c.declare("kept", queueSpec{durable: true})
	c.declare("drained", queueSpec{durable: true})
	c.confirmMode()
	backups := t.TempDir()
	body := func(n int) string { return fmt.Sprintf("%06d %s", n, strings.Repeat("k", n%300)) }

	load, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	loaded := make(chan error, 1)
	go func() { loaded <- flow(load, b.URL, "drained") }()

	const rounds, each = 4, 300
	n := 0
	for round := range rounds {
		for range each {
			c.sendConfirmed("", "kept", persistent(body(n)))
			n++
		}
		// Some that are not waited for are on their way.
		for i := range 50 {
			c.sendMessage("", "drained", persistent(fmt.Sprint("late ", i)))
		}
		if got := millrace(t, "backup", filepath.Join(backups, fmt.Sprint(round)), "--data", b.Dir); got.code != 0 {
			t.Fatalf("backup %d: %+v", round, got)
		}
	}
	// More goes through than there are segments, so what the backups share would be overwritten if it were used again.
	stopLoad()
	if err := <-loaded; err != nil && load.Err() == nil {
		t.Fatal(err)
	}
	bulk := strings.Repeat("b", 64<<10)
	for range 100 {
		c.sendConfirmed("", "drained", persistent(bulk))
	}
	if _, err := c.QueuePurge("drained", false); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		c.sendConfirmed("", "drained", persistent(bulk))
	}
	b.Kill()

	for round := range rounds {
		from := filepath.Join(backups, fmt.Sprint(round))
		wantSums(t, from)
		to := filepath.Join(t.TempDir(), "restored")
		if got := millrace(t, "restore", from, "--data", to); got.code != 0 {
			t.Fatalf("restore %d: %+v", round, got)
		}
		restored := startBroker(t, to)
		rc := restored.connect(t)
		deliveries, err := rc.Consume("kept", "", true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range (round + 1) * each {
			if got := await(t, "message", deliveries); string(got.value.Body) != body(n) {
				t.Fatalf("backup %d: message %d is %.30q", round, n, got.value.Body)
			}
		}
		restored.Kill()
		wantSums(t, from) // and what is made of it shares nothing with it
	}
	// A backup of the folder that the killed broker left, and of one that was stopped.
	for _, name := range []string{"killed", "stopped"} {
		to := filepath.Join(backups, name)
		if got := millrace(t, "backup", to, "--data", b.Dir); got.code != 0 {
			t.Fatalf("backup of a folder that was %s: %+v", name, got)
		}
		data := filepath.Join(t.TempDir(), "data")
		if got := millrace(t, "restore", to, "--data", data); got.code != 0 {
			t.Fatalf("%+v", got)
		}
		startBroker(t, data).connect(t).wantReady("kept", rounds*each)
		again := startBroker(t, b.Dir)
		again.connect(t).wantReady("kept", rounds*each)
		again.Stop()
		wantSums(t, to)
	}
}

// flow publishes to a queue and consumes from it until the context ends.
func flow(ctx context.Context, url, queue string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	text := strings.Repeat("flow ", 200)
	for range 8 {
		if err := ch.PublishWithContext(ctx, "", queue, false, false, persistent(text)); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-deliveries:
			if !ok {
				return fmt.Errorf("the consumer ended")
			}
			if err := d.Ack(false); err != nil {
				return err
			}
			if err := ch.PublishWithContext(ctx, "", queue, false, false, persistent(text)); err != nil {
				return err
			}
		}
	}
}

// wantSums checks that the files of a backup are as it says.
func wantSums(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "millrace-backup.json"))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Files []struct {
			Name   string
			Bytes  int
			CRC32C string
		}
	}
	if err := json.Unmarshal(text, &made); err != nil || len(made.Files) == 0 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, f := range made.Files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name))
		sum := fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
		if err != nil || len(data) != f.Bytes || sum != f.CRC32C {
			t.Errorf("%s of %s: %d bytes, sum %s, want %d and %s: %v", f.Name, dir, len(data), sum, f.Bytes, f.CRC32C, err)
		}
	}
}

func TestBackupThatCannotBeIsToldAndLeavesNothing(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	taken := filepath.Join(t.TempDir(), "taken")
	if err := os.MkdirAll(filepath.Join(taken, "log"), 0o750); err != nil {
		t.Fatal(err)
	}
	millrace(t, "backup", taken, "--data", b.Dir).wantRefusal(t, 1, "not empty", "log")
	millrace(t, "backup", filepath.Join(b.Dir, "own"), "--data", b.Dir).wantRefusal(t, 1, "lies in the data folder")
	millrace(t, "backup", filepath.Join(taken, "no", "parent"), "--data", b.Dir).wantRefusal(t, 1, "no such file")
	millrace(t, "backup", taken+"2", "--data", filepath.Join(b.Dir, "nothing")).wantRefusal(t, 1, "no such file")
	if _, err := os.Stat(taken + "2"); err == nil {
		t.Error("something was made")
	}
	if entries, err := os.ReadDir(taken); err != nil || len(entries) != 1 {
		t.Errorf("what was there has changed: %v, %v", entries, err)
	}
	millrace(t, "restore", taken, "--data", t.TempDir()).wantRefusal(t, 1, "not a finished backup")

	// A broker that is there and has no socket is not passed by.
	if err := os.Remove(filepath.Join(b.Dir, "control.sock")); err != nil {
		t.Fatal(err)
	}
	millrace(t, "backup", taken+"2", "--data", b.Dir).wantRefusal(t, 1, "in use by another millrace")
}

func TestRestoreRefusesWhatIsDamagedOrInTheWay(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	from := filepath.Join(t.TempDir(), "backup")
	data := storeOneMessage(t)
	if got := millrace(t, "backup", from, "--data", data); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	millrace(t, "restore", from, "--data", data).wantRefusal(t, 1, "not empty")
	to := filepath.Join(t.TempDir(), "data")
	segment := filepath.Join(from, "log", filepath.Base(firstSegment(t, data)))
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(data []byte) { // the link of a stopped folder is the source's file too
		if err := os.Remove(segment); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(segment, data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	rewrite(flipped)
	millrace(t, "restore", from, "--data", to).wantRefusal(t, 1, segment, "damaged")
	rewrite(whole[:len(whole)-1])
	millrace(t, "restore", from, "--data", to).wantRefusal(t, 1, segment, "bytes")
	if _, err := os.Stat(to); err == nil {
		t.Error("a restore that failed left something")
	}
	rewrite(whole)
	if got := millrace(t, "restore", from, "--data", to); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	startBroker(t, to).connect(t).wantBodies("q", "kept")
}

// A socket's address has room for 107 bytes, a path for 4096.
func TestADataFolderMayHaveALongPath(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	data := filepath.Join(t.TempDir(), strings.Repeat("long", 40), strings.Repeat("longer", 30))
	b := startBroker(t, data)
	c := b.connect(t)
	c.declare("q", queueSpec{durable: true})
	to := filepath.Join(t.TempDir(), "backup")
	if got := millrace(t, "backup", to, "--data", data, "--json"); got.code != 0 || !strings.Contains(got.stdout, `"files":[`) {
		t.Errorf("%+v", got)
	}
	if conn, err := net.Dial("unix", filepath.Join(data, "control.sock")); err == nil {
		conn.Close()
		t.Error("the path is not long at all")
	}
}
