package index_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
)

// A copy is a view as of the last checkpoint, and what comes later does not change it.
func TestACopyIsAViewOfTheLastCheckpoint(t *testing.T) {
	store, err := index.Open(index.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	queues := map[segment.QueueID]*index.Queue{}
	push := func(id segment.QueueID, level byte, lsns ...segment.LSN) {
		q := queues[id]
		if q == nil {
			q = store.NewLevel(id, level)
			queues[id] = q
		}
		for _, lsn := range lsns {
			q.Push(index.Item{LSN: lsn, Size: 10})
		}
	}
	commit := func(mark segment.LSN) {
		c := store.Checkpoint()
		for _, q := range queues {
			c.Queue(q)
		}
		if err := c.Commit(mark); err != nil {
			t.Fatal(err)
		}
	}
	push(3, 0, 10, 11)
	push(7, 2, 11, 12, 13)
	push(1<<40, 0, 14)
	commit(14)
	push(3, 0, 15)

	dir := filepath.Join(t.TempDir(), "copy")
	mark, err := store.CopyTo(dir)
	if err != nil || mark != 14 {
		t.Fatalf("mark %d: %v", mark, err)
	}
	if _, err := store.CopyTo(dir); err == nil {
		t.Error("copied to a folder that is there")
	}
	commit(15)

	found, err := index.Open(index.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for _, err := range found.Check() {
		t.Error(err)
	}
	var ids []segment.QueueID
	for id, err := range found.QueueIDs() {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if !slices.Equal(ids, []segment.QueueID{3, 7, 1 << 40}) {
		t.Errorf("queues %v", ids)
	}
	q, err := found.LoadQueue(3)
	if err != nil || found.Mark() != 14 || q.Ready() != 2 {
		t.Errorf("mark %d, %d messages: %v", found.Mark(), q.Ready(), err)
	}
	if err := found.Checkpoint().Commit(20); err == nil {
		t.Error("what was opened for reading was written to")
	}
}

func TestReadingAViewThatIsNotThereMakesNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if store, err := index.Open(index.Config{Dir: dir, ReadOnly: true}); err == nil {
		store.Close()
		t.Error("opened")
	}
}
