package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

const (
	readyReserve = 1                // of them for batches that are vital, when the disk has no room for more
	readySpares  = readyReserve + 2 // kept ready for rotation
	mostSpares   = readySpares + 2  // with those waiting to be wiped; what Retire frees beyond is deleted

	sparePace = 32 << 20 // bytes a second, when nobody is in a hurry

	// While somebody holds back for others, see Tight, less is written at once: their syncs have to wait behind it.
	gentleCredit = 1 << 20
	gentleTick   = 2 * time.Millisecond
	gentleFor    = time.Second // after it was asked
)

// mostUnsealed is how many segments may wait to be sealed; with more, no spare is made before one is. So what is
// appended gets no further ahead of the disk than these and the spares that are there.
const mostUnsealed = 4

// keep is the keeper's goroutine: it makes spares and seals the segments that rotation left, in turns, for
// appends may use up the one as fast as it makes them and wait for room of the other: only sealed segments can
// be relocated or retired, and what is retired spares the making of a spare.
func (l *Log) keep() {
	for {
		made := l.stock(readyReserve + 1)
		sealed := l.sealNext()
		if made || sealed || l.stock(readySpares) {
			if l.keeperCtx.Err() == nil {
				continue
			}
			return
		}
		select {
		case <-l.wakeKeeper:
		case <-l.keeperCtx.Done():
			return
		}
	}
}

// stock makes one spare if there are fewer than enough, and reports whether it did. Want of room ends the try; the
// next rotation that finds no spare starts another, so a disk that was full is noticed to have room again. Any other
// failure is the disk's, and final: an append that waits for the spare could only be refused for ever.
func (l *Log) stock(enough int) bool {
	l.mu.Lock()
	size, recycled, number := l.nextSpareLocked(enough)
	l.mu.Unlock()
	if size == 0 {
		return false
	}
	ready, err := l.makeSpare(size, recycled, number)
	if err != nil && !noRoom(err) && !errors.Is(err, context.Canceled) { // which is Close's
		l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.mu.spareErr, l.mu.wanted = err, 0
		if noRoom(err) && !l.short {
			l.logger.Warn("no room for another segment: what does not fit into the present one waits", "cause", err)
		}
		l.short = true
	case ready != nil:
		l.mu.spares = append(l.mu.spares, ready)
		l.short = false
		if ready.size >= l.mu.wanted {
			l.mu.wanted = 0
		}
	}
	l.easeLocked()
	return err == nil
}

// nextSpareLocked says what to make: the size, 0 for nothing; a path to wipe, or a number for a new
// file.
func (l *Log) nextSpareLocked(enough int) (size int64, recycled string, number uint64) {
	standard := 0
	for _, s := range l.mu.spares {
		if s.size == l.cfg.SegmentSize {
			standard++
		}
	}
	switch {
	case l.mu.wanted > l.cfg.SegmentSize:
		size = l.mu.wanted
	case standard < enough && (l.mu.spareErr == nil || l.mu.wanted > 0):
		size = l.cfg.SegmentSize
	default:
		return 0, "", 0
	}
	if n := len(l.mu.recycled); n > 0 && size == l.cfg.SegmentSize {
		recycled, l.mu.recycled = l.mu.recycled[n-1], l.mu.recycled[:n-1]
		return size, recycled, 0
	}
	number = l.mu.spareNext
	l.mu.spareNext++
	return size, "", number
}

// makeSpare wipes a recycled file or makes a new one. A recycled file of the wrong size, or one that has another name
// too, is deleted, and nil returned, as for one that is not there.
func (l *Log) makeSpare(size int64, recycled string, number uint64) (*spare, error) {
	path, flags := recycled, os.O_RDWR
	if recycled == "" {
		path, flags = l.file(spareName(number)), os.O_RDWR|os.O_CREATE|os.O_EXCL
	}
	file, err := os.OpenFile(path, flags, 0o640)
	if recycled != "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // somebody has made room
	}
	if err != nil {
		if recycled != "" && noRoom(err) { // for a descriptor; the file is as good as before
			l.mu.Lock()
			l.mu.recycled = append(l.mu.recycled, recycled)
			l.mu.Unlock()
		}
		return nil, fmt.Errorf("spare segment: %w", err)
	}
	discard := func(err error) (*spare, error) {
		file.Close()
		if removed := os.Remove(path); err == nil {
			err = removed
		}
		if err != nil {
			return nil, fmt.Errorf("spare segment %s: %w", path, err)
		}
		return nil, nil
	}
	if recycled == "" {
		if err := l.leavesRoom(size); err != nil {
			return discard(err)
		}
		if err := l.disk.Allocate(file, size, l.rest); err != nil {
			return discard(err)
		}
		l.made++
	} else {
		// Under another name the file may be part of a copy (CopyTo). Nobody can give it one from now on: its name as a
		// file of the log is gone, and a copy does not look for spares.
		if info, err := file.Stat(); err != nil || info.Size() != size || hasOtherNames(info) {
			return discard(err)
		}
		if err := l.wipe(file); err != nil {
			return discard(err)
		}
	}
	mapping, err := segment.Map(file, size)
	if err != nil {
		return discard(err)
	}
	return &spare{path: path, size: size, file: file, mapping: mapping}, nil
}

