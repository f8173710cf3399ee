package segment

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func mapTestFile(t *testing.T) (*os.File, *Mapping) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	m, err := Map(file, 8192)
	if err != nil {
		t.Fatal(err)
	}
	return file, m
}

func TestMappingSeesWrites(t *testing.T) {
	file, m := mapTestFile(t)
	defer m.Release()
	if _, err := file.WriteAt([]byte("hello"), 5000); err != nil {
		t.Fatal(err)
	}
	if got := string(m.Bytes()[5000:5005]); got != "hello" {
		t.Fatalf("mapped %q", got)
	}
}

func TestMappingGoesWithItsLastLease(t *testing.T) {
	_, m := mapTestFile(t)
	if !m.Acquire() {
		t.Fatal("no lease on a fresh mapping")
	}
	if m.ReleaseLast() {
		t.Fatal("released as last while a reader holds a lease")
	}
	m.Release() // the owner's
	if m.Bytes()[0] != 0 {
		t.Fatal("memory changed under a lease")
	}
	if !m.ReleaseLast() {
		t.Fatal("the reader's lease was the last")
	}
	if m.Acquire() {
		t.Fatal("lease on a mapping that is gone")
	}
}

func TestMappingLeasesAreSafeToRace(t *testing.T) {
	_, m := mapTestFile(t)
	var readers sync.WaitGroup
	var gone atomic.Bool
	for range 4 {
		readers.Go(func() {
			for m.Acquire() {
				if gone.Load() {
					t.Error("lease after the mapping was given up")
				}
				_ = m.Bytes()[4096]
				m.Release()
			}
		})
	}
	for !m.ReleaseLast() {
	}
	gone.Store(true)
	readers.Wait()
}
