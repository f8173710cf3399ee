package wal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// candidate is one segment file as it was found.
type candidate struct {
	path     string
	base     segment.LSN // from the name
	size     int64
	identity os.FileInfo
	header   segment.Header
	fault    error // why the header cannot be trusted; the epoch then comes from the contents
	unused   bool  // no header and no batch: created, never written
	headless bool  // zeros stand where the header would
	zeros    bool  // unused, and zeros stand where header and first batch would
	mapping  *segment.Mapping
	footer   *segment.Footer
	scan     *segment.Scan // without footer
	old      *oldCandidate // an old-generation file; it has neither footer nor scan

	statesOnly bool // the scan found nothing but a catalogue
	rewrite    bool // the header is to say something else than it does

	checked    bool            // the footer's tables were read; see checkTables
	tableFault error           // of a segment's, found then
	torn       *segment.Footer // of which only the head counts; see forgetTorn
}

// readDir opens every file of the log. What it does not know is left alone.
func (l *Log) readDir() ([]*candidate, error) {
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var files []namedFile
	for _, entry := range entries {
		n, path := parseName(entry.Name()), l.file(entry.Name())
		switch n.kind {
		case segmentKind, oldKind, retiredFile:
			files = append(files, namedFile{path, n})
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
	if files, l.found.retired, err = withoutRetired(files); err != nil {
		return nil, err
	}
	candidates, errs := openFiles(files, l.cfg.Shard, l.cache.decoder)
	candidates = slices.DeleteFunc(candidates, func(c *candidate) bool { return c == nil })
	sortByBase(candidates)
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return candidates, errs[i]
	}
	return candidates, nil
}

func sortByBase(candidates []*candidate) {
	slices.SortFunc(candidates, func(a, b *candidate) int { return cmp.Compare(a.base, b.base) })
}

// namedFile is a file of the log before it is opened.
type namedFile struct {
	path string
	name name
}

// openers is how many files are opened at once: when nothing of them is cached, each costs the disk a few reads one
// behind the other.
const openers = 16

// openFiles opens files of the log, and returns for each of them a candidate, an error, or both.
func openFiles(files []namedFile, shard uint32, decoder *segment.OldDecoder) ([]*candidate, []error) {
	candidates, errs := make([]*candidate, len(files)), make([]error, len(files))
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(openers, len(files)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(files)); i = next.Add(1) - 1 {
				candidates[i], errs[i] = openFile(files[i].path, files[i].name, shard, decoder)
			}
		})
	}
	running.Wait()
	return candidates, errs
}

// anyShard is for those who read beside a log and are not told one.
const anyShard = 1<<32 - 1

// openFile maps a segment or an old-generation file and reads its header and the head of its footer. It refuses
// what a newer version or another shard wrote; damage is only noted.
func openFile(path string, n name, shard uint32, decoder *segment.OldDecoder) (*candidate, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	c := &candidate{path: path, base: n.base, size: info.Size(), identity: info}
	if n.kind == oldKind {
		c.old = &oldCandidate{last: n.last}
	}
	if c.size < segment.HeaderSize {
		c.fault, c.unused, c.zeros = segment.ErrFormat, true, c.size == 0 && c.old == nil
		return c, nil
	}
	if c.mapping, err = segment.Map(file, c.size); err != nil {
		return c, err
	}
	// Three pages are wanted, and not what stands around them.
	if err := c.mapping.ReadAhead(false); err != nil {
		return c, err
	}
	read := c.read
	if c.old != nil {
		read = func(shard uint32) error { return c.readOld(n, shard, decoder) }
	}
	err = guarded(mappingsOf([]*candidate{c}), func() error { return read(shard) })
	return c, errors.Join(err, c.mapping.ReadAhead(true), c.mapping.Cool())
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
		if base > 1 && !beginsWithCatalogue(data, c.header.Epoch) {
			c.header.Required = segment.FeatureContinues // it may
		}
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
	return nil
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

// beginsWithCatalogue reports whether the first batch of a segment is a catalogue.
func beginsWithCatalogue(data []byte, epoch uint64) bool {
	if len(data) < segment.HeaderSize+segment.BatchHeaderSize {
		return false
	}
	batch, err := segment.ParseBatch(data, segment.HeaderSize, epoch)
	if err != nil {
		return false
	}
	for _, r := range batch.Records() {
		return r.Kind() == segment.KindCatalogue
	}
	return false
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
