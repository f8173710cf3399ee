package wal

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/millrace-mq/millrace/segment"
)

// View is one goroutine's access to records. It holds a lease on every segment that it gave a record
// of, until Release; records are borrowed until then.
type View struct {
	files   *fileList
	log     *Log         // whose records just appended are not checked; nil = another process writes
	current *segmentFile // of the record given last; holds a lease
	held    []*segmentFile

	block  []byte // of an old-generation file, that the record given last is in
	blocks int    // that records given since Release keep in memory
	copied []byte // the record given last, of a file that another process may use again at any time
}

// viewBlocks is how many decompressed blocks a view keeps in memory by the records that it gave. Further
// records are copies: a view that gathers small records from everywhere must not hold on to a block for each.
const viewBlocks = 8

// NewView returns a view; it costs nothing until it is used.
func (l *Log) NewView() *View { return &View{files: &l.fileList, log: l} }

// Record returns a record. Errors match ErrGone (removed by Retire or Relocate), ErrNotWritten, or
// segment.ErrCorrupt.
func (v *View) Record(lsn segment.LSN) (segment.Record, error) {
	s, err := v.at(lsn)
	if err != nil {
		return nil, err
	}
	if s.old != nil {
		return v.oldRecord(s, lsn)
	}
	return s.record(lsn, v)
}

// at returns the file of lsn, on which the view then holds a lease.
func (v *View) at(lsn segment.LSN) (*segmentFile, error) {
	if s := v.current; s != nil && lsn >= s.base && lsn <= s.lastLSN() {
		return s, nil
	}
	return v.enter(lsn)
}

// oldRecord returns a record of an old-generation file.
func (v *View) oldRecord(s *segmentFile, lsn segment.LSN) (segment.Record, error) {
	record, raw, err := s.oldRecord(lsn)
	if err != nil {
		return nil, err
	}
	if len(v.block) > 0 && &v.block[0] == &raw[0] {
		return record, nil
	}
	if v.blocks == viewBlocks {
		return bytes.Clone(record), nil
	}
	v.block = raw
	v.blocks++
	return record, nil
}

// Release gives all leases back. Records that the view gave are invalid from then on.
func (v *View) Release() {
	for i, s := range v.held {
		v.files.warmed(s)
		s.mapping.Release()
		v.held[i] = nil
	}
	v.held, v.current = v.held[:0], nil
	v.block, v.blocks = nil, 0
}

// enter makes the segment of lsn the current one.
func (v *View) enter(lsn segment.LSN) (*segmentFile, error) {
	for _, s := range v.held {
		if lsn >= s.base && lsn <= s.lastLSN() {
			v.current = s
			return s, nil
		}
	}
	if lsn > v.files.Last() {
		return nil, fmt.Errorf("record %d: %w (last is %d)", lsn, ErrNotWritten, v.files.Last())
	}
	for {
		s := v.files.find(lsn)
		switch {
		case s == nil:
			return nil, fmt.Errorf("record %d: %w (first is %d)", lsn, ErrGone, v.files.First())
		case lsn > s.lastLSN():
			return nil, s.damaged(lsn, 0, "segment that held the record is missing")
		case s.mapping.Acquire():
			v.held = append(v.held, s)
			v.current = s
			return s, nil
		}
		// The segment left the list before its mapping went, so the list is another by now.
	}
}

// find returns the segment with the greatest base up to lsn, nil when lsn lies before all.
func (f *fileList) find(lsn segment.LSN) *segmentFile {
	list := f.list()
	i := sort.Search(len(list), func(i int) bool { return list[i].base > lsn })
	if i == 0 {
		return nil
	}
	return list[i-1]
}
