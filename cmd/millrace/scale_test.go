package main_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sys/unix"
)

// What a broker costs that holds much, and how long its restart takes. The
// small forms run with the suite and check that nothing gets lost; the numbers
// of docs/performance.md come from
//
//	go test ./cmd/millrace -run Scale -v -count 1 -timeout 60m -args -scale.full -scale.dir /some/disk
var (
	scaleFull     = flag.Bool("scale.full", false, "run the tests of scale at full size and hold them to their goals")
	scaleMessages = flag.String("scale.messages", "1000000,4000000,10000000", "sizes of the backlog at full size")
	scaleDir      = flag.String("scale.dir", "", "folder for the data of the tests of scale; the system's for such by default")
)

// scaleTail is how much is published between the last checkpoint and the crash
// of which restarts are compared: the same for each size.
const scaleTail = 500_000

func TestScaleOfABacklog(t *testing.T) {
	sizes, tail := []int{20_000}, 5_000
	if *scaleFull {
		sizes, tail = nil, scaleTail
		for size := range strings.SplitSeq(*scaleMessages, ",") {
			n, err := strconv.Atoi(size)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, n)
		}
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) { scaleOfABacklog(t, n, tail) })
	}
}

func scaleOfABacklog(t *testing.T, n, tail int) {
	s := newScale(t)
	s.start()
	s.fill("confirm-1k", n)
	filled := s.memory()
	t.Logf("filled with %d: %v; at its peak %v resident", n, filled, filled.peak)
	s.goal("resident at its peak, MiB", float64(filled.peak), goalFor(n, 200, 512))

	s.broker.Kill()
	took := s.start()
	t.Logf("killed behind the last publish: serves again after %v, %s; %v, at its peak %v resident", took, s.replayed(), s.memory(), s.memory().peak)
	s.goal("restart after a crash, s", took.Seconds(), 2)
	s.wantMessages("confirm-1k", n)

	took = s.stop()
	clean := s.start("--checkpoint-every", "1h")
	t.Logf("stopped in %v: serves again after %v, %s; %v, at its peak %v resident", took, clean, s.replayed(), s.memory(), s.memory().peak)
	s.goal("restart after a clean stop, s", clean.Seconds(), 1)
	s.goal("resident at its peak, MiB", float64(s.memory().peak), goalFor(n, 200, 512))

	s.stop()
	s.forget()
	clean = s.start("--checkpoint-every", "1h")
	t.Logf("the same, and the kernel's cache of all files dropped: serves again after %v", clean)
	s.goal("restart after a clean stop, nothing cached, s", clean.Seconds(), 1)

	s.fill("backlog-1k", tail)
	for _, cached := range []bool{true, false} {
		var crashes []time.Duration
		for range 3 {
			s.broker.Kill()
			if !cached {
				s.forget()
			}
			crashes = append(crashes, s.start("--checkpoint-every", "1h"))
		}
		slices.Sort(crashes)
		t.Logf("killed %d messages behind the last checkpoint, files in the kernel's cache %v: serves again after %v (median of %v), %s; at its peak %v resident",
			tail, cached, crashes[1], crashes, s.replayed(), s.memory().peak)
		s.goal("restart after a crash, s", crashes[1].Seconds(), 2)
		s.goal("resident at its peak, MiB", float64(s.memory().peak), goalFor(n, 200, 512))
	}
	s.wantMessages("confirm-1k", n)
	s.wantMessages("backlog-1k", tail)
}

