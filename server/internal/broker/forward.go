package broker

import (
	"encoding/binary"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// inquiry is a message as the router asks about it.
type inquiry struct {
	message router.Message
	header  *amqp.Header // of the message being routed
	delay   int64        // its x-delay, in ms, if somebody asked; 0 is none
}

func (r *inquiry) init() {
	r.message.Headers, r.message.Header, r.message.Property = r.headers, r.headerValue, r.property
}

// headerDelay is the header that tells how many milliseconds an x-delayed-message exchange holds a message.
const headerDelay = "x-delay"

// delayed looks whether the message is to be held (chapter 7.6).
func (r *inquiry) delayed() (bool, error) {
	delay, err := findDelay(r.header)
	r.delay = delay
	return delay > 0, err
}

// delayOf is how long an exchange holds a message that was checked once, in ms; 0 is not at all.
func delayOf(h *amqp.Header) int64 {
	delay, _ := findDelay(h) // an error was one when it was published
	return delay
}

func findDelay(h *amqp.Header) (ms int64, err error) {
	raw, ok := h.Headers()
	if !ok {
		return 0, nil
	}
	value, ok, err := raw.Lookup(headerDelay)
	if err != nil || !ok {
		return 0, err
	}
	number, ok := value.Int()
	if !ok {
		return 0, nil
	}
	delay, _ := router.Delay(number)
	return delay.Milliseconds(), nil
}

// headerValue finds one header for an exchange that hashes it.
func (r *inquiry) headerValue(name string) ([]byte, bool, error) {
	raw, ok := r.header.Headers()
	if !ok {
		return nil, false, nil
	}
	value, ok, err := raw.Lookup(name)
	return value.Data, ok, err
}

// property finds one property for an exchange that hashes it.
func (r *inquiry) property(name string) ([]byte, bool) {
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
func (r *inquiry) headers() (map[string]any, error) {
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

// forwarder routes what the broker publishes by itself: dead letters, messages whose delay is over, what an
// exchange remembers. Owned by one goroutine.
type forwarder struct {
	inquiry
	scratch router.Scratch[*queue.Queue]
}

// route finds the queues of a message that goes on from an exchange, and notes how long it is held on the
// way. A message that is due is not held again. Errors are router.NoExchange, or of undecodable headers.
func (f *forwarder) route(vh *VHost, exchange []byte, copies [][]byte, p *Publication, due bool) (*route, error) {
	if f.message.Headers == nil {
		f.init()
	}
	f.message.Exchange, f.message.Key, f.message.ExtraKeys = exchange, p.Keys.RoutingKey(), copies
	f.header, f.delay = &p.Header, 0
	f.message.Delayed = f.delayed
	if due {
		f.message.Delayed = nil
	}
	vh.topology.RLock()
	defer vh.topology.RUnlock()
	queues, outcome, err := vh.topology.router.Route(nil, &f.message, &f.scratch)
	if err != nil {
		return nil, err
	}
	p.delay = f.delay
	return vh.newRouteLocked(queues, outcome.Kept).forMessage(vh, &p.Header), nil
}
