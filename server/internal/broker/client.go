package broker

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// Sink is a connection as the broker sees it. Its methods only note what is to be sent: they must not
// block and must not call back into the broker.
type Sink interface {
	// Deliver notes deliveries to be sent in this order. The slice is the broker's. When they have been
	// sent, or dropped, the connection says so with [Client.Sent].
	Deliver([]queue.Delivery)
	// Confirm tells a publisher that its messages up to seq are safe; multiple says that there is more
	// than one of them (CONF-03).
	Confirm(channel uint16, seq uint64, multiple bool)
	// Refuse tells a publisher that a queue did not take its message (CONF-05).
	Refuse(channel uint16, seq uint64)
	// Reply sends an answer that no queue and no log holds (REPLY-03). p is borrowed.
	// Both slices are the connection's from then on; content is what Content made.
	Reply(channel uint16, consumer string, tag queue.Tag, keys amqp.Keys, content []byte)
	// Content encodes a message for this connection. It may be called without any lock.
	Content(channel uint16, p *Publication) []byte
	// Cancel tells a client that the broker ended a subscription (QUEUE-13).
	Cancel(channel uint16, consumer string)
	// CloseChannel and CloseConnection ask the connection to end a channel, or itself, with that reason. It
	// does so when its reader gets to it, and gives back what was held as after any other fault.
	CloseChannel(*queue.Channel, *amqp.Error)
	CloseConnection(*amqp.Error)
}

// A connection that does not read gets no more than this ahead: past either limit its consumers are
// passed over until its writer has caught up (FLOW-03).
const (
	maxOutletBytes    = 4 << 20
	maxOutletMessages = 8192
)

// Client is one connection's way into a virtual host. It stages publishes and settlements and brings
// them to the log and the queues in batches: the reader of a connection calls Flush once for each
// buffer that it read.
type Client struct {
	// Immutable.
	vhost *VHost
	sink  Sink
	user  *User

	// Owned by the connection's reader.
	staging   staging
	settles   []stagedSettle
	published []*Channel // have staged publishes to be confirmed
	routes    routes
	permits   *access.Cache
	copies    [][]byte    // scratch
	forward   *forwarder  // of dead letters that never were in a queue; made when needed
	first     segment.LSN // of the batch being applied
	waited    bool        // the batch has been refused before: the disk was full
	flow      flow        // tells whether it publishes much
	applied   func(segment.LSN)
	exclusive []*queue.Queue // to be deleted with the connection (QUEUE-10)
	sweep     int            // length of exclusive at which those that are gone already are forgotten

	// Guarded by the state lock of the virtual host.
	pending      []queue.Delivery
	pendingBytes int64 // of their bodies
	// channels are the open channels, to be resumed when the outlet has room again.
	channels []*Channel

	// What the outlet holds. Added to under the state lock, taken from by the connection's writer.
	outlet struct {
		bytes, messages atomic.Int64
		starved         atomic.Bool

		// handed tells from which record on the log must be kept for the deliveries that were handed to the
		// connection and not sent yet: those that need no settling are not in their queues any more.
		sync.Mutex
		handed []handed // oldest first
	}

	confirms struct {
		sync.Mutex
		waiting []*Channel // have publishes that wait for a sync
	}
	listed bool // among the confirmer's waiters; guarded by the confirmer
}

// handed is a hand-over of deliveries to a connection.
type handed struct {
	messages       int
	floor, ceiling segment.LSN // the lowest and the highest of them
}

func newClient(vh *VHost, user *User, sink Sink) *Client {
	c := &Client{
		vhost: vh, sink: sink, user: user,
		permits: access.NewCache(vh.broker.access, access.Subject{User: user.Name, VHost: vh.Name}),
	}
	vh.clients.Lock()
	vh.clients.open[c] = struct{}{}
	vh.clients.Unlock()
	c.routes.init(vh.topology.router)
	c.applied = func(first segment.LSN) {
		c.first = first
		vh.state.Lock() // still under the append lock: records are applied in log order
	}
	return c
}

// VHost is the virtual host that the client is connected to.
func (c *Client) VHost() *VHost { return c.vhost }

// own notes an exclusive queue of the connection's. Those that have been deleted are forgotten whenever their
// number has doubled.
func (c *Client) own(q *queue.Queue) {
	const few = 16
	if len(c.exclusive) >= max(c.sweep, few) {
		c.vhost.state.Lock()
		c.exclusive = slices.DeleteFunc(c.exclusive, (*queue.Queue).Deleted)
		c.vhost.state.Unlock()
		c.sweep = 2 * len(c.exclusive)
	}
	c.exclusive = append(c.exclusive, q)
}

