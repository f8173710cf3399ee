package wal

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// appendUntilFull appends batches until the log has no room, and returns how many it took.
func appendUntilFull(t *testing.T, l *Log, body string, vital bool) (n int) {
	t.Helper()
	for {
		var b segment.Batch
		b.Vital = vital
		addPublish(&b, body, 1)
		err := l.Append(&b, nil)
		if errors.Is(err, ErrFull) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

func sparesOf(l *Log) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.spares)
}

func TestVitalBatchesHaveRoomWhenOthersHaveNot(t *testing.T) {
	var f faulty
	l := openLog(t, Config{Dir: t.TempDir(), Disk: f.disk()})
	await(t, "spares", func() bool { return sparesOf(l) == readySpares })
	fail(&f.allocate, error(unix.ENOSPC))
	large := strings.Repeat("x", 2000)
	ordinary := appendUntilFull(t, l, large, false)
	if n := sparesOf(l); n != readyReserve {
		t.Fatalf("%d spares left, want %d", n, readyReserve)
	}
	vital := appendUntilFull(t, l, large, true)
	if least := ordinary / (readySpares + 1 - readyReserve) / 2; vital < least {
		t.Errorf("%d vital batches, want at least %d: a segment of them", vital, least)
	}
	if n := appendUntilFull(t, l, large, false); n != 0 {
		t.Errorf("%d ordinary batches behind them", n)
	}

	// What is retired fills the reserve first.
	awaitSealed(t, l, len(l.Segments())-1)
	l.mu.Lock()
	second := l.list()[1].base
	l.mu.Unlock()
	if err := l.Retire(second); err != nil {
		t.Fatal(err)
	}
	if n := appendUntilFull(t, l, large, false); n != 0 {
		t.Errorf("%d ordinary batches took the only file there is", n)
	}
	if n := appendUntilFull(t, l, large, true); n == 0 {
		t.Error("no room for a vital batch after a segment was retired")
	}
	f.allocate.Store(nil)
	if err := tryAppend(l, large); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

func TestLogLeavesRoomForOthers(t *testing.T) {
	var free atomic.Uint64
	disk := unsyncedDisk()
	disk.Free = func(string) (uint64, error) { return free.Load(), nil }
	made := 0
	disk.Allocate = func(file *os.File, size int64, _ func(int64) error) error {
		made++
		return file.Truncate(size)
	}
	l := openLog(t, Config{Dir: t.TempDir(), Disk: disk, KeepFree: 1 << 20})
	large := strings.Repeat("x", 2000)
	appendUntilFull(t, l, large, false)
	if appendUntilFull(t, l, large, true) == 0 {
		t.Error("a log that starts on a full disk has no reserve")
	}
	if want := 1 + readyReserve; made != want {
		t.Errorf("%d files made, want %d", made, want)
	}
	free.Store(1<<20 + testSegmentSize - 1)
	if err := tryAppend(l, large); !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("append: %v", err)
	}
	free.Store(1 << 30)
	if err := tryAppend(l, large); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}
