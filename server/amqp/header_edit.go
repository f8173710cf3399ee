package amqp

import "encoding/binary"

// AppendWithShortstr appends to dst the payload with one shortstr property set to value; the other
// octets stay as they are (WIRE-11).
func (h *Header) AppendWithShortstr(dst []byte, p Property, value string) []byte {
	dst, rest := h.appendUpTo(dst, p, true)
	dst = AppendShortstr(dst, value)
	return append(dst, rest...)
}

// AppendWithHeaders appends to dst the payload with the given headers table, which is given without its
// length.
func (h *Header) AppendWithHeaders(dst []byte, table RawTable) []byte {
	dst, rest := h.appendUpTo(dst, PropertyHeaders, true)
	dst = table.Append(dst)
	return append(dst, rest...)
}

// AppendWithout appends to dst the payload without a property.
func (h *Header) AppendWithout(dst []byte, p Property) []byte {
	dst, rest := h.appendUpTo(dst, p, false)
	return append(dst, rest...)
}

// appendUpTo appends what stands before a property, with its flag as given, and returns what stands
// behind it.
func (h *Header) appendUpTo(dst []byte, p Property, present bool) (appended, rest []byte) {
	flags := h.Flags &^ p
	if present {
		flags |= p
	}
	where := h.locate(p)
	dst = append(dst, h.Raw[:contentHeadSize]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(flags))
	dst = append(dst, h.Raw[listStart:where.from]...)
	return dst, h.Raw[where.to:]
}
