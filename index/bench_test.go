package index

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func BenchmarkPush(b *testing.B) {
	s := openBench(b)
	q, lsn := s.NewQueue(1), segment.LSN(0)
	b.ReportAllocs()
	for b.Loop() {
		if lsn++; lsn%(1<<20) == 0 {
			q = s.NewQueue(1) // memory, not time, is short
		}
		q.Push(Item{LSN: lsn, Size: 100})
	}
}

// BenchmarkPushNextSettle has a window of entries in the queue, as consumers do.
func BenchmarkPushNextSettle(b *testing.B) {
	for _, window := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			q := openBench(b).NewQueue(1)
			positions, lsn := make([]Position, window), segment.LSN(0)
			b.ReportAllocs()
			for b.Loop() {
				lsn++
				q.Push(Item{LSN: lsn, Size: 100})
				e, _ := q.Next()
				at := &positions[int(lsn)%window]
				q.Settle(*at)
				*at = e.Position
			}
		})
	}
}

// BenchmarkPushNextSettleWithDeadlines is a queue that keeps up well within its time
// to live, as most do.
func BenchmarkPushNextSettleWithDeadlines(b *testing.B) {
	const window, timeToLive = 100, 60_000
	q := openBench(b).NewQueue(1)
	positions, lsn := make([]Position, window), segment.LSN(0)
	b.ReportAllocs()
	for b.Loop() {
		lsn++
		now := int64(lsn >> 7) // 128 a millisecond
		q.Push(Item{LSN: lsn, Size: 100, Deadline: now + timeToLive})
		if next, ok := q.NextDeadline(); ok && next <= now {
			q.Due(now)
		}
		e, _ := q.Next()
		at := &positions[int(lsn)%window]
		q.Settle(*at)
		*at = e.Position
	}
}

// BenchmarkDue expires a queue that nobody consumes: an entry a push.
func BenchmarkDue(b *testing.B) {
	q := openBench(b).NewQueue(1)
	lsn := segment.LSN(0)
	b.ReportAllocs()
	for b.Loop() {
		lsn++
		q.Push(Item{LSN: lsn, Size: 100, Deadline: int64(lsn>>7) + 1000})
		for e, ok := q.Due(int64(lsn >> 7)); ok; e, ok = q.Due(int64(lsn >> 7)) {
			q.Settle(e.Position)
		}
	}
}

// BenchmarkDueInBacklog expires ten entries spread over ten million that are paged
// out and are not due: ns/entry is the price of one.
func BenchmarkDueInBacklog(b *testing.B) {
	const n, spread, later = 10_000_000, 10, 1 << 40
	s := openBench(b)
	q := s.NewQueue(1)
	for i := range n {
		it := Item{LSN: segment.LSN(i + 1), Size: 100, Deadline: later + int64(i)}
		if i%(n/spread) == 0 {
			it.Deadline = 1000
		}
		q.Push(it)
		if i%(1<<20) == 0 {
			checkpoint(b, s, 1, q)
		}
	}
	checkpoint(b, s, 1, q)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		q, err := s.LoadQueue(1)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if got := len(dueLSNs(q, 1000)); got != spread {
			b.Fatal(got, q.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/spread, "ns/entry")
}

// BenchmarkNothingDueInBacklog is what a clock that moves on costs ten million
// entries that are not due, if one in flight makes them look so.
func BenchmarkNothingDueInBacklog(b *testing.B) {
	s := backlog(b, 10_000_000)
	q, err := s.LoadQueue(1)
	if err != nil {
		b.Fatal(err)
	}
	q.Push(Item{LSN: q.Last() + 1, Deadline: 1 << 60})
	b.ReportAllocs()
	for now := int64(1); b.Loop(); now++ {
		q.expiry.due = now // as if an entry with this deadline had left
		if _, ok := q.Due(now); ok {
			b.Fatal("due")
		}
	}
}

func BenchmarkRequeue(b *testing.B) {
	q := openBench(b).NewQueue(1)
	fill(q, 1, chunkSlots)
	b.ReportAllocs()
	for b.Loop() {
		e, _ := q.Next()
		q.Requeue(e.Position)
	}
}

func BenchmarkSettleRangeOfOne(b *testing.B) {
	q := openBench(b).NewQueue(1)
	lsn := segment.LSN(0)
	fill(q, 1, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		lsn++
		q.Push(Item{LSN: lsn + 100_000, Size: 100})
		q.SettleRange(lsn, lsn)
	}
}

// BenchmarkCheckpoint stores 10,000 queues: all changed a little, and none changed.
func BenchmarkCheckpoint(b *testing.B) {
	for _, pushes := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("queues=10000/pushes=%d", pushes), func(b *testing.B) {
			s := openBench(b)
			var queues []*Queue
			for id := range segment.QueueID(10_000) {
				queues = append(queues, s.NewQueue(id+1))
			}
			lsn := segment.LSN(0)
			round := func() {
				for range pushes {
					for _, q := range queues {
						lsn++
						q.Push(Item{LSN: lsn, Size: 100})
						if e, ok := q.Next(); ok && lsn%2 == 0 {
							q.Settle(e.Position)
						}
					}
				}
				checkpoint(b, s, lsn, queues...)
			}
			round()
			b.ReportAllocs()
			for b.Loop() {
				round()
			}
		})
	}
}

