package broker_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// cutLog takes the records away from the files of a log that is open, as a disk does that fails; mend brings them back.
func (f *fixture) cutLog() (mend func()) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join(f.cfg.Data, "log", "*.seg"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no segments: %v", err)
	}
	whole := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		whole[path] = data
		if err := os.Truncate(path, 0); err != nil {
			f.Fatal(err)
		}
	}
	return func() {
		f.Helper()
		for path, data := range whole {
			if err := os.WriteFile(path, data, 0o640); err != nil {
				f.Fatal(err)
			}
		}
	}
}

// tellings are the lines of a log, as long as there is room.
type tellings chan string

func (t tellings) Write(p []byte) (int, error) {
	select {
	case t <- string(p):
	default:
	}
	return len(p), nil
}

// A dead letter that the disk does not give waits for it, in its old queue.
func TestDeadLetterThatCannotBeReadWaitsForTheDisk(t *testing.T) {
	told := make(tellings, 100)
	f := openWith(t, broker.Config{SegmentSize: 64 << 10, Logger: slog.New(slog.NewTextHandler(told, nil))})
	c := f.client()
	c.durableExchange("dlx", "fanout")
	c.durableBound("dlx", "grave", "")
	c.queue(broker.QueueDeclaration{Name: "q", Durable: true, Arguments: amqp.Table{"x-dead-letter-exchange": "dlx"}})
	c.consume("grave", queue.Consumer{Tag: "c", NoAck: true})
	c.sendConfirmed("q", "1")
	c.drain("q")
	f.broker.FlushJournal()
	mend := f.cutLog()
	c.reject(1)
	for line := ""; !strings.Contains(line, "dead message cannot be read from the disk"); line = <-told {
		t.Log(line)
	}
	mend()
	want(t, "dead letter", c.received(1), "1")
}

// What the disk does not give stays in its queue, and what is damaged leaves it.
func TestOnlyWhatIsDamagedLeavesItsQueueUnread(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			f := open(t)
			c := f.client()
			c.durable("q")
			c.sendConfirmed("q", "1", "2", "3")
			c.consume("q", queue.Consumer{Tag: "c"})
			c.sink.await(t, "deliveries", func() bool { return len(c.sink.mu.deliveries) == 3 })
			for i, d := range c.sink.take() {
				damaged := i == 1
				if c.Unreadable(&d, damaged) == damaged {
					t.Errorf("message %d: kept is %v", i+1, damaged)
				}
			}
			f.broker.FlushJournal()
			end.end(f)
			want(t, "left", f.client().drain("q"), "1+ 3+")
		})
	}
}
