package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// Judge says of a record whether it survives a relocation, and of a publish in which of its queues it is still
// live; queues are those that it went to, sets resolved. Both arguments are borrowed until it returns; live may
// be cut from queues. It is not asked about catalogues, of which the first file's are kept, and about route
// sets, which nothing refers to any more.
type Judge func(r segment.Record, queues []segment.QueueID) (live []segment.QueueID, survives bool)

// Relocated counts what a relocation did.
type Relocated struct {
	Files        int   // that were replaced
	ReadBytes    int64 // in them
	WrittenBytes int64 // of the new file
	Records      int   // read
	Survivors    int   // written
}

// Relocate replaces the adjacent sealed files from..to (base of the first, last record of the last;
// old-generation files may be among them) by one old-generation file with those records that judge lets survive.
// Their numbers stay; the others are gone (ErrGone) from then on.
//
// ready is called when the new file is on disk and before it takes the place of the others; its error abandons
// the relocation. So does the end of ctx, and damage in a file: nothing that cannot be read is dropped, and the
// error then matches segment.ErrCorrupt. ErrGone means that Retire came first. An abandoned relocation changes
// nothing. One relocation runs at a time; Close ends it.
//
// Views keep what they hold. The order is the crash argument: the new file is whole on disk before it has its
// name, and has its name on disk before any of the others is touched. In between both are there, and Open takes
// the new one if it is sound.
func (l *Log) Relocate(ctx context.Context, from, to segment.LSN, judge Judge, ready func() error) (Relocated, error) {
	l.relocating.Lock()
	defer l.relocating.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.keeperCtx, cancel)()

	done, err := l.relocate(ctx, from, to, judge, ready)
	if err != nil {
		if l.keeperCtx.Err() != nil {
			err = errors.Join(ErrClosed, err)
		}
		return Relocated{}, fmt.Errorf("relocate records %d to %d: %w", from, to, err)
	}
	return done, nil
}

func (l *Log) relocate(ctx context.Context, from, to segment.LSN, judge Judge, ready func() error) (Relocated, error) {
	victims, err := l.victims(from, to)
	if err != nil {
		return Relocated{}, err
	}
	release := sync.OnceFunc(func() {
		for _, s := range victims {
			s.mapping.Release()
		}
	})
	defer release()
	path := l.file(oldName(from, to))
	temporary := path + temporarySuffix
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return Relocated{}, err
	}
	defer file.Close()
	r := relocation{log: l, ctx: ctx, judge: judge, file: file}
	fresh, err := r.run(victims, path)
	if err == nil {
		err = ready()
	}
	if err == nil {
		err = l.replace(victims, fresh, temporary, release)
	}
	if err != nil {
		if fresh != nil {
			fresh.mapping.Release()
		}
		if removed := os.Remove(temporary); removed != nil && !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
		return Relocated{}, err
	}
	l.logger.Info("records relocated", "first", uint64(from), "last", uint64(to), "files", r.done.Files,
		"records", r.done.Records, "survivors", r.done.Survivors, "bytes_read", r.done.ReadBytes, "bytes_written", r.done.WrittenBytes)
	return r.done, nil
}

// victims leases the files that hold from..to.
func (l *Log) victims(from, to segment.LSN) (victims []*segmentFile, err error) {
	defer func() {
		if err != nil {
			for _, s := range victims {
				s.mapping.Release()
			}
			victims = nil
		}
	}()
	next := from
	for _, s := range l.list() {
		if s.lastLSN() < from || s.base > to {
			continue
		}
		switch {
		case s.base != next:
			return victims, fmt.Errorf("%s does not begin with record %d", s.path, next)
		case !s.sealed() || s.lastLSN() > to || segment.LSN(l.durable.Load()) < s.lastLSN():
			return victims, fmt.Errorf("%s is not sealed, or goes on behind record %d", s.path, to)
		case !s.mapping.Acquire():
			return victims, fmt.Errorf("%s: %w", s.path, ErrGone)
		}
		victims = append(victims, s)
		next = s.lastLSN() + 1
	}
	switch {
	case len(victims) == 0:
		return nil, fmt.Errorf("%w (first is %d)", ErrGone, l.First())
	case next != to+1:
		return victims, fmt.Errorf("files end with record %d", next-1)
	}
	return victims, nil
}

