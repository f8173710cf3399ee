package wal

import (
	"fmt"
	"os"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// refuseDamaged stops Open at a segment file in which nothing can be read, and at one whose header is damaged and
// does not follow from the rest: which file of which log that is cannot be told for certain, so a person decides,
// by Config.Repair. Where a sound batch or footer begins with the number in the file's name, and its epoch lies
// between those of the neighbours, the header does follow, and Start writes it anew.
func (l *Log) refuseDamaged(end *logEnd) error {
	if l.cfg.Repair {
		return nil
	}
	for _, c := range end.unreadable {
		return fmt.Errorf("%s is unreadable: %w; put it back from a copy, or start once with --repair to go on without its records",
			c.path, c.fault)
	}
	for i, c := range end.kept {
		fits := (i == 0 || end.kept[i-1].header.Epoch < c.header.Epoch) &&
			(i+1 == len(end.kept) || c.header.Epoch < end.kept[i+1].header.Epoch)
		if c.fault != nil && !fits {
			return fmt.Errorf("%s: header is damaged, and its records are of another log or time: %w: "+
				"see 'millrace log verify', then start once with --repair to write the header anew", c.path, c.fault)
		}
	}
	return nil
}

// rewriteHeader gives a segment whose header was damaged, or is to say something else, a new one. Nothing but the first page changes,
// which holds no record.
func (l *Log) rewriteHeader(c *candidate) error {
	file, err := os.OpenFile(c.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	header := segment.AppendHeader(nil, segment.Header{
		Shard: l.cfg.Shard, Required: segment.SegmentFeatures | c.header.Required&segment.FeatureContinues,
		Epoch: c.header.Epoch, Base: c.base,
		Created: time.Now().UnixMilli(), FileSize: c.size,
	})
	if c.old != nil {
		header = segment.AppendOldHeader(nil, segment.OldHeader{
			Shard: l.cfg.Shard, Required: segment.OldFeatures | c.header.Required&segment.FeatureContinues,
			Epoch: c.header.Epoch, First: c.base, Last: c.old.last, Created: time.Now().UnixMilli(),
		})
	}
	if err := l.disk.writeFull(file, header, 0); err != nil {
		return fmt.Errorf("%s: write header anew: %w", c.path, err)
	}
	if err := l.disk.sync(file); err != nil {
		return fmt.Errorf("%s: write header anew: %w", c.path, err)
	}
	if c.fault != nil {
		l.logger.Warn("damaged header written anew", "file", c.path)
	}
	return nil
}
