package wal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/millrace-mq/millrace/segment"
)

// oldCandidate is what a candidate has besides when it is an old-generation file.
type oldCandidate struct {
	last        segment.LSN // from the name
	footer      segment.OldFooter
	footerFault error            // why the footer was made anew from the blocks
	damages     []segment.Damage // found then
}

// readOld reads header and footer of an old-generation file that is mapped. The file is unused, that is unreadable,
// when neither tells what it holds.
func (c *candidate) readOld(n name, shard uint32, decoder *segment.OldDecoder) error {
	path := c.path
	data := c.mapping.Bytes()
	header, err := segment.ParseOldHeader(data)
	c.header = segment.Header{
		Version: header.Version, Shard: header.Shard, Required: header.Required, Epoch: header.Epoch, Base: n.base, Created: header.Created,
	}
	switch {
	case errors.Is(err, segment.ErrVersion), errors.Is(err, segment.ErrFeature):
		return fmt.Errorf("%s: %w", path, err)
	case err != nil:
		c.fault = err
		epoch, sound := segment.TrailerEpoch(data)
		if !sound {
			c.unused = true
			return nil
		}
		c.header.Epoch, c.header.Required = epoch, segment.FeatureContinues // it may
	case header.First != n.base || header.Last != n.last:
		return fmt.Errorf("%s: header says that it stands for records %d to %d: file was renamed; see millrace log verify",
			path, header.First, header.Last)
	case shard != anyShard && header.Shard != shard:
		return fmt.Errorf("%s: belongs to shard %d, not %d", path, header.Shard, shard)
	}
	c.readOldFooter(decoder)
	return nil
}

// readOldFooter takes the footer's head as it is or makes the footer anew from the blocks.
func (c *candidate) readOldFooter(decoder *segment.OldDecoder) {
	footer, err := segment.ParseOldFooter(c.mapping.Bytes(), c.header.Epoch)
	if err == nil && (footer.First != c.base || footer.Last != c.old.last) {
		err = &segment.CorruptError{Offset: footer.End, Reason: "footer is of another range of records"}
	}
	if err == nil {
		c.old.footer = footer
		return
	}
	if c.fault != nil {
		c.old.footerFault, c.unused = err, true
		return
	}
	c.scanOld(err, decoder)
	if errors.Is(err, segment.ErrFormerFooter) {
		c.old.footerFault = nil // nothing is damaged, it only takes longer
	}
}

// scanOld makes a damaged footer anew from the blocks.
func (c *candidate) scanOld(cause error, decoder *segment.OldDecoder) {
	header := segment.OldHeader{Epoch: c.header.Epoch, First: c.base, Last: c.old.last, Created: c.header.Created}
	c.old.footerFault, c.checked = cause, true
	_ = c.mapping.ReadAhead(true) // all of it is read now
	scan, err := segment.ScanOld(c.mapping.Bytes(), header, decoder)
	if err != nil {
		c.fault, c.unused = err, true
		return
	}
	c.old.footer, c.old.damages = scan.Footer, scan.Damages
}

// lastLSN is the last record of a candidate that says so itself.
func (c *candidate) lastLSN() (last segment.LSN, ok bool) {
	switch {
	case c.old != nil:
		return c.old.last, true
	case c.footer != nil:
		return c.footer.Last, true
	case c.torn != nil:
		return c.torn.Last, true
	}
	return 0, false
}

// sound reports whether every byte of an old-generation file that counts is as it was written.
func (c *candidate) sound(decoder *segment.OldDecoder) bool {
	c.checkTables(decoder)
	if c.unused || c.fault != nil || c.old.footerFault != nil {
		return false
	}
	sound := true
	c.eachOldBlock(decoder, func(_ segment.OldRecord, _ segment.Record, err error) {
		sound = sound && err == nil
	})
	return sound
}

// eachOldBlock calls yield for every record that the footer names, with the error that keeps it from being
// read.
func (c *candidate) eachOldBlock(decoder *segment.OldDecoder, yield func(segment.OldRecord, segment.Record, error)) {
	footer := &c.old.footer
	for i := range footer.Blocks() {
		block := footer.Block(i)
		raw, err := decoder.Block(c.mapping.Bytes(), block)
		for n := range block.Count {
			at := footer.Record(block.Index + n)
			var record segment.Record
			fault := err
			if fault == nil {
				record, fault = footer.RecordIn(raw, at)
			}
			yield(at, record, fault)
		}
	}
}

