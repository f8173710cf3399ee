package wal

import (
	"log/slog"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// The tables of a footer say where each record is, so they are as much as the log is long: at 4 bytes a record
// 400 MB for 100 million messages. Open believes the heads, whose size is fixed, and whoever needs a file's
// tables first reads and checks them, while others that need them wait. Damaged tables are made anew in memory
// from what they speak of; the file stays as it is, for Verify to name.

// unchecked are the tables of a file that Open has found and nobody has needed yet.
type unchecked struct {
	logger *slog.Logger

	mu struct { // a leaf; held while the tables are read, and while they are made anew
		sync.Mutex
		err    error // why neither could be done
		failed time.Time
	}
}

// retryAfter is how long a file that cannot be read is left alone: each record asks for its tables.
const retryAfter = time.Second

// readLocked calls check for the tables and, when they are damaged or the system cannot bring them in, anew, to
// make them from the rest.
func (u *unchecked) readLocked(check func() error, anew func(cause error) error) error {
	if u.mu.err != nil && time.Since(u.mu.failed) < retryAfter {
		return u.mu.err
	}
	if u.mu.err = check(); u.mu.err != nil {
		u.mu.err = anew(u.mu.err)
		u.mu.failed = time.Now()
	}
	return u.mu.err
}

// report tells what was damaged, as Open does of what it finds.
func (u *unchecked) report(s *segmentFile, source string, cause error, damages []segment.Damage) {
	found := []Quarantine{{s.path, 0, s.base, s.base - 1, "footer made anew from the " + source + ": " + cause.Error()}}
	for _, d := range damages {
		found = append(found, Quarantine{s.path, d.Offset, d.From, d.To, d.Reason})
	}
	for _, q := range found {
		u.logger.Error("corruption in synced records", "where", q.String())
	}
}

// located says where the records of a segment are, when that is certain. The caller holds a lease. The error
// matches ErrUnreadable.
func (s *segmentFile) located() (*places, error) {
	p := s.places.Load()
	if p.unchecked == nil {
		return p, nil
	}
	u := p.unchecked
	u.mu.Lock()
	defer u.mu.Unlock()
	if p = s.places.Load(); p.unchecked == nil {
		return p, nil
	}
	footer := p.footer
	err := u.readLocked(
		func() error { return s.guarded(footer.Check) },
		func(cause error) error {
			return s.guarded(func() (err error) {
				footer, err = s.scanFooter(footer.Summary, u, cause)
				return err
			})
		})
	if err != nil {
		return nil, err
	}
	p = &places{footer: footer}
	s.places.Store(p)
	return p, nil
}

// scanFooter makes the tables of a segment anew from its batches; head is what is known of it.
func (s *segmentFile) scanFooter(head segment.Summary, u *unchecked, cause error) (*segment.Footer, error) {
	scan := segment.ScanFile(s.mapping.Bytes(), segment.ScanConfig{Epoch: s.epoch, First: s.base, Before: head.Last + 1, End: head.End})
	u.report(s, "batches", cause, scan.Damages)
	// Records that are missing at the end have no place. The footer's length has bounded their number.
	scan.Places = append(scan.Places, make([]uint32, head.Count()-len(scan.Places))...)
	scan.Summary = head
	footer, err := scannedFooter(scan)
	return &footer, err
}

// oldTables is what an old-generation file holds.
type oldTables struct {
	footer  segment.OldFooter
	damages []segment.Damage // of tables that had to be made anew: what may be lost
}

// oldTables says what an old-generation file holds, when that is certain. The caller holds a lease. The error
// matches ErrUnreadable.
func (s *segmentFile) oldTables() (*oldTables, error) {
	if t := s.old.tables.Load(); t != nil {
		return t, nil
	}
	u := s.old.unchecked
	u.mu.Lock()
	defer u.mu.Unlock()
	if t := s.old.tables.Load(); t != nil {
		return t, nil
	}
	t := &oldTables{footer: s.old.head}
	err := u.readLocked(
		func() error { return s.guarded(t.footer.Check) },
		func(cause error) error { return s.guarded(func() error { *t = s.scanOld(u, cause); return nil }) })
	if err != nil {
		return nil, err
	}
	s.old.tables.Store(t)
	return t, nil
}

// scanOld makes the tables of an old-generation file anew from its blocks.
func (s *segmentFile) scanOld(u *unchecked, cause error) oldTables {
	header := segment.OldHeader{Epoch: s.epoch, First: s.base, Last: s.lastLSN(), Created: s.minTime.Load()}
	scan, err := segment.ScanOld(s.mapping.Bytes(), header, s.old.cache.decoder)
	if err != nil {
		// The blocks contradict each other, so none is believed.
		scan = segment.OldScan{Damages: []segment.Damage{{From: s.base, To: s.lastLSN(), Reason: "old-generation file unreadable: " + err.Error()}}}
	}
	u.report(s, "blocks", cause, scan.Damages)
	return oldTables{footer: scan.Footer, damages: scan.Damages}
}

// checkTables does for a file that was found what its first reader would do for it.
func (c *candidate) checkTables(decoder *segment.OldDecoder) {
	switch {
	case c.checked || c.unused:
		return
	case c.old != nil:
		if err := c.old.footer.Check(); err != nil {
			c.scanOld(err, decoder)
		}
	case c.footer != nil:
		c.tableFault = c.footer.Check()
	}
	c.checked = true
}
