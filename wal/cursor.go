package wal

import (
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// Cursor reads records in order, for one goroutine. It never goes beyond Last; Next may be called
// again after it returned false for want of records. Records lost to corruption are passed over,
// counted and logged. Next waits for a Retire under way, and so may not be called with a lock that a callback
// of Append takes.
type Cursor struct {
	log     *Log
	view    View
	next    segment.LSN
	record  segment.Record
	sets    map[uint64][]segment.QueueID // defined by the segment setsOf
	setsOf  *segmentFile
	setsLen int // how many of its route-set records are in sets
	numbers []segment.LSN
	skipped int
	err     error
}

// Cursor starts before the record from; a number below First starts at First.
func (l *Log) Cursor(from segment.LSN) *Cursor {
	return &Cursor{log: l, view: View{log: l}, next: max(from, l.First())}
}

// Next moves to the next record. False means that there is none yet, or an error: see Err.
func (c *Cursor) Next() bool {
	c.record = nil
	for c.err == nil && c.next <= c.log.Last() {
		if s := c.view.current; s == nil || c.next > s.lastLSN() {
			// One segment at a time: a cursor over the whole log must not keep it all from being recycled.
			c.view.Release()
			c.log.coolOnce() // not left to the cooler, which does not run before Start
		}
		if next := c.survivor(); next > c.next {
			c.next = next
			continue
		}
		err := c.view.Read(c.next, func(r segment.Record) error { c.record = r; return nil })
		switch {
		case err == nil:
			c.next++
			return true
		case errors.Is(err, segment.ErrCorrupt), errors.Is(err, ErrUnreadable) && c.log.cfg.Repair:
			c.log.logger.Error("damaged record passed over", "cause", err)
			c.skipped++
			c.next++
		default:
			c.err = err
		}
	}
	return false
}

// survivor is the number of the next record that has not been relocated away, or one that cannot be told from it.
func (c *Cursor) survivor() segment.LSN {
	next := c.next
	if s, err := c.view.at(next); err == nil && s.old != nil {
		// What cannot be read here, Record will say.
		_ = s.guarded(func() error { next = s.seek(c.next); return nil })
	}
	return next
}

// Record is the record that Next moved to; it holds until the next call of Next or Close.
func (c *Cursor) Record() segment.Record { return c.record }

// LSN is the number of the present record.
func (c *Cursor) LSN() segment.LSN { return c.next - 1 }

// Use calls fn, which reads the present record, and returns as an error what cannot be read of it.
func (c *Cursor) Use(fn func(segment.Record) error) error { return c.view.use(c.record, fn) }

// Queues appends the queues that the present record, a publish, went to; interned sets are resolved.
func (c *Cursor) Queues(dst []segment.QueueID) ([]segment.QueueID, error) {
	publish, err := c.record.Publish()
	if err != nil {
		return dst, err
	}
	id, interned := publish.Set()
	if !interned {
		return publish.AppendQueues(dst)
	}
	queues, err := c.resolve(id)
	return append(dst, queues...), err
}

// Skipped is the number of damaged records passed over.
func (c *Cursor) Skipped() int { return c.skipped }

// Err is what ended the cursor; nil while it can go on. It matches ErrGone when Retire overtook it.
func (c *Cursor) Err() error { return c.err }

// Close gives the cursor's lease back.
func (c *Cursor) Close() {
	c.view.Release()
	c.record = nil
}

// resolve finds a set among those that the record's segment defined before it.
func (c *Cursor) resolve(id uint64) ([]segment.QueueID, error) {
	s := c.view.current
	if c.setsOf != s {
		c.setsOf, c.setsLen = s, 0
		c.sets = map[uint64][]segment.QueueID{}
	}
	if queues, ok := c.sets[id]; ok {
		return queues, nil
	}
	var err error
	if c.numbers, err = s.setRecords(c.numbers[:0]); err != nil {
		return nil, err
	}
	for ; c.setsLen < len(c.numbers); c.setsLen++ {
		lsn := c.numbers[c.setsLen]
		if lsn > c.record.LSN() {
			break
		}
		if err := c.define(s, lsn); err != nil {
			c.log.logger.Error("damaged route set passed over", "cause", err)
		}
	}
	queues, ok := c.sets[id]
	if !ok {
		return nil, s.damaged(c.record.LSN(), 0, fmt.Sprintf("route set %d is not defined before its use", id))
	}
	return queues, nil
}

func (c *Cursor) define(s *segmentFile, lsn segment.LSN) error {
	record, err := s.record(lsn, c.log)
	if err != nil {
		return err
	}
	id, err := record.RouteSetID()
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	queues, err := record.AppendRouteSet(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	c.sets[id] = queues
	return nil
}
