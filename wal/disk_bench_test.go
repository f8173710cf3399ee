package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// BenchmarkGroupCommit is publishers that wait for the sync of each record: the syncs that they share are what
// makes many of them fast.
func BenchmarkGroupCommit(b *testing.B) {
	for _, publishers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			var syncs atomic.Int64
			disk := realDisk()
			sync := disk.Datasync
			disk.Datasync = func(file *os.File) error {
				syncs.Add(1)
				return sync(file)
			}
			l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: benchSegmentSize, Disk: disk})
			b.ResetTimer()
			publishTogether(b, l, publishers)
			b.StopTimer()
			b.ReportMetric(float64(b.N)/float64(syncs.Load()), "records/sync")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// publishTogether has b.N records of 1 KiB appended and synced, each by one of so many goroutines.
func publishTogether(b *testing.B, l *Log, publishers int) {
	var running sync.WaitGroup
	for i := range publishers {
		running.Go(func() {
			body := make([]byte, 1024)
			var batch segment.Batch
			for n := i; n < b.N; n += publishers {
				fillBatch(&batch, 1, 1024, body)
				batch.Durable = true
				var last segment.LSN
				err := l.Append(&batch, func(first segment.LSN) { last = first })
				if err == nil {
					err = l.SyncTo(b.Context(), last)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}

// BenchmarkColdRead reads records of 1 KiB that are on the disk only, and in the kernel's cache only.
func BenchmarkColdRead(b *testing.B) {
	dir, last := filled(b, 256<<20)
	l := openOnly(b, Config{Dir: dir})
	chill := func(b *testing.B, disk bool) {
		for _, s := range l.list() {
			s.warm.Store(true)
		}
		l.coolOnce()
		if disk {
			dropCache(b, segmentPaths(b, dir))
		}
	}
	for _, disk := range []bool{true, false} {
		from := map[bool]string{true: "disk", false: "cache"}[disk]
		b.Run("in order/"+from, func(b *testing.B) {
			v := l.NewView()
			b.SetBytes(1024)
			for b.Loop() {
				b.StopTimer()
				chill(b, disk)
				b.StartTimer()
				for lsn := l.First(); lsn <= last; lsn++ {
					readOne(b, v, lsn)
				}
				v.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(last), "ns/record")
			b.SetBytes(int64(last) * 1024)
		})
		b.Run("anywhere/"+from, func(b *testing.B) {
			v, random := l.NewView(), rand.New(rand.NewPCG(1, 2))
			const reads = 1000
			for b.Loop() {
				b.StopTimer()
				chill(b, disk)
				b.StartTimer()
				for range reads {
					readOne(b, v, 1+segment.LSN(random.Uint64N(uint64(last))))
				}
				v.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/reads, "ns/record")
		})
	}
}

// BenchmarkOpen is a start on a log that was closed, from the kernel's cache and from the disk. What grows with the
// log is the number of files, and not what is read of each.
func BenchmarkOpen(b *testing.B) {
	body := make([]byte, 16)
	for _, files := range []int{10, 100, 1000} {
		l := openLog(b, Config{Dir: b.TempDir(), SegmentSize: 1 << 20, Disk: realDisk(), Sync: SyncOS})
		var batch segment.Batch
		for len(l.list()) < files {
			fillBatch(&batch, 500, len(body), append(body, make([]byte, 20)...))
			if err := l.Append(&batch, nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		for _, from := range []string{"cache", "disk"} {
			b.Run(fmt.Sprintf("files=%d/%s", files, from), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					if from == "disk" {
						dropCache(b, segmentPaths(b, l.cfg.Dir))
					}
					b.StartTimer()
					again, err := Open(l.cfg)
					if err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					again.release()
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*files), "us/file")
			})
		}
	}
}

var benchSum byte

func readOne(b *testing.B, v *View, lsn segment.LSN) {
	record, err := v.Record(lsn)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(record); i += 64 {
		benchSum += record[i]
	}
}

// dropCache has the kernel forget what it has of the files.
func dropCache(b *testing.B, paths []string) {
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			b.Fatal(err)
		}
		file.Close()
	}
}

// BenchmarkWriteWay is the choice between pwrite and a writable mapping for appending, each into a file whose
// blocks are zeroed on disk and in the kernel's cache, as spares are.
func BenchmarkWriteWay(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, syncEvery := range []int{0, 1, 16} {
			for _, mapped := range []bool{false, true} {
				way := map[bool]string{false: "pwrite", true: "mapped"}[mapped]
				b.Run(fmt.Sprintf("size=%d/sync every=%d/%s", size, syncEvery, way), func(b *testing.B) {
					writeWay(b, size, syncEvery, mapped)
				})
			}
		}
	}
}

// writeWay writes a segment's worth again and again, each time into a fresh file. Making it is not measured.
func writeWay(b *testing.B, size, syncEvery int, mapped bool) {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i)
	}
	var file freshFile
	at := int64(benchSegmentSize)
	b.SetBytes(int64(size))
	n := 0
	for b.Loop() {
		if at+int64(size) > benchSegmentSize {
			b.StopTimer()
			file.remove(b)
			file, at = makeFresh(b), 0
			b.StartTimer()
		}
		if mapped {
			copy(file.data[at:], p)
		} else if _, err := file.WriteAt(p, at); err != nil {
			b.Fatal(err)
		}
		at += int64(size)
		if n++; syncEvery > 0 && n%syncEvery == 0 {
			if err := datasync(file.File); err != nil {
				b.Fatal(err)
			}
		}
	}
	file.remove(b)
}

// freshFile is a file as spares are, mapped for writing.
type freshFile struct {
	*os.File
	data []byte
}

func makeFresh(b *testing.B) freshFile {
	file, err := os.CreateTemp(b.TempDir(), "*"+segmentSuffix)
	if err == nil {
		err = allocate(file, benchSegmentSize, func(int64) error { return nil })
	}
	if err != nil {
		b.Fatal(err)
	}
	data, err := unix.Mmap(int(file.Fd()), 0, benchSegmentSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		b.Fatal(err)
	}
	return freshFile{file, data}
}

func (f freshFile) remove(b *testing.B) {
	if f.File == nil {
		return
	}
	if err := errors.Join(unix.Munmap(f.data), f.Close(), os.Remove(f.Name())); err != nil {
		b.Fatal(err)
	}
}
