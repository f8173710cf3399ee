package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
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
	Duration    time.Duration
}

// Quarantine is damage within what was synced: the records are lost, everything else is kept.
type Quarantine struct {
	Path     string
	Offset   int64
	From, To segment.LSN // To = From-1 when no record was lost
	Reason   string
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
	empty    *candidate   // the newest, in which nothing was written; nil = none
	beyond   []*candidate // behind the end of the log
	spares   []string
}

// candidate is one segment file as it was found.
type candidate struct {
	path    string
	base    segment.LSN // from the name
	size    int64
	header  segment.Header
	fault   error // why the header cannot be trusted; the epoch then comes from the contents
	unused  bool  // no header and no batch: created, never written
	mapping *segment.Mapping
	footer  *segment.Footer
	scan    *segment.Scan // without footer
}

// recover finds the end of the log. The tail rule in short: damage past the highest synced watermark
// that any batch or footer tells of ends the log; damage at or below it is quarantined.
func (l *Log) recover() error {
	start := time.Now()
	candidates, err := l.readDir()
	defer func() {
		for _, c := range candidates {
			if c.mapping != nil {
				c.mapping.Release()
			}
		}
	}()
	if err != nil {
		return err
	}
	for i, c := range candidates {
		if c.unused || c.footer != nil {
			continue
		}
		cfg := segment.ScanConfig{Epoch: c.header.Epoch, First: c.base}
		if i+1 < len(candidates) {
			cfg.Before = candidates[i+1].base
		}
		c.scan = segment.ScanFile(c.mapping.Bytes(), cfg)
	}
	kept, err := l.findEnd(candidates, watermark(candidates))
	if err != nil {
		return err
	}
	if err := l.adopt(kept); err != nil {
		return err
	}
	l.recovery.Duration = time.Since(start)
	l.report()
	return nil
}

// readDir opens every segment of the directory. What it does not know is left alone.
func (l *Log) readDir() ([]*candidate, error) {
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var candidates []*candidate
	for _, entry := range entries {
		base, spareNumber, kind := parseName(entry.Name())
		switch kind {
		case segmentKind:
			c, err := openCandidate(l.file(entry.Name()), base, l.cfg.Shard)
			if c != nil {
				candidates = append(candidates, c)
			}
			if err != nil {
				return candidates, err
			}
		case spareFile:
			l.found.spares = append(l.found.spares, l.file(entry.Name()))
			l.mu.spareNext = max(l.mu.spareNext, spareNumber+1)
		case droppedFile:
			l.logger.Info("segment set aside by an earlier recovery", "file", entry.Name())
		case unknownFile:
			l.logger.Warn("unknown file in the log's directory is left alone", "file", entry.Name())
		}
	}
	slices.SortFunc(candidates, func(a, b *candidate) int { return cmpLSN(a.base, b.base) })
	for _, c := range candidates {
		l.mu.epoch = max(l.mu.epoch, c.header.Epoch)
	}
	return candidates, nil
}

// openCandidate maps a file and reads its header and footer. It refuses what a newer version or
// another shard wrote; damage is only noted.
func openCandidate(path string, base segment.LSN, shard uint32) (*candidate, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	c := &candidate{path: path, base: base, size: info.Size()}
	if c.size < segment.HeaderSize {
		c.fault, c.unused = segment.ErrFormat, true
		return c, nil
	}
	if c.mapping, err = segment.Map(file, c.size, false); err != nil {
		return c, err
	}
	data := c.mapping.Bytes()
	c.header, c.fault = segment.ParseHeader(data)
	switch {
	case errors.Is(c.fault, segment.ErrVersion), errors.Is(c.fault, segment.ErrFeature):
		return c, fmt.Errorf("%s: %w", path, c.fault)
	case c.fault != nil:
		c.header = segment.Header{Base: base, Shard: shard}
		c.header.Epoch, c.unused = adoptEpoch(data, base)
	case c.header.Base != base:
		return c, fmt.Errorf("%s: header says that record %d is first, not %d: file was renamed; see millrace log verify",
			path, c.header.Base, base)
	case c.header.Shard != shard:
		return c, fmt.Errorf("%s: belongs to shard %d, not %d", path, c.header.Shard, shard)
	}
	if c.unused {
		return c, nil
	}
	if footer, err := segment.ParseFooter(data, c.header.Epoch); err == nil && footer.First == base {
		c.footer = &footer
	}
	return c, nil
}

// adoptEpoch finds the epoch of a segment whose header is damaged: from its trailer, or from a first
// batch that is sound and starts with the number that the file's name gives.
func adoptEpoch(data []byte, base segment.LSN) (epoch uint64, unused bool) {
	if epoch, ok := segment.TrailerEpoch(data); ok {
		if footer, err := segment.ParseFooter(data, epoch); err == nil && footer.First == base {
			return epoch, false
		}
	}
	if len(data) < segment.HeaderSize+segment.BatchHeaderSize {
		return 0, true
	}
	epoch = segment.BatchEpoch(data, segment.HeaderSize)
	batch, err := segment.ParseBatch(data, segment.HeaderSize, epoch)
	return epoch, err != nil || batch.First != base
}

// watermark is the highest record known to have been synced. A footer is written only once its
// segment is, so it vouches for all of it.
func watermark(candidates []*candidate) segment.LSN {
	synced := segment.LSN(0)
	for _, c := range candidates {
		switch {
		case c.footer != nil:
			synced = max(synced, c.footer.Synced, c.footer.Last)
		case c.scan != nil:
			synced = max(synced, c.scan.Synced)
		}
	}
	return synced
}

