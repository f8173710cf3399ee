package amqp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// maxDepth bounds how deeply tables and arrays may be nested in one another; the table itself counts.
// RabbitMQ's own deepest is x-death, at three.
const maxDepth = 64

// Append appends the table with its length. A value of a type that no table holds, or nested too
// deeply, is written as void, and too long a key is cut: see Validate.
func (t Table) Append(dst []byte) []byte { return appendTable(dst, t, 1) }

// Raw returns the table's octets without the length.
func (t Table) Raw() RawTable { return RawTable(appendFields(nil, t, 1)) }

// Validate returns the fault that would make the encoded table differ from t, if any. Tables that were
// decoded have none.
func (t Table) Validate() error { return validateTable(t, 1) }

// AppendField appends one field of a table: its key and value.
func AppendField(dst []byte, key string, value any) []byte { return appendField(dst, key, value, 1) }

func appendTable(dst []byte, t Table, depth int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	return endLength(appendFields(dst, t, depth), start)
}

func appendFields(dst []byte, t Table, depth int) []byte {
	for _, key := range slices.Sorted(maps.Keys(t)) {
		dst = appendField(dst, key, t[key], depth)
	}
	return dst
}

func appendField(dst []byte, key string, value any, depth int) []byte {
	return appendValue(AppendShortstr(dst, key), value, depth)
}

func appendArray(dst []byte, array []any, depth int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, value := range array {
		dst = appendValue(dst, value, depth)
	}
	return endLength(dst, start)
}

// endLength fills in the length at start of what has been appended behind it.
func endLength(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendValue appends a value's type and octets. The depth is that of the table or array around it.
func appendValue(dst []byte, value any, depth int) []byte {
	tag := typeOf(value)
	if tag == 0 || (tag == typeTable || tag == typeArray) && depth >= maxDepth {
		return append(dst, typeVoid)
	}
	dst = append(dst, tag)
	switch v := value.(type) {
	case bool:
		return appendBits(dst, v)
	case int8:
		return append(dst, byte(v))
	case uint8:
		return append(dst, v)
	case int16:
		return binary.BigEndian.AppendUint16(dst, uint16(v))
	case uint16:
		return binary.BigEndian.AppendUint16(dst, v)
	case int32:
		return binary.BigEndian.AppendUint32(dst, uint32(v))
	case uint32:
		return binary.BigEndian.AppendUint32(dst, v)
	case int64:
		return binary.BigEndian.AppendUint64(dst, uint64(v))
	case int:
		return binary.BigEndian.AppendUint64(dst, uint64(v))
	case float32:
		return binary.BigEndian.AppendUint32(dst, math.Float32bits(v))
	case float64:
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
	case Decimal:
		return binary.BigEndian.AppendUint32(append(dst, v.Scale), v.Value)
	case string:
		return appendLongstr(dst, v)
	case []byte:
		return appendLongstr(dst, v)
	case Timestamp:
		return binary.BigEndian.AppendUint64(dst, uint64(v))
	case time.Time:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Unix()))
	case Table:
		return appendTable(dst, v, depth+1)
	case map[string]any:
		return appendTable(dst, v, depth+1)
	case []any:
		return appendArray(dst, v, depth+1)
	}
	return dst // void
}

func validateTable(t Table, depth int) error {
	for key, value := range t {
		if len(key) > maxShortstr {
			return fmt.Errorf("table key %.32q has %d octets, more than %d", key, len(key), maxShortstr)
		}
		if err := validateValue(value, depth); err != nil {
			return fmt.Errorf("table key %q: %w", key, err)
		}
	}
	return nil
}

func validateValue(value any, depth int) error {
	tag := typeOf(value)
	if tag == 0 {
		return fmt.Errorf("no field type for %T", value)
	}
	if (tag == typeTable || tag == typeArray) && depth >= maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch v := value.(type) {
	case Table:
		return validateTable(v, depth+1)
	case map[string]any:
		return validateTable(v, depth+1)
	case []any:
		for i := range v {
			if err := validateValue(v[i], depth+1); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
	}
	return nil
}