// relocation is the state of one Relocate that writes its file.
type relocation struct {
	log    *Log
	ctx    context.Context
	judge  Judge
	file   *os.File
	writer *segment.OldWriter
	done   Relocated

	sets   map[uint64][]segment.QueueID // defined by the segment that is read
	queues []segment.QueueID            // scratch
	first  bool                         // the first file is read, whose catalogue is kept
}

// run writes the survivors of victims to the file, syncs it, and returns it as it will be when it has its name.
func (r *relocation) run(victims []*segmentFile, path string) (*segmentFile, error) {
	l, newest := r.log, victims[len(victims)-1]
	header := segment.OldHeader{
		Shard: l.cfg.Shard, Required: segment.OldFeatures, Epoch: newEpoch(newest.epoch >> 32),
		First: victims[0].base, Last: newest.lastLSN(), Created: time.Now().UnixMilli(),
	}
	if victims[0].continues { // the catalogues of the others do not stand at its beginning
		header.Required |= segment.FeatureContinues
	}
	var err error
	if r.writer, err = segment.NewOldWriter(header); err != nil {
		return nil, err
	}
	for i, s := range victims {
		r.first = i == 0
		read := r.segment
		if s.old != nil {
			read = r.old
		}
		if err := s.guarded(func() error { return read(s) }); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
		if err := s.mapping.Cool(); err != nil { // the cooler does not know that we read it
			return nil, err
		}
		r.done.Files++
		r.done.ReadBytes += s.end.Load()
	}
	r.writer.Finish(victims[0].minTime.Load(), newest.maxTime.Load())
	if err := r.write(); err != nil {
		return nil, err
	}
	if err := l.disk.sync(r.file); err != nil {
		return nil, err
	}
	return r.open(path, header)
}

// open maps the file that was written, and reads its footer back.
func (r *relocation) open(path string, header segment.OldHeader) (*segmentFile, error) {
	mapping, err := segment.Map(r.file, r.done.WrittenBytes)
	if err != nil {
		return nil, err
	}
	s := &segmentFile{
		path: path, base: header.First, epoch: header.Epoch, size: r.done.WrittenBytes, mapping: mapping, logger: r.log.logger,
		continues: header.Required&segment.FeatureContinues != 0,
	}
	var footer segment.OldFooter
	if err := s.guarded(func() error {
		if footer, err = segment.ParseOldFooter(mapping.Bytes(), header.Epoch); err == nil {
			err = footer.Check()
		}
		return err
	}); err != nil {
		mapping.Release()
		return nil, fmt.Errorf("%s: footer just written: %w", r.file.Name(), err)
	}
	s.adoptOld(newOldFile(&oldTables{footer: footer}, r.log.cache))
	return s, nil
}

// segment reads all batches of a segment; each must be sound and follow the one before.
func (r *relocation) segment(s *segmentFile) error {
	data := s.mapping.Bytes()[:s.end.Load()]
	next := s.base
	r.sets = map[uint64][]segment.QueueID{}
	for at := segment.HeaderSize; at < len(data); {
		batch, err := segment.ParseBatch(data, at, s.epoch)
		if err != nil {
			return err
		}
		for place, record := range batch.Records() {
			if record.LSN() != next || !record.Valid() {
				return &segment.CorruptError{Offset: int64(place), LSN: next, Reason: "record is damaged or another's"}
			}
			next++
			if err := r.record(record, batch.Time); err != nil {
				return err
			}
		}
		at += batch.Length
		if err := r.step(int64(batch.Length)); err != nil {
			return err
		}
	}
	if next != s.lastLSN()+1 {
		return &segment.CorruptError{Offset: int64(len(data)), LSN: next, Reason: "records are missing"}
	}
	return nil
}

// old reads all blocks of an old-generation file. They do not go through the cache, which is for readers.
func (r *relocation) old(s *segmentFile) error {
	t := s.oldTables()
	if _, err := t.hidden(s, s.base, s.lastLSN()); err != nil {
		return err
	}
	footer := &t.footer
	if len(t.damages) > 0 {
		d := t.damages[0]
		return &segment.CorruptError{Offset: d.Offset, LSN: d.From, Reason: d.Reason}
	}
	if err := footer.Check(); err != nil { // again: the disk may have failed since, and what is passed over here is gone
		return err
	}
	for i := range footer.Blocks() {
		block := footer.Block(i)
		raw, err := s.old.cache.decoder.Block(s.mapping.Bytes(), block)
		if err != nil {
			return err
		}
		for n := range block.Count {
			at := footer.Record(block.Index + n)
			record, err := footer.RecordIn(raw, at)
			if err != nil {
				return err
			}
			if err := r.record(record, at.Time); err != nil {
				return err
			}
		}
		if err := r.step(int64(block.Compressed)); err != nil {
			return err
		}
	}
	return nil
}

