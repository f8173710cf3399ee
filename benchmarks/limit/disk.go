package limit

import (
	"context"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// ring is a file that is written from its beginning to its end over and over.
type ring struct {
	file *os.File
	size int64
	at   int64
}

// write writes the next bytes, at most as many as the file has.
func (r *ring) write(p []byte) error {
	if r.at+int64(len(p)) > r.size {
		r.at = 0
	}
	_, err := r.file.WriteAt(p, r.at)
	r.at += int64(len(p))
	return err
}

const writeSize = 1 << 20

// preallocate makes a file whose blocks are allocated and really written, as those of a log made ahead.
func preallocate(path string, size int64) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, writeSize)
	for at := int64(0); at < size && err == nil; at += writeSize {
		_, err = file.WriteAt(zeros[:min(writeSize, size-at)], at)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// syncs writes some bytes and waits until the disk has them, again and again.
func syncs(ctx context.Context, d time.Duration, to *ring, size int) (Result, error) {
	name := map[int]string{1 << 10: "write of 1 KiB and fdatasync", 64 << 10: "write of 64 KiB and fdatasync"}[size]
	times := hdrhistogram.New(1, int64(time.Hour), 3)
	bytes := make([]byte, size)
	start := time.Now()
	written := 0
	for time.Since(start) < d && ctx.Err() == nil {
		bytes[0]++
		before := time.Now()
		if err := to.write(bytes); err != nil {
			return Result{}, err
		}
		if err := unix.Fdatasync(int(to.file.Fd())); err != nil {
			return Result{}, os.NewSyscallError("fdatasync", err)
		}
		if err := times.RecordValue(int64(time.Since(before))); err != nil {
			return Result{}, err
		}
		written += size
	}
	at := func(percent float64) time.Duration { return time.Duration(times.ValueAtQuantile(percent)) }
	return Result{
		Name: name, Note: "a confirm that stands for a sync takes no less", Bytes: float64(written) / time.Since(start).Seconds(),
		P50: at(50), P99: at(99), P999: at(99.9),
	}, nil
}

// sequential writes as fast as it goes and then waits until the disk has all of it.
func sequential(ctx context.Context, d time.Duration, to *ring) (Result, error) {
	bytes := make([]byte, writeSize)
	start := time.Now()
	written := int64(0)
	for time.Since(start) < d && ctx.Err() == nil {
		bytes[0]++
		if err := to.write(bytes); err != nil {
			return Result{}, err
		}
		if written += writeSize; written%(64*writeSize) == 0 { // more than a disk's queue, less than the kernel holds back
			if err := unix.Fdatasync(int(to.file.Fd())); err != nil {
				return Result{}, os.NewSyscallError("fdatasync", err)
			}
		}
	}
	if err := unix.Fdatasync(int(to.file.Fd())); err != nil {
		return Result{}, os.NewSyscallError("fdatasync", err)
	}
	return Result{
		Name: "sequential write", Note: "1 MiB at once, fdatasync every 64 MiB and at the end", Bytes: float64(written) / time.Since(start).Seconds(),
	}, nil
}
