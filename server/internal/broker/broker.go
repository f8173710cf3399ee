package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/alarm"
	"github.com/millrace-mq/millrace/wal"
)

// Config says where a broker keeps its data and what a confirm stands for. Zero values mean defaults.
type Config struct {
	// Data is the folder of everything that must be kept: log, index, and a lock against a second process.
	Data string
	// Sync is what a confirm stands for.
	Sync wal.Level
	// SegmentSize is the size of the log's files in bytes: 64 MiB by default.
	SegmentSize int64
	// RetainBytes and RetainTime keep the end of the log whole, with what has been consumed, as far as the disk
	// has room; 0 keeps nothing beyond what is needed.
	RetainBytes int64
	RetainTime  time.Duration
	// CheckpointEvery and CheckpointBytes limit what a restart replays: 5 s and 256 MiB of log by default.
	CheckpointEvery time.Duration
	CheckpointBytes int64
	// Alarms says when memory and disk are low. The log leaves so much of the disk free as the disk alarm asks
	// for; the folder and the source of its free space are the broker's to say.
	Alarms alarm.Config
	// ConsumerTimeout is how long a consumer may take to settle a delivery unless its queue says otherwise: 30
	// minutes by default, negative is for ever (CONS-12).
	ConsumerTimeout time.Duration
	// HeavyRate is how many bytes a second all connections that publish much may bring together, for each processor,
	// while others publish little: 16 MiB by default, negative holds nobody back.
	HeavyRate int64
	// Repair goes on with a log some of which is lost: see wal.Config.
	Repair bool
	// FirstStart is what a data folder without users gets; one without a name stands for guest's (AUTH-06).
	FirstStart access.FirstStart
	// NoFirstStart leaves such a folder as it is: somebody else is about to bring users.
	NoFirstStart bool
	// LoopbackUsers may connect from this machine only; nil is guest, an empty list nobody.
	LoopbackUsers []string
	// Version is what the log says of who wrote it.
	Version string
	// Limits are those of the whole broker (LIM-03).
	Limits access.NodeLimits
	Logger *slog.Logger
	// Disk is what the log writes with; zero is the operating system's. Tests inject faults.
	Disk wal.Disk
	// IndexFS is where the index is kept; nil is the operating system's. Tests cut its power.
	IndexFS vfs.FS

	offline    bool   // nobody is served, so nobody is to be spared: see offline.go
	indexAside string // where the index goes before it is opened; empty leaves it
}

// relocationPace keeps relocations from taking the disk away from others.
func (c Config) relocationPace() int64 {
	if c.offline {
		return 0
	}
	return 32 << 20
}

func (c Config) withDefaults() Config {
	if c.SegmentSize == 0 {
		c.SegmentSize = 64 << 20
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = 5 * time.Second
	}
	if c.CheckpointBytes == 0 {
		c.CheckpointBytes = 256 << 20
	}
	if c.FirstStart.User == "" {
		c.FirstStart = access.DefaultFirstStart()
	}
	if c.LoopbackUsers == nil {
		c.LoopbackUsers = access.DefaultLoopbackUsers()
	}
	c.HeavyRate = cmp.Or(c.HeavyRate, turnRate)
	if c.ConsumerTimeout == 0 {
		c.ConsumerTimeout = 30 * time.Minute
	}
	if c.Alarms.Sources.Free == nil {
		c.Alarms.Sources.Free = wal.Free
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// errStopped answers what is asked of a broker that shuts down.
var errStopped = errors.New("broker shuts down")

// Broker is a running broker. Safe for concurrent use, except that Close must be the last call.
type Broker struct {
	// Immutable.
	cfg      Config
	logger   *slog.Logger
	lock     *os.File
	log      *wal.Log
	index    *index.Store
	recovery Recovery

	alarms   *alarm.Watch
	watching chan struct{} // closed when the goroutine that runs alarms has ended

	confirms    confirmer
	turns       turns // of clients that publish much
	journal     *journalWriter
	checkpoints *checkpointer
	relocator   *relocator
	undertaker  *undertaker
	retimer     *retimer
	clock       *clock
	follower    *follower
	stop        chan struct{} // closed by Stop
	stopOnce    sync.Once
	stopping    atomic.Bool // set by Stop
	condemned   atomic.Bool // the index, see condemnIndex
	backup      sync.Mutex  // one Backup at a time

	// access knows users, permissions and virtual hosts. It is written with accessWrite and the log's append
	// lock held; anybody may read it.
	access      *access.Control
	accessWrite accessWrite
	presence    presence

	// vhosts is replaced as a whole, never changed; written as access is.
	vhosts atomic.Pointer[[]*VHost]
	sets   atomic.Uint64 // number of the last route set

	segments atomic.Uint64 // counts the log's segments of this start: see naming
	restated restatement   // guarded by the log's append lock

	// Written during Open only, before there is a second goroutine. replaying: apply finds queues' entries in the
	// index. homeless counts messages of queues that the replay neither knows nor has seen deleted.
	replaying bool
	homeless  int
	deleted   map[segment.QueueID]struct{}
	replayed  []access.Change // to be applied together

	broken chan struct{} // closed when the log has stopped
	failed struct {
		sync.Mutex
		err error
	}

	postponed struct {
		sync.Mutex
		work []postponed
	}
}

// Recovery tells what Open found.
type Recovery struct {
	Log      wal.Recovery
	Rebuilt  bool // the index was missing or damaged and has been made anew from the log
	Replayed int  // records
	VHosts, Exchanges, Queues,
	Messages int // ready, after all
	Duration time.Duration
}

// Open opens or creates the data folder and recovers what it holds.
func Open(cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	start := time.Now()
	if err := os.MkdirAll(cfg.Data, 0o750); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", cfg.Data, err)
	}
	lock, err := lockFolder(cfg.Data)
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, logger: cfg.Logger, lock: lock, stop: make(chan struct{}), broken: make(chan struct{})}
	b.vhosts.Store(new([]*VHost))
	b.access = access.New(access.Config{LoopbackUsers: cfg.LoopbackUsers})
	b.presence.init()
	b.journal = newJournalWriter(b)
	b.checkpoints = newCheckpointer(b)
	b.relocator = newRelocator(b)
	b.undertaker = newUndertaker(b)
	b.retimer = newRetimer(b)
	b.clock = newClock(b)
	b.follower = newFollower(b)
	b.alarms = newAlarms(cfg)
	b.watching = make(chan struct{})
	if err := b.open(); err != nil {
		b.release()
		return nil, err
	}
	b.recovery.Duration = time.Since(start)
	go b.journal.run(b.stop)
	go b.checkpoints.run(b.stop)
	go b.relocator.run(b.stop)
	go b.undertaker.run(b.stop)
	go b.retimer.run(b.stop)
	go b.clock.run(b.stop)
	go b.follower.run(b.stop)
	b.alarms.Check() // whoever connects first is served as everybody
	go b.watchAlarms()
	return b, nil
}

