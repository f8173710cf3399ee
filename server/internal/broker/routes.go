package broker

import (
	"encoding/binary"
	"errors"

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
}

// Routes to more queues than this are written to the log once a segment, and referred to by number.
const internFrom = 16

// routes remembers the routes of a connection's messages while the topology does not change. Owned by
// the connection's reader.
type routes struct {
	cache   *router.Cache[*queue.Queue]
	message router.Message // scratch
	header  *amqp.Header   // of the message being routed

	// The last route: most publishers use one key.
	generation uint64
	lastKeys   []byte
	last       *route
}

func (r *routes) init(topology *router.Router[*queue.Queue]) {
	r.cache = router.NewCache(topology)
	r.message.Headers, r.message.Header, r.message.Property = r.headers, r.headerValue, r.property
}

// headerValue finds one header for an exchange that hashes it.
func (r *routes) headerValue(name string) ([]byte, bool, error) {
	raw, ok := r.header.Headers()
	if !ok {
		return nil, false, nil
	}
	value, ok, err := raw.Lookup(name)
	return value.Data, ok, err
}

// property finds one property for an exchange that hashes it.
func (r *routes) property(name string) ([]byte, bool) {
	switch name {
	case "correlation_id":
		return r.header.Shortstr(amqp.PropertyCorrelationID), r.header.Has(amqp.PropertyCorrelationID)
	case "message_id":
		return r.header.Shortstr(amqp.PropertyMessageID), r.header.Has(amqp.PropertyMessageID)
	case "timestamp":
		t, ok := r.header.Timestamp()
		return binary.BigEndian.AppendUint64(nil, uint64(t)), ok
	}
	return nil, false
}

// headers decodes the message's headers for a headers exchange.
func (r *routes) headers() (map[string]any, error) {
	raw, ok := r.header.Headers()
	if !ok {
		return nil, nil
	}
	table, err := raw.Decode()
	if err != nil {
		return nil, err
	}
	return table.Normal(), nil
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
	r.header = &p.Header
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
		found = c.vhost.newRoute(decision.Set.Queues())
		decision.Set.Memo = found
	}
	if r.last = nil; cached && len(copies) == 0 { // what the cache did not keep may hold for this message only
		r.generation, r.last = generation, found
		r.lastKeys = append(r.lastKeys[:0], p.Keys...)
	}
	return found, nil
}

func (vh *VHost) newRoute(queues []*queue.Queue) *route {
	r := &route{queues: queues}
	for _, q := range queues {
		r.ids = append(r.ids, q.ID)
		r.durable = r.durable || q.Durable
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
