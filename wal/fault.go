package wal

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/millrace-mq/millrace/segment"
)

// A mapped byte that cannot be brought in (the file was cut short under us, or its disk failed) is a signal,
// which ends the process unless the goroutine has said otherwise. The three functions here make it an error that
// matches ErrUnreadable and tells file and offset. Whoever reads records goes through one of them; a goroutine
// that reads all the time calls debug.SetPanicOnFault once and asks View.Fault in a deferred function, which
// costs nothing for each record.

// Read calls fn with a record, and returns as an error what could not be read, in Record or in fn. The record
// holds until Release, but its bytes may be as unreadable later.
func (v *View) Read(lsn segment.LSN, fn func(segment.Record) error) error {
	got := false
	read := func(segment.Record) error {
		record, err := v.Record(lsn)
		if err != nil {
			return err
		}
		got = true
		return fn(record)
	}
	err := v.use(nil, read)
	if err != nil && !got && errors.Is(err, ErrUnreadable) {
		err = v.use(nil, read) // see Fault
	}
	return err
}

// use calls fn with a record that the view has given.
func (v *View) use(record segment.Record, fn func(segment.Record) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = v.Fault(r)
		}
	}()
	return fn(record)
}

// Fault makes an error of what a panic was recovered with, if that came from a record's bytes which the view
// holds, and panics again if not. If it came from the tables that tell where records are, those have others in their
// place by now: it is worth while to read the record once more.
func (v *View) Fault(recovered any) error {
	for _, s := range v.held {
		if at, ok := s.mapping.FaultOffset(recovered); ok {
			s.faulted(at)
			return unreadable(s.path, at)
		}
	}
	panic(recovered)
}

// guarded calls fn, which reads mappings that are not held by a view. of says, for those that it may read,
// which file each of them is of.
func guarded(of func(found func(path string, m *segment.Mapping)), fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		of(func(path string, m *segment.Mapping) {
			if m == nil {
				return
			}
			if at, ok := m.FaultOffset(r); ok {
				err = unreadable(path, at)
			}
		})
		if err == nil {
			panic(r)
		}
	}()
	return fn()
}

// guarded calls fn, which reads the segment.
func (s *segmentFile) guarded(fn func() error) error {
	return guarded(func(found func(string, *segment.Mapping)) { found(s.path, s.mapping) }, fn)
}

func unreadable(path string, at int64) error {
	return fmt.Errorf("%s at %d: %w", path, at, ErrUnreadable)
}
