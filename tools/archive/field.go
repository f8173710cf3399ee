package archive

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields are those of Protocol Buffers: a number, a type and a value. Of numbers and texts, zero and nothing are not
// written, and a field that is not known is passed over.

func appendNumber(dst []byte, number protowire.Number, value uint64) []byte {
	if value == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), value)
}

// appendTime appends milliseconds since 1970.
func appendTime(dst []byte, number protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return appendNumber(dst, number, uint64(t.UnixMilli()))
}

func appendText[T ~string | ~[]byte](dst []byte, number protowire.Number, text T) []byte {
	if len(text) == 0 {
		return dst
	}
	dst = protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.BytesType), uint64(len(text)))
	return append(dst, text...)
}

// field is one that was read. Its value is borrowed; asking for one of another type is an error.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  []byte // of a text, without its length
	varint uint64
	err    error
}

func (f *field) uint() uint64 {
	if f.kind != protowire.VarintType {
		f.err = errMalformed
	}
	return f.varint
}

func (f *field) bytes() []byte {
	if f.kind != protowire.BytesType {
		f.err = errMalformed
	}
	return f.value
}

func (f *field) time() time.Time { return time.UnixMilli(int64(f.uint())) }

// eachField calls fn for each field of data, until it returns an error.
func eachField(data []byte, fn func(field) error) error {
	for len(data) > 0 {
		f := field{}
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMalformed
		}
		f.number, f.kind, data = number, kind, data[n:]
		switch kind {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			f.value, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}
