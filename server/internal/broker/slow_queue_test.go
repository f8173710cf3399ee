package broker_test

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

var slowQueueBytes = flag.Int64("slowqueue.bytes", 0,
	"let so many bytes pass a queue that nobody reads, with the defaults of a broker, and print what the disk holds")

// TestSlowQueueTakesAMultipleOfWhatItHolds is what relocation is for: a queue that nobody reads gets a hundredth
// of the traffic, the rest is consumed at once, and the log does not grow with the traffic.
func TestSlowQueueTakesAMultipleOfWhatItHolds(t *testing.T) {
	cfg, total := broker.Config{SegmentSize: 1 << 20, RetainBytes: 4 << 20}, int64(48<<20)
	big := *slowQueueBytes > 0
	if big {
		cfg, total = broker.Config{SegmentSize: 64 << 20, RetainBytes: 1 << 30, CheckpointEvery: 5 * time.Second}, *slowQueueBytes
	} else {
		t.Parallel()
	}
	f := openWith(t, cfg)
	c := f.client()
	c.durable("slow")
	c.durable("fast")
	c.consume("fast", queue.Consumer{Tag: "c", NoAck: true})
	random := make([]byte, 16<<20) // which no compression makes smaller
	rand.NewChaCha8([32]byte{}).Read(random)
	const size = 4 << 10
	message := func() string {
		at := rand.IntN(len(random) - size)
		return string(random[at : at+size])
	}
	// Beyond it: the file that is written to, the next one, and what was filled since the relocator looked, which
	// waits for syncs as everybody does.
	pass, behind := total/16, 2*cfg.SegmentSize+total/16
	if big {
		pass, behind = cfg.SegmentSize/2, 4*cfg.SegmentSize
	}
	live, passed, over, began := int64(0), int64(0), int64(0), time.Now()
	second, lately := began, [2]int64{} // what had passed when the last but one second began, and the last
	for looks := int64(1); passed < total; passed += 100 * size {
		for range 99 {
			c.stage(c.ch, "", "fast", persistent, message())
		}
		c.stage(c.ch, "", "slow", persistent, message())
		live += size
		c.flush()
		for got := 0; got < 99; {
			c.sink.await(t, "deliveries", func() bool { return len(c.sink.mu.deliveries) > 0 })
			for _, d := range c.sink.take() {
				c.Sent(1, int64(d.Size))
				got++
			}
		}
		if passed < looks*pass {
			continue
		}
		looks++
		if !big {
			f.pass()
		} else if time.Since(second) > time.Second {
			second, lately = time.Now(), [2]int64{lately[1], passed}
		}
		r, disk := f.broker.Relocations(), f.logBytes()
		bound, most := 4*live+cfg.RetainBytes, behind
		if big {
			most += passed - lately[0]
		}
		over = max(over, disk-bound)
		if disk > bound+most {
			t.Errorf("%d MB passed: the log has %d MB, more than %d + %d", passed>>20, disk>>20, bound>>20, most>>20)
		}
		if passed*16/total > (passed-pass)*16/total {
			t.Logf("%6d MB passed: %5d MB of log, bound %5d, never more than %3d beyond; %4d MB in queues, %d relocations, %.3f bytes written for each appended",
				passed>>20, disk>>20, bound>>20, over>>20, live>>20, r.Runs, r.Amplification())
		}
	}
	t.Logf("%.0f MB/s", float64(passed>>20)/time.Since(began).Seconds())
	f.pass()
	r, disk := f.broker.Relocations(), f.logBytes()
	t.Logf("at the end: %d MB of log, %d MB in queues; %+v", disk>>20, live>>20, r)
	if bound := 4*live + cfg.RetainBytes + 2*cfg.SegmentSize; disk > bound {
		t.Errorf("the log has %d bytes, more than %d", disk, bound)
	}
	if a := r.Amplification(); a > 1.33 {
		t.Errorf("%.2f bytes were written for each that was appended", a)
	}
	want(t, "messages of the slow queue", c.ready("slow"), int(live)/size)
	f.crash(loseIndex)
	want(t, "messages of the slow queue, made anew from the log", f.client().ready("slow"), int(live)/size)
}

// logBytes is what the log's files take up, without those that wait to be used.
func (f *fixture) logBytes() (size int64) {
	f.Helper()
	for {
		size = 0
		err := filepath.WalkDir(filepath.Join(f.cfg.Data, "log"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "spare-") {
				return err
			}
			info, err := d.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err == nil {
			return size
		}
		if !os.IsNotExist(err) { // a file was renamed meanwhile
			f.Fatal(fmt.Errorf("size of the log: %w", err))
		}
	}
}
