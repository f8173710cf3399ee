package wal

import (
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// batchPlace is a batch that a cursor has found.
type batchPlace struct {
	file *segmentFile
	at   int
	segment.BatchHeader
}

// Time is when the log took the present record in: its batch's time, which never decreases from record to record and
// which Find goes by. Where the batch's header is damaged, it is that of the batch before.
func (c *Cursor) Time() time.Time {
	s := c.view.current
	if s == nil || c.record == nil {
		return time.Time{}
	}
	ms := s.minTime.Load()
	if s.old != nil {
		_ = s.guarded(func() error {
			t := s.oldTables()
			if i := t.footer.Seek(c.LSN()); i < t.footer.Records() {
				ms = t.footer.Record(i).Time
			}
			return nil
		})
		return time.UnixMilli(ms)
	}
	if c.batch.file != s || c.LSN() < c.batch.First || c.LSN() > c.batch.Last() {
		_ = s.guarded(func() error { c.seekBatch(s); return nil })
	}
	if c.batch.file == s {
		ms = c.batch.Time
	}
	return time.UnixMilli(ms)
}

// seekBatch finds the batch of the present record, or the last sound one before it.
func (c *Cursor) seekBatch(s *segmentFile) {
	lsn, at := c.LSN(), segment.HeaderSize
	if c.batch.file == s && lsn >= c.batch.First {
		at = c.batch.at + c.batch.Length
	} else {
		c.batch = batchPlace{}
	}
	data := s.mapping.Bytes()[:s.end.Load()]
	for at < len(data) {
		header, ok := segment.PeekBatch(data, at, s.epoch)
		if ok && header.First > lsn {
			return
		}
		if ok && header.Last() >= lsn { // those that are passed by need no proof
			_, err := segment.ParseBatch(data, at, s.epoch)
			ok = err == nil
		}
		if !ok {
			at += 8
			continue
		}
		c.batch = batchPlace{s, at, header}
		if header.Last() >= lsn {
			return
		}
		at += header.Length
	}
}
