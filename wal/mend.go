package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
)

// Mended says what Mend has put in the place of a file.
type Mended struct {
	Path    string // the file that was replaced; empty: it was missing
	Aside   string // where it is now
	Instead string // what is in its place
	From    segment.LSN
	To      segment.LSN // the records that both stand for
	Kept    int         // records that were taken over
	Lost    int         // records that were not; -1 = nobody knows
}

// Mend replaces every file of the log in dir with which Verify finds fault. A damaged file is read as far as that goes,
// and what is sound in it, interned route sets apart, goes to an old-generation file that stands for the same records:
// such a file need not have all of them. So it has a sound header and footer, and no record with a wrong checksum. Where
// nothing can be read, or a file is missing, an old-generation file without records takes the place.
//
// The file replaced goes to the folder aside, which is made; nothing is deleted. did is told of each. No log may be open
// in dir; files of a newer version, and those that contradict one another about which records they hold, are an error.
//
// It may be interrupted anywhere, and be called again: a new file is whole on disk before it has its name, and has the old
// one's contents beside it in aside before that. Until the old one has lost its name, the next Open takes the new one,
// which stands for it.
func Mend(ctx context.Context, dir, aside string, logger *slog.Logger, did func(Mended) error) error {
	report, err := Verify(dir)
	if err != nil || len(report.Faults) == 0 {
		return err
	}
	l, err := Open(Config{Dir: dir, Repair: true, Logger: logger})
	if err != nil {
		return err
	}
	defer l.Close()
	m := mender{log: l, ctx: ctx, aside: aside, did: did, faulty: map[string]bool{}, maxTime: math.MinInt64}
	for _, f := range report.Faults {
		if !m.before(f) {
			m.faulty[f.Path] = true
		}
	}
	if err := m.run(); err != nil {
		return fmt.Errorf("mend %s: %w", dir, err)
	}
	return nil
}

// mender is the state of one Mend.
type mender struct {
	log    *Log
	ctx    context.Context
	aside  string
	did    func(Mended) error
	faulty map[string]bool // files, by path

	begun   bool   // there is a file before
	epoch   uint64 // of it
	maxTime int64  // of its last batch, ms
	queues  []segment.QueueID
	sets    map[uint64]bool
}

// before reports whether a fault is not one of the file that it names, but of what is missing before it.
func (m *mender) before(f Fault) bool {
	return slices.ContainsFunc(m.log.recovery.Quarantined, func(q Quarantine) bool {
		return q.Path == f.Path && q.Reason == missingBefore && f.Reason == quarantineReason(q)
	})
}

// run goes through the log's files, oldest first.
func (m *mender) run() error {
	l := m.log
	list := slices.Clone(l.list())
	for i, s := range list {
		next := (*segmentFile)(nil)
		if i+1 < len(list) {
			next = list[i+1]
		}
		if m.faulty[s.path] && s.lastLSN() >= s.base {
			if err := m.file(s, next); err != nil {
				return fmt.Errorf("%s: %w", s.path, err)
			}
		} else {
			m.epoch, m.maxTime = max(m.epoch, s.epoch), max(m.maxTime, s.maxTime.Load())
		}
		m.begun = true
		if next != nil && s.lastLSN()+1 < next.base {
			if err := m.gap(s.lastLSN()+1, next); err != nil {
				return fmt.Errorf("records %d to %d: %w", s.lastLSN()+1, next.base-1, err)
			}
		}
	}
	for _, c := range l.found.unreadable {
		if _, err := os.Stat(c.path); err != nil {
			continue // in a gap, and done
		}
		if err := m.set(Mended{Path: c.path, From: c.base, To: c.base - 1, Lost: -1}, ""); err != nil {
			return err
		}
	}
	return nil
}

// header is that of a file between the one before and next.
func (m *mender) header(from, to segment.LSN, epoch uint64, next *segmentFile) segment.OldHeader {
	count := epoch >> 32
	if count <= m.epoch>>32 || next != nil && count >= next.epoch>>32 {
		count = m.epoch>>32 + 1
	}
	m.epoch = newEpoch(count)
	return segment.OldHeader{
		Shard: m.log.cfg.Shard, Required: segment.OldFeatures, Epoch: m.epoch, First: from, Last: to, Created: time.Now().UnixMilli(),
	}
}

// within makes a time one that may stand between those of the neighbours.
func (m *mender) within(ms int64, next *segmentFile) int64 {
	if next != nil {
		ms = min(ms, next.minTime.Load())
	}
	return max(ms, m.maxTime)
}

// file writes what is sound in a file to another.
func (m *mender) file(s, next *segmentFile) error {
	header := m.header(s.base, s.lastLSN(), s.epoch, next)
	if s.continues || m.begun && !m.states(s) {
		header.Required |= segment.FeatureContinues
	}
	out, err := m.create(header)
	if err != nil {
		return err
	}
	defer out.discard()
	done := Mended{Path: s.path, From: header.First, To: header.Last, Lost: int(header.Last-header.First) + 1}
	m.sets = map[uint64]bool{}
	first := m.within(s.minTime.Load(), next)
	last := first
	cursor := m.log.Cursor(s.base)
	defer cursor.Close()
	for read := 0; cursor.Next() && cursor.LSN() <= header.Last; read++ {
		if read%1024 == 0 && m.ctx.Err() != nil {
			return m.ctx.Err()
		}
		done.Lost-- // unless it is below
		last = max(last, m.within(cursor.Time().UnixMilli(), next))
		kept, err := m.record(out.writer, cursor, last)
		switch {
		case errors.Is(err, segment.ErrCorrupt):
			done.Lost++
		case err != nil:
			return err
		case kept:
			done.Kept++
		}
		if err := out.write(); err != nil {
			return err
		}
	}
	if err := cursor.Err(); err != nil {
		return err
	}
	if s.old != nil {
		done.Lost = max(0, s.old.head.Records()-done.Kept)
	}
	out.writer.Finish(first, last)
	m.maxTime = last
	cursor.Close()
	return m.finish(out, done)
}

