package wal

import (
	"fmt"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Recovery says what Open found.
type Recovery struct {
	Segments    int
	First, Last segment.LSN // Last = First-1 when the log is empty
	Clean       bool        // the log was closed in good order
	Dropped     int64       // bytes behind the end of the log that an unfinished write left
	Beyond      []string    // segment files wholly behind the end of the log; Start sets them aside
	Quarantined []Quarantine
	Unreadable  []string // newest files in which nothing can be read: never written, or ruined
	Duration    time.Duration
}

// Quarantine is damage within what was synced: the records are lost, everything else is kept.
type Quarantine struct {
	Path     string
	Offset   int64
	From, To segment.LSN // To = From-1 when no record was lost
	Reason   string
}

// Lost is the number of records that were lost to damage.
func (r Recovery) Lost() (n uint64) {
	for _, q := range r.Quarantined {
		n += uint64(q.To + 1 - q.From)
	}
	return n
}

// String gives the coordinates in one line.
func (q Quarantine) String() string {
	if q.To < q.From {
		return fmt.Sprintf("%s at %d: %s; no record lost", q.Path, q.Offset, q.Reason)
	}
	return fmt.Sprintf("%s at %d: records %d to %d: %s", q.Path, q.Offset, q.From, q.To, q.Reason)
}

// found is what Open leaves for Start to put in order.
type found struct {
	unsealed []*candidate // part of the log, without a footer
	newest   *candidate   // with the footer that was written last; nil = none has one
	headers  []*candidate // part of the log, with a header that is damaged or to say otherwise
	empty    *candidate   // the newest, in which nothing was written; nil = none
	beyond   []*candidate // behind the end of the log

	unreadable []*candidate // in the midst of the log, and lost, with Config.Repair only; or others stand for them
	superseded []*candidate // an old-generation file stands for them
	temporary  []string     // old-generation files that were not finished
	retired    []namedFile  // they were being given up; those that say so come last

	spares []string
}

// recover finds the end of the log. The tail rule in short: damage past the highest synced watermark
// that any batch or footer tells of ends the log; damage at or below it is quarantined.
func (l *Log) recover() error {
	start := time.Now()
	candidates, err := l.readDir()
	defer releaseAll(candidates)
	if err != nil {
		return err
	}
	var g generations
	var end logEnd
	if err := guarded(mappingsOf(candidates), func() error {
		g = tellGenerations(candidates, l.cache.decoder)
		l.found.newest = forgetTorn(g.kept)
		scanUnsealed(g.kept)
		end, err = findEnd(g.kept)
		return err
	}); err != nil {
		return err
	}
	if err := l.refuseDamaged(&end); err != nil {
		return err
	}
	l.recovery = end.recovery
	l.found.empty, l.found.beyond, l.found.unreadable = end.empty, end.beyond, append(end.unreadable, g.aside...)
	l.found.superseded = g.superseded
	if err := l.adopt(end.kept); err != nil {
		return err
	}
	l.recovery.Duration = time.Since(start)
	l.report()
	return nil
}

// forgetTorn checks the tables of the newest segment that has a footer, and returns it. Footers are written one at a
// time, each synced before the next, so if the power was cut during one it is this. Its pages may have reached the disk
// in any order, so head and trailer can be there without the tables: then the segment is one without footer, and
// Start writes it anew. What the head says holds all the same, for the segment was synced before. Tables that cannot be
// read are left to their first reader: nothing is written over what the disk may give again.
func forgetTorn(candidates []*candidate) (newest *candidate) {
	for _, c := range slices.Backward(candidates) {
		if c.footer == nil || c.unused {
			continue
		}
		if err := guarded(mappingsOf([]*candidate{c}), func() error { c.checkTables(nil); return nil }); err != nil {
			return c
		}
		_ = c.mapping.Cool() // the cooler will try again
		if c.tableFault != nil {
			c.torn, c.footer = c.footer, nil
		}
		return c
	}
	return nil
}

// scanUnsealed reads the segments without a footer. A segment ends where the next begins, whatever
// stands behind.
func scanUnsealed(candidates []*candidate) {
	for i, c := range candidates {
		if c.unused || c.footer != nil || c.old != nil || c.scan != nil {
			continue
		}
		cfg := segment.ScanConfig{Epoch: c.header.Epoch, First: c.base}
		if i+1 < len(candidates) {
			cfg.Before = candidates[i+1].base
		}
		if c.torn != nil {
			c.scan = scanBehind(c.mapping.Bytes(), c.torn.Summary)
		} else {
			c.scan = segment.ScanFile(c.mapping.Bytes(), cfg)
			c.statesOnly = c.merelyStates()
		}
		_ = c.mapping.Cool() // the cooler will try again
	}
}

// watermark is the highest record known to have been synced. A footer is written only once its
// segment is, so it vouches for all of it.
func watermark(candidates []*candidate) segment.LSN {
	synced := segment.LSN(0)
	for _, c := range candidates {
		switch {
		case c.old != nil:
			synced = max(synced, c.old.last)
		case c.footer != nil:
			synced = max(synced, c.footer.Synced, c.footer.Last)
		case c.torn != nil:
			synced = max(synced, c.torn.Synced, c.torn.Last)
		case c.scan != nil:
			synced = max(synced, c.scan.Synced)
		}
	}
	return synced
}

// logEnd is what the tail rule makes of the segments found.
type logEnd struct {
	kept     []*candidate // the log
	empty    *candidate   // the file behind them, in which nothing counts; nil = none
	beyond   []*candidate // files behind the end
	recovery Recovery

	unreadable []*candidate // in the midst of the log, and lost
}

// missingBefore is the reason of a fault that is not one of the file that it names.
const missingBefore = "segment missing before this one"

// findEnd applies the tail rule.
func findEnd(candidates []*candidate) (logEnd, error) {
	var end logEnd
	synced := watermark(candidates)
	next := segment.LSN(1)
	if len(candidates) > 0 {
		next = candidates[0].base
	}
	end.recovery.First = next
	for i, c := range candidates {
		if c.base < next {
			return end, fmt.Errorf("%s: begins with record %d, but the segment before it ends with %d; see millrace log verify",
				c.path, c.base, next-1)
		}
		if c.base > next && next > synced {
			end.beyond = candidates[i:]
			break
		}
		if _, told := candidates[max(i-1, 0)].lastLSN(); c.base > next && told {
			// An unsealed segment has told of its missing end itself.
			end.quarantine(c.path, 0, next, c.base-1, missingBefore)
		}
		if c.old != nil && c.unused {
			next = c.old.last + 1
			end.quarantine(c.path, 0, c.base, c.old.last, "old-generation file unreadable: "+c.fault.Error())
			end.unreadable = append(end.unreadable, c)
			continue
		}
		newest := i+1 == len(candidates)
		if c.unused && !newest && c.base <= synced {
			next = candidates[i+1].base
			end.quarantine(c.path, 0, c.base, next-1, "segment unreadable: "+c.fault.Error())
			end.unreadable = append(end.unreadable, c)
			continue
		}
		next = c.base
		if c.unused || newest && c.empty() {
			end.stopBefore(c, candidates[i+1:])
			break
		}
		var cut bool
		if next, cut = end.keep(c, synced); cut {
			if c.scan.Count() == 0 {
				end.kept = end.kept[:len(end.kept)-1]
				end.empty = c
			}
			end.beyond = candidates[i+1:]
			break
		}
	}
	end.recovery.Last = next - 1
	end.recovery.Clean = wasClosed(candidates) && len(end.beyond) == 0
	return end, nil
}

// keep makes c part of the log, as far as the tail rule lets it: cut says that the log ends in it.
func (e *logEnd) keep(c *candidate, synced segment.LSN) (next segment.LSN, cut bool) {
	e.kept = append(e.kept, c)
	if c.fault != nil && (c.base <= synced || !c.headless) { // else it had not reached the disk when the power went
		e.quarantine(c.path, 0, c.base, c.base-1, c.fault.Error())
	}
	switch {
	case c.old != nil:
		return e.keepOld(c), false
	case c.footer != nil:
		return c.footer.Last + 1, false
	}
	cut = c.scan.Cut(synced)
	for _, d := range c.scan.Damages {
		e.quarantine(c.path, d.Offset, d.From, d.To, d.Reason)
	}
	e.recovery.Dropped += c.scan.Torn
	if c.torn != nil {
		e.recovery.Dropped += segment.FooterSize(c.torn.Count(), c.torn.SetCount())
	}
	return c.scan.Last + 1, cut
}

// stopBefore ends the log before c, in which nothing was completely written.
func (e *logEnd) stopBefore(c *candidate, beyond []*candidate) {
	e.empty, e.beyond = c, beyond
	if c.unused && !c.zeros {
		e.recovery.Unreadable = append(e.recovery.Unreadable, c.path)
	}
	if c.scan != nil {
		e.recovery.Dropped += c.scan.Torn
	}
}

func (e *logEnd) quarantine(path string, offset int64, from, to segment.LSN, reason string) {
	e.recovery.Quarantined = append(e.recovery.Quarantined, Quarantine{path, offset, from, to, reason})
}

// adopt makes the found segments the log's.
func (l *Log) adopt(kept []*candidate) error {
	list := make([]*segmentFile, 0, len(kept))
	for i, c := range kept {
		s, err := l.take(c)
		if err != nil {
			return err
		}
		if i == len(kept)-1 && c.statesOnly && !s.continues { // the next file begins with another catalogue
			c.header.Required |= segment.FeatureContinues
			s.continues, c.rewrite = true, true
		}
		l.mu.epoch = max(l.mu.epoch, c.header.Epoch)
		l.mu.timeMs = max(l.mu.timeMs, s.maxTime.Load())
		list = append(list, s)
		if c.fault != nil || c.rewrite {
			l.found.headers = append(l.found.headers, c)
		}
		if c.old == nil && c.footer == nil {
			l.found.unsealed = append(l.found.unsealed, c)
		}
	}
	l.segments.Store(&list)
	l.recovery.Segments = len(list)
	for _, c := range l.found.beyond {
		l.recovery.Beyond = append(l.recovery.Beyond, c.path)
	}
	l.last.Store(uint64(l.recovery.Last))
	return nil
}

// merelyStates reports whether a file that was scanned has nothing but a catalogue. That need not be whole: it is written
// in several pieces, and a crash may have come between.
func (c *candidate) merelyStates() bool {
	for i, place := range c.scan.Places {
		record, err := segment.RecordAt(c.mapping.Bytes(), int(place)*8)
		if place == 0 || err != nil || record.Kind() != segment.KindCatalogue && (i == 0 || record.Kind() != segment.KindHorizon) {
			return false
		}
	}
	return c.scan.Count() > 0
}

// take makes a file of the log of what was found, with a lease of its own on the mapping.
func (f *fileList) take(c *candidate) (*segmentFile, error) {
	s := &segmentFile{
		path: c.path, base: c.base, epoch: c.header.Epoch, size: c.size, mapping: c.mapping, logger: f.logger,
		continues: c.header.Required&segment.FeatureContinues != 0,
	}
	if c.old != nil {
		old := &oldFile{head: c.old.footer, cache: f.cache}
		if c.checked {
			old = newOldFile(&oldTables{footer: c.old.footer, damages: c.old.damages}, f.cache)
		}
		s.adoptOld(old)
	} else {
		found := places{footer: c.footer, checked: c.checked && c.tableFault == nil}
		if c.footer == nil {
			// The footer that Start will write serves until then from memory.
			scanned, err := scannedFooter(c.scan)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.path, err)
			}
			found = places{footer: &scanned, checked: true}
		}
		s.adoptFooter(found)
	}
	if !c.mapping.Acquire() {
		panic("wal: mapping lost before its first use")
	}
	return s, nil
}

