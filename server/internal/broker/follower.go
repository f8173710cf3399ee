package broker

import "sync/atomic"

// follower hands out what queues hold back until the log is synced (Rules.AfterSync). It is a goroutine of its own
// because the log's syncer, which says how far that is, must not wait for a state lock; and it is asked only while a
// virtual host has a queue that waits.
type follower struct {
	broker *Broker
	kick   chan struct{} // capacity 1
	done   chan struct{}

	waits atomic.Bool // the same of a host has been set since the last round
}

func newFollower(b *Broker) *follower {
	return &follower{broker: b, kick: make(chan struct{}, 1), done: make(chan struct{})}
}

// synced says that the watermark has moved. The log's syncer calls it.
func (f *follower) synced() {
	if f.waits.Load() {
		signal(f.kick)
	}
}

func (f *follower) run(stop <-chan struct{}) {
	defer close(f.done)
	for {
		select {
		case <-stop:
			return
		case <-f.kick:
		}
		f.waits.Store(false)
		for _, vh := range f.broker.hosts() {
			if vh.awaitsSync.Swap(false) {
				vh.state.Lock()
				vh.unlockState() // looks how far the log is
			}
		}
	}
}

// followLocked makes the deliveries that the log's watermark allows by now, and sees to it that a sync comes for
// those that wait for one, whoever published them and however.
func (vh *VHost) followLocked(now int64) {
	log, agenda := vh.broker.log, vh.state.agenda
	// Said before the look: a watermark that the look misses is told to the follower.
	vh.awaitsSync.Store(true)
	vh.broker.follower.waits.Store(true)
	agenda.SyncedTo(log.Synced())
	agenda.Dispatch(now)
	if lsn := agenda.AwaitsSync(); lsn > vh.state.askedSync {
		vh.state.askedSync = lsn
		log.SyncSoon()
	}
}
