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
	const segmentSize = 2 * minSegmentSize
	type cut struct {
		dir    string
		synced segment.LSN // declared when the clone began
		footer []byte      // that the sync is for; nil = for none
		at     int64       // where it stands
	}
	var mu sync.Mutex // guards cuts and footers
	var cuts []cut
	footers := map[*os.File]cut{} // written and not synced
	var l *Log
	dir, clones := t.TempDir(), t.TempDir()
	disk := unsyncedDisk()
	disk.WriteAt = func(file *os.File, p []byte, at int64) (int, error) {
		if bytes.HasPrefix(p, []byte("MRFOOT_1")) {
			mu.Lock()
			footers[file] = cut{footer: bytes.Clone(p), at: at}
			mu.Unlock()
		}
		return file.WriteAt(p, at)
	}
	disk.Datasync = func(file *os.File) error {
		mu.Lock()
		defer mu.Unlock()
		if l == nil || len(cuts) > 150 {
			return nil
		}
		to := filepath.Join(clones, fmt.Sprint(len(cuts)))
		if err := os.Mkdir(to, 0o750); err != nil {
			return err
		}
		cuts = append(cuts, cut{to, segment.LSN(l.durable.Load()), footers[file].footer, footers[file].at})
		delete(footers, file)
		cloneInto(t, dir, to)
		return nil
	}
	opened := openOnly(t, Config{Dir: dir, SegmentSize: segmentSize, Disk: disk})
	if err := opened.Start(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	l = opened
	mu.Unlock()
	for i := range 120 {
		batch := []string{fmt.Sprintf("%d %s", 20*i+1, strings.Repeat("p", i*3))}
		for n := range 19 { // small, so that a footer's tables have several sectors
			batch = append(batch, fmt.Sprintf("%d ", 20*i+n+2))
		}
		appendBodies(t, l, batch...)
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
	promised, torn := 0, 0
	for i, c := range cuts {
		// The clone may hold later footers and batches, and so vouch for more than was declared when it
		// began; what it vouches for must be there all the same.
		vouched := max(c.synced, vouchedFor(t, c.dir))
		losePower(t, c.dir, vouched, rand.New(rand.NewPCG(uint64(i), 2)))
		if c.footer != nil && loseFooter(t, c.dir, c.footer, c.at, rand.New(rand.NewPCG(uint64(i), 3))) {
			torn++
		}
		logger, said := remembered()
		after := openOnly(t, Config{Dir: c.dir, SegmentSize: segmentSize, Disk: unsyncedDisk(), Logger: logger})
		r := after.Recovery()
		if r.Last < c.synced || len(r.Quarantined) > 0 {
			t.Fatalf("cut %d: %d declared synced, recovered %+v", i, c.synced, r)
		}
		for n, body := range bodies(t, after) {
			if !strings.HasPrefix(body, fmt.Sprintf("%d ", n+1)) {
				t.Fatalf("cut %d: record %d is %q", i, n+1, body)
			}
		}
		if err := errors.Join(after.Start(), after.Close()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said(), "corruption") {
			t.Fatalf("cut %d passes for damage: %s", i, said())
		}
		verify(t, c.dir)
		promised += int(c.synced)
	}
	if torn == 0 {
		t.Error("no cut has torn a footer")
	}
	t.Logf("crash: 1 rounds, %d cut points, %d faults, %d looked for, 0 lost", len(cuts), len(cuts), promised)
}

func vouchedFor(t *testing.T, dir string) segment.LSN {
	t.Helper()
	files, _, err := logFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	v := survey{}
	candidates := v.open(files)
	for _, c := range candidates {
		c.checkTables(nil)
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
func readAll(t *testing.T, c *Cursor) (n int) {
	t.Helper()
	defer c.Close()
	for c.Next() {
		_, _ = c.Queues(nil)
		_ = c.Time()
		n++
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return n
}

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
		r, err := OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		seen := readAll(t, r.Cursor(0))
		l, err := Open(Config{Dir: dir, SegmentSize: minSegmentSize, Disk: unsyncedDisk()})
		if err != nil {
			return
		}
		defer l.Close()
		if n := readAll(t, l.Cursor(0)); n != seen || r.Last() != l.Last() {
			t.Fatalf("reader gave %d records to %d, log %d to %d", seen, r.Last(), n, l.Last())
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
