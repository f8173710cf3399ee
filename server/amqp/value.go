package amqp

import "time"

// Table is a field table. The Go type of a value tells its type on the wire (WIRE-10), so decoding
// keeps integers of different widths apart:
//
//	t bool     b int8    B uint8   s int16   u uint16  I int32  i uint32  l, L int64
//	f float32  d float64  D Decimal  S string  x []byte  T Timestamp  F Table  A []any  V nil
//
// Encoding also takes int (as l), map[string]any (as F) and time.Time (as T). Fields are encoded in the
// order of their keys, so equal tables have equal octets. Of duplicate keys the last one counts
// (WIRE-12); who must keep the octets as they came keeps the RawTable.
type Table map[string]any

// Timestamp is a time in seconds since 1970, as wide as on the wire.
type Timestamp uint64

// Time returns the moment in UTC.
func (t Timestamp) Time() time.Time { return time.Unix(int64(t), 0).UTC() }

// Decimal is Value divided by ten to the power of Scale.
type Decimal struct {
	Scale uint8
	Value uint32
}

// The octets that announce the type of a field's value.
const (
	typeBool      = 't'
	typeInt8      = 'b'
	typeUint8     = 'B'
	typeInt16     = 's'
	typeUint16    = 'u'
	typeInt32     = 'I'
	typeUint32    = 'i'
	typeInt64     = 'l'
	typeInt64Alt  = 'L'
	typeFloat32   = 'f'
	typeFloat64   = 'd'
	typeDecimal   = 'D'
	typeLongstr   = 'S'
	typeArray     = 'A'
	typeTimestamp = 'T'
	typeTable     = 'F'
	typeVoid      = 'V'
	typeBinary    = 'x'
)

// TypeName returns RabbitMQ's name of a value's type, as its error texts show it.
func TypeName(value any) string { return typeName(typeOf(value)) }

// typeOf returns the octet that announces the value, or 0 for a type that no table holds.
func typeOf(value any) byte {
	switch value.(type) {
	case nil:
		return typeVoid
	case bool:
		return typeBool
	case int8:
		return typeInt8
	case uint8:
		return typeUint8
	case int16:
		return typeInt16
	case uint16:
		return typeUint16
	case int32:
		return typeInt32
	case uint32:
		return typeUint32
	case int64, int:
		return typeInt64
	case float32:
		return typeFloat32
	case float64:
		return typeFloat64
	case Decimal:
		return typeDecimal
	case string:
		return typeLongstr
	case []byte:
		return typeBinary
	case Timestamp, time.Time:
		return typeTimestamp
	case Table, map[string]any:
		return typeTable
	case []any:
		return typeArray
	}
	return 0
}

func typeName(tag byte) string {
	switch tag {
	case typeBool:
		return "bool"
	case typeInt8:
		return "byte"
	case typeUint8:
		return "unsignedbyte"
	case typeInt16:
		return "short"
	case typeUint16:
		return "unsignedshort"
	case typeInt32:
		return "signedint"
	case typeUint32:
		return "unsignedint"
	case typeInt64, typeInt64Alt:
		return "long"
	case typeFloat32:
		return "float"
	case typeFloat64:
		return "double"
	case typeDecimal:
		return "decimal"
	case typeLongstr:
		return "longstr"
	case typeArray:
		return "array"
	case typeTimestamp:
		return "timestamp"
	case typeTable:
		return "table"
	case typeVoid:
		return "void"
	case typeBinary:
		return "binary"
	}
	return "unknown"
}

// Int returns a value of any of the eight integer types.
func Int(value any) (int64, bool) {
	switch v := value.(type) {
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case int16:
		return int64(v), true
	case uint16:
		return int64(v), true
	case int32:
		return int64(v), true
	case uint32:
		return int64(v), true
	case int64:
		return v, true
	case int:
		return int64(v), true
	}
	return 0, false
}

// Normal returns the table with one Go type for each class of values that compare with one another
// (HEADERS-03): integers are int64, floats float64, tables map[string]any. The rest stays what it is.
func (t Table) Normal() map[string]any {
	normal := make(map[string]any, len(t))
	for key, value := range t {
		normal[key] = normalValue(value)
	}
	return normal
}

func normalValue(value any) any {
	if i, ok := Int(value); ok {
		return i
	}
	switch v := value.(type) {
	case float32:
		return float64(v)
	case time.Time:
		return Timestamp(v.Unix())
	case Table:
		return v.Normal()
	case map[string]any:
		return Table(v).Normal()
	case []any:
		normal := make([]any, len(v))
		for i := range v {
			normal[i] = normalValue(v[i])
		}
		return normal
	}
	return value
}
