package broker

import (
	"errors"
	"slices"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// route is where a message goes, as the log wants it. Immutable; derived from a router.Set once.
type route struct {
	queues  []*queue.Queue
	ids     []segment.QueueID
	set     *segment.RouteSet // in place of ids, when they are many
	durable bool              // one of the queues survives a restart
	quorum  bool              // one of them is a quorum queue

	// The last of the queues are exchanges' own: those that hold the message until it is due, then those that
	// remember it.
	delaying, remembering int
}

// reached reports whether the message is not lost: a queue gets it, or an exchange will pass it on later
// (PUB-04).
func (r *route) reached() bool { return len(r.queues) > r.remembering }

// Routes to more queues than this are written to the log once a segment, and referred to by number.
const internFrom = 16

// routes remembers the routes of a connection's messages while the topology does not change. Owned by
// the connection's reader.
type routes struct {
	inquiry // scratch
	cache   *router.Cache[*queue.Queue]

	// The last route: most publishers use one key.
	generation uint64
	lastKeys   []byte
	last       *route

	// permitted is the generation of access as of which lastKeys may be published with, 0 is none. It is not
	// for users some of whose topics are restricted: then the exchange's type counts too.
	permitted uint64
}

// permits reports whether keys are the last ones, and may be published with as of a generation of access.
func (r *routes) permits(keys amqp.Keys, generation uint64) bool {
	return r.permitted == generation && generation != 0 && string(r.lastKeys) == string(keys)
}

// permit says that the last keys may be published with. They are not the message's if its route was not kept.
func (r *routes) permit(generation uint64) {
	if r.last != nil {
		r.permitted = generation
	}
}

func (r *routes) init(topology *router.Router[*queue.Queue]) {
	r.cache = router.NewCache(topology)
	r.inquiry.init()
	r.message.Delayed = r.delayed
}

// route finds the queues of a message, by its routing key and its copies' keys. Errors are *amqp.Error.
func (c *Client) route(p *Publication, copies [][]byte) (*route, error) {
	r := &c.routes
	topology := &c.vhost.topology
	generation := topology.router.Generation()
	if len(copies) == 0 && r.last != nil && generation == r.generation && string(r.lastKeys) == string(p.Keys) {
		return r.last, nil
	}
	r.message.Exchange, r.message.Key = p.Keys.Split()
	r.message.ExtraKeys = copies
	r.header, r.delay = &p.Header, 0
	decision, cached := r.cache.Lookup(&r.message)
	if !cached {
		var err error
		topology.RLock()
		decision, err = r.cache.Route(&r.message)
		topology.RUnlock()
		if err != nil {
			return nil, c.routeError(err)
		}
	}
	if decision.Internal { // EXCH-09
		return nil, amqp.Errorf(amqp.AccessRefused, amqp.BasicPublishID,
			"cannot publish to internal exchange '%s' in vhost '%s'", r.message.Exchange, c.vhost.Name)
	}
	found, ok := decision.Set.Memo.(*route)
	if !ok {
		topology.RLock()
		found = c.vhost.newRouteLocked(decision.Set.Queues(), decision.Set.Kept())
		topology.RUnlock()
		decision.Set.Memo = found
	}
	p.delay = r.delay
	// What the cache did not keep may hold for this message only.
	if r.last = nil; cached && len(copies) == 0 && found.remembering == 0 {
		r.generation, r.last, r.permitted = generation, found, 0
		r.lastKeys = append(r.lastKeys[:0], p.Keys...)
	}
	return found.forMessage(c.vhost, &p.Header), nil
}

// newRouteLocked makes the route to some queues and to the exchanges that keep the message beside. The
// caller holds the topology lock, at least for reading.
func (vh *VHost) newRouteLocked(queues []*queue.Queue, kept *router.Kept) *route {
	if kept == nil {
		return vh.newRoute(queues, 0, 0)
	}
	queues = slices.Clip(queues)
	delaying, remembering := 0, 0
	for _, k := range kept.Delayed {
		if q := vh.topology.keepers[keeperKey{k.Exchange, queue.ForLater}]; q != nil { // else it has just been deleted
			queues = append(queues, q)
			delaying++
		}
	}
	for _, k := range kept.History {
		if q := vh.topology.keepers[keeperKey{k.Exchange, queue.ForHistory}]; q != nil {
			queues = append(queues, q)
			remembering++
		}
	}
	return vh.newRoute(queues, delaying, remembering)
}

// headerNoStore is the header of messages that an x-recent-history exchange shall not remember.
const headerNoStore = "x-recent-history-no-store"

// forMessage is the route of one message: not all want to be remembered (chapter 7.6).
func (r *route) forMessage(vh *VHost, h *amqp.Header) *route {
	if r.remembering == 0 {
		return r
	}
	raw, _ := h.Headers()
	value, _, err := raw.Lookup(headerNoStore)
	if forget, ok := value.Bool(); err != nil || !ok || !forget {
		return r
	}
	return vh.newRoute(r.queues[:len(r.queues)-r.remembering], r.delaying, 0)
}

// without is the route without some of its queues. Exchanges' own are not asked about.
func (r *route) without(vh *VHost, left func(*queue.Queue) bool) *route {
	visible := len(r.queues) - r.delaying - r.remembering
	var open []*queue.Queue
	for _, q := range r.queues[:visible] {
		if !left(q) {
			open = append(open, q)
		}
	}
	if len(open) == visible {
		return r
	}
	return vh.newRoute(append(open, r.queues[visible:]...), r.delaying, r.remembering)
}

// holds reports whether the queue is on the route.
func (r *route) holds(q *queue.Queue) bool { return slices.Contains(r.queues, q) }

func (vh *VHost) newRoute(queues []*queue.Queue, delaying, remembering int) *route {
	r := &route{queues: queues, delaying: delaying, remembering: remembering}
	for _, q := range queues {
		r.ids = append(r.ids, q.ID)
		r.durable = r.durable || q.Durable
		r.quorum = r.quorum || q.Quorum
	}
	if len(queues) > internFrom {
		r.set = vh.broker.routeSet(r.ids)
	}
	return r
}

func (c *Client) routeError(err error) error {
	var noExchange router.NoExchange
	if errors.As(err, &noExchange) { // PUB-01
		return c.vhost.noExchange(amqp.BasicPublishID, noExchange.Name)
	}
	return undecodable(err)
}
