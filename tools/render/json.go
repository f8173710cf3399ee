package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/history"
)

// TimeFormat is how times are shown: RFC 3339 with milliseconds, which is what the log has of them.
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// object appends a JSON object's fields in the order in which they are given.
type object struct {
	buffer []byte
	fields int
}

func (o *object) open() { o.buffer, o.fields = append(o.buffer, '{'), 0 }

func (o *object) close() { o.buffer = append(o.buffer, '}') }

func (o *object) key(name string) {
	if o.fields > 0 {
		o.buffer = append(o.buffer, ',')
	}
	o.fields++
	o.buffer = append(appendText(o.buffer, name), ':')
}

func (o *object) number(name string, n uint64) {
	o.key(name)
	o.buffer = strconv.AppendUint(o.buffer, n, 10)
}

func (o *object) text(name, value string) {
	o.key(name)
	o.buffer = appendOctets(o.buffer, value)
}

func (o *object) flag(name string) {
	o.key(name)
	o.buffer = append(o.buffer, "true"...)
}

func (o *object) time(name string, t time.Time) {
	o.key(name)
	o.buffer = append(t.UTC().AppendFormat(append(o.buffer, '"'), TimeFormat), '"')
}

// nested appends an object as a field's value.
func (o *object) nested(name string, fill func()) {
	o.key(name)
	outer := o.fields
	o.open()
	fill()
	o.close()
	o.fields = outer
}

// appendText appends a JSON string. Text that is no UTF-8 is written with replacement characters.
func appendText(dst []byte, text string) []byte {
	start := 0
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf && c != 0x7f {
			i++
			continue
		}
		char, size := utf8.DecodeRuneInString(text[i:])
		if c >= utf8.RuneSelf && (char != utf8.RuneError || size > 1) && char != '\u2028' && char != '\u2029' && !isC1(char) {
			i += size
			continue
		}
		dst = append(dst, text[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', digits[char>>12&15], digits[char>>8&15], digits[char>>4&15], digits[char&15])
		}
		i += size
		start = i
	}
	return append(append(dst, text[start:]...), '"')
}

// isC1 reports whether a character is a control that some terminals obey.
func isC1(char rune) bool { return char >= 0x80 && char < 0xa0 }

// appendOctets appends text as a JSON string, and octets that are no text as an object with their base64.
func appendOctets(dst []byte, text string) []byte {
	if utf8.ValidString(text) {
		return appendText(dst, text)
	}
	return append(appendBase64(append(dst, `{"base64":`...), []byte(text)), '}')
}

func appendBase64(dst, octets []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, octets)
	return append(dst, '"')
}

// Text is a value of a field table as people see it: JSON with nothing that a terminal would obey.
func Text(value any) string { return string(appendValue(nil, value)) }

// appendValue appends a value of a field table.
func appendValue(dst []byte, value any) []byte {
	if n, ok := amqp.Int(value); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case float64:
		return appendFloat(dst, v, 64)
	case amqp.Decimal:
		return appendDecimal(dst, v)
	case amqp.Timestamp:
		return append(append(append(dst, '"'), timestampText(v)...), '"')
	case string:
		return appendOctets(dst, v)
	case []byte:
		return append(appendBase64(append(dst, `{"base64":`...), v), '}')
	case amqp.Table:
		return appendTable(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, element)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

func appendTable(dst []byte, t amqp.Table) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(t)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, key), ':')
		dst = appendValue(dst, t[key])
	}
	return append(dst, '}')
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(strconv.AppendFloat(append(dst, '"'), f, 'g', -1, bits), '"')
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

// appendDecimal writes Value divided by ten to the power of Scale, exactly.
func appendDecimal(dst []byte, d amqp.Decimal) []byte {
	digits := strconv.FormatUint(uint64(d.Value), 10)
	if d.Scale == 0 {
		return append(dst, digits...)
	}
	if missing := int(d.Scale) + 1 - len(digits); missing > 0 {
		digits = string(bytes.Repeat([]byte{'0'}, missing)) + digits
	}
	point := len(digits) - int(d.Scale)
	return append(append(append(dst, digits[:point]...), '.'), digits[point:]...)
}

// timestampText is RFC 3339, or the number of seconds where that has no year.
func timestampText(t amqp.Timestamp) string {
	if const9999 := amqp.Timestamp(253402300799); t > const9999 {
		return strconv.FormatUint(uint64(t), 10)
	}
	return t.Time().Format(time.RFC3339)
}

func (r *Renderer) json(e *Entry) {
	o := &object{buffer: r.buffer}
	o.open()
	record := e.Record
	o.number("lsn", uint64(record.LSN()))
	o.time("time", e.Time)
	o.text("kind", record.Kind().String())
	if id := record.VHost(); id != 0 {
		o.text("vhost", r.vhostName(id))
	}
	if err := r.fields(o, e); err != nil {
		o.text("error", err.Error())
		o.key("payload_base64")
		o.buffer = appendBase64(o.buffer, record.Payload())
	}
	o.close()
	r.buffer = append(o.buffer, '\n')
}