// scannedFooter makes the footer of a scanned segment in memory.
func scannedFooter(scan *segment.Scan) (segment.Footer, error) {
	// A footer stands behind a header in any file, so it is parsed behind one here.
	image := make([]byte, segment.HeaderSize)
	summary := scan.Summary
	end := summary.End
	summary.End = segment.HeaderSize
	image = segment.AppendScannedFooter(image, summary, scan.Places, scan.Sets, segment.HeaderSize)
	footer, err := segment.ParseFooter(image, scan.Epoch)
	footer.End = end
	return footer, err
}

func (s *segmentFile) adoptFooter(found places) {
	footer := found.footer
	s.places.Store(&found)
	s.end.Store(footer.End)
	s.last.Store(uint64(footer.Last))
	s.minTime.Store(footer.MinTime)
	s.maxTime.Store(footer.MaxTime)
}

func (l *Log) report() {
	r := l.recovery
	for _, q := range r.Quarantined {
		l.logger.Error("corruption in synced records", "where", q.String())
	}
	if c := l.found.newest; c != nil && c.torn != nil {
		l.logger.Warn("footer was not written completely; its segment was read instead", "file", c.path, "cause", c.tableFault)
	}
	for _, path := range r.Beyond {
		l.logger.Warn("segment lies beyond the end of the log", "file", path, "last", uint64(r.Last))
	}
	l.logger.Info("log opened", "segments", r.Segments, "first", uint64(r.First), "last", uint64(r.Last),
		"clean", r.Clean, "dropped_bytes", r.Dropped, "duration", r.Duration)
}
