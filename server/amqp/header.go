package amqp

import "encoding/binary"

// listStart is where the property list begins in the payload of a HEADER frame.
const listStart = contentHeadSize + 2

// Header is a content header that has been scanned: what the broker asks of every message is at hand,
// the rest is found when asked for. It is a view of Raw; all that its methods return is borrowed from there.
type Header struct {
	Raw      []byte // the HEADER frame's payload, as it came
	BodySize uint64
	Flags    Property // the properties that are there

	DeliveryMode uint8 // 0 when absent
	Priority     uint8 // 0 when absent

	headers    span
	replyTo    span
	expiration span
	userID     span
}

// span is where a property's value stands in Raw; empty when the property is absent.
type span struct{ from, to uint32 }

// ParseHeader scans the payload of a HEADER frame. It allocates nothing and looks into no table
// (WIRE-14); what it accepts has a property list that fills the payload exactly. Errors are of type
// *Error and blame basic.publish, the one method that clients send content with.
func ParseHeader(payload []byte) (Header, error) {
	h := Header{Raw: payload}
	if len(payload) < listStart || uint64(len(payload)) > 1<<32-1 {
		return Header{}, malformedHeader()
	}
	if class := binary.BigEndian.Uint16(payload); class != ClassBasic {
		return Header{}, Errorf(UnexpectedFrame, BasicPublishID,
			"expected content header for class %d, got one for class %d instead", ClassBasic, class)
	}
	if binary.BigEndian.Uint16(payload[2:]) != 0 { // weight, WIRE-05
		return Header{}, ExpectedHeader(BasicPublishID)
	}
	h.BodySize = binary.BigEndian.Uint64(payload[4:])
	h.Flags = Property(binary.BigEndian.Uint16(payload[contentHeadSize:]))
	if h.Flags&reservedFlags != 0 || !h.scan() {
		return Header{}, malformedHeader()
	}
	return h, nil
}

func malformedHeader() *Error {
	return &Error{Code: FrameError, Text: "malformed content header", Method: BasicPublishID}
}

// scan walks over the property list and reports whether it fills the payload.
func (h *Header) scan() bool {
	s := propertyScanner{raw: h.Raw, off: listStart, flags: h.Flags}
	s.shortstr(PropertyContentType)
	s.shortstr(PropertyContentEncoding)
	h.headers = s.table()
	h.DeliveryMode = s.uint8(PropertyDeliveryMode)
	h.Priority = s.uint8(PropertyPriority)
	if h.Flags&(PropertyPriority-1) == 0 { // none of the rest is there, as in most messages
		return s.off == len(h.Raw)
	}
	s.shortstr(PropertyCorrelationID)
	h.replyTo = s.shortstr(PropertyReplyTo)
	h.expiration = s.shortstr(PropertyExpiration)
	s.shortstr(PropertyMessageID)
	s.fixed(PropertyTimestamp, 8)
	s.shortstr(PropertyType)
	h.userID = s.shortstr(PropertyUserID)
	s.shortstr(PropertyAppID)
	s.shortstr(PropertyClusterID)
	return s.off == len(h.Raw)
}

// Has reports whether all of the given properties are there.
func (h *Header) Has(p Property) bool { return h.Flags&p == p }

// Headers returns the headers table; ok is false when the property is absent, which an empty table is not.
func (h *Header) Headers() (table RawTable, ok bool) {
	return RawTable(h.at(h.headers)), h.Has(PropertyHeaders)
}

// ReplyTo returns the property's value.
func (h *Header) ReplyTo() []byte { return h.at(h.replyTo) }

// Expiration returns the property's value. An empty one and an absent one are told apart by Has.
func (h *Header) Expiration() []byte { return h.at(h.expiration) }

// UserID returns the property's value.
func (h *Header) UserID() []byte { return h.at(h.userID) }

// Shortstr returns the value of any property that is a shortstr, or nil when it is absent.
func (h *Header) Shortstr(p Property) []byte {
	if !h.Has(p) || p&shortstrProperties == 0 {
		return nil
	}
	where := h.locate(p)
	return h.at(span{where.from + 1, where.to})
}

// Timestamp returns the property's value; ok is false when it is absent.
func (h *Header) Timestamp() (t Timestamp, ok bool) {
	if !h.Has(PropertyTimestamp) {
		return 0, false
	}
	return Timestamp(binary.BigEndian.Uint64(h.at(h.locate(PropertyTimestamp)))), true
}

func (h *Header) at(s span) []byte { return h.Raw[s.from:s.to:s.to] }

// locate returns where a single property stands with the length before its value, or would stand.
func (h *Header) locate(p Property) span {
	before := propertyScanner{raw: h.Raw, off: listStart, flags: h.Flags &^ (p<<1 - 1)}
	before.all()
	it := propertyScanner{raw: h.Raw, off: before.off, flags: h.Flags & p}
	it.all()
	return span{uint32(before.off), uint32(it.off)}
}

const (
	shortstrProperties = PropertyContentType | PropertyContentEncoding | PropertyCorrelationID | PropertyReplyTo |
		PropertyExpiration | PropertyMessageID | PropertyType | PropertyUserID | PropertyAppID | PropertyClusterID
	allProperties = ^reservedFlags
)

// propertyScanner walks over a property list. Once it met a property that the octets do not hold it
// stands past the end, where nothing is read any more.
type propertyScanner struct {
	raw   []byte
	off   int
	flags Property
}

// all walks over all properties that the flags tell of.
func (s *propertyScanner) all() {
	for p := PropertyContentType; p&allProperties != 0; p >>= 1 {
		switch p {
		case PropertyHeaders:
			s.table()
		case PropertyDeliveryMode, PropertyPriority:
			s.fixed(p, 1)
		case PropertyTimestamp:
			s.fixed(p, 8)
		default:
			s.shortstr(p)
		}
	}
}

// shortstr returns where the value of the property stands.
func (s *propertyScanner) shortstr(p Property) span {
	if s.flags&p == 0 {
		return span{}
	}
	if s.off >= len(s.raw) {
		return s.pastEnd()
	}
	from := s.off + 1
	to := from + int(s.raw[s.off])
	if to > len(s.raw) {
		return s.pastEnd()
	}
	s.off = to
	return span{uint32(from), uint32(to)}
}

// table returns where the fields of the headers table stand.
func (s *propertyScanner) table() span {
	if s.flags&PropertyHeaders == 0 {
		return span{}
	}
	if s.off+4 > len(s.raw) {
		return s.pastEnd()
	}
	from := s.off + 4
	size := binary.BigEndian.Uint32(s.raw[s.off:])
	if uint64(size) > uint64(len(s.raw)-from) {
		return s.pastEnd()
	}
	s.off = from + int(size)
	return span{uint32(from), uint32(s.off)}
}

// fixed returns where the value of a property of the given size stands.
func (s *propertyScanner) fixed(p Property, size int) span {
	if s.flags&p == 0 {
		return span{}
	}
	if s.off+size > len(s.raw) {
		return s.pastEnd()
	}
	from := s.off
	s.off += size
	return span{uint32(from), uint32(s.off)}
}

func (s *propertyScanner) uint8(p Property) uint8 {
	if at := s.fixed(p, 1); at != (span{}) {
		return s.raw[at.from]
	}
	return 0
}

func (s *propertyScanner) pastEnd() span {
	s.off = len(s.raw) + 1
	return span{}
}
