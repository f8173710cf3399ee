package load

import "encoding/binary"

// stamp is what the first octets of a body tell of the message.
type stamp struct {
	producer uint16
	sequence uint64 // of the producer, from 0
	// due is when it was to be sent, in nanoseconds of the run; 0 when nobody measures latency.
	due int64
}

const (
	stampSize    = 16
	sequenceBits = 48
)

func (s stamp) put(body []byte) {
	binary.BigEndian.PutUint64(body, uint64(s.producer)<<sequenceBits|s.sequence)
	binary.BigEndian.PutUint64(body[8:], uint64(s.due))
}

// parseStamp reads the stamp of a body that has at least stampSize octets.
func parseStamp(body []byte) stamp {
	id := binary.BigEndian.Uint64(body)
	return stamp{
		producer: uint16(id >> sequenceBits),
		sequence: id & (1<<sequenceBits - 1),
		due:      int64(binary.BigEndian.Uint64(body[8:])),
	}
}
