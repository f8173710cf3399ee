package wal

import (
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// listings is how often a directory is listed while what it shows does not fit together: names come and go while they
// are read, so a file may seem to be missing that another stands for already, and files that were listed may have gone
// before they are opened.
const listings = 50

// listLocked finds the files of the log anew. Those that are known and have not changed are not read again.
func (r *Reader) listLocked() error {
	var before []namedFile
	var faults []Fault
	first := r.First()
	for try := 1; ; try++ {
		files, _, err := logFiles(r.dir)
		if err != nil {
			return err
		}
		v, end, fresh := r.surveyLocked(files)
		same, risen := slices.Equal(files, before) && try > 1, try == 1 && len(r.list()) == 0 || end.recovery.First > first
		fallen := end.recovery.Last < r.Last()
		same = same && slices.Equal(v.faults, faults)
		before, first, faults = files, end.recovery.First, v.faults
		switch {
		case try == listings: // a log that changes this fast is looked at again soon
		case !r.stillNamedLocked(fresh) || v.vanished:
			continue // without a file that was given up meanwhile, or by what was read of it, nothing can be told
		case !same && (risen || fallen || !end.whole() || len(v.faults) > 0):
			// A fault must be found twice: of a batch that was appended while its file was read, half may have been there.
			continue
		}
		r.mu.faults = v.faults
		return r.adoptLocked(end)
	}
}

// whole reports whether nothing is missing between the files.
func (e *logEnd) whole() bool {
	for i := 1; i < len(e.kept); i++ {
		last, ok := e.kept[i-1].lastLSN()
		if !ok {
			last = e.kept[i-1].scan.Last
		}
		if e.kept[i].base != last+1 {
			return false
		}
	}
	return len(e.beyond) == 0
}

// surveyLocked opens the files that are not known, lets go of those that are gone, and finds where the log ends.
func (r *Reader) surveyLocked(files []namedFile) (v *survey, end logEnd, fresh []*candidate) {
	v = &survey{decoder: r.cache.decoder}
	named := map[string]bool{}
	var unknown []namedFile
	for _, file := range files {
		named[file.path] = true
		f := r.mu.known[file.path]
		// Only a sealed segment with records in it never shares its name with another.
		if f != nil && (f.unused || (f.old != nil || f.footer == nil || f.footer.Count() == 0) && f.replaced()) {
			r.dropLocked(file.path)
			f = nil
		}
		if f == nil {
			unknown = append(unknown, file)
		}
	}
	for path := range r.mu.known {
		if !named[path] {
			r.dropLocked(path)
		}
	}
	r.settleLocked()
	fresh = v.open(unknown)
	for _, c := range fresh {
		r.mu.known[c.path] = &readFile{candidate: c}
	}
	r.rescanLocked()
	return v, v.end(r.dir, r.candidatesLocked()), fresh
}

// settleLocked finds the footers of files that were still written when they were read.
func (r *Reader) settleLocked() {
	r.extendLocked()
	for _, f := range r.mu.known {
		if f.file == nil || f.file.sealed() || f.footer != nil || f.torn != nil {
			continue
		}
		_ = f.file.guarded(func() error {
			if footer, err := segment.ParseFooter(f.mapping.Bytes(), f.header.Epoch); err == nil && footer.First == f.base {
				f.footer, f.scan = &footer, nil
			}
			return nil
		})
	}
	if t := r.mu.tail; t != nil && t.footer != nil {
		r.mu.tail = nil
	}
}

// rescanLocked forgets what was found in a file that has no footer and is damaged or does not end where the next begins,
// as far as that was known when it was read: it may have been written to meanwhile.
func (r *Reader) rescanLocked() {
	candidates := r.candidatesLocked()
	for i, c := range candidates {
		if c.scan == nil || c.torn != nil {
			continue
		}
		if i+1 < len(candidates) && candidates[i+1].base != c.scan.Last+1 || len(c.scan.Damages) > 0 {
			r.forgetLocked(r.mu.known[c.path])
			c.scan = nil
		}
	}
}

func (r *Reader) candidatesLocked() []*candidate {
	var candidates []*candidate
	for _, f := range r.mu.known {
		candidates = append(candidates, f.candidate)
	}
	sortByBase(candidates)
	return candidates
}

// stillNamedLocked reports whether files that were just read have their names still, and drops those that have not:
// they may have been overwritten while they were read.
func (r *Reader) stillNamedLocked(fresh []*candidate) bool {
	named := true
	for _, c := range fresh {
		if f := r.mu.known[c.path]; f != nil && f.replaced() {
			r.dropLocked(c.path)
			named = false
		}
	}
	return named
}

// adoptLocked makes what was found the files of the log.
func (r *Reader) adoptLocked(end logEnd) error {
	var list []*segmentFile
	for _, c := range end.kept {
		f := r.mu.known[c.path]
		if f == nil {
			continue // given up meanwhile
		}
		if err := r.fileLocked(f); err != nil {
			return err
		}
		list = append(list, f.file)
	}
	r.mu.tail = nil
	newest := end.empty
	if newest == nil && len(end.kept) > 0 {
		newest = end.kept[len(end.kept)-1]
	}
	if newest != nil && newest.scan != nil && newest.torn == nil && r.mu.known[newest.path] != nil {
		f := r.mu.known[newest.path]
		if err := r.fileLocked(f); err != nil {
			return err
		}
		r.mu.tail = f
	}
	r.segments.Store(&list)
	r.last.Store(uint64(end.recovery.Last))
	r.releaseDroppedLocked()
	return nil
}

// fileLocked makes the file of what was found, or brings it up to date.
func (r *Reader) fileLocked(f *readFile) error {
	switch {
	case f.file != nil && f.footer != nil && !f.file.sealed():
		f.file.adoptFooter(places{footer: f.footer})
		return nil
	case f.file != nil && (f.scan == nil || f.scan.Last == f.file.lastLSN()):
		return nil
	}
	r.forgetLocked(f)
	s, err := r.take(f.candidate)
	if err != nil {
		return err
	}
	if f.old == nil && f.footer == nil {
		// Without a footer it may grow, or get one.
		grown := &places{offsets: segment.NewOffsets(f.size)}
		grown.offsets.AppendPlaces(f.scan.Places...)
		sets := slices.Clone(f.scan.Sets)
		s.places.Store(grown)
		s.sets.Store(&sets)
	}
	s.identity = f.identity
	f.file = s
	return nil
}

// forgetLocked lets go of the file of f, if it has one, once the list is another.
func (r *Reader) forgetLocked(f *readFile) {
	if f.file == nil {
		return
	}
	if r.mu.tail == f {
		r.mu.tail = nil
	}
	r.cache.forget(f.file)
	r.mu.dropped = append(r.mu.dropped, f.file.mapping)
	f.file = nil
}

// dropLocked forgets a file of the directory.
func (r *Reader) dropLocked(path string) {
	f := r.mu.known[path]
	if f == nil {
		return
	}
	r.forgetLocked(f)
	if f.mapping != nil {
		r.mu.dropped = append(r.mu.dropped, f.mapping)
	}
	delete(r.mu.known, path)
}

// releaseDroppedLocked gives the leases back on what has left the list: a view that finds a file without one looks
// for it in the next list.
func (r *Reader) releaseDroppedLocked() {
	for _, m := range r.mu.dropped {
		m.Release()
	}
	r.mu.dropped = nil
}

// renew looks for the files anew after one of them turned out to be given up, or, with nil, to be missing. It is false
// when nobody else writes to the files, or nothing can be looked for.
func (f *fileList) renew(gone *segmentFile) bool {
	r := f.reader
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone != nil {
		if !slices.Contains(r.list(), gone) {
			return !r.mu.closed // somebody was faster
		}
		r.dropLocked(gone.path)
	}
	r.mu.listed = time.Time{}
	return r.refreshLocked() == nil
}
