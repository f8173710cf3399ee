package alarm

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Set is a set of alarms; zero is none.
type Set uint32

const (
	// Memory is low.
	Memory Set = 1 << iota
	// Disk is low.
	Disk
)

// String is the reason that clients are told (CONN-21).
func (s Set) String() string {
	switch s {
	case Memory:
		return "low on memory"
	case Disk:
		return "low on disk"
	case Memory | Disk:
		return "low on memory & disk"
	}
	return ""
}

// Config says what is watched. The zero value watches nothing but the log's refusals.
type Config struct {
	// Memory is how many bytes the process may hold before the alarm; zero is without limit.
	Memory Limit
	// DiskFree is how many bytes must be free where Folder is; zero is no limit.
	DiskFree uint64
	Folder   string
	// Every is the time between two looks, a second by default.
	Every  time.Duration
	Logger *slog.Logger

	Sources Sources
}

// Sources are the Watch's eyes. The runtime is asked about memory where they are nil; Free is needed if the
// disk has a limit.
type Sources struct {
	// Held is how many bytes of memory the process holds.
	Held func() uint64
	// Collect frees what can be freed.
	Collect func()
	// Free is how many bytes the file system of a folder has room for.
	Free func(folder string) (uint64, error)
}

func (c Config) withDefaults() Config {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Sources.Held == nil {
		c.Sources.Held = held
	}
	if c.Sources.Collect == nil {
		c.Sources.Collect = collect
	}
	return c
}

// Watch knows which alarms are active. Safe for concurrent use.
type Watch struct {
	// Immutable.
	cfg   Config
	limit uint64 // of memory, in bytes; 0 for none

	active atomic.Uint32 // the Set; moves under mu

	mu struct {
		sync.Mutex
		low     Set           // what the last look found
		full    int           // how many wait for room in the log
		changed chan struct{} // closed when active changes
	}

	collected time.Time // when garbage was last collected for the alarm's sake; owned by Run
}

// New makes a Watch that has not looked yet.
func New(cfg Config) *Watch {
	w := &Watch{cfg: cfg.withDefaults()}
	w.limit = cfg.Memory.bytes()
	w.mu.changed = make(chan struct{})
	return w
}

// Active are the alarms that are active now: one atomic load.
func (w *Watch) Active() Set { return Set(w.active.Load()) }

// Look returns the active alarms, and a channel that is closed when they are others.
func (w *Watch) Look() (Set, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Active(), w.mu.changed
}

// Full raises the alarm for a log that has refused somebody's append for want of room; done says that this
// somebody waits no more. The alarm lasts while anybody waits.
func (w *Watch) Full() (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.full++
	w.updateLocked()
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mu.full--
		w.updateLocked()
	})
}

// Run looks until stop is closed, and calls looked, if not nil, after each look.
func (w *Watch) Run(stop <-chan struct{}, looked func()) {
	ticker := time.NewTicker(w.cfg.Every)
	defer ticker.Stop()
	for {
		w.Check()
		if looked != nil {
			looked()
		}
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
	}
}

// collectEvery is the time between two collections of garbage while memory is low. Each costs a full cycle
// of the collector, and publishers, who make most of the garbage, stand still meanwhile.
const collectEvery = 5 * time.Second

// Check looks now. It must not be called while Run runs.
func (w *Watch) Check() {
	var low Set
	if w.memoryLow() {
		low |= Memory
	}
	if w.diskLow() {
		low |= Disk
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.low = low
	w.updateLocked()
}

func (w *Watch) memoryLow() bool {
	if w.limit == 0 || w.cfg.Sources.Held() <= w.limit {
		return false
	}
	if now := time.Now(); w.collected.IsZero() || now.Sub(w.collected) >= collectEvery {
		w.collected = now
		w.cfg.Sources.Collect()
	}
	return w.cfg.Sources.Held() > w.limit
}

func (w *Watch) diskLow() bool {
	if w.cfg.DiskFree == 0 {
		return false
	}
	free, err := w.cfg.Sources.Free(w.cfg.Folder)
	if err != nil { // without an answer the last one stands
		w.cfg.Logger.Warn("free disk space is not known", "folder", w.cfg.Folder, "error", err)
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.mu.low&Disk != 0
	}
	return free < w.cfg.DiskFree
}

// updateLocked makes known what has changed.
func (w *Watch) updateLocked() {
	now := w.mu.low
	if w.mu.full > 0 {
		now |= Disk
	}
	before := Set(w.active.Swap(uint32(now)))
	if before == now {
		return
	}
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
	if raised := now &^ before; raised != 0 {
		w.cfg.Logger.Warn("alarm: connections that publish are blocked", "reason", raised.String())
	}
	if cleared := before &^ now; cleared != 0 {
		w.cfg.Logger.Info("alarm cleared", "reason", cleared.String())
	}
}