func hasOtherNames(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

// rest keeps the making of spares from taking the disk away from who waits for syncs, unless they are needed
// soon: while an append waits for one, or the active segment is half full and the one behind it is not ready.
func (l *Log) rest(written int64) error {
	p := &l.spareRest
	p.most, p.tick = mostCredit, paceTick
	if time.Now().UnixMilli()-l.heldBack.Load() < gentleFor.Milliseconds() {
		p.most, p.tick = gentleCredit, gentleTick
	}
	return p.take(l.keeperCtx, written, l.Written, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		active := l.mu.active
		return l.mu.wanted > 0 || active == nil ||
			active.end.Load() > active.size/2 && !l.hasSpareLocked(l.cfg.SegmentSize, readyReserve)
	})
}

// leavesRoom reports, as a full disk does, that a file of size would leave less free than it should. The
// first segment of a run and the reserve are made in any case: without them nothing can be drained.
func (l *Log) leavesRoom(size int64) error {
	if l.cfg.KeepFree == 0 || l.made <= readyReserve {
		return nil
	}
	free, err := l.disk.Free(l.cfg.Dir)
	if err != nil {
		return err
	}
	if needed := l.cfg.KeepFree + uint64(size); free < needed {
		return fmt.Errorf("%d bytes are free, %d needed: %w", free, needed, unix.ENOSPC)
	}
	return nil
}

// wipe makes a used file blank: without a header its batches are of no epoch. Its new name must be on
// disk before, or a crash could leave a segment of the log without a header.
func (l *Log) wipe(file *os.File) error {
	if err := l.disk.sync(l.dir); err != nil {
		l.fail(err) // whatever the reason: the names of other files may be lost with this one
		return err
	}
	if err := l.disk.writeFull(file, make([]byte, segment.HeaderSize), 0); err != nil {
		return err
	}
	return l.disk.sync(file)
}

// sealNext writes the footer of the oldest segment that is no longer active, once it is on disk: a
// footer vouches for its segment. It waits for the disk only when many are waiting already; else the syncer
// wakes the keeper. False means that there is none, or none yet, or that the log ends.
func (l *Log) sealNext() bool {
	l.mu.Lock()
	var s *segmentFile
	waiting := len(l.mu.sealing)
	if waiting > 0 {
		s = l.mu.sealing[0]
	}
	l.mu.Unlock()
	if s == nil {
		return false
	}
	if waiting <= mostUnsealed {
		l.sealAt.Store(uint64(s.lastLSN())) // before the look: the syncer may be done in between
		if changed, err := l.askToSync(s.lastLSN()); changed != nil || err != nil {
			return false
		}
	} else if l.SyncTo(l.keeperCtx, s.lastLSN()) != nil {
		return false
	}
	l.sealAt.Store(0)
	if err := l.seal(s); err != nil {
		l.fail(err)
		return false
	}
	l.mu.Lock()
	l.mu.sealing = l.mu.sealing[1:]
	l.mu.Unlock()
	return true
}

// seal writes the footer of a rotated segment to the end of its file, where appends left room for it.
// The syncer is done with the file, so the sync's verdict is the keeper's alone.
func (l *Log) seal(s *segmentFile) error {
	at := s.size - segment.FooterSize(s.places.Load().offsets.Len(), s.setCount())
	return l.writeFooter(s, s.mapping.Bytes(), at, false)
}

func (s *segmentFile) setCount() int {
	if sets := s.sets.Load(); sets != nil {
		return len(*sets)
	}
	return 0
}

// writeFooter writes and syncs footer and trailer, lets readers find records through them and closes
// the file.
func (l *Log) writeFooter(s *segmentFile, mapped []byte, at int64, closed bool) error {
	summary := s.summary()
	summary.Synced, summary.Closed = summary.Last, closed
	var sets []uint32
	if known := s.sets.Load(); known != nil {
		sets = *known
	}
	bytes := segment.AppendFooter(nil, summary, s.places.Load().offsets, sets, at)
	if err := l.disk.writeFull(s.file, bytes, at); err != nil {
		return err
	}
	if err := l.disk.sync(s.file); err != nil {
		return err
	}
	var footer segment.Footer
	if err := s.guarded(func() (err error) {
		if footer, err = segment.ParseFooter(mapped[:at+int64(len(bytes))], s.epoch); err == nil {
			err = footer.Check()
		}
		return err
	}); err != nil {
		return fmt.Errorf("%s: footer just written: %w", s.path, err)
	}
	s.places.Store(&places{footer: &footer})
	l.warmed(s)
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}
