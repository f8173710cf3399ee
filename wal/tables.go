package wal

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/millrace-mq/millrace/segment"
)

// The tables of a footer say where each record is, so they are as much as the log is long: at 4 bytes a record
// 400 MB for 100 million messages. Open believes the heads, whose size is fixed.
//
// A place in a segment needs no sound table: the record there proves by its number and checksum that it is the one.
// So tables are checked when a place turns out to be wrong, whenever that is, and in any case before use where nothing
// else can tell: the list of route sets, and what an old-generation file holds. Damaged tables, and those that the
// system cannot bring in, are made anew in memory from what they speak of; the file stays as it is, for Verify to name.
//
// What cannot be read while that is done is no verdict either. It costs the records that stand there, for as long as
// it cannot be read: whoever asks for one of them asks the disk again.

// remade says how tables were made that are not the file's own.
type remade struct {
	unread []int64      // where the pages begin that could not be brought in
	asked  atomic.Int64 // how many of them were tried since, again and again
}

// retried is how many pages are tried for each record that is looked for: they may be all of a file.
const retried = 8

// hides reports whether a record that was not found may stand where the disk gave nothing; r may be nil.
func (r *remade) hides() bool { return r != nil && len(r.unread) > 0 }

// retry tries some of the pages that could not be read; nil says that one of them can be read now.
func (r *remade) retry(s *segmentFile) (err error) {
	for range min(retried, len(r.unread)) {
		at := r.unread[int(r.asked.Add(1)-1)%len(r.unread)]
		var b [1]byte
		if err = s.guarded(func() error { copy(b[:], s.mapping.Bytes()[at:]); return nil }); err == nil {
			return nil
		}
	}
	return err
}

// errMended is the cause of tables that are made once more.
var errMended = errors.New("what could not be read before can be read again")

// sound returns places whose footer can be relied on in all that it says. The caller holds a lease.
func (s *segmentFile) sound() *places {
	if p := s.places.Load(); p.footer == nil || p.checked {
		return p
	}
	s.tables.Lock()
	defer s.tables.Unlock()
	p := s.places.Load()
	if p.checked {
		return p
	}
	if err := s.guarded(p.footer.Check); err != nil {
		if s.gone() != nil {
			return p
		}
		return s.remakeLocked(p, err)
	}
	p = &places{footer: p.footer, checked: true}
	s.places.Store(p)
	return p
}

// mended returns other places than p, which has led astray, or p if nothing speaks against it: then it is what it
// led to that is damaged. The caller holds a lease. The error matches ErrUnreadable: what was looked for may be where
// the disk gives nothing.
func (s *segmentFile) mended(p *places) (*places, error) {
	s.tables.Lock()
	defer s.tables.Unlock()
	if now := s.places.Load(); now != p {
		return now, nil
	}
	switch {
	case p.footer == nil:
		return p, nil
	case p.remade == nil:
		if err := s.guarded(p.footer.Check); err != nil {
			return s.remakeLocked(p, err), nil
		}
		return p, nil
	case !p.remade.hides():
		return p, nil
	}
	if err := p.remade.retry(s); err != nil {
		return p, err
	}
	return s.remakeLocked(p, errMended), nil
}

// remakeLocked makes the tables of a segment anew from its batches; needs tables.
func (s *segmentFile) remakeLocked(p *places, cause error) *places {
	head := p.footer.Summary
	var scan *segment.Scan
	unread := s.legible(head.End, func(data []byte) { scan = scanBehind(data, head) })
	footer, err := scannedFooter(scan)
	if err != nil {
		return p // not reached: the head was parsed, and the places are as many as it says
	}
	s.reportRemade("batches", cause, scan.Damages, unread)
	p = &places{footer: &footer, checked: true, remade: &remade{unread: unread}}
	s.places.Store(p)
	return p
}

// scanBehind reads the batches of a segment of which a footer's sound head tells.
func scanBehind(data []byte, head segment.Summary) *segment.Scan {
	scan := segment.ScanFile(data, segment.ScanConfig{Epoch: head.Epoch, First: head.First, Before: head.Last + 1, End: head.End})
	// Records that are missing at the end have no place. The footer's length has bounded their number.
	scan.Places = append(scan.Places, make([]uint32, head.Count()-len(scan.Places))...)
	scan.Summary = head
	return scan
}

// oldTables is what an old-generation file holds.
type oldTables struct {
	footer  segment.OldFooter
	damages []segment.Damage // of tables that had to be made anew: what may be lost
	remade  *remade          // nil = they are the file's own
}

