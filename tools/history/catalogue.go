package history

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
)

// Entries yields what a catalogue record states, in its order: each a change of the topology, a field table as a
// topology record has it. What is damaged ends it with an error that matches segment.ErrCorrupt. Tables are borrowed
// from the payload.
func Entries(payload []byte) iter.Seq2[amqp.RawTable, error] {
	return func(yield func(amqp.RawTable, error) bool) {
		for rest := payload; len(rest) > 0; {
			if len(rest) < 4 {
				yield(nil, fmt.Errorf("catalogue record: %w", segment.ErrCorrupt))
				return
			}
			n := binary.LittleEndian.Uint32(rest)
			if rest = rest[4:]; uint64(n) > uint64(len(rest)) {
				yield(nil, fmt.Errorf("catalogue record: %w", segment.ErrCorrupt))
				return
			}
			if !yield(amqp.RawTable(rest[:n]), nil) {
				return
			}
			rest = rest[n:]
		}
	}
}
