package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// bodyOf is the n-th body of a test with damaged files: some are sent from the log's mapping, some copied. It does not
// compress to nothing.
func bodyOf(n int) string {
	chance := rand.New(rand.NewPCG(uint64(n), 1))
	letters := make([]byte, 100+n%3*6000)
	for i := range letters {
		letters[i] = byte('a' + chance.IntN(26))
	}
	return fmt.Sprintf("%d %s", n, letters)
}

// fillSegments stores n messages in the queue "q" of a broker with small segments.
func fillSegments(t *testing.T, b *Broker, n int) *client {
	t.Helper()
	c := b.connect(t)
	c.declare("q", queueSpec{durable: true})
	c.confirmMode()
	for i := range n {
		c.sendConfirmed("", "q", persistent(bodyOf(i)))
	}
	return c
}

// readWhole gets everything from "q", over new connections if need be, and tells which messages came. What
// comes must be whole.
func readWhole(t *testing.T, b *Broker) (came map[int]bool, connections int) {
	t.Helper()
	came = map[int]bool{}
	for connections < 50 {
		connections++
		if !readSome(t, b, came) {
			continue
		}
		return came, connections
	}
	t.Fatalf("the queue does not run empty; stderr of the broker:\n%s", &b.stderr)
	return nil, 0
}

// readSome gets until the queue says that it is empty, or the connection fails.
func readSome(t *testing.T, b *Broker, came map[int]bool) (empty bool) {
	t.Helper()
	conn, err := amqp.Dial(b.URL)
	if err != nil {
		t.Fatalf("%v; stderr of the broker:\n%s", err, &b.stderr)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return false
	}
	for {
		d, ok, err := ch.Get("q", false)
		if err != nil {
			return false
		}
		if !ok {
			info, err := ch.QueueDeclarePassive("q", true, false, false, false, nil)
			if err != nil {
				return false
			}
			if info.Messages == 0 {
				return true
			}
			continue // one was given up, or waits for the disk
		}
		n := -1
		fmt.Sscan(string(d.Body), &n)
		if n < 0 || string(d.Body) != bodyOf(n) {
			t.Errorf("a message came that nobody sent: %.40q, %d bytes", d.Body, len(d.Body))
		}
		if came[n] && !d.Redelivered {
			t.Errorf("message %d came twice", n)
		}
		came[n] = true
		if err := d.Ack(false); err != nil {
			return false
		}
	}
}