// Close deletes the connection's exclusive queues, and the connection counts no more against any limit. Its
// channels must be closed.
func (c *Client) Close() {
	defer c.vhost.broker.presence.leave(c)
	for _, q := range c.exclusive {
		c.vhost.deleteIf(q, func() bool { return true })
	}
	c.exclusive = nil
}

// Gone says that the connection will send nothing more.
func (c *Client) Gone() {
	c.vhost.clients.Lock()
	delete(c.vhost.clients.open, c)
	c.vhost.clients.Unlock()
}

// Room implements [queue.Outlet].
func (c *Client) Room() bool {
	if c.hasRoom() {
		return true
	}
	// Say so first and look again: the writer may have emptied the outlet in between, and would then not
	// know that somebody waits.
	c.outlet.starved.Store(true)
	return c.hasRoom()
}

// floor is the lowest record that the connection still has to send.
func (c *Client) floor() segment.LSN {
	c.outlet.Lock()
	defer c.outlet.Unlock()
	lowest := ^segment.LSN(0)
	for _, h := range c.outlet.handed {
		lowest = min(lowest, h.floor)
	}
	return lowest
}

// appendHanded adds what of a range of the log the connection may still have to send.
func (c *Client) appendHanded(dst []segment.Range, from, to segment.LSN) []segment.Range {
	c.outlet.Lock()
	defer c.outlet.Unlock()
	for _, h := range c.outlet.handed {
		if h.floor <= to && h.ceiling >= from {
			dst = append(dst, segment.Range{From: max(h.floor, from), To: min(h.ceiling, to)})
		}
	}
	return dst
}

func (c *Client) hasRoom() bool {
	return c.outlet.bytes.Load()+c.pendingBytes < maxOutletBytes &&
		c.outlet.messages.Load()+int64(len(c.pending)) < maxOutletMessages
}

// Deliver implements [queue.Outlet].
func (c *Client) Deliver(d queue.Delivery) {
	if len(c.pending) == 0 {
		c.vhost.state.touched = append(c.vhost.state.touched, c)
	}
	c.pending = append(c.pending, d)
	c.pendingBytes += int64(d.Size)
}

// passOn hands the gathered deliveries to the connection. Called under the state lock, which keeps the
// deliveries of one connection in the order of their tags.
func (c *Client) passOn() {
	floor, ceiling := c.pending[0].LSN, c.pending[0].LSN
	for i := range c.pending {
		floor, ceiling = min(floor, c.pending[i].LSN), max(ceiling, c.pending[i].LSN)
	}
	c.outlet.Lock()
	c.outlet.handed = append(c.outlet.handed, handed{len(c.pending), floor, ceiling})
	c.outlet.Unlock()
	c.outlet.bytes.Add(c.pendingBytes) // before the connection can say that it has sent them
	c.outlet.messages.Add(int64(len(c.pending)))
	c.sink.Deliver(c.pending)
	clear(c.pending)
	c.pending, c.pendingBytes = c.pending[:0], 0
}

// Sent says that the connection has sent deliveries with so many body bytes. If consumers were passed
// over for lack of room they get their turn again, once half of the room is free.
func (c *Client) Sent(messages int, bytes int64) {
	c.outlet.Lock()
	n, rest := 0, messages
	for ; n < len(c.outlet.handed) && c.outlet.handed[n].messages <= rest; n++ {
		rest -= c.outlet.handed[n].messages
	}
	c.outlet.handed = slices.Delete(c.outlet.handed, 0, n)
	if rest > 0 && len(c.outlet.handed) > 0 {
		c.outlet.handed[0].messages -= rest
	}
	c.outlet.Unlock()
	left := c.outlet.messages.Add(-int64(messages))
	leftBytes := c.outlet.bytes.Add(-bytes)
	if left > maxOutletMessages/2 || leftBytes > maxOutletBytes/2 || !c.outlet.starved.Swap(false) {
		return
	}
	c.vhost.state.Lock()
	for _, ch := range c.channels {
		ch.Channel.Resume()
	}
	c.vhost.unlockState()
}

// Unreadable says that a delivery could not be read from the log. One that is damaged leaves its queue, for it would fail
// every consumer that it is given to. One that the disk did not give stays and is tried again later; kept is false when
// it needed no settling and so has left its queue before.
func (c *Client) Unreadable(d *queue.Delivery, damaged bool) (kept bool) {
	outcome := queue.Unread
	if damaged {
		outcome = queue.Lost
	}
	c.vhost.state.Lock()
	defer c.vhost.unlockState()
	return d.Channel.Settle(d.Tag, false, outcome) == nil && !damaged
}