// BenchmarkCopyBacklog is what the owner of a queue waits for when a checkpoint
// copies it: here 256 new chunks, a million entries.
func BenchmarkCopyBacklog(b *testing.B) {
	s := openBench(b)
	lsn := 1
	for b.Loop() {
		b.StopTimer()
		q := s.NewQueue(1)
		fill(q, lsn, 1<<20)
		lsn += 1 << 20
		c := s.Checkpoint()
		b.StartTimer()
		c.Queue(q)
	}
}

// backlog stores a queue with n entries and returns its store.
func backlog(b *testing.B, n int) *Store {
	b.Helper()
	s := openBench(b)
	q := s.NewQueue(1)
	for at := 1; at <= n; at += 1 << 20 {
		fill(q, at, min(1<<20, n+1-at))
		checkpoint(b, s, segment.LSN(at), q)
	}
	return s
}

// BenchmarkLoadQueue is what a restart pays for a backlog: load and Recover.
func BenchmarkLoadQueue(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			s := backlog(b, n)
			b.ReportAllocs()
			for b.Loop() {
				q, err := s.LoadQueue(1)
				if err != nil || q.Ready() != n {
					b.Fatal(q.Ready(), err)
				}
				q.Recover(false)
				q.Head()
			}
		})
	}
}

// BenchmarkPageThrough consumes a stored backlog from end to end; ns/entry counts.
func BenchmarkPageThrough(b *testing.B) {
	const n = 1_000_000
	s := backlog(b, n)
	b.ReportAllocs()
	for b.Loop() {
		q, err := s.LoadQueue(1)
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			e, ok := q.Next()
			if !ok || !q.Settle(e.Position) {
				b.Fatal(q.Err())
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entry")
}

func BenchmarkPurgeBacklog(b *testing.B) {
	s := backlog(b, 10_000_000)
	for b.Loop() {
		q, err := s.LoadQueue(1)
		if err != nil {
			b.Fatal(err)
		}
		if n := q.Purge(func(_, _ segment.LSN) {}); n != 10_000_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkOpenEmpty is the making of a view, and the opening of one.
func BenchmarkOpenEmpty(b *testing.B) {
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(Config{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			_ = s.Close()
		}
	})
	b.Run("again", func(b *testing.B) {
		dir := b.TempDir()
		b.ReportAllocs()
		for b.Loop() {
			s, err := Open(Config{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			_ = s.Close()
		}
	})
}
