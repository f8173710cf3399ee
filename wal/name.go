package wal

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/segment"
)

// Names of files in the log's directory.
const (
	segmentSuffix   = ".seg"
	oldSuffix       = ".old"
	temporarySuffix = ".tmp" // of an old-generation file that is not finished
	sparePrefix     = "spare-"
	droppedMark     = ".dropped-"
	retiredSuffix   = ".retired"
)

func segmentName(base segment.LSN) string { return fmt.Sprintf("%020d%s", uint64(base), segmentSuffix) }

// oldName is the name of the old-generation file that stands for all records first to last.
func oldName(first, last segment.LSN) string {
	return fmt.Sprintf("%020d-%020d%s", uint64(first), uint64(last), oldSuffix)
}

func spareName(n uint64) string { return fmt.Sprintf("%s%d%s", sparePrefix, n, segmentSuffix) }

// retiredName is what the first of the files is called that hold records first to last and are given up together. It
// says so of the others too.
func retiredName(first, last segment.LSN) string {
	return fmt.Sprintf("%020d-%020d%s", uint64(first), uint64(last), retiredSuffix)
}

// droppedName is what a file that is not part of the log is called from then on.
func droppedName(name string, epoch uint64) string {
	return fmt.Sprintf("%s%s%016x", name, droppedMark, epoch)
}

// name is what the name of a file in the log's directory says.
type name struct {
	kind  fileKind
	base  segment.LSN // of a segment or an old-generation file
	last  segment.LSN // of an old-generation file, or of files that are given up
	spare uint64      // number of a spare
}

// parseName tells what a file of the directory is.
func parseName(file string) name {
	if strings.Contains(file, segmentSuffix+droppedMark) || strings.Contains(file, oldSuffix+droppedMark) {
		return name{kind: droppedFile}
	}
	if finished, ok := strings.CutSuffix(file, temporarySuffix); ok {
		if n := parseName(finished); n.kind == oldKind {
			return name{kind: temporaryFile}
		}
		return name{}
	}
	if stem, ok := strings.CutSuffix(file, oldSuffix); ok {
		return parseRange(file, stem, oldKind, oldName)
	}
	if stem, ok := strings.CutSuffix(file, retiredSuffix); ok {
		return parseRange(file, stem, retiredFile, retiredName)
	}
	stem, isSegment := strings.CutSuffix(file, segmentSuffix)
	digits, isSpare := strings.CutPrefix(stem, sparePrefix)
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case !isSegment || err != nil:
		return name{}
	case isSpare && file == spareName(n):
		return name{kind: spareFile, spare: n}
	case !isSpare && n > 0 && file == segmentName(segment.LSN(n)):
		return name{kind: segmentKind, base: segment.LSN(n)}
	}
	return name{}
}

// parseRange takes a name with two numbers apart, which must be as named makes it.
func parseRange(file, stem string, kind fileKind, named func(first, last segment.LSN) string) name {
	from, to, _ := strings.Cut(stem, "-")
	first, err := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	n := name{kind: kind, base: segment.LSN(first), last: segment.LSN(last)}
	if err != nil || err2 != nil || first == 0 || last < first || file != named(n.base, n.last) {
		return name{}
	}
	return n
}

type fileKind int

const (
	unknownFile fileKind = iota
	segmentKind
	oldKind
	temporaryFile
	spareFile
	droppedFile
	retiredFile
)

func (l *Log) file(name string) string { return filepath.Join(l.cfg.Dir, name) }
