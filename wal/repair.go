package wal

import (
	"fmt"
	"os"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// refuseDamaged stops Open at a segment file whose header cannot be trusted: which file of which log that
// is cannot be told for certain, so a person decides. With Config.Repair the contents vouch for the
// segment, as far as they can, and Start writes the header anew.
func (l *Log) refuseDamaged(end *logEnd) error {
	if l.cfg.Repair {
		return nil
	}
	for _, c := range end.unreadable {
		return fmt.Errorf("%s is unreadable: %w; put it back from a copy, or start once with --repair to go on without its records", c.path, c.fault)
	}
	for _, c := range end.kept {
		if c.fault != nil {
			return fmt.Errorf("%s: header is damaged: %w; its records look sound: see 'millrace log verify', then start once with "+
				"--repair to write the header anew", c.path, c.fault)
		}
	}
	return nil
}

// rewriteHeader gives a segment whose header was damaged a new one. Nothing but the first page changes,
// which holds no record.
func (l *Log) rewriteHeader(c *candidate) error {
	file, err := os.OpenFile(c.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	header := segment.AppendHeader(nil, segment.Header{
		Shard: l.cfg.Shard, Epoch: c.header.Epoch, Base: c.base, Created: time.Now().UnixMilli(), FileSize: c.size,
	})
	if err := l.disk.writeFull(file, header, 0); err != nil {
		return fmt.Errorf("%s: write header anew: %w", c.path, err)
	}
	if err := l.disk.sync(file); err != nil {
		return fmt.Errorf("%s: write header anew: %w", c.path, err)
	}
	l.logger.Warn("damaged header written anew", "file", c.path)
	return nil
}
