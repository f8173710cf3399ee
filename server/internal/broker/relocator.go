package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/wal"
)

// relocator replaces files of the log of which little is needed any more by files of the old generation, which
// hold what is needed. So the log takes up a multiple of what is in the queues, and not of what went by since
// the oldest message of the slowest queue.
//
// Nothing becomes wrong if a relocation never happens, or half: its new file takes the place of the others in
// one rename. Before that everything that has left the queues when the file's contents were chosen is in the
// log and synced: a view older than that finds it there, and one that is made anew from the log does not
// bring it back.
type relocator struct {
	broker *Broker
	kick   chan struct{} // capacity 1
	done   chan struct{}

	pass sync.Mutex // one at a time
	// Guarded by pass, each by a file's first record: files of the old generation that this start has made, and
	// files that could not be relocated.
	files    map[segment.LSN]relocated
	suspects map[segment.LSN]suspicion

	mu struct {
		sync.Mutex
		stats Relocations
	}
}

// relocated is what is known of a file of the old generation.
type relocated struct {
	last, asOf segment.LSN // asOf as in cleanRange
	needed     int64       // as estimated when it was made, in bytes
}

// Relocations tells what the relocator has done since the start, and how the log stands.
type Relocations struct {
	Runs, Files             int   // files that were given back
	Read, Written, Returned int64 // bytes
	Records, Survivors      int
	// Disk is the size of the log's files; Needed is how much of it messages in queues take, as estimated when
	// last looked at.
	Disk, Needed int64
	// Appended is how much was written to the log otherwise.
	Appended int64
}

// Amplification is how many bytes were written for each that was appended.
func (r *Relocations) Amplification() float64 {
	return float64(r.Appended+r.Written) / float64(max(r.Appended, 1))
}

func newRelocator(b *Broker) *relocator {
	return &relocator{
		broker: b, kick: make(chan struct{}, 1), done: make(chan struct{}),
		files: make(map[segment.LSN]relocated), suspects: make(map[segment.LSN]suspicion),
	}
}

func (r *relocator) wake() { signal(r.kick) }

func (r *relocator) run(stop <-chan struct{}) {
	defer close(r.done)
	ctx, cancel := contextUntil(context.Background(), stop)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	seen := int64(0) // written to the log when the last pass began
	for {
		for woken := false; !woken; {
			select {
			case <-stop:
				return
			case <-r.kick:
				woken = true
			case <-ticker.C: // another file may have become history
				woken = r.broker.log.Written()-seen >= r.broker.cfg.SegmentSize
			}
		}
		seen = r.broker.log.Written()
		if err := r.relocate(ctx); err != nil && ctx.Err() == nil {
			r.broker.logger.Warn("log files not relocated; they take up more of the disk than they need", "error", err)
		}
	}
}

// lookEvery is how often the relocator looks whether a segment has been filled: what is relocated is mostly much
// older than the last checkpoint, so why wait for the next.
const lookEvery = 100 * time.Millisecond

