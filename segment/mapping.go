package segment

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Mapping is a segment file seen through memory, read only. Its maker owns one lease; readers take
// and release their own. The memory goes away with the last lease, never by force. What the file's
// owner writes with pwrite is seen through the mapping at once.
type Mapping struct {
	data   []byte
	leases atomic.Int64 // 0 = unmapped, for ever
}

// Map maps the first size bytes of file, which may be closed afterwards.
func Map(file *os.File, size int64) (*Mapping, error) {
	data, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", file.Name(), err)
	}
	m := &Mapping{data: data}
	m.leases.Store(1)
	return m, nil
}

// Bytes is the mapped memory; it holds while the caller has a lease.
func (m *Mapping) Bytes() []byte { return m.data }

// Acquire takes a lease; false when the mapping is gone.
func (m *Mapping) Acquire() bool {
	for {
		n := m.leases.Load()
		if n == 0 {
			return false
		}
		if m.leases.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a lease back; the last one unmaps.
func (m *Mapping) Release() {
	switch n := m.leases.Add(-1); {
	case n == 0:
		m.unmap()
	case n < 0:
		panic("segment: mapping released more often than acquired")
	}
}

// ReleaseLast gives the caller's lease back only when it is the last, and unmaps then; true means
// that nobody reads the memory or ever will, so the file's bytes may be reused.
func (m *Mapping) ReleaseLast() bool {
	if !m.leases.CompareAndSwap(1, 0) {
		return false
	}
	m.unmap()
	return true
}

// Cool takes the pages that were read out of the process's memory. They stay in the kernel's cache as long as it
// has room for them, and come back when they are read again. The caller has a lease; others may read meanwhile.
func (m *Mapping) Cool() error { return unix.Madvise(m.data, unix.MADV_DONTNEED) }

// ReadAhead says whether the kernel brings in what stands around a page that is read, which it does by itself. It
// concerns all readers.
func (m *Mapping) ReadAhead(on bool) error {
	advice := unix.MADV_RANDOM
	if on {
		advice = unix.MADV_NORMAL
	}
	return unix.Madvise(m.data, advice)
}

func (m *Mapping) unmap() {
	if err := giveBack(m.data); err != nil {
		panic(fmt.Sprintf("segment: munmap of our own mapping: %v", err))
	}
}
