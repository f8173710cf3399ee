package session

import (
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// The headers that tell of the deliveries before this one (QQ-02).
const (
	headerDeliveryCount = "x-delivery-count"
	headerAcquiredCount = "x-acquired-count"
)

// withReturns returns a copy of a stored content header that says how often the message came back. A header
// that cannot be read goes out as it came (WIRE-14).
func withReturns(stored []byte, r queue.Returns) []byte {
	header, err := amqp.ParseHeader(stored)
	if err != nil {
		return stored
	}
	raw, _ := header.Headers()
	table, err := raw.AppendWithout(nil, headerDeliveryCount, headerAcquiredCount)
	if err != nil {
		return stored
	}
	table = amqp.AppendField(table, headerAcquiredCount, r.Acquisitions())
	if n := r.Failures(); n > 0 {
		table = amqp.AppendField(table, headerDeliveryCount, n)
	}
	return header.AppendWithHeaders(nil, table)
}
