package wal

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/millrace-mq/millrace/segment"
)

// unsyncedDisk leaves syncs out, for speed; what a crash takes is for losePower to decide. It is the
// default of openLog.
func unsyncedDisk() Disk {
	return Disk{
		Datasync: func(*os.File) error { return nil },
		Allocate: func(file *os.File, size int64, _ func(int64) error) error { return file.Truncate(size) },
	}
}

// realDisk is the operating system's, for tests that want its syncs.
func realDisk() Disk { return Disk{}.withDefaults() }

// clone copies the log's directory as a crash of the process would leave it.
func clone(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	cloneInto(t, from, to)
	return to
}

func cloneInto(t testing.TB, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a spare on its way
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, entry.Name()), data, 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// segmentPaths lists the segment files of a directory, oldest first.
func segmentPaths(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, entry := range entries {
		if parseName(entry.Name()).kind == segmentKind {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths
}

// edit changes a file's bytes in place.
func edit(t testing.TB, path string, change func(data []byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o640); err != nil {
		t.Fatal(err)
	}
}

func flip(offset int) func([]byte) []byte {
	return func(data []byte) []byte {
		data[offset] ^= 0x55
		return data
	}
}

// unseal takes the trailer away, as if a crash had come before the footer.
func unseal(data []byte) []byte {
	clear(data[len(data)-segment.TrailerSize:])
	return data
}

// batches returns the batch headers of a segment's bytes with their offsets.
func batches(t testing.TB, data []byte) (offsets []int, headers []segment.BatchHeader) {
	t.Helper()
	h, err := segment.ParseHeader(data)
	if err != nil {
		return nil, nil
	}
	for at := segment.HeaderSize; ; {
		b, ok := segment.PeekBatch(data, at, h.Epoch)
		if !ok {
			return offsets, headers
		}
		offsets, headers = append(offsets, at), append(headers, b)
		at += b.Length
	}
}

// losePower damages what no sync covered: each batch past durable is kept, lost or torn as chance has
// it.
func losePower(t testing.TB, dir string, durable segment.LSN, chance *rand.Rand) {
	t.Helper()
	for _, path := range segmentPaths(t, dir) {
		edit(t, path, func(data []byte) []byte {
			offsets, headers := batches(t, data)
			for i, at := range offsets {
				if headers[i].First <= durable {
					continue
				}
				batch := data[at : at+headers[i].Length]
				switch chance.IntN(4) {
				case 0:
					clear(batch)
				case 1:
					clear(batch[chance.IntN(len(batch)):])
				case 2:
					clear(batch[:chance.IntN(len(batch))])
				}
			}
			return data
		})
	}
}

// await lets other goroutines run until done holds.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for !done() {
		if t.Context().Err() != nil {
			t.Fatalf("test ended while waiting: %s", what)
		}
		runtime.Gosched()
	}
}

// verify fails the test for every fault in the log.
func verify(t testing.TB, dir string) Report {
	t.Helper()
	report, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Faults {
		t.Errorf("verify: %v", f)
	}
	return report
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	verify(t, l.cfg.Dir)
}
