package broker

import (
	"errors"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// route is where a message goes. Immutable.
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
	generation uint64
	known      map[string]*route // by exchange and routing key as on the wire
	queues     []*queue.Queue
	lastKey    []byte // the last message's, with its route: most publishers use one key
	last       *route
}

// A connection that uses more keys than this starts over: keys that are all different are not worth
// remembering.
const maxRoutes = 4096

func (r *routes) init() { r.known = make(map[string]*route) }

func (r *routes) forget(generation uint64) {
	clear(r.known)
	r.generation, r.last, r.lastKey = generation, nil, r.lastKey[:0]
}

// route finds the queues of a message. Errors are *amqp.Error.
func (c *Client) route(p *Publication) (*route, error) {
	r := &c.routes
	topology := &c.vhost.topology
	if generation := topology.router.Generation(); generation != r.generation {
		r.forget(generation)
	}
	if r.last != nil && string(r.lastKey) == string(p.Keys) {
		return r.last, nil
	}
	if known, ok := r.known[string(p.Keys)]; ok {
		r.remember(p, known)
		return known, nil
	}
	topology.RLock()
	generation := topology.router.Generation()
	exchange, key := p.Keys.Split()
	message := router.Message{Exchange: exchange, Key: key, Headers: p.headers}
	queues, outcome, err := topology.router.Route(r.queues[:0], &message, &c.scratch)
	topology.RUnlock()
	r.queues = queues
	if err != nil {
		return nil, c.routeError(err)
	}
	if outcome.Internal { // EXCH-09
		return nil, amqp.Errorf(amqp.AccessRefused, amqp.BasicPublishID,
			"cannot publish to internal exchange '%s' in vhost '%s'", exchange, c.vhost.Name)
	}
	found := c.newRoute(queues)
	if outcome.Depends != router.OnMessage && generation == r.generation {
		if len(r.known) >= maxRoutes {
			clear(r.known)
		}
		r.known[string(p.Keys)] = found
		r.remember(p, found)
	}
	return found, nil
}

// headers decodes the message's headers for a headers exchange.
func (p *Publication) headers() (map[string]any, error) {
	raw, ok := p.Header.Headers()
	if !ok {
		return nil, nil
	}
	table, err := raw.Decode()
	if err != nil {
		return nil, err
	}
	return table.Normal(), nil
}

func (r *routes) remember(p *Publication, found *route) {
	r.lastKey, r.last = append(r.lastKey[:0], p.Keys...), found
}

func (c *Client) newRoute(queues []*queue.Queue) *route {
	r := &route{queues: append([]*queue.Queue(nil), queues...)}
	for _, q := range queues {
		r.ids = append(r.ids, q.ID)
		r.durable = r.durable || q.Durable
	}
	if len(queues) > internFrom {
		r.set = c.vhost.broker.routeSet(r.ids)
	}
	return r
}

func (c *Client) routeError(err error) error {
	var noExchange router.NoExchange
	if errors.As(err, &noExchange) { // PUB-01
		return c.vhost.noExchange(amqp.BasicPublishID, noExchange.Name)
	}
	var protocol *amqp.Error
	if errors.As(err, &protocol) {
		return err
	}
	return amqp.Errorf(amqp.SyntaxError, amqp.BasicPublishID, "headers of the message cannot be decoded: %s", err) // WIRE-14
}