func TestScaleOfIdleQueues(t *testing.T) {
	n := 200
	if *scaleFull {
		n = 10_000
	}
	s := newScale(t)
	s.start()
	c := s.broker.connect(t)
	start := time.Now()
	for i := range n {
		if _, err := c.QueueDeclare(fmt.Sprint("idle.", i), true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	declared := s.memory()
	t.Logf("%d queues declared in %v: %v, at its peak %v resident", n, time.Since(start).Round(time.Millisecond), declared, declared.peak)
	s.goal("resident at its peak, MiB", float64(declared.peak), 100)
	s.broker.Kill()
	took := s.start()
	t.Logf("killed: serves again after %v, %s; at its peak %v resident", took, s.replayed(), s.memory().peak)
	took = s.stop()
	clean := s.start()
	t.Logf("stopped in %v: serves again after %v, %s; %v, at its peak %v resident", took, clean, s.replayed(), s.memory(), s.memory().peak)
	s.goal("restart after a clean stop, s", clean.Seconds(), 1)
	s.goal("resident at its peak, MiB", float64(s.memory().peak), 100)
}

func TestScaleOfConnections(t *testing.T) {
	n := 50
	if *scaleFull {
		n = 1000
	}
	s := newScale(t)
	s.start()
	before := s.memory()
	for i := range n {
		c := s.broker.connect(t)
		// Used once, so that what a connection makes at its first message is there.
		q, err := c.QueueDeclare("", false, true, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Publish("", q.Name, false, false, amqp.Publishing{Body: []byte("one")}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Get(q.Name, true); err != nil {
			t.Fatal(i, err)
		}
	}
	used := s.memory()
	t.Logf("%d connections, each with a channel and a queue of its own: %v, at its peak %v resident; %v before", n, used, used.peak, before)
	s.goal("resident at its peak, MiB", float64(used.peak), 200)
}

// scale is a broker that is filled, restarted and measured.
type scale struct {
	t      *testing.T
	dir    string
	broker *Broker
}

func newScale(t *testing.T) *scale {
	needsProcess(t)
	binaryPath(t) // built now, so that no start is charged with it
	s := &scale{t: t, dir: t.TempDir()}
	if *scaleDir != "" {
		dir, err := os.MkdirTemp(*scaleDir, "millrace-scale-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		s.dir = dir
	}
	return s
}

// start starts the broker and returns when it has answered a client: how long
// that took, the start of the process included.
func (s *scale) start(flags ...string) time.Duration {
	s.t.Helper()
	if *scaleFull {
		flags = append(flags, "--segment-size", "64MiB")
	}
	start := time.Now()
	s.broker = startBroker(s.t, s.dir, flags...)
	conn, ch, err := dialChannel(s.broker.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	took := time.Since(start).Round(time.Millisecond)
	_ = ch.Close()
	_ = conn.Close()
	return took
}

// stop stops the broker in good order and returns how long that took.
func (s *scale) stop() time.Duration {
	s.t.Helper()
	start := time.Now()
	if code := s.broker.Stop(); code != 0 {
		s.t.Fatalf("clean stop: exit code %d", code)
	}
	return time.Since(start).Round(time.Millisecond)
}

// fill publishes n confirmed, persistent messages of 16 bytes to a workload's
// queue, and leaves them there.
func (s *scale) fill(workload string, n int) {
	s.t.Helper()
	bench := exec.Command(binaryPath(s.t), "bench", "--url", strings.TrimSuffix(s.broker.URL, "/"), "--publish-only", "--json",
		"--workload", workload, "--messages", fmt.Sprint(n), "--size", "16")
	out, err := bench.Output()
	if err != nil {
		s.t.Fatalf("bench: %v\n%s", err, out)
	}
	var report struct{ Results []struct{ Published int } }
	if err := json.Unmarshal(out, &report); err != nil || len(report.Results) != 1 || report.Results[0].Published != n {
		s.t.Fatalf("bench did not publish %d messages: %v\n%s", n, err, out)
	}
}

// forget has the kernel drop what it caches of the folder, as after a start of
// the machine.
func (s *scale) forget() {
	s.t.Helper()
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		// What is not on disk yet cannot be dropped.
		return errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scale) wantMessages(workload string, n int) {
	s.t.Helper()
	c := s.broker.connect(s.t)
	defer c.close()
	q, err := c.QueueDeclarePassive("millrace-bench."+workload+".0", true, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if q.Messages != n {
		s.t.Fatalf("%d messages in the queue of %s, want %d", q.Messages, workload, n)
	}
}

var replayedRecords = regexp.MustCompile(`\d+ records replayed`)

// replayed is what the broker says of its recovery.
func (s *scale) replayed() string { return replayedRecords.FindString(s.broker.StartLine) }

// goal holds a number to its goal at full size. A binary with the race detector
// is not measured: it has memory and time of its own.
func (s *scale) goal(what string, got, below float64) {
	s.t.Helper()
	if *scaleFull && !raceEnabled && got >= below {
		s.t.Errorf("%s: %.3f, the goal is less than %.0f", what, got, below)
	}
}

// goalFor is the goal of memory for a backlog: small up to ten million messages.
func goalFor(n int, small, large float64) float64 {
	if n <= 10_000_000 {
		return small
	}
	return large
}

// resident is the memory of the broker's process by the kernel's account.
type resident struct {
	anon  mebibytes // what only the process can give back
	files mebibytes // pages of the log that it has mapped and read, which the kernel can take
	peak  mebibytes // largest of both together since the process started
}

type mebibytes float64

func (m mebibytes) String() string { return strconv.FormatFloat(float64(m), 'f', 1, 64) + " MiB" }

func (r resident) String() string {
	return fmt.Sprintf("%v anonymous and %v of files resident", r.anon, r.files)
}

func (s *scale) memory() resident {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.broker.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	read := func(name string) mebibytes {
		match := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB`).FindSubmatch(status)
		if match == nil {
			s.t.Fatalf("no %s in\n%s", name, status)
		}
		kib, err := strconv.ParseInt(string(match[1]), 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return mebibytes(float64(kib) / 1024)
	}
	return resident{read("RssAnon"), read("RssFile"), read("VmHWM")}
}
