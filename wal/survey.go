package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/millrace-mq/millrace/segment"
)

// survey reads the files of a log without a lock, as Open does, and reports what Open would refuse. Verify and Reader
// begin with one.
type survey struct {
	decoder    *segment.OldDecoder
	faults     []Fault
	superseded []string // files that an old-generation file stands for
	vanished   bool     // a file had gone between being listed and being opened
}

func (v *survey) fault(path string, offset int64, lsn segment.LSN, reason string) {
	v.faults = append(v.faults, Fault{path, offset, lsn, reason})
}

func quarantineReason(q Quarantine) string {
	if q.To < q.From {
		return q.Reason
	}
	return fmt.Sprintf("records %d to %d: %s", q.From, q.To, q.Reason)
}

// logFiles lists the segments and old-generation files of a directory, sorted by name, and those that were being given
// up.
func logFiles(dir string) (files, gone []namedFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		f := namedFile{filepath.Join(dir, entry.Name()), parseName(entry.Name())}
		switch f.name.kind {
		case segmentKind, oldKind, retiredFile:
			files = append(files, f)
		}
	}
	return withoutRetired(files)
}

// withoutRetired tells the files of a log from those that were being given up when a process ended, as the names among
// them say that retireTogether gives; those that say it come last. One that has no file of the log behind it is not
// believed, for files are given up only when there are newer ones: it would take away all that is left.
func withoutRetired(files []namedFile) (kept, gone []namedFile, err error) {
	var markers []namedFile
	for _, f := range files {
		if f.name.kind == retiredFile {
			markers = append(markers, f)
		}
	}
	for _, f := range files {
		switch {
		case f.name.kind == retiredFile:
		case slices.ContainsFunc(markers, func(m namedFile) bool { return m.name.base <= f.name.base && f.name.base <= m.name.last }):
			gone = append(gone, f)
		default:
			kept = append(kept, f)
		}
	}
	for _, m := range markers {
		if !slices.ContainsFunc(kept, func(f namedFile) bool { return f.name.base > m.name.last }) {
			return kept, gone, fmt.Errorf("%s says that records up to %d were given up, but no file of later records is there: "+
				"put the missing files of the log back", m.path, m.name.last)
		}
	}
	return kept, append(gone, markers...), nil
}

// open opens what can be opened, reports what cannot, and leaves out what has gone since it was listed.
func (v *survey) open(files []namedFile) []*candidate {
	found, errs := openFiles(files, anyShard, v.decoder)
	var candidates []*candidate
	for i, c := range found {
		if err := errs[i]; err != nil {
			if errors.Is(err, os.ErrNotExist) {
				v.vanished = true
			} else {
				v.fault(files[i].path, 0, 0, err.Error())
			}
			if c != nil {
				releaseAll([]*candidate{c})
			}
			continue
		}
		candidates = append(candidates, c)
	}
	sortByBase(candidates)
	return candidates
}

// legible reads something of each file, reports those in which it cannot be read, and returns the others.
func (v *survey) legible(candidates []*candidate, read func(*candidate)) (rest []*candidate) {
	for _, c := range candidates {
		if err := guarded(mappingsOf([]*candidate{c}), func() error { read(c); return nil }); err != nil {
			v.fault(c.path, 0, 0, err.Error())
			continue
		}
		rest = append(rest, c)
	}
	return rest
}

// bringIn reads a byte of each page of a file that is read before it is known where the log ends. A page that cannot
// be read is then this file's fault alone, and the others are still told their place by what is left.
func (c *candidate) bringIn() {
	if c.mapping == nil || c.old == nil && c.footer != nil {
		return
	}
	sum := byte(0)
	for at := 0; at < len(c.mapping.Bytes()); at += os.Getpagesize() {
		sum ^= c.mapping.Bytes()[at]
	}
	runtime.KeepAlive(sum)
}

// end finds the files that count, sorted by base, and where the last of them ends, and reports all that is wrong with
// them as far as that shows. After a fault of the directory as a whole, what comes before it counts.
func (v *survey) end(dir string, candidates []*candidate) (end logEnd) {
	for _, c := range candidates {
		if c.fault == nil && candidates[0].fault == nil && c.header.Shard != candidates[0].header.Shard {
			v.fault(c.path, 0, 0, fmt.Sprintf("shard %d among segments of shard %d", c.header.Shard, candidates[0].header.Shard))
		}
	}
	find := func() (err error) {
		kept := v.generations(candidates)
		forgetTorn(kept)
		scanUnsealed(kept)
		end, err = findEnd(kept)
		return err
	}
	err := guarded(mappingsOf(candidates), find)
	if errors.Is(err, ErrUnreadable) {
		candidates = v.legible(candidates, (*candidate).bringIn)
		err = guarded(mappingsOf(candidates), find)
	}
	if err != nil {
		v.fault(dir, 0, 0, err.Error())
	}
	for _, q := range end.recovery.Quarantined {
		v.fault(q.Path, q.Offset, 0, quarantineReason(q))
	}
	return end
}

// generations reports files that stand for others, and returns those that count.
func (v *survey) generations(candidates []*candidate) []*candidate {
	g := tellGenerations(candidates, v.decoder)
	for _, c := range g.superseded {
		v.superseded = append(v.superseded, c.path)
	}
	for _, c := range g.aside {
		reason := "superseded in part by a damaged old-generation file"
		if c.old != nil {
			reason = "damaged; the files that it was made from are there and count"
		}
		v.fault(c.path, 0, 0, reason)
	}
	return g.kept
}

func releaseAll(candidates []*candidate) {
	for _, c := range candidates {
		if c.mapping != nil {
			c.mapping.Release()
		}
	}
}
