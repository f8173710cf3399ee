package wal

import (
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// old checks every block and record of an old-generation file.
func (v *verifier) old(c *candidate) {
	if c.header.Epoch>>32 <= v.epoch>>32 && v.epoch != 0 {
		v.fault(c.path, 0, 0, "epoch is not above that of the file before")
	}
	v.epoch = max(v.epoch, c.header.Epoch)
	footer := &c.old.footer
	if footer.MinTime < v.timeMs || footer.MaxTime < footer.MinTime {
		v.fault(c.path, footer.End, 0, "file is older than the one before it")
	}
	v.timeMs = max(v.timeMs, footer.MaxTime)
	lost := 0
	var queues []segment.QueueID
	c.eachOldBlock(v.decoder, func(at segment.OldRecord, r segment.Record, err error) {
		switch {
		case err != nil:
			lost++
		default:
			queues, err = checkRecord(r, nil, queues[:0])
		}
		if err != nil {
			v.fault(c.path, footer.Block(at.Block).Offset, at.LSN, err.Error())
		}
	})
	v.report.Records += footer.Records() - lost
	v.report.Segments = append(v.report.Segments, SegmentInfo{
		Path: c.path, Base: c.base, Last: c.old.last, Epoch: c.header.Epoch, Size: c.size, End: footer.End,
		MinTime: time.UnixMilli(footer.MinTime), MaxTime: time.UnixMilli(footer.MaxTime), Sealed: true,
		Old: true, Records: footer.Records(), Bytes: footer.RawBytes, Lost: lost,
	})
}
