package wal

import (
	"errors"
	"sort"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Find returns the first record that the log took in at or after t; Last+1 when there is none. The
// time that counts is the batch's, which the log gave and which never decreases.
func (f *fileList) Find(t time.Time) segment.LSN {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	last := f.Last()
	list := f.list()
	i := sort.Search(len(list), func(i int) bool { return list[i].maxTime.Load() >= ms })
	for ; i < len(list); i++ {
		s := list[i]
		if !s.mapping.Acquire() {
			continue
		}
		var lsn segment.LSN
		var ok bool
		err := s.guarded(func() (err error) { lsn, ok, err = s.findTime(ms, last); return err })
		f.warmed(s)
		s.mapping.Release()
		if errors.Is(err, ErrGone) && f.renew(s) {
			return f.Find(t)
		}
		if err != nil {
			f.logger.Error("segment passed over in a search by time", "cause", err)
		}
		if ok {
			return lsn
		}
	}
	return last + 1
}

// findTime walks the batch headers, a page or less each.
func (s *segmentFile) findTime(ms int64, last segment.LSN) (segment.LSN, bool, error) {
	if s.old != nil {
		return s.findOldTime(ms)
	}
	// The order matters: what lies before an end seen now is fully written.
	data := s.mapping.Bytes()[:s.end.Load()]
	sound := true
	for at := segment.HeaderSize; at < len(data); {
		batch, ok := segment.PeekBatch(data, at, s.epoch)
		if !ok {
			at += 8 // damaged; the next header is found by looking
			sound = false
			continue
		}
		if batch.Time >= ms {
			if gone := s.gone(); !sound && gone != nil {
				return 0, false, gone
			}
			first := max(batch.First, s.base)
			return first, first <= last, nil
		}
		at += batch.Length
	}
	return 0, false, s.gone()
}