// findEnd applies the tail rule and returns the segments up to the end of the log.
func (l *Log) findEnd(candidates []*candidate, synced segment.LSN) ([]*candidate, error) {
	next := segment.LSN(1)
	if len(candidates) > 0 {
		next = candidates[0].base
	}
	l.recovery.First = next
	var kept []*candidate
	for i, c := range candidates {
		if c.base < next {
			return nil, fmt.Errorf("%s: begins with record %d, but the segment before it ends with %d; see millrace log verify",
				c.path, c.base, next-1)
		}
		if c.base > next && next > synced {
			l.found.beyond = candidates[i:]
			break
		}
		if c.base > next && candidates[i-1].footer != nil {
			// An unsealed segment has told of its missing end itself.
			l.quarantine(c.path, 0, next, c.base-1, "segment missing before this one")
		}
		newest := i+1 == len(candidates)
		if c.unused && !newest && c.base <= synced {
			next = candidates[i+1].base
			l.quarantine(c.path, 0, c.base, next-1, "segment unreadable: "+c.fault.Error())
			continue
		}
		next = c.base
		if c.unused || newest && c.empty() {
			l.found.empty, l.found.beyond = c, candidates[i+1:]
			if c.scan != nil {
				l.recovery.Dropped += c.scan.Torn
			}
			break
		}
		if c.fault != nil {
			l.quarantine(c.path, 0, c.base, c.base-1, c.fault.Error())
		}
		kept = append(kept, c)
		if c.footer != nil {
			next = c.footer.Last + 1
			continue
		}
		cut := c.scan.Cut(synced)
		for _, d := range c.scan.Damages {
			l.quarantine(c.path, d.Offset, d.From, d.To, d.Reason)
		}
		next = c.scan.Last + 1
		l.recovery.Dropped += c.scan.Torn
		if cut {
			l.found.beyond = candidates[i+1:]
			if c.scan.Count() == 0 {
				kept, l.found.empty = kept[:len(kept)-1], c
			}
			break
		}
	}
	l.recovery.Last = next - 1
	l.recovery.Clean = wasClosed(candidates) && len(l.found.beyond) == 0
	return kept, nil
}

// empty reports whether a segment with a sound header holds nothing.
func (c *candidate) empty() bool {
	if c.footer != nil {
		return c.footer.Count() == 0
	}
	return c.scan != nil && c.scan.Count() == 0 && len(c.scan.Damages) == 0
}

// wasClosed reports whether the newest segment says that the log was closed in good order.
func wasClosed(candidates []*candidate) bool {
	if len(candidates) == 0 {
		return true
	}
	newest := candidates[len(candidates)-1]
	return newest.footer != nil && newest.footer.Closed
}

// adopt makes the found segments the log's.
func (l *Log) adopt(kept []*candidate) error {
	list := make([]*segmentFile, 0, len(kept))
	for _, c := range kept {
		s := &segmentFile{
			path: c.path, base: c.base, epoch: c.header.Epoch, size: c.size, mapping: c.mapping, checked: c.scan != nil,
		}
		footer := c.footer
		if footer == nil {
			// The footer that Start will write serves until then from memory.
			scanned, err := scannedFooter(c.scan)
			if err != nil {
				return fmt.Errorf("%s: %w", c.path, err)
			}
			footer = &scanned
			l.found.unsealed = append(l.found.unsealed, c)
		}
		s.adoptFooter(footer)
		l.mu.timeMs = max(l.mu.timeMs, footer.MaxTime)
		if !c.mapping.Acquire() {
			panic("wal: mapping lost before its first use")
		}
		list = append(list, s)
	}
	l.segments.Store(&list)
	l.recovery.Segments = len(list)
	for _, c := range l.found.beyond {
		l.recovery.Beyond = append(l.recovery.Beyond, c.path)
	}
	l.last.Store(uint64(l.recovery.Last))
	return nil
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

func (s *segmentFile) adoptFooter(footer *segment.Footer) {
	s.places.Store(&places{footer: footer})
	s.end.Store(footer.End)
	s.last.Store(uint64(footer.Last))
	s.minTime.Store(footer.MinTime)
	s.maxTime.Store(footer.MaxTime)
}

func (l *Log) quarantine(path string, offset int64, from, to segment.LSN, reason string) {
	l.recovery.Quarantined = append(l.recovery.Quarantined, Quarantine{path, offset, from, to, reason})
}

func (l *Log) report() {
	r := l.recovery
	for _, q := range r.Quarantined {
		l.logger.Error("corruption in synced records", "where", q.String())
	}
	for _, path := range r.Beyond {
		l.logger.Warn("segment lies beyond the end of the log", "file", path, "last", uint64(r.Last))
	}
	l.logger.Info("log opened", "segments", r.Segments, "first", uint64(r.First), "last", uint64(r.Last),
		"clean", r.Clean, "dropped_bytes", r.Dropped, "duration", r.Duration)
}

func cmpLSN(a, b segment.LSN) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// nextEpoch counts in the high half, so epochs increase, and is random in the low half, so that
// nobody who sends us bytes can guess it.
func nextEpoch(previous uint64, random [4]byte) uint64 {
	return (previous>>32+1)<<32 | uint64(binary.LittleEndian.Uint32(random[:]))
}