// fields appends what a record says by its kind. An error comes before anything was appended.
func (r *Renderer) fields(o *object, e *Entry) error {
	switch record := e.Record; record.Kind() {
	case segment.KindPublish:
		return r.publishFields(o, e)
	case segment.KindSettle:
		s, err := record.Settle()
		if err != nil {
			return err
		}
		r.queueFields(o, s.Queue)
		o.text("reason", s.Reason.String())
		o.key("ranges")
		o.buffer = append(o.buffer, '[')
		span, first := uint64(0), true
		for at := range s.Ranges() {
			if !first {
				o.buffer = append(o.buffer, ',')
			}
			first = false
			o.buffer = strconv.AppendUint(append(o.buffer, '['), uint64(at.From), 10)
			o.buffer = append(strconv.AppendUint(append(o.buffer, ','), uint64(at.To), 10), ']')
			span += uint64(at.To-at.From) + 1
		}
		o.buffer = append(o.buffer, ']')
		o.number("span", span)
		if s.Consumer != 0 {
			o.number("consumer", uint64(s.Consumer))
		}
		if s.Successor != 0 {
			o.number("successor", uint64(s.Successor))
		}
	case segment.KindHorizon:
		h, err := record.Horizon()
		if err != nil {
			return err
		}
		r.queueFields(o, h.Queue)
		o.number("to", uint64(h.LSN))
	case segment.KindTopology, segment.KindConsumer, segment.KindStart:
		change, err := decodeChange(record.Payload())
		if err != nil {
			return err
		}
		o.key("change")
		o.buffer = appendTable(o.buffer, change)
	case segment.KindCatalogue:
		entries, err := decodeCatalogue(record.Payload())
		if err != nil {
			return err
		}
		o.key("entries")
		o.buffer = appendValue(o.buffer, entries)
	case segment.KindRouteSet:
		id, err := record.RouteSetID()
		if err != nil {
			return err
		}
		queues, err := record.AppendRouteSet(nil)
		if err != nil {
			return err
		}
		o.number("set", id)
		r.queuesField(o, queues)
	}
	return nil
}

func (r *Renderer) queueFields(o *object, id segment.QueueID) {
	o.text("queue", r.queueName(id))
	o.number("queue_id", uint64(id))
}

func (r *Renderer) queuesField(o *object, queues []segment.QueueID) {
	o.key("queues")
	o.buffer = append(o.buffer, '[')
	for i, id := range queues {
		if i > 0 {
			o.buffer = append(o.buffer, ',')
		}
		o.buffer = appendOctets(o.buffer, r.queueName(id))
	}
	o.buffer = append(o.buffer, ']')
}

func (r *Renderer) publishFields(o *object, e *Entry) error {
	p, err := e.Record.Publish()
	if err != nil {
		return err
	}
	properties, err := decodeProperties(p.Header)
	if err != nil {
		return err
	}
	exchange, key := amqp.Keys(p.Keys).Split()
	o.text("exchange", string(exchange))
	o.text("routing_key", string(key))
	r.queuesField(o, e.Queues)
	if e.Record.Flags()&segment.FlagTransient != 0 {
		o.flag("transient")
	}
	if e.Record.Flags()&segment.FlagDeadLettered != 0 {
		o.flag("dead_lettered")
	}
	o.nested("properties", func() {
		for _, p := range properties {
			o.key(p.name)
			o.buffer = appendValue(o.buffer, p.value)
		}
	})
	o.number("size", uint64(len(p.Body)))
	b := r.body(&p)
	switch {
	case b.json:
		o.key("json")
		var line bytes.Buffer
		if json.Compact(&line, b.octets) == nil { // it is valid
			o.buffer = append(o.buffer, line.Bytes()...)
		}
	case utf8.Valid(b.octets):
		o.text("body", string(b.octets))
	default:
		o.key("body_base64")
		o.buffer = appendBase64(o.buffer, b.octets)
	}
	if b.note != "" {
		o.text("body_note", b.note)
	}
	return nil
}

// decodeChange decodes a change of the topology, without what nobody should see.
func decodeChange(payload []byte) (amqp.Table, error) {
	change, err := amqp.RawTable(payload).Decode()
	if err == nil {
		if _, secret := change["password_hash"]; secret {
			change["password_hash"] = "hidden"
		}
	}
	return change, err
}

func decodeCatalogue(payload []byte) ([]any, error) {
	entries := []any{}
	for raw, err := range history.Entries(payload) {
		if err != nil {
			return nil, err
		}
		entry, err := decodeChange(raw)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}