// hidden returns the error for a record in from..to that may stand where the disk gave nothing.
func (t *oldTables) hidden(s *segmentFile, from, to segment.LSN) (first segment.LSN, err error) {
	if !t.remade.hides() {
		return 0, nil
	}
	for _, d := range t.damages {
		if d.From <= to && d.To >= from {
			return max(from, d.From), unreadable(s.path, t.remade.unread[0])
		}
	}
	return 0, nil
}

// oldTables says what an old-generation file holds, when that is certain. The caller holds a lease.
func (s *segmentFile) oldTables() *oldTables {
	if t := s.old.tables.Load(); t != nil {
		return t
	}
	s.tables.Lock()
	defer s.tables.Unlock()
	if t := s.old.tables.Load(); t != nil {
		return t
	}
	t := &oldTables{footer: s.old.head}
	if err := s.guarded(t.footer.Check); err != nil {
		return s.remakeOldLocked(err)
	}
	s.old.tables.Store(t)
	return t
}

// mendedOld is mended of an old-generation file.
func (s *segmentFile) mendedOld(t *oldTables) (*oldTables, error) {
	s.tables.Lock()
	defer s.tables.Unlock()
	if now := s.old.tables.Load(); now != t {
		return now, nil
	}
	switch {
	case t.remade == nil:
		if err := s.guarded(t.footer.Check); err != nil {
			return s.remakeOldLocked(err), nil
		}
		return t, nil
	case !t.remade.hides():
		return t, nil
	}
	if err := t.remade.retry(s); err != nil {
		return t, err
	}
	return s.remakeOldLocked(errMended), nil
}

// remakeOldLocked makes the tables of an old-generation file anew from its blocks; needs tables.
func (s *segmentFile) remakeOldLocked(cause error) *oldTables {
	header := segment.OldHeader{Epoch: s.epoch, First: s.base, Last: s.lastLSN(), Created: s.minTime.Load()}
	var scan segment.OldScan
	var err error
	unread := s.legible(s.end.Load(), func(data []byte) { scan, err = segment.ScanOld(data, header, s.old.cache.decoder) })
	if err != nil {
		// The blocks contradict each other, so none is believed.
		scan = segment.OldScan{Damages: []segment.Damage{{From: s.base, To: s.lastLSN(), Reason: "old-generation file unreadable: " + err.Error()}}}
	}
	s.reportRemade("blocks", cause, scan.Damages, unread)
	t := &oldTables{footer: scan.Footer, damages: scan.Damages, remade: &remade{unread: unread}}
	s.old.tables.Store(t)
	return t
}

// legible calls read with the file up to end. When the system cannot bring all of it in, it calls read again with a
// copy in which zeros stand for the pages that are missing, and returns where they begin.
func (s *segmentFile) legible(end int64, read func(data []byte)) (unread []int64) {
	data := s.mapping.Bytes()[:end]
	if s.guarded(func() error { read(data); return nil }) == nil {
		return nil
	}
	whole := make([]byte, end)
	page := int64(os.Getpagesize())
	for at := int64(0); at < end; at += page {
		to := min(at+page, end)
		if s.guarded(func() error { copy(whole[at:to], data[at:to]); return nil }) != nil {
			clear(whole[at:to])
			unread = append(unread, at)
		}
	}
	read(whole)
	return unread
}

// untold is the last of the numbers from lsn on of which nothing can be told because the disk gave nothing there; lsn if
// it is one record. The caller holds a lease.
func (s *segmentFile) untold(lsn segment.LSN) segment.LSN {
	to := lsn
	if s.old != nil {
		if t := s.oldTables(); t.remade.hides() {
			for _, d := range t.damages {
				if d.From <= lsn && d.To >= lsn {
					to = d.To
				}
			}
		}
	} else if p := s.places.Load(); p.remade.hides() {
		for to < s.lastLSN() && p.footer.At(int(to+1-s.base)) == 0 {
			to++
		}
	}
	return to
}

// reportRemade tells what was damaged, as Open does of what it finds.
func (s *segmentFile) reportRemade(source string, cause error, damages []segment.Damage, unread []int64) {
	found := []Quarantine{{s.path, 0, s.base, s.base - 1, "footer made anew from the " + source + ": " + cause.Error()}}
	if len(unread) > 0 {
		// Which damage is theirs is not known before they can be read.
		found = append(found, Quarantine{s.path, unread[0], s.base, s.base - 1, fmt.Sprintf(
			"%d pages from here on cannot be read; the records there are looked for again when they are asked for", len(unread))})
		damages = nil
	}
	for _, d := range damages {
		found = append(found, Quarantine{s.path, d.Offset, d.From, d.To, d.Reason})
	}
	for _, q := range found {
		s.logger.Error("corruption in synced records", "where", q.String())
	}
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
