package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lookLoad publishes to a running broker: most to a queue whose consumer keeps up, so that files are relocated and retired
// all the time, every 20th to a queue that nobody reads.
type lookLoad struct {
	t         *testing.T
	b         *Broker
	sent      atomic.Int64 // to the slow queue
	confirmed atomic.Int64 // of them
	stop      atomic.Bool
	running   sync.WaitGroup
}

// lookBody is the body of the slow queue's nth message, counted from 1.
func lookBody(n int64) string { return strings.Repeat(fmt.Sprintf("%d;", n), 100) }

func startLookLoad(t *testing.T, b *Broker) *lookLoad {
	l := &lookLoad{t: t, b: b}
	c := b.connect(t)
	c.declare("slow", queueSpec{durable: true})
	c.declare("work", queueSpec{durable: true})
	deliveries, err := c.Consume("work", "worker", false, false, false, false, nil)
	c.must(err)
	c.must(c.Qos(1000, 0, false))
	l.running.Go(func() {
		for d := range deliveries {
			if err := d.Ack(false); err != nil {
				return
			}
		}
	})
	publisher := b.connect(t).channel
	publisher.confirmMode()
	l.running.Go(func() {
		for !l.stop.Load() {
			l.publish(publisher)
		}
		if err := c.Cancel("worker", false); err != nil { // which ends the deliveries
			t.Errorf("cancel: %v", err)
		}
	})
	return l
}

// publish publishes a message to the slow queue and others to that which is read, and waits for the confirms.
func (l *lookLoad) publish(c *channel) {
	var confirms []*amqp.DeferredConfirmation
	n := l.sent.Add(1)
	for i := range 20 {
		queue, body := "work", strings.Repeat("work", 300)
		if i == 0 {
			queue, body = "slow", lookBody(n)
		}
		confirm, err := c.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: fmt.Sprintf("%s-%d", queue, n), Body: []byte(body),
		})
		if err != nil {
			l.t.Errorf("publish: %v", err)
			l.stop.Store(true)
			return
		}
		confirms = append(confirms, confirm)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, confirm := range confirms {
		if ok, err := confirm.WaitContext(ctx); !ok || err != nil {
			l.t.Errorf("not confirmed: %v", err)
			l.stop.Store(true)
			return
		}
	}
	l.confirmed.Store(n)
}

func (l *lookLoad) finish() {
	l.stop.Store(true)
	l.running.Wait()
}

// look runs a command that must succeed and say nothing on standard error, and returns its lines.
func look(t *testing.T, dir string, args ...string) []string {
	t.Helper()
	got := millrace(t, append(append([]string{"log"}, args...), "--data", dir)...)
	if got.code != 0 || got.stderr != "" {
		t.Errorf("log %s: exit code %d: %s", strings.Join(args, " "), got.code, got.stderr)
	}
	return slices.Collect(strings.Lines(got.stdout))
}

// lookMessage is what a line of JSON says of a message.
type lookMessage struct {
	LSN        uint64
	Kind       string
	Messages   int64
	Body       string
	Properties struct {
		MessageID string `json:"message_id"`
	}
}

func lookLine(t *testing.T, line string) (m lookMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return m
}

// Commands that look into a log tell the truth beside a running broker, which relocates, retires and uses files again
// meanwhile, and it does not notice.
func TestLookingIntoALogBesideABrokerUnderLoad(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir(), "--segment-size", "256KiB", "--retain-bytes", "0", "--checkpoint-every", "200ms")
	l := startLookLoad(t, b)
	defer l.finish()
	relocated := func() bool {
		old, err := filepath.Glob(filepath.Join(b.Dir, "log", "*.old"))
		return err == nil && len(old) > 0
	}
	eventually(t, "relocation", relocated)
	for range 8 {
		l.checkQueue()
		l.checkCat()
		if lines := look(t, b.Dir, "stat"); len(lines) < 10 {
			t.Errorf("stat: %q", lines)
		}
		if lines := look(t, b.Dir, "ls"); len(lines) < 3 {
			t.Errorf("ls: %q", lines)
		}
		look(t, b.Dir, "ls", "--quick", "--json")
		look(t, b.Dir, "queue", "work")
		if lines := look(t, b.Dir, "tail", "-n", "5", "--json"); len(lines) != 5 {
			t.Errorf("tail: %q", lines)
		}
		look(t, b.Dir, "cat", "--header", "nothing", "--where", "size > 5000")
	}
	l.finish()
	if text := b.stderr.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") {
		t.Errorf("the broker noticed:\n%s", text)
	}
	l.checkAtRest()
}

