package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Reader reads a log directory that another process may be writing to: without its lock, and without changing
// anything. It shows all batches that are whole at the moment, those too that are not synced yet: a power cut may
// take them back, and nobody was promised anything about them.
//
// The other process retires files, replaces them, and uses them again while they are mapped here. So nothing that is read
// is believed before it has proved itself: a record is copied first, and is the one if the number and the checksum of the
// copy fit. Where they do not, a look at the file's name tells whether the file was given up, which happens before any of
// it is overwritten. Then the Reader looks for the file that has the records now.
//
// Its methods may be called by any goroutine; a Cursor has one user at a time.
type Reader struct {
	fileList
	dir string

	mu struct { // orders refreshes; held while files are opened and scanned
		sync.Mutex
		closed bool
		known  map[string]*readFile // by path
		tail   *readFile            // the newest, which may grow; nil = it is sealed, or there is none
		listed time.Time            // the directory's time before it was listed; zero = list it again
		faults []Fault              // of the last listing
		// Leases that are given back once the list is another.
		dropped []*segment.Mapping
	}
	passed struct { // a leaf
		sync.Mutex
		faults []Fault // that cursors came upon
	}
}

// readFile is a file that a Reader has opened.
type readFile struct {
	*candidate
	file *segmentFile // nil = not part of the log, or empty as yet
}

// OpenReader opens the log in dir for reading. What is damaged is told by Faults; the error is for a directory that
// cannot be read.
func OpenReader(dir string) (*Reader, error) {
	r := &Reader{dir: dir}
	r.reader, r.logger = r, slog.New(slog.DiscardHandler)
	var err error
	if r.cache, err = newBlockCache(); err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	r.segments.Store(&[]*segmentFile{})
	r.mu.known = map[string]*readFile{}
	if err := r.Refresh(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// Files describes the files of the log, oldest first. One that holds no record yet is not among them.
func (r *Reader) Files() []SegmentInfo { return r.infos() }

// Faults is what is wrong with the log as far as it shows without reading all of it, and what cursors came upon.
func (r *Reader) Faults() []Fault {
	r.mu.Lock()
	faults := slices.Clone(r.mu.faults)
	r.mu.Unlock()
	r.passed.Lock()
	defer r.passed.Unlock()
	return append(faults, r.passed.faults...)
}

// Close lets go of all files. Cursors that are open keep what they hold until they are closed, and find nothing more.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closed {
		return nil
	}
	r.mu.closed = true
	r.segments.Store(&[]*segmentFile{})
	for path := range r.mu.known {
		r.dropLocked(path)
	}
	r.mu.tail = nil
	r.releaseDroppedLocked()
	return nil
}

// Refresh takes notice of what has become of the log since: batches that were appended, files that came and went. When
// nothing has happened it costs two stats and a look at the end of the newest file.
func (r *Reader) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refreshLocked()
}

func (r *Reader) refreshLocked() error {
	if r.mu.closed {
		return fmt.Errorf("read log %s: %w", r.dir, os.ErrClosed)
	}
	info, err := os.Stat(r.dir)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if info.ModTime().Equal(r.mu.listed) && !r.mu.tail.replaced() {
		r.extendLocked()
		return nil
	}
	if err := r.listLocked(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	r.mu.listed = time.Time{}
	if time.Since(info.ModTime()) > settled {
		r.mu.listed = info.ModTime()
	}
	return nil
}

// settled is how long the directory's time must be past for the next change to have another: file systems take it from
// a clock that moves a few hundred times a second.
const settled = 100 * time.Millisecond

// replaced reports whether another file, or one of another size, has the file's name. Sealing cuts a file to size.
func (f *readFile) replaced() bool {
	if f == nil {
		return false
	}
	now, err := os.Stat(f.path)
	return err != nil || !os.SameFile(now, f.identity) || now.Size() != f.size
}

// passedOver notes what a cursor has left out.
func (r *Reader) passedOver(s *segmentFile, from, to segment.LSN, cause error) {
	f := Fault{Path: r.dir, LSN: from, Reason: cause.Error()}
	if s != nil {
		f.Path = s.path
	}
	if c := (*segment.CorruptError)(nil); errors.As(cause, &c) {
		f.Offset, f.Reason = c.Offset, c.Reason
	}
	if to > from {
		f.Reason = fmt.Sprintf("records %d to %d passed over: %s", from, to, f.Reason)
	}
	r.passed.Lock()
	defer r.passed.Unlock()
	if len(r.passed.faults) < mostPassed && !slices.Contains(r.passed.faults, f) {
		r.passed.faults = append(r.passed.faults, f)
	}
}

// mostPassed bounds the faults that are kept of what cursors came upon.
const mostPassed = 1000

// extendLocked takes in the batches that were appended to the newest file.
func (r *Reader) extendLocked() {
	f := r.mu.tail
	if f == nil {
		return
	}
	s := f.file
	before := s.lastLSN()
	// What cannot be read now is read the next time, or the file has another size by then.
	_ = s.guarded(func() error { s.extend(); return nil })
	if s.lastLSN() == before {
		return
	}
	f.scan.Last, f.scan.End = s.lastLSN(), s.end.Load()
	f.scan.MinTime, f.scan.MaxTime = s.minTime.Load(), s.maxTime.Load()
	if list := r.list(); len(list) == 0 || list[len(list)-1] != s { // it was empty
		list = append(slices.Clone(list), s)
		r.segments.Store(&list)
	}
	r.last.Store(uint64(s.lastLSN()))
}

// extend takes in the whole batches behind the end that is known; the first that is not whole ends it. The caller is the
// only one to call it at a time, and holds a lease.
func (s *segmentFile) extend() {
	data, offsets := s.mapping.Bytes(), s.places.Load().offsets
	places := []uint32{}
	for at := int(s.end.Load()); ; {
		next := s.lastLSN() + 1
		batch, err := segment.ParseBatch(data, at, s.epoch)
		if err != nil || batch.First != next {
			return
		}
		places, sets := places[:0], *s.sets.Load()
		for place, record := range batch.Records() {
			if record.LSN() != next || !record.Valid() {
				return
			}
			if record.Kind() == segment.KindRouteSet {
				sets = append(sets, uint32(next-s.base)) // readers do not look beyond the length that they know
			}
			places = append(places, uint32(place>>3))
			next++
		}
		if next != batch.Last()+1 {
			return
		}
		offsets.AppendPlaces(places...)
		s.sets.Store(&sets)
		at += batch.Length
		s.end.Store(int64(at))
		if batch.First == s.base {
			s.minTime.Store(batch.Time)
		}
		s.maxTime.Store(batch.Time)
		s.last.Store(uint64(batch.Last()))
	}
}
