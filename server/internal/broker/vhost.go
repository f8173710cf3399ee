package broker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/policy"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// VHost is a virtual host: a name space of exchanges and queues, with one order of events.
type VHost struct {
	// Immutable.
	ID     uint32
	Name   string
	broker *Broker

	// Written with this lock and the log's append lock held, read under either.
	topology struct {
		sync.RWMutex
		router   *router.Router[*queue.Queue]
		keepers  map[keeperKey]*queue.Queue // exchanges' own queues, which the router does not know
		policies policy.Set
		revision uint64        // of policies: counts their changes
		batch    segment.Batch // of commit; only this lock
		encoded  []byte        // scratch of commit; only this lock
		// deleted: the log knows nothing of the host any more, and must not be told of anything in it.
		deleted bool
	}

	// How many there were after the last change of the topology: for limits of all hosts together.
	exchanges, queues atomic.Int64

	retimed atomic.Uint64 // counts queues that got all their deadlines: the catalogue tells of those that did not

	awaitsSync atomic.Bool // queues may wait for the log's watermark: set under the state lock, for the follower

	clients struct {
		sync.Mutex
		open map[*Client]struct{}
	}

	// Guards the contents of the queues, and every queue.Channel and queue.Consumer of this host.
	state struct {
		sync.Mutex
		byID      map[segment.QueueID]*queue.Queue
		agenda    *queue.Agenda
		touched   []*Client           // have deliveries to pass on
		askedSync segment.LSN         // a sync of the log up to here has been asked for
		replies   map[string]*Channel // consumers of the pseudo queue for answers, by the name that stands for them
	}
}

func newVHost(b *Broker, id uint32, name string) *VHost {
	vh := &VHost{ID: id, Name: name, broker: b}
	vh.topology.router = newRouter()
	vh.topology.keepers = make(map[keeperKey]*queue.Queue)
	vh.count()
	vh.clients.open = make(map[*Client]struct{})
	vh.state.byID = make(map[segment.QueueID]*queue.Queue)
	vh.state.agenda = &queue.Agenda{}
	return vh
}

// count notes how many exchanges and queues there are. The topology may be read.
func (vh *VHost) count() {
	vh.exchanges.Store(int64(vh.topology.router.CountExchanges()))
	vh.queues.Store(int64(vh.topology.router.CountQueues()))
}

// queuesInTurn yields the queues that there are, those of exchanges among them, with the state lock held. It
// lets go of the lock now and then, so that nobody waits long for it; so may the caller, and must then have it
// again when it goes on. A queue that is deleted meanwhile is not yielded.
func (vh *VHost) queuesInTurn(yield func(*queue.Queue) bool) {
	const atOnce = 64
	vh.state.Lock()
	defer vh.state.Unlock()
	for i, id := range slices.Collect(maps.Keys(vh.state.byID)) {
		if i%atOnce == atOnce-1 {
			vh.state.Unlock()
			vh.state.Lock()
		}
		if q := vh.state.byID[id]; q != nil && !yield(q) {
			return
		}
	}
}

// unlockState makes the deliveries that have become possible, passes them to the connections, and lets
// go of the state lock.
func (vh *VHost) unlockState() { vh.unlockStateAt(time.Now().UnixMilli()) }

// unlockStateAt is unlockState at a time, in milliseconds: messages whose time is over then are not
// delivered any more.
func (vh *VHost) unlockStateAt(now int64) {
	s := &vh.state
	if !vh.broker.stopping.Load() && !vh.broker.replaying {
		// A broker that replays its log does nothing by itself. One that stops hands out nothing more: what one
		// connection gives back must not go to another that will be closed next, for an acknowledgement of it
		// may be on its way.
		s.agenda.Dispatch(now)
		if s.agenda.AwaitsSync() > 0 {
			vh.followLocked(now)
		}
	}
	for _, c := range s.touched {
		c.passOn()
	}
	clear(s.touched)
	s.touched = s.touched[:0]
	journal, deaths, untimed := s.agenda.HasJournal(), s.agenda.HasDeaths(), s.agenda.HasUntimed()
	next, timed := s.agenda.NextTime()
	if s.agenda.TakeSooner() {
		vh.broker.clock.before(s.agenda.NextLook())
	}
	s.Unlock()
	if journal {
		vh.broker.journal.wake()
	}
	if deaths {
		vh.broker.undertaker.wake()
	}
	if untimed {
		vh.broker.retimer.wake()
	}
	if timed {
		vh.broker.clock.before(next)
	}
}
