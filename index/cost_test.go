package index

import (
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/millrace-mq/millrace/segment"
)

// heap returns what make leaves on the heap.
func heap(make func() any) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := make()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

func TestIdleQueuesAreCheap(t *testing.T) {
	const queues = 2000
	for _, c := range []struct {
		name    string
		entries int // pushed before the queue goes idle
		settle  bool
		limit   int // bytes a queue
	}{
		{"never used", 0, false, 400},
		{"drained", 500, true, 400},
		{"a few entries", 5, false, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			all := make([]*Queue, 0, queues)
			each := heap(func() any {
				for id := range queues {
					q := s.NewQueue(segment.QueueID(id + 1))
					fill(q, 1, c.entries)
					if c.settle {
						q.Purge(func(_, _ segment.LSN) {})
					}
					all = append(all, q)
				}
				for some := range slices.Chunk(all, 50) { // Pebble keeps the memory of big batches
					checkpoint(t, s, 1, some...)
				}
				checkpoint(t, s, 1, all...)
				s.commit.spare = buffers{}
				return all
			}) / queues
			t.Logf("%d bytes a queue", each)
			if each > c.limit {
				t.Errorf("%d bytes a queue, want at most %d", each, c.limit)
			}
		})
	}
}

// TestBacklogCostsItsDirectory holds the arithmetic of the design: 24 bytes a
// thousand entries. That pages leave is TestStoredBacklogIsPagedOut's to show.
func TestBacklogCostsItsDirectory(t *testing.T) {
	if size := unsafe.Sizeof(chunk{}); size > 96 {
		t.Errorf("directory entry takes %d bytes", size)
	}
	if size := unsafe.Sizeof(page{}); size > 128 {
		t.Errorf("page takes %d bytes and its columns", size)
	}
	if size := unsafe.Sizeof(Queue{}); size > 224 {
		t.Errorf("queue takes %d bytes and its chunks", size)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, c := range []struct {
		name string
		run  func(q *Queue, lsn segment.LSN)
	}{
		{"push", func(q *Queue, lsn segment.LSN) { q.Push(Item{LSN: lsn, Size: 100}) }},
		{"push, next, settle", func(q *Queue, lsn segment.LSN) {
			q.Push(Item{LSN: lsn, Size: 100, Transient: lsn%2 == 0})
			e, _ := q.Next()
			q.Settle(e.Position)
		}},
		{"push with a deadline, next, settle", func(q *Queue, lsn segment.LSN) {
			q.Push(Item{LSN: lsn, Size: 100, Deadline: int64(lsn)})
			e, _ := q.Next()
			q.Settle(e.Position)
			q.NextDeadline()
		}},
		{"push with a deadline, due, settle", func(q *Queue, lsn segment.LSN) {
			q.Push(Item{LSN: lsn, Size: 100, Deadline: int64(lsn)})
			e, _ := q.Due(int64(lsn))
			q.Settle(e.Position)
		}},
		{"push, next, requeue counted, settle the head", func(q *Queue, lsn segment.LSN) {
			q.Push(Item{LSN: lsn, Size: 100})
			e, _ := q.Next()
			q.RequeueCounted(e.Position)
			head, _ := q.Head()
			q.SettleRange(head, head)
		}},
		{"push, next, requeue, peek, settle the head", func(q *Queue, lsn segment.LSN) {
			q.Push(Item{LSN: lsn, Size: 100})
			e, _ := q.Next()
			q.Requeue(e.Position)
			q.Peek()
			head, _ := q.Head()
			q.SettleRange(head, head)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := checked(t, s.NewQueue(1))
			fill(q, 1, 100)
			lsn := q.Last()
			// A chunk costs some allocations: they must vanish over its entries.
			got := testing.AllocsPerRun(10, func() {
				for range 10 * chunkSlots {
					lsn++
					c.run(q, lsn)
				}
			}) / (10 * chunkSlots)
			if got > 0.01 {
				t.Errorf("%.4f allocations an operation", got)
			}
		})
	}
}
