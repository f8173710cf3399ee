package wal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Disk is what the log asks of a disk when it writes: the seam where tests make it fail. A nil field
// means the operating system's.
type Disk struct {
	WriteAt  func(file *os.File, p []byte, offset int64) (int, error)
	Datasync func(file *os.File) error
	// Allocate gives an empty file size bytes of zeros that are on disk, so that later writes and
	// syncs change no metadata. It calls rest whenever some more are, which holds it back while others need the
	// disk; an error of rest ends it.
	Allocate func(file *os.File, size int64, rest func(written int64) error) error
	// Free is how many bytes the file system of a folder has room for.
	Free func(folder string) (uint64, error)
}

func (d Disk) withDefaults() Disk {
	if d.WriteAt == nil {
		d.WriteAt = (*os.File).WriteAt
	}
	if d.Datasync == nil {
		d.Datasync = datasync
	}
	if d.Allocate == nil {
		d.Allocate = allocate
	}
	if d.Free == nil {
		d.Free = Free
	}
	return d
}

// writeFull is WriteAt that takes a short write for the failure it is.
func (d Disk) writeFull(file *os.File, p []byte, offset int64) error {
	n, err := d.WriteAt(file, p, offset)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %s at %d: %w", file.Name(), offset, err)
	}
	return nil
}

func (d Disk) sync(file *os.File) error {
	if err := d.Datasync(file); err != nil {
		return fmt.Errorf("fdatasync %s: %w", file.Name(), err)
	}
	return nil
}

func datasync(file *os.File) error {
	for {
		if err := unix.Fdatasync(int(file.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// zeros is never written to: it costs the kernel's one zero page. As much is written at once: little enough not
// to keep others from the disk for long.
var zeros [256 << 10]byte

// allocate reserves the blocks first, which fails at once on a full disk, and then writes zeros, so
// that no block is left in the state "reserved, not written", whose first write costs a journal
// entry. The size grows with the zeros: a file of full size is a finished one.
func allocate(file *os.File, size int64, rest func(int64) error) error {
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	for at := int64(0); at < size; at += int64(len(zeros)) {
		n := min(int64(len(zeros)), size-at)
		if _, err := file.WriteAt(zeros[:n], at); err != nil {
			return err
		}
		if err := writeBack(file, at, n); err != nil {
			return err
		}
		if err := rest(n); err != nil {
			return err
		}
	}
	return datasync(file)
}

// writeBack begins to bring a part of a file to disk, and waits for the part of the same size before it: never much
// is under way, which others would have to wait behind, nor ever nothing. It is data alone: one commit of the file
// system's journal when all is written is enough.
func writeBack(file *os.File, at, n int64) error {
	err := unix.SyncFileRange(int(file.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
	if before := max(at-n, 0); err == nil && before < at {
		err = unix.SyncFileRange(int(file.Fd()), before, at-before,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ESPIPE) {
		return nil // the sync at the end does it all
	}
	return err
}

// Free is how many bytes the file system of a folder has room for, for a process without privileges.
func Free(folder string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", folder, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// noRoom reports whether err says that the disk, or the user's share of it, has no room for a file at present, or
// the process none for another descriptor or mapping. Any other error of a disk is its failure.
func noRoom(err error) bool {
	for _, want := range []error{unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}
