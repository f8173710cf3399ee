package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// TestPowerCutAtEverySync clones the directory whenever the log syncs anything, takes away what no
// earlier sync covered, and recovers each clone: nothing that was declared synced may be missing.
func TestPowerCutAtEverySync(t *testing.T) {
	type cut struct {
		dir    string
		synced segment.LSN // declared when the clone began
	}
	var mu sync.Mutex // guards cuts
	var cuts []cut
	var l *Log
	dir, clones := t.TempDir(), t.TempDir()
	disk := unsyncedDisk()
	disk.Datasync = func(*os.File) error {
		mu.Lock()
		defer mu.Unlock()
		if l == nil || len(cuts) > 150 {
			return nil
		}
		to := filepath.Join(clones, fmt.Sprint(len(cuts)))
		if err := os.Mkdir(to, 0o750); err != nil {
			return err
		}
		cuts = append(cuts, cut{to, segment.LSN(l.durable.Load())})
		cloneInto(t, dir, to)
		return nil
	}
	opened := openOnly(t, Config{Dir: dir, SegmentSize: minSegmentSize, Disk: disk})
	if err := opened.Start(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	l = opened
	mu.Unlock()
	for i := range 150 {
		appendBodies(t, l, fmt.Sprintf("%d %s", 2*i+1, strings.Repeat("p", i*7)), fmt.Sprintf("%d ", 2*i+2))
		if i%3 == 0 {
			if err := l.SyncTo(t.Context(), l.Last()); err != nil {
				t.Fatal(err)
			}
		}
	}
	closeLog(t, l)
	if len(cuts) < 50 {
		t.Fatalf("%d syncs", len(cuts))
	}
	promised := 0
	for i, c := range cuts {
		// The clone may hold later footers and batches, and so vouch for more than was declared when it
		// began; what it vouches for must be there all the same.
		vouched := max(c.synced, vouchedFor(t, c.dir))
		losePower(t, c.dir, vouched, rand.New(rand.NewPCG(uint64(i), 2)))
		after := openOnly(t, Config{Dir: c.dir})
		r := after.Recovery()
		if r.Last < c.synced || len(r.Quarantined) > 0 {
			t.Fatalf("cut %d: %d declared synced, recovered %+v", i, c.synced, r)
		}
		for n, body := range bodies(t, after) {
			if !strings.HasPrefix(body, fmt.Sprintf("%d ", n+1)) {
				t.Fatalf("cut %d: record %d is %q", i, n+1, body)
			}
		}
		after.Close()
		verify(t, c.dir)
		promised += int(c.synced)
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", len(cuts), len(cuts), promised)
}

func vouchedFor(t *testing.T, dir string) segment.LSN {
	t.Helper()
	var v verifier
	candidates, err := v.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	scanUnsealed(candidates)
	synced := watermark(candidates)
	for _, c := range candidates {
		if c.mapping != nil {
			c.mapping.Release()
		}
	}
	return synced
}

func TestCloseEndsAnAppendThatWaitsForASpare(t *testing.T) {
	block := make(chan struct{})
	waiting := make(chan struct{}, 10)
	made := 0
	disk := unsyncedDisk()
	disk.Allocate = func(file *os.File, size int64, _ func(int64) error) error {
		if made++; made > 1 {
			waiting <- struct{}{}
			<-block
		}
		return file.Truncate(size)
	}
	l := openLog(t, Config{Dir: t.TempDir(), Disk: disk})
	<-waiting
	result := make(chan error, 1)
	go func() {
		for {
			if err := tryAppend(l, strings.Repeat("w", 20000)); err != nil {
				result <- err
				return
			}
		}
	}()
	await(t, "an append that waits", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.mu.wanted > 0
	})
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Fatalf("append: %v", err)
	}
	close(block)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	verify(t, l.cfg.Dir)
}

// FuzzOpen gives Open any bytes for its newest segment: it may refuse, but a log that opens must read,
// start, append and be whole afterwards.
func FuzzOpen(f *testing.F) {
	_, path, offsets, end := crashed(f, 4)
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	sound = sound[:end]
	flipped := func(at int) []byte { return flip(at)(bytes.Clone(sound)) }
	for _, seed := range map[string][]byte{
		"sound": sound, "empty": {}, "header alone": sound[:segment.HeaderSize], "header cut": sound[:50],
		"header damaged": flipped(41), "first batch damaged": flipped(offsets[0] + 9),
		"record damaged": flipped(offsets[1] + 110), "cut in the last batch": sound[:end-30],
		"another epoch": flipped(offsets[2] + 17), "all ones": bytes.Repeat([]byte{0xFF}, 5000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), data, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Dir: dir, SegmentSize: minSegmentSize, Disk: unsyncedDisk()})
		if err != nil {
			return
		}
		defer l.Close()
		c := l.Cursor(0)
		for c.Next() {
			_, _ = c.Queues(nil)
		}
		c.Close()
		if c.Err() != nil {
			t.Fatal(c.Err())
		}
		if err := l.Start(); err != nil {
			t.Fatal(err)
		}
		last := l.Recovery().Last
		if lsn := appendBodies(t, l, "after"); lsn != last+1 {
			t.Fatalf("record %d after %d", lsn, last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if again, err := Open(Config{Dir: dir}); err != nil {
			t.Fatal(err)
		} else if r := again.Recovery(); r.Last != last+1 || !r.Clean || again.Close() != nil {
			t.Fatalf("recovery %+v", r)
		}
	})
}