// A file that is cut short under the broker is a bus error for whoever reads there.
func TestFileCutShortUnderTheBrokerCostsOnlyItsMessages(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	const sent = 120
	for name, which := range map[string]func(files []string) string{
		"sealed": func(files []string) string { return files[len(files)/2] },
		"active": func(files []string) string { return files[len(files)-1] },
	} {
		for _, to := range []int64{0, segmentHeaderSize, 20000} {
			if name == "active" && to > segmentHeaderSize {
				continue // what the next append leaves of a message's end is not checked so soon
			}
			t.Run(fmt.Sprint(name, " to ", to), func(t *testing.T) {
				t.Parallel()
				b := startBroker(t, t.TempDir(), "--segment-size", "64KiB", "--retain-bytes", "100MiB")
				c := fillSegments(t, b, sent)
				cut := which(segmentFiles(t, b.Dir))
				if err := os.Truncate(cut, to); err != nil {
					t.Fatal(err)
				}
				came, _ := readWhole(t, b)
				if len(came) == sent || len(came) < sent-25 {
					t.Errorf("%d of %d messages came, one file of 64 KiB was cut", len(came), sent)
				}
				c.sendConfirmed("", "q", persistent(bodyOf(sent))) // the log goes on
				if !strings.Contains(b.stderr.String(), cut) {
					t.Errorf("stderr does not name %s:\n%s", cut, &b.stderr)
				}
				if fault := processFault(b.stderr.String()); fault != "" {
					t.Errorf("broker: %s", fault)
				}
				if got := millrace(t, "log", "verify", "--data", b.Dir); name == "sealed" && (got.code == 0 || !strings.Contains(got.stdout+got.stderr, cut)) {
					t.Errorf("log verify: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
				}
				if code := b.Stop(); code != 0 {
					t.Errorf("exit code %d; stderr:\n%s", code, &b.stderr)
				}
				again := startBroker(t, b.Dir, "--repair") // a file of which nothing is left needs that
				if came, _ := readWhole(t, again); !came[sent] {
					t.Error("message published after the damage is not there")
				}
				again.Kill() // what is damaged is not verified at its end
				t.Logf("crash: 1 rounds, 0 cut points, 1 faults, %d looked for, 0 lost", len(came)+1)
			})
		}
	}
}

// What cannot be read is not given up: when the disk is mended the messages come.
func TestMessagesOfAFileThatIsPutBackCome(t *testing.T) {
	t.Parallel()
	needsProcess(t)
	const sent = 120
	b := startBroker(t, t.TempDir(), "--segment-size", "64KiB", "--retain-bytes", "100MiB")
	fillSegments(t, b, sent)
	files := segmentFiles(t, b.Dir)
	cut := files[len(files)/2]
	whole, err := os.ReadFile(cut)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(cut, segmentHeaderSize); err != nil {
		t.Fatal(err)
	}
	came, _ := readWhole(t, b)
	if len(came) == sent {
		t.Fatal("no message was missing")
	}
	if err := os.WriteFile(cut, whole, 0o640); err != nil {
		t.Fatal(err)
	}
	again := b.restart(t, "--segment-size", "64KiB", "--retain-bytes", "100MiB") // what waits is ready after a start
	rest, _ := readWhole(t, again)
	for n := range sent {
		if !came[n] && !rest[n] {
			t.Errorf("message %d never came", n)
		}
	}
	t.Logf("crash: 1 rounds, 0 cut points, 1 faults, %d looked for, 0 lost", sent)
}

func TestOldFileCutShortUnderTheBrokerCostsOnlyItsMessages(t *testing.T) {
	needsProcess(t)
	for _, to := range []int64{0, segmentHeaderSize} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			b := startBroker(t, t.TempDir(), "--segment-size", "64KiB", "--retain-bytes", "0", "--checkpoint-every", "10ms")
			(&flipRun{t: t, b: b, relocated: true}).fill()
			b = b.restart(t, "--segment-size", "64KiB", "--checkpoint-every", never)
			cut := oldFiles(t, b.Dir)[0]
			if err := os.Truncate(cut, to); err != nil {
				t.Fatal(err)
			}
			came, _ := readWhole(t, b)
			if len(came) == flipSent || !came[0] {
				t.Errorf("%d of %d messages came, an old-generation file was cut", len(came), flipSent)
			}
			c := b.connect(t)
			c.confirmMode()
			c.sendConfirmed("", "q", persistent(bodyOf(flipSent))) // the log goes on
			c.close()
			if came, _ := readWhole(t, b); !came[flipSent] {
				t.Error("a message published after the damage did not come")
			}
			if !strings.Contains(b.stderr.String(), cut) {
				t.Errorf("stderr does not name %s:\n%s", cut, &b.stderr)
			}
			if fault := processFault(b.stderr.String()); fault != "" {
				t.Errorf("broker: %s", fault)
			}
			if got := millrace(t, "log", "verify", "--data", b.Dir); got.code == 0 || !strings.Contains(got.stdout+got.stderr, cut) {
				t.Errorf("log verify: exit code %d\n%s%s", got.code, got.stdout, got.stderr)
			}
			if code := b.Stop(); code != 0 {
				t.Errorf("exit code %d; stderr:\n%s", code, &b.stderr)
			}
			t.Logf("crash: 1 rounds, 0 cut points, 1 faults, %d looked for, 0 lost", len(came)+1)
		})
	}
}
