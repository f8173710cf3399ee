package republish

import (
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/archive"
)

// The headers that tell where a message comes from.
const (
	HeaderLSN  = "x-millrace-lsn"  // number of its record, a signed 64-bit integer
	HeaderTime = "x-millrace-time" // when the log took it in: text as in 2026-01-02T15:04:05.123Z
)

// stamp appends to dst the content header of a message with headers that tell where it comes from; those of an earlier
// replay go. The octets of all other headers and properties stay as they were.
func stamp(dst []byte, m *archive.Message, header *amqp.Header) ([]byte, error) {
	before, _ := header.Headers()
	table, err := before.AppendWithout(nil, HeaderLSN, HeaderTime)
	if err != nil {
		return dst, fmt.Errorf("its headers: %w", err)
	}
	if m.LSN != 0 {
		table = amqp.AppendField(table, HeaderLSN, int64(m.LSN))
	}
	if !m.Time.IsZero() {
		table = amqp.AppendField(table, HeaderTime, m.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	if len(table) == len(before) { // nothing is known of it
		return append(dst, m.Header...), nil
	}
	return header.AppendWithHeaders(dst, table), nil
}

// copies reports whether a message's headers name further routing keys.
func copies(header *amqp.Header) bool {
	table, _ := header.Headers()
	for _, name := range []string{"CC", "BCC"} {
		if _, found, err := table.Lookup(name); found || err != nil {
			return true
		}
	}
	return false
}