// states reports whether a file's catalogue can still be read.
func (m *mender) states(s *segmentFile) bool {
	cursor := m.log.Cursor(s.base)
	defer cursor.Close()
	return cursor.Next() && cursor.LSN() == s.base && cursor.Record().Kind() == segment.KindCatalogue
}

// record takes a record over, unless it is one that only its file is in need of.
func (m *mender) record(to *segment.OldWriter, c *Cursor, ms int64) (kept bool, err error) {
	err = c.Use(func(r segment.Record) error {
		switch r.Kind() {
		case segment.KindRouteSet: // each publish has its queues with it
			return nil
		case segment.KindPublish:
			queues, err := c.Queues(m.queues[:0])
			if m.queues = queues; err != nil {
				return err
			}
			kept = true
			return to.AddPublish(r, queues, ms)
		}
		if _, err := checkRecord(r, m.sets, m.queues[:0]); err != nil {
			return fmt.Errorf("%w: %w", segment.ErrCorrupt, err)
		}
		kept = true
		return to.Add(r, ms)
	})
	return kept && err == nil, err
}

// gap puts a file that has no record in the place of what is missing or cannot be read, from one record to the next
// file's.
func (m *mender) gap(from segment.LSN, next *segmentFile) error {
	header := m.header(from, next.base-1, 0, next)
	header.Required |= segment.FeatureContinues
	out, err := m.create(header)
	if err != nil {
		return err
	}
	defer out.discard()
	at := m.within(next.minTime.Load(), next)
	out.writer.Finish(at, at)
	m.maxTime = at
	done := Mended{From: from, To: header.Last, Lost: -1}
	var unreadable []string
	for _, c := range m.log.found.unreadable {
		if c.base >= from && c.base <= header.Last {
			unreadable = append(unreadable, c.path)
		}
	}
	if len(unreadable) > 0 {
		done.Path, unreadable = unreadable[0], unreadable[1:]
	}
	for _, path := range unreadable {
		if err := m.set(Mended{Path: path, From: from, To: header.Last, Lost: -1}, ""); err != nil {
			return err
		}
	}
	return m.finish(out, done)
}

// mending is a file that is written.
type mending struct {
	log       *Log
	file      *os.File
	writer    *segment.OldWriter
	path      string // that it will have
	temporary string
}

func (m *mender) create(header segment.OldHeader) (*mending, error) {
	path := m.log.file(oldName(header.First, header.Last))
	out := &mending{log: m.log, path: path, temporary: path + temporarySuffix}
	var err error
	if out.writer, err = segment.NewOldWriter(header); err != nil {
		return nil, err
	}
	out.file, err = os.OpenFile(out.temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	return out, err
}

func (o *mending) write() error {
	bytes, at := o.writer.Take()
	if len(bytes) == 0 {
		return nil
	}
	return o.log.disk.writeFull(o.file, bytes, at)
}

// discard closes the file, and removes it if it has not got its name.
func (o *mending) discard() {
	o.file.Close()
	_ = os.Remove(o.temporary) // the next Start does it else
}

// finish gives a whole file its name, and puts aside what it is instead of.
func (m *mender) finish(out *mending, done Mended) error {
	if err := out.write(); err != nil {
		return err
	}
	if err := m.log.disk.sync(out.file); err != nil {
		return err
	}
	done.Instead = out.path
	return m.set(done, out.temporary)
}

// set puts a file aside, and another, if there is one, in its place.
func (m *mender) set(done Mended, temporary string) error {
	if done.Path != "" {
		done.Aside = filepath.Join(m.aside, filepath.Base(done.Path))
		if err := m.copyAside(done.Path, done.Aside); err != nil {
			return err
		}
	}
	if done.Instead != "" {
		if err := os.Rename(temporary, done.Instead); err != nil {
			return err
		}
		if err := m.log.disk.sync(m.log.dir); err != nil {
			return err
		}
	}
	if done.Path != "" && done.Path != done.Instead {
		if err := os.Remove(done.Path); err != nil {
			return err
		}
		if err := m.log.disk.sync(m.log.dir); err != nil {
			return err
		}
	}
	return m.did(done)
}

// copyAside gives a file a name in the folder of what is replaced, or copies it there.
func (m *mender) copyAside(path, to string) error {
	if err := os.MkdirAll(m.aside, 0o750); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if _, err := (part{path: path, size: info.Size()}).copyTo(m.ctx, to); err != nil {
		return err
	}
	return errors.Join(syncDir(m.aside), syncDir(filepath.Dir(m.aside)))
}