// contextUntil returns a context that ends with its parent or the channel, or with cancel at the latest.
func contextUntil(parent context.Context, stop <-chan struct{}) (ctx context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(parent)
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Relocations tells what the relocator has done so far.
func (b *Broker) Relocations() Relocations {
	b.relocator.mu.Lock()
	defer b.relocator.mu.Unlock()
	stats := b.relocator.mu.stats
	stats.Appended = b.log.Written()
	return stats
}

// relocate makes one pass over the log.
func (r *relocator) relocate(ctx context.Context) error {
	r.pass.Lock()
	defer r.pass.Unlock()
	b := r.broker
	files := b.logFiles()
	below, tight := b.history(files)
	// What the view does not know yet may still be replayed from there.
	worth := choice{below: min(below, b.index.Mark()+1), share: poorShare, target: b.cfg.SegmentSize, least: b.cfg.SegmentSize / 2}
	if tight {
		worth.share = poorShareTight
	}
	if b.cfg.offline { // nothing else is written, so what is written again does not count
		worth.share, worth.least = 100, 1
	}
	if files[0].last >= worth.below {
		return nil
	}
	worth.from = r.weigh(files)
	var faults []error
	for _, v := range worth.choose(files) {
		err := r.replace(ctx, files, v)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errUnsettled) { // nor for the next
			return err
		}
		if !errors.Is(err, wal.ErrGone) { // it has been retired meanwhile
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// suspect keeps files that are damaged or cannot be read from being tried for ever: those of a group are tried once each by itself.
func (r *relocator) suspect(files []logFile, v victims) {
	for _, f := range files {
		if v.from <= f.first && f.last <= v.to {
			r.suspects[f.first] = suspected
			if v.from == f.first && v.to == f.last {
				r.suspects[f.first] = damaged
			}
		}
	}
}

// logFiles are the log's files, oldest first. Of those that are not sealed the end is not known.
func (b *Broker) logFiles() []logFile {
	var files []logFile
	for _, s := range b.log.Segments() {
		f := logFile{first: s.Base, last: s.Last, size: s.Size, needed: s.Size, old: s.Old, newest: s.MaxTime}
		if !s.Sealed {
			f.last = ^segment.LSN(0)
		}
		files = append(files, f)
	}
	return files
}

// history is from where on the log is kept whole, and whether the disk has little room.
func (b *Broker) history(files []logFile) (floor segment.LSN, tight bool) {
	const room = 8 // segments
	r := retention{bytes: b.cfg.RetainBytes, time: b.cfg.RetainTime, most: 1<<63 - 1}
	if free, err := b.cfg.Alarms.Sources.Free(filepath.Join(b.cfg.Data, "log")); err == nil {
		r.most = allowance(free, b.cfg.Alarms.DiskFree)
		tight = r.most < max(b.cfg.RetainBytes, room*b.cfg.SegmentSize)
	}
	return r.floor(files, time.Now()), tight
}

// overhead is about what a record takes besides the body.
const overhead = 96

// weigh estimates how much of each file is needed, and returns the lowest record that is.
func (r *relocator) weigh(files []logFile) segment.LSN {
	floor := ^segment.LSN(0)
	ends, shares := make([]segment.LSN, len(files)), make([]index.Share, len(files))
	for i := range files {
		ends[i] = files[i].last
	}
	for _, vh := range r.broker.hosts() {
		for q := range vh.queuesInTurn {
			for level := range q.Levels() {
				level.Spread(ends, shares)
				if head, ok := level.Head(); ok {
					floor = min(floor, head)
				}
			}
		}
		floor = min(floor, vh.sendingFloor())
	}
	disk, all := int64(0), int64(0)
	known := make(map[segment.LSN]relocated)
	for i := range files {
		f, needed := &files[i], shares[i].Bytes+overhead*shares[i].Records
		f.suspicion = r.suspects[f.first]
		disk += f.size
		all += needed
		was, ok := r.files[f.first]
		switch {
		case ok && was.last == f.last:
			known[f.first] = was
			if was.needed > 0 { // else it holds no message
				f.needed = int64(float64(f.size) * min(1, float64(needed)/float64(was.needed)))
			}
		default:
			f.needed = min(needed, f.size)
		}
	}
	r.files = known
	r.mu.Lock()
	r.mu.stats.Disk, r.mu.stats.Needed = disk, all
	r.mu.Unlock()
	return floor
}

// replace relocates one group of files.
func (r *relocator) replace(ctx context.Context, files []logFile, v victims) error {
	b := r.broker
	s, err := b.gather(v.from, v.to)
	if err != nil {
		return err
	}
	s.clean = r.clean(s)
	settled, err := b.settled()
	if err != nil {
		return err
	}
	got, err := b.log.Relocate(ctx, v.from, v.to, s.judge, func() error {
		if n := s.missing(); n > 0 {
			return fmt.Errorf("%d of %d: %w", n, s.entries, errMissing)
		}
		return b.log.SyncTo(ctx, settled)
	})
	if errors.Is(err, segment.ErrCorrupt) || errors.Is(err, wal.ErrUnreadable) {
		r.suspect(files, v)
	}
	if err != nil {
		return err
	}
	for first := range r.files {
		if v.from <= first && first <= v.to {
			delete(r.files, first)
		}
	}
	r.files[v.from] = relocated{last: v.to, asOf: s.asOf, needed: s.needed}
	r.mu.Lock()
	stats := &r.mu.stats
	stats.Runs++
	stats.Files += got.Files
	stats.Read += got.ReadBytes
	stats.Written += got.WrittenBytes
	stats.Returned += v.size - got.WrittenBytes
	stats.Records += got.Records
	stats.Survivors += got.Survivors
	r.mu.Unlock()
	all := b.Relocations()
	b.logger.Info("log files relocated", "from", uint64(v.from), "to", uint64(v.to), "returned_bytes", v.size-got.WrittenBytes,
		"log_bytes", all.Disk, "needed_bytes", all.Needed, "write_amplification", fmt.Sprintf("%.2f", all.Amplification()))
	return nil
}

// errMissing says that records which queues need are not in their files.
var errMissing = fmt.Errorf("%w: records that queues need are missing; see 'millrace log verify'", segment.ErrCorrupt)

var errUnsettled = errors.New("settlements cannot be written")

// settled returns the record up to which the log tells of all that has left the queues until now. A new file may
// not take the place of others before it is on disk: what was left out of it must not come back, neither from a
// view older than that nor from one made anew of the log. It is asked for first, and not when the file has been
// written, so that nobody waits for a sync of what is appended meanwhile.
func (b *Broker) settled() (segment.LSN, error) {
	const patience = time.Minute // the journal may wait for a sync itself
	if !b.journal.await(patience) || b.journal.err() != nil {
		return 0, errUnsettled
	}
	return b.log.Last(), nil
}

// clean are the parts of the log that know what has left the queues: files of the old generation, and what is
// being relocated. What a start before this one has relocated knows that as of its end at least.
func (r *relocator) clean(s *survivors) []cleanRange {
	files := r.broker.logFiles()
	always := ^segment.LSN(0)
	clean := []cleanRange{{segment.Range{From: 1, To: files[0].first - 1}, always}}
	for i, f := range files {
		switch was, ok := r.files[f.first]; {
		case s.from <= f.first && f.first <= s.to:
			if f.first == s.from {
				clean = append(clean, cleanRange{segment.Range{From: s.from, To: s.to}, s.asOf})
			}
		case ok && was.last == f.last:
			clean = append(clean, cleanRange{segment.Range{From: f.first, To: f.last}, was.asOf})
		case files[i].old:
			clean = append(clean, cleanRange{segment.Range{From: f.first, To: f.last}, f.last})
		}
	}
	return clean
}
