package archive

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/millrace-mq/millrace/segment"
)

// Message is one message of an archive.
type Message struct {
	LSN      segment.LSN   // of its record in the log that it comes from; 0: it comes from no log
	Time     time.Time     // when that log took it in, to the millisecond; zero: not known
	Flags    segment.Flags // of its record
	VHost    string        // virtual host's name
	Exchange string        // that it was published to; empty is the default exchange
	Key      string        // routing key
	Queues   []string      // that it went to, by name
	Header   []byte        // payload of the content header's frame, as it was on the wire
	Body     []byte
}

// The fields of a message, in the order in which they are written; docs/archive.md.
const (
	messageLSN      protowire.Number = 1
	messageTime     protowire.Number = 2
	messageFlags    protowire.Number = 3
	messageVHost    protowire.Number = 4
	messageExchange protowire.Number = 5
	messageKey      protowire.Number = 6
	messageQueue    protowire.Number = 7
	messageHeader   protowire.Number = 8
	messageBody     protowire.Number = 9
)

// append appends the message's fields. What is zero or empty is left out.
func (m *Message) append(dst []byte) []byte {
	dst = appendNumber(dst, messageLSN, uint64(m.LSN))
	dst = appendTime(dst, messageTime, m.Time)
	dst = appendNumber(dst, messageFlags, uint64(m.Flags))
	dst = appendText(dst, messageVHost, m.VHost)
	dst = appendText(dst, messageExchange, m.Exchange)
	dst = appendText(dst, messageKey, m.Key)
	for _, name := range m.Queues { // one without a name would count, too
		dst = protowire.AppendTag(dst, messageQueue, protowire.BytesType)
		dst = protowire.AppendString(dst, name)
	}
	dst = appendText(dst, messageHeader, m.Header)
	return appendText(dst, messageBody, m.Body)
}

// size is about how many octets append appends, and no fewer.
func (m *Message) size() int {
	const fields = 64 // tags, lengths and numbers
	n := fields + len(m.VHost) + len(m.Exchange) + len(m.Key) + len(m.Header) + len(m.Body)
	for _, name := range m.Queues {
		n += len(name) + 8
	}
	return n
}

// decode reads a message's fields. Header and body are borrowed from data; names are kept in known, for most messages
// have the same.
func (m *Message) decode(data []byte, known names) error {
	*m = Message{Queues: m.Queues[:0]}
	return eachField(data, func(f field) error {
		switch f.number {
		case messageLSN:
			m.LSN = segment.LSN(f.uint())
		case messageTime:
			m.Time = f.time()
		case messageFlags:
			m.Flags = segment.Flags(f.uint())
		case messageVHost:
			m.VHost = known.of(f.bytes())
		case messageExchange:
			m.Exchange = known.of(f.bytes())
		case messageKey:
			m.Key = known.of(f.bytes())
		case messageQueue:
			m.Queues = append(m.Queues, known.of(f.bytes()))
		case messageHeader:
			m.Header = f.bytes()
		case messageBody:
			m.Body = f.bytes()
		}
		return f.err
	})
}

// names are strings that were seen.
type names map[string]string

// manyNames bounds them: routing keys may be different in each message.
const manyNames = 10_000

func (n names) of(text []byte) string {
	if known, ok := n[string(text)]; ok {
		return known
	}
	if len(n) >= manyNames {
		clear(n)
	}
	made := string(text)
	n[made] = made
	return made
}
