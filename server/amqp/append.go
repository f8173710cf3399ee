package amqp

import (
	"encoding/binary"
	"math"
)

func appendMethodID(dst []byte, id MethodID) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(id))
}

// appendTicket appends the access ticket, of which nobody makes use any more.
func appendTicket(dst []byte) []byte { return append(dst, 0, 0) }

// appendBits packs bits into one octet, the first one lowest (WIRE-09). No method has more than eight in
// a row.
func appendBits(dst []byte, bits ...bool) []byte {
	var octet byte
	for i, bit := range bits {
		if bit {
			octet |= 1 << i
		}
	}
	return append(dst, octet)
}

// AppendShortstr appends s as a shortstr. What is longer than a shortstr can be is cut off, between two
// characters, so that a frame stays well formed.
func AppendShortstr(dst []byte, s string) []byte {
	s = truncate(s, maxShortstr)
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

// appendShortBytes is AppendShortstr for octets that came from the wire or go into a test's frame.
func appendShortBytes(dst, s []byte) []byte {
	s = s[:min(len(s), maxShortstr)]
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

// appendLongstr appends s with its length. No message here comes near the limit of the length.
func appendLongstr[S ~string | ~[]byte](dst []byte, s S) []byte {
	s = s[:min(len(s), math.MaxUint32)]
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}