func (b *Broker) open() error {
	if err := b.openIndex(); err != nil {
		return err
	}
	log, err := wal.Open(wal.Config{
		Dir: filepath.Join(b.cfg.Data, "log"), SegmentSize: b.cfg.SegmentSize, Sync: b.cfg.Sync,
		Repair: b.cfg.Repair, KeepFree: b.cfg.Alarms.DiskFree, RelocationPace: b.cfg.relocationPace(), Disk: b.cfg.Disk,
		Catalogue: b.restate, OnSegment: func() { b.segments.Add(1) }, OnSynced: b.logSynced, OnFailure: b.logFailed, Logger: b.logger,
	})
	if err != nil {
		return err
	}
	b.log = log
	if err := syncFolders(b.cfg.Data); err != nil {
		return err
	}
	b.recovery.Log = log.Recovery()
	if err := b.recover(); err != nil {
		return err
	}
	if err := log.Start(); err != nil {
		return err
	}
	return b.begin()
}

// Recovery tells what Open found.
func (b *Broker) Recovery() Recovery { return b.recovery }

// NewView gives a connection's writer access to the log.
func (b *Broker) NewView() *wal.View { return b.log.NewView() }

// SyncLevel names what a confirm stands for.
func (b *Broker) SyncLevel() string { return b.cfg.Sync.String() }

// Err is the failure that stopped the log, nil while it works.
func (b *Broker) Err() error {
	b.failed.Lock()
	defer b.failed.Unlock()
	return b.failed.err
}

// Failed is closed when the log has stopped: nothing more is stored, what can be read is still delivered.
func (b *Broker) Failed() <-chan struct{} { return b.broken }

// Stop ends deliveries, the broker's own goroutines, and every wait of a client for them. It comes before the
// clients are told.
func (b *Broker) Stop() {
	b.stopOnce.Do(func() {
		b.stopping.Store(true)
		close(b.stop)
	})
}

// Close brings what is left to the log, writes a checkpoint and closes the data folder. All clients must
// be gone.
func (b *Broker) Close() error {
	b.Stop()
	<-b.journal.done
	<-b.checkpoints.done
	<-b.relocator.done
	<-b.undertaker.done
	<-b.retimer.done
	<-b.clock.done
	<-b.follower.done
	<-b.watching
	b.workOff()
	for _, vh := range b.hosts() {
		vh.state.Lock()
		for _, q := range vh.state.byID {
			q.Rest()
		}
		vh.unlockState()
	}
	b.journal.writeAll()
	var err error
	if b.Err() == nil {
		err = b.checkpoints.write()
	}
	return errors.Join(err, b.release())
}

func (b *Broker) release() error {
	var errs []error
	if b.log != nil {
		errs = append(errs, b.log.Close())
	}
	if b.index != nil {
		errs = append(errs, b.index.Close())
	}
	return errors.Join(append(errs, b.lock.Close())...)
}

// hosts returns the virtual hosts. The slice is not changed by anybody.
func (b *Broker) hosts() []*VHost { return *b.vhosts.Load() }

func (b *Broker) addHost(vh *VHost) {
	hosts := append([]*VHost(nil), b.hosts()...)
	hosts = append(hosts, vh)
	b.vhosts.Store(&hosts)
}

func (b *Broker) host(id uint32) *VHost {
	for _, vh := range b.hosts() {
		if vh.ID == id {
			return vh
		}
	}
	return nil
}

// routeSet gives a list of queues a number under which the log's records can refer to it.
func (b *Broker) routeSet(ids []segment.QueueID) *segment.RouteSet {
	return &segment.RouteSet{ID: b.sets.Add(1), Queues: ids}
}

// logSynced is called by the log's syncer after the watermark has moved.
func (b *Broker) logSynced(lsn segment.LSN) {
	b.confirms.synced(lsn)
	b.follower.synced()
}

func (b *Broker) logFailed(err error) {
	b.failed.Lock()
	b.failed.err = err
	b.failed.Unlock()
	close(b.broken) // the log says it once
	b.logger.Error("the log has stopped: nothing more is stored or confirmed; mend the cause and restart", "error", err)
}

// signal wakes the goroutine behind a channel of capacity 1, unless it has been told already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
