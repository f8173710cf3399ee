package segment

import "encoding/binary"

// A route is the list of queues that a publish went to. Its first uvarint v tells the two forms
// apart: even, v/2 ids follow, each a zigzag varint difference from the one before (so the order is
// kept); 1, the uvarint id of a RouteSet of the same segment follows.

// RouteSet is a list of queues with a number, written once a segment so that a large fan-out does
// not repeat its ids in every publish. It must not change once used.
type RouteSet struct {
	ID     uint64
	Queues []QueueID
}

func appendRoute(dst []byte, queues []QueueID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(queues))<<1)
	return appendQueues(dst, queues)
}

func appendRouteSetRef(dst []byte, id uint64) []byte {
	return binary.AppendUvarint(append(dst, 1), id)
}

func appendQueues(dst []byte, queues []QueueID) []byte {
	previous := QueueID(0)
	for _, q := range queues {
		dst = binary.AppendVarint(dst, int64(q-previous))
		previous = q
	}
	return dst
}

// decodeQueues appends the n ids that fill p exactly. An id takes at least a byte, which bounds n.
func decodeQueues(dst []QueueID, p []byte, n uint64) ([]QueueID, error) {
	if n > uint64(len(p)) {
		return dst, corrupt(0, 0, "more queues than bytes")
	}
	previous := QueueID(0)
	for range n {
		delta, used := binary.Varint(p)
		if used <= 0 {
			return dst, corrupt(0, 0, "bad queue id")
		}
		previous += QueueID(delta)
		p = p[used:]
		dst = append(dst, previous)
	}
	if len(p) != 0 {
		return dst, corrupt(0, 0, "bytes after the last queue")
	}
	return dst, nil
}

// decodeRouteHead returns the count of inline ids and their bytes, or the id of a set.
func decodeRouteHead(route []byte) (ids []byte, n, set uint64, isSet bool, err error) {
	head, used := binary.Uvarint(route)
	if used <= 0 {
		return nil, 0, 0, false, corrupt(0, 0, "bad route")
	}
	route = route[used:]
	if head&1 == 0 {
		return route, head >> 1, 0, false, nil
	}
	set, used = binary.Uvarint(route)
	if head != 1 || used <= 0 || used != len(route) {
		return nil, 0, 0, false, corrupt(0, 0, "bad route set reference")
	}
	return nil, 0, set, true, nil
}
