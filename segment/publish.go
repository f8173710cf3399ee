package segment

import "encoding/binary"

// Layout of a publish payload, behind the record's fixed part.
const (
	publishRoute  = 0 // u32 length of the route
	publishHeader = 4 // u32 length of the content header
	publishFixed  = 8
)

// Publish is a view of a publish record's parts; it holds as long as its record.
type Publish struct {
	Route  []byte // see AppendQueues and Set
	Keys   []byte // exchange and routing key, two short strings as on the wire
	Header []byte // content-header payload exactly as on the wire
	Body   []byte
}

// Publish cuts a publish record into its parts without copying. The route's ids are checked only
// when they are asked for.
func (r Record) Publish() (Publish, error) {
	p := r.Payload()
	if r.Kind() != KindPublish {
		return Publish{}, corrupt(recordKind, r.LSN(), "not a publish")
	}
	if len(p) < publishFixed {
		return Publish{}, corrupt(RecordHeaderSize, r.LSN(), "publish payload too short")
	}
	route := uint64(binary.LittleEndian.Uint32(p[publishRoute:]))
	header := uint64(binary.LittleEndian.Uint32(p[publishHeader:]))
	keys := uint64(binary.LittleEndian.Uint16(r[recordKeys:]))
	p = p[publishFixed:]
	if route+keys+header > uint64(len(p)) {
		return Publish{}, corrupt(RecordHeaderSize, r.LSN(), "publish parts exceed the record")
	}
	return Publish{
		Route:  p[:route:route],
		Keys:   p[route : route+keys : route+keys],
		Header: p[route+keys : route+keys+header : route+keys+header],
		Body:   p[route+keys+header:],
	}, nil
}

// Set returns the id of the route set that the publish went to, when it went to one.
func (p Publish) Set() (id uint64, ok bool) {
	_, _, id, ok, err := decodeRouteHead(p.Route)
	return id, ok && err == nil
}

// AppendQueues appends the ids of an inline route; a reference to a set has none (see Set).
func (p Publish) AppendQueues(dst []QueueID) ([]QueueID, error) {
	ids, n, _, isSet, err := decodeRouteHead(p.Route)
	if err != nil || isSet {
		return dst, err
	}
	return decodeQueues(dst, ids, n)
}

// Names returns the exchange and the routing key.
func (p Publish) Names() (exchange, routingKey []byte, err error) {
	exchange, rest, ok := cutShortString(p.Keys)
	if !ok {
		return nil, nil, corrupt(0, 0, "bad exchange name")
	}
	routingKey, rest, ok = cutShortString(rest)
	if !ok || len(rest) != 0 {
		return nil, nil, corrupt(0, 0, "bad routing key")
	}
	return exchange, routingKey, nil
}

func cutShortString(p []byte) (s, rest []byte, ok bool) {
	if len(p) == 0 || len(p)-1 < int(p[0]) {
		return nil, nil, false
	}
	n := 1 + int(p[0])
	return p[1:n:n], p[n:], true
}
