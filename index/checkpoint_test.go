package index

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/segment"
)

func TestObjectsComeBackInOrder(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c := s.Checkpoint()
	value := []byte("b2")
	c.PutObject(ObjectKey{'b', 2}, value)
	value[0] = 'x' // copied: this must not show
	c.PutObject(ObjectKey{'b', 1 << 60}, nil)
	c.PutObject(ObjectKey{'a', 9}, []byte("a9"))
	c.PutObject(ObjectKey{'a', 10}, []byte("a10"))
	c.DeleteObject(ObjectKey{'a', 10})
	if err := c.Commit(77); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	var got []string
	err = s.Objects(func(k ObjectKey, v []byte) error {
		got = append(got, fmt.Sprintf("%c%d=%s", k.Kind, k.ID, v))
		return nil
	})
	if want := "[a9=a9 b2=b2 b1152921504606846976=]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	if s.Mark() != 77 {
		t.Errorf("mark %d", s.Mark())
	}
	stop := errors.New("stop")
	if err := s.Objects(func(ObjectKey, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the callback's error is lost: %v", err)
	}
}

func TestDroppedQueueLeavesNoKeysAndSparesItsNeighbours(t *testing.T) {
	s := openStore(t, t.TempDir())
	var queues []*Queue
	for _, id := range []segment.QueueID{1, 255, 256, 257} {
		q := s.NewQueue(id)
		fill(q, 1, chunkSlots+5)
		queues = append(queues, q)
	}
	checkpoint(t, s, 1, queues...)
	each := (countKeys(t, s) - 2) / len(queues)
	c := s.Checkpoint()
	c.DropQueue(256)
	fill(queues[2], 10_000, 5)
	c.Queue(queues[2]) // copied and dropped in one checkpoint: dropped
	if err := c.Commit(2); err != nil {
		t.Fatal(err)
	}
	if n := countKeys(t, s); n != 2+3*each {
		t.Errorf("%d keys, want %d", n, 2+3*each)
	}
	if _, err := s.LoadQueue(256); !errors.Is(err, ErrNoQueue) || errors.Is(err, ErrCorrupt) {
		t.Errorf("dropped queue: %v", err)
	}
	for _, id := range []segment.QueueID{1, 255, 257} {
		if n := len(lsns(load(t, s, id))); n != chunkSlots+5 {
			t.Errorf("queue %d has %d entries", id, n)
		}
	}
}

func TestCleanQueueIsNotWrittenAgain(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, 2*chunkSlots)
	if !q.Dirty() {
		t.Error("a queue with new entries is not dirty")
	}
	checkpoint(t, s, 1, q)
	if q.Dirty() {
		t.Error("dirty after the checkpoint")
	}
	q.Next() // delivering is no change of what is stored
	c := s.Checkpoint()
	c.Queue(q)
	if len(c.queues) != 0 {
		t.Error("a clean queue was copied")
	}
	q.Settle(chunkSlots) // first position of the first chunk
	c.Queue(q)
	if len(c.chunks) != 1 || c.chunks[0].entries != nil || !c.chunks[0].writeBitmaps {
		t.Errorf("one settled entry copied %d chunks: %+v", len(c.chunks), c.chunks)
	}
}

func TestAbandonedCheckpointLosesNothing(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, chunkSlots+10)
	s.Checkpoint().Queue(q)
	if !q.Dirty() {
		t.Error("clean, though nothing was committed")
	}
	q.SettleRange(5, 5)
	s.Checkpoint().Queue(q)
	checkpoint(t, s, 1, q)
	if n := len(lsns(load(t, s, 1))); n != chunkSlots+9 {
		t.Errorf("%d entries stored", n)
	}
}

// TestCopyIsUntouchedByWhatComesAfterIt has the page, whose entries the checkpoint
// shares, run empty and serve again before the checkpoint is written.
func TestCopyIsUntouchedByWhatComesAfterIt(t *testing.T) {
	s := openStore(t, t.TempDir())
	q := checked(t, s.NewQueue(1))
	fill(q, 1, minSlots)
	c := s.Checkpoint()
	c.Queue(q)
	q.SettleRange(1, minSlots)
	before := q.open.number
	for i := range minSlots {
		q.Push(Item{LSN: segment.LSN(1000 + 7*i), Size: 1})
	}
	if q.open.number == before || len(q.chunks) != 1 {
		t.Fatal("the page does not serve again")
	}
	if err := c.Commit(minSlots); err != nil {
		t.Fatal(err)
	}
	for i, lsn := range lsns(load(t, s, 1)) {
		if lsn != segment.LSN(i+1) {
			t.Errorf("entry %d of the copy is %d", i, lsn)
		}
	}
	checkpoint(t, s, 2000, q)
	if n := len(lsns(load(t, s, 1))); n != minSlots {
		t.Errorf("%d entries stored", n)
	}
}

func TestCommitsOutOfOrderAreRefused(t *testing.T) {
	s := openStore(t, t.TempDir())
	old, c := s.Checkpoint(), s.Checkpoint()
	if err := c.Commit(10); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"overtaken":  old.Commit(20),
		"twice":      c.Commit(20),
		"mark falls": s.Checkpoint().Commit(9),
	} {
		if err == nil {
			t.Errorf("%s: committed", name)
		}
	}
	if s.Mark() != 10 {
		t.Errorf("mark %d", s.Mark())
	}
}

// TestCheckpointsRunBesideTheQueue has an owner change a queue while another
// goroutine commits: the race detector watches what they share.
func TestCheckpointsRunBesideTheQueue(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open(Config{Dir: "index", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	q, done := s.NewQueue(1), make(chan struct{})
	go func() {
		defer close(done)
		for lsn := segment.LSN(1); lsn <= 60_000; lsn++ {
			mu.Lock()
			q.Push(Item{LSN: lsn, Size: uint32(lsn)})
			// Alternately a queue that keeps up, and one that falls behind.
			for q.Ready() > 0 && (lsn>>12)%3 != 0 {
				e, _ := q.Next()
				q.Settle(e.Position)
			}
			mu.Unlock()
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		c := s.Checkpoint()
		mu.Lock()
		mark := q.Last()
		c.Queue(q)
		mu.Unlock()
		if err := c.Commit(mark); err != nil {
			t.Fatal(err)
		}
	}
	want := lsns(q)
	got := lsns(load(t, s, 1))
	if len(got) != len(want) || s.Mark() != 60_000 {
		t.Errorf("%d entries stored up to %d, want %d", len(got), s.Mark(), len(want))
	}
	for _, err := range s.Check() {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestBigObjectComesBack(t *testing.T) {
	s := openStore(t, t.TempDir())
	c := s.Checkpoint()
	big := bytes.Repeat([]byte("x"), 1<<20)
	c.PutObject(ObjectKey{1, 1}, big)
	if err := c.Commit(1); err != nil {
		t.Fatal(err)
	}
	if err := s.Objects(func(_ ObjectKey, v []byte) error {
		if !bytes.Equal(v, big) {
			t.Error("big value came back changed")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