// generations is what is left of the files found once those that say the same are told apart.
type generations struct {
	kept       []*candidate // sorted by base
	superseded []*candidate // an old-generation file that is sound stands for them
	aside      []*candidate // to be set aside: damaged, and others stand for them, or the best of the damaged does
}

// tellGenerations decides what a crash between the naming of an old-generation file and the removal of those
// that it replaces left open. The new file counts when it is sound. When it is not, those that it was made from
// count, if they are all there.
func tellGenerations(candidates []*candidate, decoder *segment.OldDecoder) generations {
	g := generations{kept: slices.Clone(candidates)}
	var olds []*candidate
	for _, c := range candidates {
		if c.old != nil {
			olds = append(olds, c)
		}
	}
	// The narrowest first: a file may stand for one that stood for others.
	slices.SortFunc(olds, func(a, b *candidate) int {
		return cmp.Compare(a.old.last-a.base, b.old.last-b.base)
	})
	for _, old := range olds {
		inner := g.inside(old)
		switch {
		case len(inner) == 0:
		case old.sound(decoder):
			g.superseded = append(g.superseded, inner...)
			g.drop(inner)
		case old.unused || complete(inner, old, decoder):
			g.aside = append(g.aside, old)
			g.drop([]*candidate{old})
		default:
			g.aside = append(g.aside, inner...)
			g.drop(inner)
		}
	}
	return g
}

// inside returns the kept files that lie wholly in the range of old.
func (g *generations) inside(old *candidate) []*candidate {
	var inner []*candidate
	for _, c := range g.kept {
		last, ok := c.lastLSN()
		if c != old && c.base >= old.base && c.base <= old.old.last && (!ok || last <= old.old.last) {
			inner = append(inner, c)
		}
	}
	return inner
}

func (g *generations) drop(files []*candidate) {
	g.kept = slices.DeleteFunc(g.kept, func(c *candidate) bool { return slices.Contains(files, c) })
}

// complete reports whether files, sorted by base, hold the whole range of old.
func complete(files []*candidate, old *candidate, decoder *segment.OldDecoder) bool {
	next := old.base
	for _, c := range files {
		if c.old != nil {
			c.checkTables(decoder)
		}
		last, ok := c.lastLSN()
		if !ok || c.unused || c.fault != nil || c.base != next || c.old != nil && len(c.old.damages) > 0 {
			return false
		}
		next = last + 1
	}
	return next == old.old.last+1
}

// keepOld makes an old-generation file part of the log and reports its damage.
func (e *logEnd) keepOld(c *candidate) (next segment.LSN) {
	if c.old.footerFault != nil {
		e.quarantine(c.path, 0, c.base, c.base-1, "footer made anew from the blocks: "+c.old.footerFault.Error())
	}
	for _, d := range c.old.damages {
		e.quarantine(c.path, d.Offset, d.From, d.To, d.Reason)
	}
	return c.old.last + 1
}

// removeSuperseded deletes the files that an old-generation file stands for, those that were never finished, and those
// that were being given up.
func (l *Log) removeSuperseded() error {
	paths := l.found.temporary
	for _, c := range l.found.superseded {
		paths = append(paths, c.path)
	}
	var markers []string // what they tell of must not be there without them
	for _, f := range l.found.retired {
		if f.name.kind == retiredFile {
			markers = append(markers, f.path)
		} else {
			paths = append(paths, f.path)
		}
	}
	if err := l.removeSynced(paths); err != nil {
		return err
	}
	return l.removeSynced(markers)
}

// removeSynced deletes files once the directory is on disk: what allows it may be a name in it.
func (l *Log) removeSynced(paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	if err := l.disk.sync(l.dir); err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove file that is no longer part of the log: %w", err)
		}
		l.logger.Info("file that is no longer part of the log removed", "file", path)
	}
	return nil
}
