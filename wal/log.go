package wal

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/segment"
)

// Log is one shard's commit log. See the package's description for its goroutines and guarantees.
type Log struct {
	// Immutable after Open.
	cfg      Config
	disk     Disk
	dir      *os.File // locked while the log is open; fsynced for names
	recovery Recovery

	found found // what Open found for Start to put in order; Start's

	fileList               // list and last record move under mu
	written  atomic.Int64  // bytes appended since Start; moves under mu
	covered  atomic.Int64  // of them, at least so many are durable; moved by the syncer
	heldBack atomic.Int64  // when Tight was asked last, in ms
	durable  atomic.Uint64 // last record that fdatasync covered; moved by the syncer
	synced   atomic.Uint64 // what Synced returns: durable, or with SyncOS last
	broken   atomic.Bool   // the log has stopped; moves under mu
	sealAt   atomic.Uint64 // the keeper waits for this record to be durable; 0 = for none

	// mu orders appends. It is held across pwrite, header write and rename, never across a sync.
	mu struct {
		sync.Mutex
		active      *segmentFile
		sets        map[uint64]struct{} // route sets that the active segment defines
		definitions segment.Batch       // scratch: route sets that it lacks
		header      []byte              // scratch
		stated      int64               // bytes appended when the last catalogue was
		statedBytes int64               // of it
		timeMs      int64               // of the last batch; never decreases
		epoch       uint64              // of the active segment; its high half counts
		started     bool
		closed      bool
		stopped     error // set once; what every later append returns

		spares    []*spare // ready for use
		recycled  []string // paths of spare files to be wiped
		spareNext uint64   // number of the next spare file
		wanted    int64    // size of the spare that an append waits for; 0 = none waits
		spareErr  error    // why the last try for a spare failed; nil = not tried since
		sealing   []*segmentFile
		eased     chan struct{} // closed when room is broadcast; made on demand
	}
	room sync.Cond // on mu: a spare is ready, or could not be made, or the log stopped

	// syncing joins SyncTo's callers with the syncer.
	syncing struct {
		sync.Mutex
		wanted  segment.LSN   // highest record that somebody wants on disk
		changed chan struct{} // closed when durable moved or the log stopped; made on demand
		err     error
	}

	relocating sync.Mutex // one Relocate or Hold at a time; before retiring
	held       bool       // nothing is retired; guarded by retiring
	pace       pacer      // guarded by relocating
	failure    sync.Once  // one send to failed
	failed     chan error // to the syncer, which calls OnFailure: its caller may hold any lock then
	wakeSyncer chan struct{}
	wakeKeeper chan struct{}
	keeperCtx  context.Context // ends with Close
	stopKeeper context.CancelFunc
	stopSyncer chan struct{}
	keeper     sync.WaitGroup
	syncer     sync.WaitGroup

	syncerState syncerState // owned by the syncer's goroutine
	made        int         // files allocated since Start; owned by the keeper's goroutine
	spareRest   pacer       // of their making; owned by the keeper's goroutine
	short       bool        // the last try found no room, and it was said; owned by the keeper's goroutine
}

// Open finds the segments in cfg.Dir, checks them and finds the end of the log by the tail rule. It
// writes nothing; reading is possible at once, appending after Start. A second Open of the same
// directory fails until the first log is closed.
func Open(cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	l := &Log{
		cfg: cfg, disk: cfg.Disk,
		wakeSyncer: make(chan struct{}, 1),
		wakeKeeper: make(chan struct{}, 1),
		stopSyncer: make(chan struct{}),
		failed:     make(chan error, 1),
	}
	l.room.L = &l.mu
	l.logger, l.wakeCooler = cfg.Logger, make(chan struct{}, 1)
	l.pace = pacer{perSecond: cfg.RelocationPace, most: mostCredit, tick: paceTick, at: time.Now()}
	l.spareRest = pacer{perSecond: sparePace, at: time.Now()}
	l.mu.sets = map[uint64]struct{}{}
	l.keeperCtx, l.stopKeeper = context.WithCancel(context.Background())
	var err error
	if l.cache, err = newBlockCache(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	dir, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.dir = dir
	if err := l.recover(); err != nil {
		l.release()
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	return l, nil
}

// Recovery says what Open found.
func (l *Log) Recovery() Recovery { return l.recovery }

// Synced is the number of the last record that is safe at the configured level.
func (l *Log) Synced() segment.LSN { return segment.LSN(l.synced.Load()) }

// Segments describes the segments, oldest first.
func (l *Log) Segments() []SegmentInfo { return l.infos() }

// lockDir opens the directory, makes it when missing, and keeps other logs out of it.
func lockDir(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("%s is in use by another log: %w", path, err)
	}
	return dir, nil
}

// release gives up everything that Open took.
func (l *Log) release() {
	if list := l.segments.Load(); list != nil {
		for _, s := range *list {
			s.mapping.Release()
			if s.file != nil {
				s.file.Close()
			}
		}
		l.segments.Store(&[]*segmentFile{})
	}
	for _, s := range l.mu.spares {
		s.mapping.Release()
		s.file.Close()
	}
	l.mu.spares = nil
	l.dir.Close()
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