// record asks about one record and writes it if it survives.
func (r *relocation) record(record segment.Record, timeMs int64) error {
	r.done.Records++
	switch record.Kind() {
	case segment.KindRouteSet:
		id, err := record.RouteSetID()
		if err == nil {
			r.sets[id], err = record.AppendRouteSet(nil)
		}
		return err
	case segment.KindCatalogue:
		if !r.first {
			return nil
		}
		r.done.Survivors++
		return r.writer.Add(record, timeMs)
	case segment.KindPublish:
		return r.publish(record, timeMs)
	}
	if _, survives := r.judge(record, nil); !survives {
		return nil
	}
	r.done.Survivors++
	return r.writer.Add(record, timeMs)
}

func (r *relocation) publish(record segment.Record, timeMs int64) error {
	publish, err := record.Publish()
	if err != nil {
		return err
	}
	r.queues = r.queues[:0]
	if id, interned := publish.Set(); interned {
		queues, ok := r.sets[id]
		if !ok {
			return &segment.CorruptError{LSN: record.LSN(), Reason: fmt.Sprintf("route set %d is not defined before its use", id)}
		}
		r.queues = append(r.queues, queues...)
	} else if r.queues, err = publish.AppendQueues(r.queues); err != nil {
		return err
	}
	live, survives := r.judge(record, r.queues)
	if !survives {
		return nil
	}
	r.done.Survivors++
	return r.writer.AddPublish(record, live, timeMs)
}

// step writes what is finished, after so many bytes were read, and keeps the pace.
func (r *relocation) step(read int64) error {
	before := r.done.WrittenBytes
	if err := r.write(); err != nil {
		return err
	}
	return r.log.pace.take(r.ctx, read+r.done.WrittenBytes-before, r.log.Written, func() bool { return false })
}

// write appends to the file what the writer has finished.
func (r *relocation) write() error {
	bytes, at := r.writer.Take()
	if len(bytes) == 0 {
		return nil
	}
	if keep := r.log.cfg.KeepFree; keep > 0 {
		free, err := r.log.disk.Free(r.log.cfg.Dir)
		if err != nil {
			return err
		}
		if free < keep+uint64(len(bytes)) {
			return fmt.Errorf("%d bytes are free, %d needed: %w", free, keep+uint64(len(bytes)), unix.ENOSPC)
		}
	}
	r.done.WrittenBytes += int64(len(bytes))
	return r.log.disk.writeFull(r.file, bytes, at)
}

// replace gives the new file its name and puts it into the place of the victims, which then go the way of
// retired segments, once release has given our own leases on them back.
func (l *Log) replace(victims []*segmentFile, fresh *segmentFile, temporary string, release func()) error {
	l.retiring.Lock()
	defer l.retiring.Unlock()
	if err := l.keeperCtx.Err(); err != nil {
		return err
	}
	first := slices.Index(l.list(), victims[0])
	if first < 0 { // the oldest go first, so that the others are there is not enough
		return fmt.Errorf("%s: %w", victims[0].path, ErrGone)
	}
	if err := os.Rename(temporary, fresh.path); err != nil {
		return err
	}
	if err := l.disk.sync(l.dir); err != nil {
		// Which of the two the disk has, nobody knows; either is whole, and the next start finds out.
		l.fail(err)
		return err
	}
	l.mu.Lock()
	list := slices.Replace(slices.Clone(l.list()), first, first+len(victims), fresh)
	l.segments.Store(&list)
	l.mu.Unlock()
	l.warmed(fresh)
	release()
	for _, s := range victims {
		if err := l.discard(s, s.path == fresh.path); err != nil {
			// It is superseded, so the next start removes it.
			l.logger.Warn("relocated file could not be removed", "file", s.path, "cause", err)
		}
	}
	return nil
}
