package wal

import "errors"

var (
	// ErrStopped marks the refusal of a log whose write or fdatasync failed, which is never retried.
	ErrStopped = errors.New("log stopped")
	// ErrFull marks an append that found no room for a new segment: the disk is full, or the process has no
	// descriptor or memory left to open a file with. Nothing was written; the log goes on once there is room.
	// Vital batches have room for longer.
	ErrFull = errors.New("no space for a new segment")
	// ErrClosed marks the use of a log that was closed or not yet started.
	ErrClosed = errors.New("log is not open for appending")
	// ErrUnreadable marks bytes of a file that the system could not bring in: the file was cut short, or its
	// disk failed. It is no verdict about what stands there: the disk may be mended.
	ErrUnreadable = errors.New("file cannot be read: it was cut short, or its disk failed")
	// ErrGone marks a record that Retire or Relocate has removed.
	ErrGone = errors.New("record is gone")
	// ErrNotWritten marks a record number beyond the last.
	ErrNotWritten = errors.New("record is not written yet")
)
