package broker_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/millrace-mq/millrace/wal"
)

// machine is a computer whose power can be cut. It knows of each file of the log what is safely on disk, what was
// written since, and under which names files stood since the folder was last synced; for the index Pebble's own
// file system in memory knows that. A cut leaves what is safe, and of the rest any part that a disk may leave:
// pages old, new or of a moment in between, torn at any sector; names in any prefix of the order in which they
// changed.
type machine struct {
	t     testing.TB
	log   string // folder
	index string
	mem   *vfs.MemFS

	mu struct {
		sync.Mutex
		files map[uint64]*image // by inode
		names []map[string]uint64
		event func() // called before each operation; nil does nothing
	}
}

// image is a file as the disk has it.
type image struct {
	file   *os.File // keeps the inode from being used again
	safe   []byte
	writes []written
}

type written struct {
	at   int64
	data []byte
}

const (
	pageSize   = 4096
	sectorSize = 512
)

func newMachine(t testing.TB, data string) *machine {
	m := &machine{t: t, log: filepath.Join(data, "log"), index: filepath.Join(data, "index"), mem: vfs.NewCrashableMem()}
	m.mu.files = map[uint64]*image{}
	m.mu.names = []map[string]uint64{{}}
	if err := errors.Join(os.MkdirAll(m.log, 0o750), m.mem.MkdirAll(m.index, 0o750)); err != nil {
		t.Fatal(err)
	}
	for at := data; ; at = filepath.Dir(at) { // the folders themselves are made once, and synced then
		dir, err := m.mem.OpenDir(at)
		if err == nil {
			err = errors.Join(dir.Sync(), dir.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	t.Cleanup(func() {
		for _, image := range m.mu.files {
			image.file.Close()
		}
	})
	return m
}

// disk is where the log of the machine is.
func (m *machine) disk() wal.Disk {
	return wal.Disk{
		WriteAt: func(file *os.File, p []byte, at int64) (int, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			image := m.imageLocked(file)
			n, err := file.WriteAt(p, at)
			if image != nil {
				image.writes = append(image.writes, written{at, append([]byte(nil), p...)})
			}
			return n, err
		},
		Datasync: func(file *os.File) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			if image := m.imageLocked(file); image != nil {
				image.sync()
			} else {
				m.mu.names = m.mu.names[len(m.mu.names)-1:]
			}
			return nil
		},
		Allocate: func(file *os.File, size int64, _ func(int64) error) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			err := file.Truncate(size)
			m.imageLocked(file).safe = make([]byte, size)
			return err
		},
	}
}

// indexFS is where the index of the machine is.
func (m *machine) indexFS() vfs.FS {
	return errorfs.Wrap(m.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpCreate, errorfs.OpRename, errorfs.OpRemove:
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.mu.event != nil {
				m.lookLocked()
				m.mu.event()
			}
		}
		return nil
	}))
}

// imageLocked notes the names, tells of the event, and returns the file's image, nil for the folder.
func (m *machine) imageLocked(file *os.File) *image {
	m.lookLocked()
	if m.mu.event != nil {
		m.mu.event()
	}
	info, err := file.Stat()
	if err != nil {
		m.t.Error(err)
		return nil
	}
	return m.mu.files[inode(info)]
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// lookLocked notes under which names the files stand now.
func (m *machine) lookLocked() {
	entries, err := os.ReadDir(m.log)
	if err != nil {
		m.t.Error(err)
	}
	names := make(map[string]uint64, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // gone since
		}
		names[entry.Name()] = inode(info)
		if m.mu.files[inode(info)] != nil {
			continue
		}
		if file, err := os.Open(filepath.Join(m.log, entry.Name())); err == nil {
			m.mu.files[inode(info)] = &image{file: file}
		}
	}
	if last := m.mu.names[len(m.mu.names)-1]; !maps.Equal(names, last) {
		m.mu.names = append(m.mu.names, names)
	}
}

// sync makes everything written so far safe.
func (i *image) sync() {
	for _, w := range i.writes {
		i.safe = grown(i.safe, w.at+int64(len(w.data)))
		copy(i.safe[w.at:], w.data)
	}
	i.writes = nil
	if info, err := i.file.Stat(); err == nil {
		i.safe = grown(i.safe, info.Size())[:info.Size()]
	}
}

func grown(data []byte, size int64) []byte {
	if more := size - int64(len(data)); more > 0 {
		data = append(data, make([]byte, more)...)
	}
	return data
}

// left is what a cut leaves of the file.
func (i *image) left(chance *rand.Rand) []byte {
	data := append([]byte(nil), i.safe...)
	for _, w := range i.writes {
		data = grown(data, w.at+int64(len(w.data)))
	}
	unit, fate := pageSize, chance.IntN(4) // 0 all is lost, 1 all is there, 2 by pages, 3 torn
	if fate == 3 {
		unit = sectorSize
	}
	until := map[int64]int{} // of a unit: how many of the writes have reached the disk
	for n, w := range i.writes {
		for at := w.at; at < w.at+int64(len(w.data)); {
			number := at / int64(unit)
			end := min((number+1)*int64(unit), w.at+int64(len(w.data)))
			if _, ok := until[number]; !ok {
				until[number] = []int{0, len(i.writes), chance.IntN(len(i.writes) + 1), chance.IntN(len(i.writes) + 1)}[fate]
			}
			if n < until[number] {
				copy(data[at:end], w.data[at-w.at:])
			}
			at = end
		}
	}
	if info, err := i.file.Stat(); err == nil && info.Size() < int64(len(data)) && chance.IntN(2) == 0 {
		data = data[:info.Size()] // cut, and not synced yet
	}
	return data
}

// cutLocked leaves in a folder what a power cut at this moment would, and returns how to get at the index that
// belongs there: it stays in memory, for a test that syncs a real disk for each remains takes as long as that disk
// is busy. The names are taken first, the index last: names that the index's progress has changed since were not
// synced.
func (m *machine) cutLocked(folder string, chance *rand.Rand) (index func() (vfs.FS, error), err error) {
	names := m.mu.names[0]
	switch chance.IntN(3) {
	case 0:
		names = m.mu.names[len(m.mu.names)-1]
	case 1:
		names = m.mu.names[chance.IntN(len(m.mu.names))]
	}
	clone := m.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[chance.IntN(3)], RNG: chance})
	if err := os.MkdirAll(filepath.Join(folder, "log"), 0o750); err != nil {
		return nil, err
	}
	for name, inode := range names {
		if image := m.mu.files[inode]; image != nil {
			if err := os.WriteFile(filepath.Join(folder, "log", name), image.left(chance), 0o640); err != nil {
				return nil, err
			}
		}
	}
	return func() (vfs.FS, error) {
		fs := vfs.NewMem()
		ok, err := vfs.Clone(clone, fs, m.index, filepath.Join(folder, "index"))
		if err == nil && !ok {
			err = fmt.Errorf("%s is not there after a power cut", m.index)
		}
		return fs, err
	}, nil
}
