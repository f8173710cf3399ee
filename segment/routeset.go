package segment

import "encoding/binary"

const routeSetFixed = 8 // u64 id; uvarint count and ids follow

// RouteSetID returns the number of the set that a route-set record defines.
func (r Record) RouteSetID() (uint64, error) {
	p := r.Payload()
	if r.Kind() != KindRouteSet || len(p) <= routeSetFixed {
		return 0, corrupt(RecordHeaderSize, r.LSN(), "not a route set")
	}
	return binary.LittleEndian.Uint64(p), nil
}

// AppendRouteSet appends the queues of the set that a route-set record defines.
func (r Record) AppendRouteSet(dst []QueueID) ([]QueueID, error) {
	if _, err := r.RouteSetID(); err != nil {
		return dst, err
	}
	p := r.Payload()[routeSetFixed:]
	n, used := binary.Uvarint(p)
	if used <= 0 {
		return dst, corrupt(RecordHeaderSize, r.LSN(), "bad queue count")
	}
	return decodeQueues(dst, p[used:], n)
}
