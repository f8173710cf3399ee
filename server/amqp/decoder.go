package amqp

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// fault says why a decoder stopped; its zero value means that it did not.
type fault uint8

const (
	faultNone       fault = iota
	faultUTF8             // a shortstr is not UTF-8 (WIRE-13); decoding went on
	faultShort            // the octets end within an argument
	faultLong             // octets are left behind the last argument
	faultTableShort       // a field table ends within a field
	faultTableType        // a field table holds a value of unknown type
	faultTableDepth       // field tables or arrays are nested too deeply
)

// String returns the explanation that a SYNTAX_ERROR gives of a malformed table.
func (f fault) String() string {
	switch f {
	case faultTableShort:
		return "malformed field table: it ends within a field"
	case faultTableType:
		return "malformed field table: unknown value type"
	case faultTableDepth:
		return "malformed field table: nested too deeply"
	}
	return "malformed octets"
}

// decoder reads arguments from a slice. Its errors are sticky: after a fault it returns zero values,
// and finish tells.
type decoder struct {
	buf   []byte
	off   int
	copy  bool // borrowed results must outlive buf, so bytes and keys return copies
	fault fault
}

// fail remembers the fault, leaving nothing to decode. A bad shortstr gives way to any other fault, as
// RabbitMQ looks at the form first.
func (d *decoder) fail(f fault) {
	if d.fault <= faultUTF8 {
		d.fault = f
	}
	d.off = len(d.buf)
}

// take returns the next n octets, borrowed, or nil when there are fewer.
func (d *decoder) take(n int) []byte {
	if n > len(d.buf)-d.off {
		d.fail(faultShort)
		return nil
	}
	b := d.buf[d.off : d.off+n : d.off+n]
	d.off += n
	return b
}

func (d *decoder) uint8() uint8 {
	if d.off >= len(d.buf) {
		d.fail(faultShort)
		return 0
	}
	v := d.buf[d.off]
	d.off++
	return v
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// ticket skips the access ticket, which is ignored on input.
func (d *decoder) ticket() { d.take(2) }

// bit reads an octet of which only the lowest bit is an argument.
func (d *decoder) bit() bool { return d.uint8()&1 != 0 }

// shortBytes reads a shortstr without copying it.
func (d *decoder) shortBytes() []byte {
	b := d.take(int(d.uint8()))
	if !utf8.Valid(b) && d.fault == faultNone {
		d.fault = faultUTF8
	}
	return b
}

// ownedBytes reads a shortstr: a copy of it when the result must outlive the buffer.
func (d *decoder) ownedBytes() []byte {
	b := d.shortBytes()
	if d.copy {
		b = bytes.Clone(b)
	}
	return b
}

func (d *decoder) shortstr() string { return string(d.shortBytes()) }

func (d *decoder) longstr() string {
	n := d.uint32()
	if uint64(n) > uint64(len(d.buf)-d.off) {
		d.fail(faultShort)
		return ""
	}
	return string(d.take(int(n)))
}

// keys reads two shortstrs as one run of octets. It is written out, as every publish passes here.
func (d *decoder) keys() Keys {
	rest := d.buf[d.off:]
	end := keysSize(rest)
	if end == 0 {
		d.fail(faultShort)
		return nil
	}
	d.off += end
	keys := Keys(rest[:end:end])
	if exchange, routingKey := keys.Split(); !utf8.Valid(exchange) || !utf8.Valid(routingKey) {
		d.fault = max(d.fault, faultUTF8)
	}
	if d.copy {
		keys = bytes.Clone(keys)
	}
	return keys
}

// rawTable reads a field table's length and returns its octets, borrowed and not looked into.
func (d *decoder) rawTable() RawTable {
	n := d.uint32()
	if uint64(n) > uint64(len(d.buf)-d.off) {
		d.fail(faultShort)
		return nil
	}
	return RawTable(d.take(int(n)))
}

// table decodes a field table.
func (d *decoder) table() Table {
	raw := d.rawTable()
	if d.fault > faultUTF8 {
		return nil
	}
	t, f := raw.decode(1)
	if f != faultNone {
		d.fail(f)
	}
	return t
}

// finish returns the error of the method payload that was decoded, if any.
func (d *decoder) finish() error {
	if d.off != len(d.buf) {
		d.fail(faultLong)
	}
	if d.fault == faultNone {
		return nil
	}
	return methodError(d.buf, d.fault)
}

// methodError returns the error of a METHOD frame's payload.
func methodError(payload []byte, f fault) *Error {
	id := PeekMethod(payload)
	switch f {
	case faultUTF8:
		return &Error{Code: FrameError, Text: "Malformed UTF-8 in shortstr"}
	case faultTableShort, faultTableType, faultTableDepth:
		return &Error{Code: SyntaxError, Text: f.String(), Method: id}
	}
	args := payload[min(methodHeadSize, len(payload)):]
	return &Error{Code: FrameError, Text: "cannot decode " + decimalOctets(args), Method: id}
}
