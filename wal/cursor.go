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
	files   *fileList
	view    View
	next    segment.LSN
	record  segment.Record
	sets    map[uint64][]segment.QueueID // defined by the segment setsOf
	setsOf  *segmentFile
	setsLen int // how many of its route-set records are in sets
	numbers []segment.LSN
	skipped int
	missed  uint64
	looked  segment.LSN // where files seemed to be missing, and were looked for again
	batch   batchPlace  // that the record is in whose time was asked for last
	damaged segment.LSN // where the damage of an old-generation file ends that was counted last
	err     error
}

// Cursor starts before the record from; a number below First starts at First.
func (l *Log) Cursor(from segment.LSN) *Cursor { return l.cursor(from, l) }

// Cursor starts before the record from; a number below First starts at First. What another process has given up before
// the cursor came to it is passed over, see Missed; what is damaged or cannot be read is passed over, see Skipped.
func (r *Reader) Cursor(from segment.LSN) *Cursor { return r.cursor(from, nil) }

func (f *fileList) cursor(from segment.LSN, l *Log) *Cursor {
	return &Cursor{files: f, view: View{files: f, log: l}, next: max(from, f.First())}
}

// Next moves to the next record. False means that there is none yet, or an error: see Err.
func (c *Cursor) Next() bool {
	c.record = nil
	for c.err == nil && c.next <= c.files.Last() {
		if s := c.view.current; s == nil || c.next > s.lastLSN() {
			// One segment at a time: a cursor over the whole log must not keep it all from being recycled.
			c.view.Release()
			c.files.coolOnce() // not left to the cooler, which does not run before Start
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
		case c.files.reader != nil && c.renewed(err):
		case errors.Is(err, segment.ErrCorrupt), errors.Is(err, ErrUnreadable) && c.passesUnreadable():
			c.pass(err)
		default:
			c.err = err
		}
	}
	return false
}

// passesUnreadable reports whether what the disk does not give is left out, instead of ending the cursor.
func (c *Cursor) passesUnreadable() bool { return c.view.log == nil || c.view.log.cfg.Repair }

// renewed finds out, for a Reader's cursor, whether the next record could not be read because its file was given up
// meanwhile. Then the cursor goes on with the file that has the record now, or behind what has gone.
func (c *Cursor) renewed(cause error) bool {
	s := c.view.current
	if s != nil && (c.next < s.base || c.next > s.lastLSN()) {
		s = nil // of the record before
	}
	switch {
	case s != nil && s.gone() != nil:
		c.view.Release()
		return c.files.renew(s)
	case s != nil && errors.Is(cause, ErrGone): // not among those that survived in it
		c.missed++
		c.next++
		return true
	case s == nil && errors.Is(cause, ErrGone):
		first := c.files.First()
		c.missed += uint64(max(first, c.next) - c.next)
		c.next = max(first, c.next)
		return len(c.files.list()) > 0
	case s == nil && c.looked != c.next: // a file is missing; it may have come and gone while they were listed
		c.looked = c.next
		return c.files.renew(nil)
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
		c.next = c.files.nextBase(from)
	} else if errors.Is(cause, ErrUnreadable) {
		c.next = s.untold(from) + 1
		if s.old == nil { // where each number is a record
			c.skipped += int(c.next - from - 1)
		}
	}
	c.skipped++
	if r := c.files.reader; r != nil {
		r.passedOver(c.view.current, from, c.next-1, cause)
		return
	}
	if c.next == from+1 {
		c.files.logger.Error("damaged record passed over", "cause", cause)
		return
	}
	c.files.logger.Error("records passed over that cannot be told", "from", uint64(from), "to", uint64(c.next-1), "cause", cause)
}

// nextBase is the number that the first file behind lsn begins with.
func (f *fileList) nextBase(lsn segment.LSN) segment.LSN {
	for _, s := range f.list() {
		if s.base > lsn {
			return s.base
		}
	}
	return f.Last() + 1
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
	if c.files.reader == nil {
		queues, err := c.resolve(id)
		return append(dst, queues...), err
	}
	s := c.view.current
	err = c.Use(func(segment.Record) error {
		queues, err := c.resolve(id)
		if err == nil {
			dst = append(dst, queues...)
		}
		return err
	})
	if err == nil || s.gone() == nil {
		return dst, err
	}
	// The set was overwritten with the file. In the one that has the record now, it has its queues with it.
	c.view.Release()
	lsn := c.LSN()
	if !c.files.renew(s) {
		return dst, err
	}
	err = c.view.Read(lsn, func(r segment.Record) (err error) {
		if publish, err = r.Publish(); err == nil {
			dst, err = publish.AppendQueues(dst)
		}
		return err
	})
	return dst, err
}

// Skipped is the number of damaged records passed over, each range of unknown number counted as one.
func (c *Cursor) Skipped() int { return c.skipped }

// Missed is how many record numbers a Reader's cursor has passed over because their files were given up before it came to
// them. Most of them, or all, were of no use to anybody any more.
func (c *Cursor) Missed() uint64 { return c.missed }

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
	if s == nil {
		return nil, fmt.Errorf("record %d: %w", c.LSN(), ErrGone)
	}
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
			c.files.logger.Error("damaged route set passed over", "cause", err)
		}
	}
	queues, ok := c.sets[id]
	if !ok {
		return nil, s.damaged(c.record.LSN(), 0, fmt.Sprintf("route set %d is not defined before its use", id))
	}
	return queues, nil
}

func (c *Cursor) define(s *segmentFile, lsn segment.LSN) error {
	record, err := s.record(lsn, &View{files: c.files, log: c.view.log})
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
