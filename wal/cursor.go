package wal

import (
	"errors"
	"fmt"

	"github.com/millrace-mq/millrace/segment"
)

// Cursor reads records in order, for one goroutine. It never goes beyond Last; Next may be called
// again after it returned false for want of records. Records lost to corruption are passed over,
// counted and logged, a range of them at once where it is not known how many there were. Next waits for a Retire under way, and so may not be called with a lock that a callback
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
	damaged segment.LSN // where the damage of an old-generation file ends that was counted last
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
			c.pass(err)
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
		c.countLost(s, next)
	}
	return next
}

// countLost counts what an old-generation file has lost before its record next; that was logged when it was found.
func (c *Cursor) countLost(s *segmentFile, next segment.LSN) {
	t := s.old.tables.Load()
	if t == nil || t.remade.hides() { // what cannot be read is not lost, and pass counts it
		return
	}
	for _, d := range t.damages {
		if d.Lost() > 0 && d.From < next && d.To >= c.next && d.To > c.damaged {
			c.skipped++
			c.damaged = d.To
		}
	}
}

// pass goes on behind a record that cannot be read, or behind all numbers of which nothing can be told: those of a
// file that is missing, or of the part of one that cannot be read. They may be more than there are records, by far.
func (c *Cursor) pass(cause error) {
	from := c.next
	c.next++
	if s := c.view.current; s == nil || from > s.lastLSN() {
		c.next = c.log.nextBase(from)
	} else if errors.Is(cause, ErrUnreadable) {
		c.next = s.untold(from) + 1
		if s.old == nil { // where each number is a record
			c.skipped += int(c.next - from - 1)
		}
	}
	c.skipped++
	if c.next == from+1 {
		c.log.logger.Error("damaged record passed over", "cause", cause)
		return
	}
	c.log.logger.Error("records passed over that cannot be told", "from", uint64(from), "to", uint64(c.next-1), "cause", cause)
}

// nextBase is the number that the first file behind lsn begins with.
func (l *Log) nextBase(lsn segment.LSN) segment.LSN {
	for _, s := range l.list() {
		if s.base > lsn {
			return s.base
		}
	}
	return l.Last() + 1
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

// Skipped is the number of damaged records passed over, each range of unknown number counted as one.
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
