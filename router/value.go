package router

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"reflect"
	"slices"
	"time"
)

// Argument and header values are what an AMQP table holds: nil (void), bool, any Go integer,
// float32, float64, string, []byte, time.Time, map[string]any, []any. A codec's own types pass too:
// maps and slices with the same elements, and times with a method Time. A value of another type
// equals only values of that very type; it stands for a decimal.

// Equal tells whether two values agree as HEADERS-03 has it: the class of type and the value. Widths
// do not count, so int8(1) equals int64(1) and float32(0.5) equals 0.5; a float never equals an
// integer, nor a string bytes. Void equals void.
func Equal(a, b any) bool { return equalNormal(normal(a), b) }

// normal takes width and name off a value: integers become int64 (or uint64, where they do not fit),
// floats float64, times time.Time, tables map[string]any, arrays []any. What is inside tables and
// arrays is normalised where it is compared.
func normal(v any) any {
	switch v := v.(type) {
	case nil, string, bool, []byte:
		return v
	case uint64:
		if v > math.MaxInt64 {
			return v
		}
		return int64(v)
	case uint:
		return normal(uint64(v))
	case float32:
		return float64(v)
	}
	if n, ok := integer(v); ok {
		return n
	}
	if t, ok := moment(v); ok {
		return t
	}
	if t, ok := table(v); ok {
		return t
	}
	if a, ok := array(v); ok {
		return a
	}
	return v
}

// integer reads an integer that an int64 can hold.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case int:
		return int64(v), true
	case int16:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint:
		return int64(v), uint64(v) <= math.MaxInt64
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	}
	return 0, false
}

func moment(v any) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v, true
	case interface{ Time() time.Time }:
		return v.Time(), true
	}
	return time.Time{}, false
}

func table(v any) (map[string]any, bool) {
	if t, ok := v.(map[string]any); ok {
		return t, true
	}
	return underlying[map[string]any](v, reflect.Map)
}

func array(v any) ([]any, bool) {
	if a, ok := v.([]any); ok {
		return a, true
	}
	return underlying[[]any](v, reflect.Slice)
}

// underlying reads a value of a named type whose underlying type is T.
func underlying[T any](v any, kind reflect.Kind) (value T, ok bool) {
	r := reflect.ValueOf(v)
	if r.Kind() != kind || !r.CanConvert(reflect.TypeFor[T]()) {
		return value, false
	}
	value, ok = r.Convert(reflect.TypeFor[T]()).Interface().(T)
	return value, ok
}

// equalNormal is Equal for a value that was normalised before.
func equalNormal(want, got any) bool {
	switch want := want.(type) {
	case string:
		got, ok := got.(string)
		return ok && got == want
	case int64:
		got, ok := integer(got)
		return ok && got == want
	case bool:
		got, ok := got.(bool)
		return ok && got == want
	case float64:
		got, ok := float(got)
		return ok && got == want
	case nil:
		return got == nil
	case []byte:
		got, ok := got.([]byte)
		return ok && bytes.Equal(got, want)
	case time.Time:
		got, ok := moment(got)
		return ok && got.Equal(want)
	case map[string]any:
		got, ok := table(got)
		return ok && maps.EqualFunc(want, got, Equal)
	case []any:
		got, ok := array(got)
		return ok && slices.EqualFunc(want, got, Equal)
	}
	got = normal(got)
	return reflect.TypeOf(want) == reflect.TypeOf(got) && reflect.ValueOf(want).Comparable() && want == got
}

// hashValue is the same for values that are Equal. It does not normalise them, which would allocate.
func hashValue(seed maphash.Seed, v any) uint64 {
	switch v := v.(type) {
	case string:
		return maphash.String(seed, v)
	case []byte:
		return maphash.Bytes(seed, v)
	case nil:
		return 0
	case bool:
		if v {
			return mix(1)
		}
		return mix(0)
	case uint:
		return mix(uint64(v))
	case uint64:
		return mix(v)
	}
	if n, ok := integer(v); ok {
		return mix(uint64(n))
	}
	if f, ok := float(v); ok {
		if f == 0 {
			f = 0 // -0 equals 0
		}
		return mix(math.Float64bits(f))
	}
	if t, ok := moment(v); ok {
		return mix(uint64(t.UnixNano())) // it overflows, alike for equal ones
	}
	if t, ok := table(v); ok {
		return hashTable(seed, t)
	}
	if a, ok := array(v); ok {
		h := uint64(len(a))
		for _, element := range a {
			h = keyed(mix(h), hashValue(seed, element))
		}
		return mix(h)
	}
	if reflect.ValueOf(v).Comparable() {
		return maphash.Comparable(seed, v)
	}
	return 0 // it equals nothing
}

func hashTable(seed maphash.Seed, table map[string]any) uint64 {
	sum := uint64(len(table)) // a sum, because keys come in any order
	for key, element := range table {
		sum += mix(keyed(maphash.String(seed, key), hashValue(seed, element)))
	}
	return mix(sum)
}

// canonical encodes arguments so that equal tables, and only those, have equal encodings: keys are
// sorted, widths taken off, lengths written before contents. No arguments encode as nothing.
func canonical(table map[string]any) string {
	if len(table) == 0 {
		return ""
	}
	return string(appendTable(nil, table))
}

func appendTable(dst []byte, table map[string]any) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(table)))
	for _, key := range slices.Sorted(maps.Keys(table)) {
		dst = appendText(dst, key)
		dst = appendValue(dst, table[key])
	}
	return dst
}

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func appendValue(dst []byte, v any) []byte {
	switch v := normal(v).(type) {
	case nil:
		return append(dst, 'V')
	case bool:
		if v {
			return append(dst, 't', 1)
		}
		return append(dst, 't', 0)
	case int64:
		return binary.AppendVarint(append(dst, 'l'), v)
	case uint64:
		return binary.AppendUvarint(append(dst, 'L'), v)
	case float64:
		if v == 0 {
			v = 0 // -0 equals 0
		}
		return binary.BigEndian.AppendUint64(append(dst, 'd'), math.Float64bits(v))
	case string:
		return appendText(append(dst, 'S'), v)
	case []byte:
		return appendText(append(dst, 'x'), v)
	case time.Time:
		dst = binary.AppendVarint(append(dst, 'T'), v.Unix())
		return binary.AppendVarint(dst, int64(v.Nanosecond()))
	case map[string]any:
		return appendTable(append(dst, 'F'), v)
	case []any:
		dst = binary.AppendUvarint(append(dst, 'A'), uint64(len(v)))
		for _, element := range v {
			dst = appendValue(dst, element)
		}
		return dst
	default:
		return appendText(append(dst, 'D'), fmt.Sprintf("%T:%#v", v, v))
	}
}
