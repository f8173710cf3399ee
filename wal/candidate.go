package wal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// candidate is one segment file as it was found.
type candidate struct {
	path     string
	base     segment.LSN // from the name
	size     int64
	header   segment.Header
	fault    error // why the header cannot be trusted; the epoch then comes from the contents
	unused   bool  // no header and no batch: created, never written
	headless bool  // zeros stand where the header would
	zeros    bool  // unused, and zeros stand where header and first batch would
	mapping  *segment.Mapping
	footer   *segment.Footer
	scan     *segment.Scan // without footer
	old      *oldCandidate // an old-generation file; it has neither footer nor scan

	checked    bool  // the footer's tables were read; see checkTables
	tableFault error // of a segment's, found then
}

// readDir opens every segment of the directory. What it does not know is left alone.
func (l *Log) readDir() ([]*candidate, error) {
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var candidates []*candidate
	for _, entry := range entries {
		n, path := parseName(entry.Name()), l.file(entry.Name())
		switch n.kind {
		case segmentKind, oldKind:
			c, err := openFile(path, n, l.cfg.Shard, l.cache.decoder)
			if c != nil {
				candidates = append(candidates, c)
			}
			if err != nil {
				return candidates, err
			}
		case temporaryFile:
			l.found.temporary = append(l.found.temporary, path)
		case spareFile:
			l.found.spares = append(l.found.spares, path)
			l.mu.spareNext = max(l.mu.spareNext, n.spare+1)
		case droppedFile:
			l.logger.Info("segment set aside by an earlier recovery", "file", entry.Name())
		case unknownFile:
			l.logger.Warn("unknown file in the log's directory is left alone", "file", entry.Name())
		}
	}
	slices.SortFunc(candidates, func(a, b *candidate) int { return cmp.Compare(a.base, b.base) })
	for _, c := range candidates {
		l.mu.epoch = max(l.mu.epoch, c.header.Epoch)
	}
	return candidates, nil
}

// anyShard is for Verify, which is not told one.
const anyShard = 1<<32 - 1

// openFile opens a segment or an old-generation file.
func openFile(path string, n name, shard uint32, decoder *segment.OldDecoder) (*candidate, error) {
	if n.kind == oldKind {
		return openOld(path, n, shard, decoder)
	}
	return openCandidate(path, n.base, shard)
}

// openCandidate maps a segment and reads its header and footer. It refuses what a newer version or
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
		c.fault, c.unused, c.zeros = segment.ErrFormat, true, c.size == 0
		return c, nil
	}
	if c.mapping, err = segment.Map(file, c.size); err != nil {
		return c, err
	}
	return c, guarded(mappingsOf([]*candidate{c}), func() error { return c.read(shard) })
}

// mappingsOf is what guarded asks for.
func mappingsOf(candidates []*candidate) func(func(string, *segment.Mapping)) {
	return func(found func(string, *segment.Mapping)) {
		for _, c := range candidates {
			found(c.path, c.mapping)
		}
	}
}

// read reads header and footer of a file that is mapped.
func (c *candidate) read(shard uint32) error {
	data, base, path := c.mapping.Bytes(), c.base, c.path
	c.header, c.fault = segment.ParseHeader(data)
	switch {
	case errors.Is(c.fault, segment.ErrVersion), errors.Is(c.fault, segment.ErrFeature):
		return fmt.Errorf("%s: %w", path, c.fault)
	case c.fault != nil:
		c.header = segment.Header{Base: base}
		c.header.Epoch, c.unused = adoptEpoch(data, base)
		c.headless = allZeros(data[:segment.HeaderSize])
		c.zeros = allZeros(data[:min(len(data), segment.HeaderSize+segment.BatchHeaderSize)])
	case c.header.Base != base:
		return fmt.Errorf("%s: header says that record %d is first, not %d: file was renamed; see millrace log verify",
			path, c.header.Base, base)
	case shard != anyShard && c.header.Shard != shard:
		return fmt.Errorf("%s: belongs to shard %d, not %d", path, c.header.Shard, shard)
	}
	if c.unused {
		return nil
	}
	if footer, err := segment.ParseFooter(data, c.header.Epoch); err == nil && footer.First == base {
		c.footer = &footer
	}
	return c.mapping.Cool()
}

// info describes a segment that was scanned.
func (c *candidate) info(scan *segment.Scan) SegmentInfo {
	return SegmentInfo{
		Path: c.path, Base: c.base, Last: scan.Last, Epoch: c.header.Epoch, Size: c.size, End: scan.End,
		MinTime: time.UnixMilli(scan.MinTime), MaxTime: time.UnixMilli(scan.MaxTime),
		Sealed: c.footer != nil, Batches: scan.Batches,
	}
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

// blank reports whether nothing was ever written to the file but, perhaps, our header.
func (c *candidate) blank() bool {
	if c.unused {
		return c.zeros
	}
	return c.empty() && (c.scan == nil || c.scan.Torn == 0)
}

func allZeros(data []byte) bool {
	return !slices.ContainsFunc(data, func(b byte) bool { return b != 0 })
}
