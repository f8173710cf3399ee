package segment

import "encoding/binary"

const horizonSize = 16 // u64 queue, u64 record number

// Horizon says that entries of Queue up to LSN may have been handed to a client.
type Horizon struct {
	Queue QueueID
	LSN   LSN
}

// Horizon decodes a horizon record.
func (r Record) Horizon() (Horizon, error) {
	p := r.Payload()
	if r.Kind() != KindHorizon || len(p) != horizonSize {
		return Horizon{}, corrupt(RecordHeaderSize, r.LSN(), "not a horizon")
	}
	return Horizon{
		Queue: QueueID(binary.LittleEndian.Uint64(p)),
		LSN:   LSN(binary.LittleEndian.Uint64(p[8:])),
	}, nil
}
