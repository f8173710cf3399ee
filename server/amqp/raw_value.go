package amqp

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Value is a field's value on the wire: the octet announcing its type, and its octets without the length
// that strings, tables and arrays have before them. The zero Value is no value at all.
type Value struct {
	Type byte
	Data []byte // borrowed
}

// TypeName returns RabbitMQ's name of the value's type, as its error texts show it.
func (v Value) TypeName() string { return typeName(v.Type) }

// Longstr returns the octets of a string, borrowed.
func (v Value) Longstr() ([]byte, bool) { return v.Data, v.Type == typeLongstr }

// Bool returns the value of a bool.
func (v Value) Bool() (value, ok bool) {
	if v.Type != typeBool || len(v.Data) != 1 {
		return false, false
	}
	return v.Data[0] != 0, true
}

// Int returns the value of an integer of any width.
func (v Value) Int() (int64, bool) {
	if len(v.Data) != fixedSize(v.Type) {
		return 0, false
	}
	switch v.Type {
	case typeInt8:
		return int64(int8(v.Data[0])), true
	case typeUint8:
		return int64(v.Data[0]), true
	case typeInt16:
		return int64(int16(binary.BigEndian.Uint16(v.Data))), true
	case typeUint16:
		return int64(binary.BigEndian.Uint16(v.Data)), true
	case typeInt32:
		return int64(int32(binary.BigEndian.Uint32(v.Data))), true
	case typeUint32:
		return int64(binary.BigEndian.Uint32(v.Data)), true
	case typeInt64, typeInt64Alt:
		return int64(binary.BigEndian.Uint64(v.Data)), true
	}
	return 0, false
}

// Array returns a scanner over the values of an array.
func (v Value) Array() (ArrayScanner, bool) {
	if v.Type != typeArray {
		return ArrayScanner{}, false
	}
	return ArrayScanner{rest: v.Data}, true
}

// Table returns the fields of a table, borrowed.
func (v Value) Table() (RawTable, bool) {
	if v.Type != typeTable {
		return nil, false
	}
	return RawTable(v.Data), true
}

// Decode returns the value in the Go type that Table gives for it. Octets are copied.
func (v Value) Decode() (any, error) {
	value, f := v.decode(1)
	return value, scanError(f)
}

// decode decodes the value; the depth is that of the table or array around it.
func (v Value) decode(depth int) (any, fault) {
	if size := fixedSize(v.Type); size >= 0 && len(v.Data) != size {
		return nil, faultTableShort
	}
	switch v.Type {
	case typeVoid:
		return nil, faultNone
	case typeBool:
		return v.Data[0] != 0, faultNone
	case typeInt8:
		return int8(v.Data[0]), faultNone
	case typeUint8:
		return v.Data[0], faultNone
	case typeInt16:
		return int16(binary.BigEndian.Uint16(v.Data)), faultNone
	case typeUint16:
		return binary.BigEndian.Uint16(v.Data), faultNone
	case typeInt32:
		return int32(binary.BigEndian.Uint32(v.Data)), faultNone
	case typeUint32:
		return binary.BigEndian.Uint32(v.Data), faultNone
	case typeInt64, typeInt64Alt:
		return int64(binary.BigEndian.Uint64(v.Data)), faultNone
	case typeFloat32:
		return math.Float32frombits(binary.BigEndian.Uint32(v.Data)), faultNone
	case typeFloat64:
		return math.Float64frombits(binary.BigEndian.Uint64(v.Data)), faultNone
	case typeDecimal:
		return Decimal{Scale: v.Data[0], Value: binary.BigEndian.Uint32(v.Data[1:])}, faultNone
	case typeTimestamp:
		return Timestamp(binary.BigEndian.Uint64(v.Data)), faultNone
	case typeLongstr:
		return string(v.Data), faultNone
	case typeBinary:
		return bytes.Clone(v.Data), faultNone
	case typeTable, typeArray:
		return v.decodeNested(depth + 1)
	}
	return nil, faultTableType
}

// decodeNested decodes a table or an array at the given depth.
func (v Value) decodeNested(depth int) (any, fault) {
	if depth > maxDepth {
		return nil, faultTableDepth
	}
	if v.Type == typeTable {
		t, f := RawTable(v.Data).decode(depth)
		return t, f
	}
	array := []any{}
	s := ArrayScanner{rest: v.Data}
	for s.Next() {
		value, f := s.value.decode(depth)
		if f != faultNone {
			return nil, f
		}
		array = append(array, value)
	}
	return array, s.fault
}

// scanValue splits the value at the start of buf from what follows. Nested values are not looked into.
func scanValue(buf []byte) (v Value, rest []byte, f fault) {
	if len(buf) == 0 {
		return Value{}, nil, faultTableShort
	}
	tag, buf := buf[0], buf[1:]
	size := fixedSize(tag)
	if size == unknownSize {
		return Value{}, nil, faultTableType
	}
	if size == lengthBefore {
		if len(buf) < 4 {
			return Value{}, nil, faultTableShort
		}
		n := binary.BigEndian.Uint32(buf)
		buf = buf[4:]
		if uint64(n) > uint64(len(buf)) {
			return Value{}, nil, faultTableShort
		}
		size = int(n)
	}
	if size > len(buf) {
		return Value{}, nil, faultTableShort
	}
	return Value{Type: tag, Data: buf[:size:size]}, buf[size:], faultNone
}

const (
	lengthBefore = -1 // the value's length stands before it
	unknownSize  = -2 // there is no such type
)

// fixedSize returns how many octets a value of the type has, or one of the constants above.
func fixedSize(tag byte) int {
	switch tag {
	case typeVoid:
		return 0
	case typeBool, typeInt8, typeUint8:
		return 1
	case typeInt16, typeUint16:
		return 2
	case typeInt32, typeUint32, typeFloat32:
		return 4
	case typeDecimal:
		return 5
	case typeInt64, typeInt64Alt, typeFloat64, typeTimestamp:
		return 8
	case typeLongstr, typeBinary, typeTable, typeArray:
		return lengthBefore
	}
	return unknownSize
}

// ArrayScanner walks over an array's values as TableScanner does over a table's fields.
type ArrayScanner struct {
	rest  []byte
	value Value
	fault fault
}

// Next advances to the next value and reports whether there is one.
func (s *ArrayScanner) Next() bool {
	if len(s.rest) == 0 || s.fault != faultNone {
		return false
	}
	s.value, s.rest, s.fault = scanValue(s.rest)
	return s.fault == faultNone
}

// Value returns the value, borrowed from the array.
func (s *ArrayScanner) Value() Value { return s.value }

// Err returns the fault that ended the scan early, if any, as a *Error.
func (s *ArrayScanner) Err() error { return scanError(s.fault) }