// checkQueue holds what the slow queue is said to have against what was sent to it.
func (l *lookLoad) checkQueue() {
	t := l.t
	least := l.confirmed.Load()
	lines := look(t, l.b.Dir, "queue", "slow", "--limit", "0", "--json")
	most := l.sent.Load()
	if len(lines) == 0 {
		t.Error("log queue told nothing")
		return
	}
	state := lookLine(t, lines[0])
	if state.Messages < least || state.Messages > most || int64(len(lines)-1) != state.Messages {
		t.Errorf("the queue has %d to %d messages; said %d, and %d shown", least, most, state.Messages, len(lines)-1)
	}
	for i, line := range lines[1:] {
		if m := lookLine(t, line); m.Body != lookBody(int64(i+1)) {
			t.Errorf("message %d is %.80s", i+1, line)
			return
		}
	}
	oldest := lookLine(t, lines[1])
	text := strings.Join(look(t, l.b.Dir, "explain", fmt.Sprint(oldest.LSN)), "")
	if !strings.Contains(text, `message-id "slow-1"`) || !strings.Contains(text, "still there") || !strings.Contains(text, "the default exchange") {
		t.Errorf("explain %d:\n%s", oldest.LSN, text)
	}
}

// checkCat expects all messages of the slow queue, in order.
func (l *lookLoad) checkCat() {
	t := l.t
	least := l.confirmed.Load()
	n, last := int64(0), uint64(0)
	for _, line := range look(t, l.b.Dir, "cat", "--queue", "slow", "--kind", "publish", "--json") {
		n++
		m := lookLine(t, line)
		if m.Properties.MessageID != fmt.Sprintf("slow-%d", n) || m.Body != lookBody(n) || m.LSN <= last {
			t.Errorf("message %d is %.200s", n, line)
			return
		}
		last = m.LSN
	}
	if n < least || n > l.sent.Load() {
		t.Errorf("%d messages of %d to %d", n, least, l.sent.Load())
	}
}

// checkAtRest expects that nothing is missing when all has come to rest.
func (l *lookLoad) checkAtRest() {
	if code := l.b.Stop(); code != 0 {
		l.t.Errorf("exit code %d", code)
	}
	lines := look(l.t, l.b.Dir, "queue", "slow", "--json", "--limit", "1")
	if m := lookLine(l.t, lines[0]); m.Messages != l.sent.Load() {
		l.t.Errorf("%d messages, want %d", m.Messages, l.sent.Load())
	}
}

// Nothing that looks into a log leaves a trace in the data folder, and none needs the index.
func TestLookingIntoALogChangesNothing(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	q := c.declare("q", queueSpec{durable: true})
	c.confirmMode()
	for range 3 {
		c.sendConfirmed("", q, persistent("m"))
	}
	b.Kill() // so that the end of the log is as a crash leaves it
	commands := [][]string{
		{"ls"}, {"ls", "--quick"}, {"stat"}, {"cat"}, {"tail", "-n", "3"}, {"queue", "q"}, {"queue", "q", "--at", "2099-01-01T00:00:00Z", "--json"},
	}
	var said []string
	for _, index := range []string{"sound", "missing", "garbage"} {
		switch folder := filepath.Join(b.Dir, "index"); index {
		case "missing":
			c.must(os.RemoveAll(folder))
		case "garbage":
			c.must(os.MkdirAll(folder, 0o755))
			for _, name := range []string{"CURRENT", "MANIFEST-000001", "000002.log"} {
				c.must(os.WriteFile(filepath.Join(folder, name), []byte("garbage"), 0o644))
			}
		}
		before := folderState(t, b.Dir)
		for i, args := range commands {
			text := strings.Join(look(t, b.Dir, args...), "")
			if index == "sound" {
				said = append(said, text)
			} else if said[i] != text {
				t.Errorf("with the index %s, log %v said\n%s\nand before\n%s", index, args, text, said[i])
			}
		}
		if after := folderState(t, b.Dir); after != before {
			t.Errorf("with the index %s, the folder was\n%s\nand is\n%s", index, before, after)
		}
	}
}

// folderState lists all there is, with times of changes.
func folderState(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			fmt.Fprintf(&text, "%s %s %d %s\n", path, info.Mode(), info.Size(), info.ModTime().Format(time.RFC3339Nano))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// log tail -f shows what a running broker appends; an interruption ends it well, and so does the end of who reads from it.
func TestTailFollowsARunningBroker(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	b := startBroker(t, t.TempDir())
	c := b.connect(t)
	q := c.declare("q", queueSpec{durable: true})
	c.confirmMode()
	c.sendConfirmed("", q, persistent("before"))
	for _, end := range []string{"interrupt", "pipe"} {
		follower := exec.Command(binaryPath(t), "log", "tail", "-f", "-n", "1", "--kind", "publish", "-o", "raw", "--data", b.Dir)
		follower.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		var stderr bytes.Buffer
		follower.Stderr = &stderr
		out, err := follower.StdoutPipe()
		c.must(err)
		c.must(follower.Start())
		timer := time.AfterFunc(patience, func() { _ = follower.Process.Kill() })
		lines := bufio.NewScanner(out)
		for i, want := range []string{"before", "one", "two", "before"} {
			if i > 0 {
				c.sendConfirmed("", q, persistent(want))
			}
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("%s: line %d is %q, want %q; %s", end, i, lines.Text(), want, &stderr)
			}
		}
		if end == "interrupt" {
			c.must(follower.Process.Signal(os.Interrupt))
		} else {
			c.must(out.Close())
		}
		if err := follower.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v: %s", end, err, &stderr)
		}
		if !timer.Stop() {
			t.Errorf("%s: it did not end", end)
		}
	}
}
