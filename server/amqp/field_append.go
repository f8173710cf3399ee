package amqp

import "encoding/binary"

// What follows appends one field of a table, as [AppendField] does, of a type that the caller knows: without
// the detour through an interface, for tables that are written by the ten thousand.

// AppendTextField appends a long string.
func AppendTextField(dst []byte, key, value string) []byte {
	return appendLongstr(append(AppendShortstr(dst, key), typeLongstr), value)
}

// AppendFlagField appends a boolean.
func AppendFlagField(dst []byte, key string, value bool) []byte {
	return appendBits(append(AppendShortstr(dst, key), typeBool), value)
}

// AppendInt64Field appends a signed number of 64 bits.
func AppendInt64Field(dst []byte, key string, value int64) []byte {
	return binary.BigEndian.AppendUint64(append(AppendShortstr(dst, key), typeInt64), uint64(value))
}

// AppendUint32Field appends an unsigned number of 32 bits.
func AppendUint32Field(dst []byte, key string, value uint32) []byte {
	return binary.BigEndian.AppendUint32(append(AppendShortstr(dst, key), typeUint32), value)
}

// AppendTableField appends a table.
func AppendTableField(dst []byte, key string, value Table) []byte {
	dst = append(AppendShortstr(dst, key), typeTable)
	if len(value) == 0 { // as most are
		return append(dst, 0, 0, 0, 0)
	}
	return appendTable(dst, value, 2)
}
