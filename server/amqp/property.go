package amqp

import "encoding/binary"

// Property is one of the fourteen properties of a message, as its bit in the property flags (2.3).
// Several are or-ed together.
type Property uint16

// The properties, in the order in which they stand in a content header.
const (
	PropertyContentType     Property = 1 << 15
	PropertyContentEncoding Property = 1 << 14
	PropertyHeaders         Property = 1 << 13
	PropertyDeliveryMode    Property = 1 << 12
	PropertyPriority        Property = 1 << 11
	PropertyCorrelationID   Property = 1 << 10
	PropertyReplyTo         Property = 1 << 9
	PropertyExpiration      Property = 1 << 8
	PropertyMessageID       Property = 1 << 7
	PropertyTimestamp       Property = 1 << 6
	PropertyType            Property = 1 << 5
	PropertyUserID          Property = 1 << 4
	PropertyAppID           Property = 1 << 3
	PropertyClusterID       Property = 1 << 2

	// reservedFlags are the bits that no property has; the lowest would announce more flags (WIRE-08).
	reservedFlags Property = 1<<1 | 1<<0
)

// Persistent is the delivery mode of a message that is to survive a restart. Every other value means
// transient (PUB-08).
const Persistent = 2

// Properties are the properties of a message, decoded. Absent ones are zero.
type Properties struct {
	// Present tells the properties that are there, so that an empty one differs from an absent one. In
	// encoding, what is not zero counts as present too.
	Present Property

	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       Timestamp
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// flags returns the flags of the properties to be encoded.
func (p *Properties) flags() Property {
	flags := p.Present &^ reservedFlags
	set := func(property Property, present bool) {
		if present {
			flags |= property
		}
	}
	set(PropertyContentType, p.ContentType != "")
	set(PropertyContentEncoding, p.ContentEncoding != "")
	set(PropertyHeaders, p.Headers != nil)
	set(PropertyDeliveryMode, p.DeliveryMode != 0)
	set(PropertyPriority, p.Priority != 0)
	set(PropertyCorrelationID, p.CorrelationID != "")
	set(PropertyReplyTo, p.ReplyTo != "")
	set(PropertyExpiration, p.Expiration != "")
	set(PropertyMessageID, p.MessageID != "")
	set(PropertyTimestamp, p.Timestamp != 0)
	set(PropertyType, p.Type != "")
	set(PropertyUserID, p.UserID != "")
	set(PropertyAppID, p.AppID != "")
	set(PropertyClusterID, p.ClusterID != "")
	return flags
}

// AppendHeader appends the payload of a HEADER frame of class basic.
func AppendHeader(dst []byte, bodySize uint64, p *Properties) []byte {
	flags := p.flags()
	dst = appendHeaderHead(dst, bodySize, flags)
	shortstr := func(property Property, value string) {
		if flags&property != 0 {
			dst = AppendShortstr(dst, value)
		}
	}
	shortstr(PropertyContentType, p.ContentType)
	shortstr(PropertyContentEncoding, p.ContentEncoding)
	if flags&PropertyHeaders != 0 {
		dst = p.Headers.Append(dst)
	}
	if flags&PropertyDeliveryMode != 0 {
		dst = append(dst, p.DeliveryMode)
	}
	if flags&PropertyPriority != 0 {
		dst = append(dst, p.Priority)
	}
	shortstr(PropertyCorrelationID, p.CorrelationID)
	shortstr(PropertyReplyTo, p.ReplyTo)
	shortstr(PropertyExpiration, p.Expiration)
	shortstr(PropertyMessageID, p.MessageID)
	if flags&PropertyTimestamp != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(p.Timestamp))
	}
	shortstr(PropertyType, p.Type)
	shortstr(PropertyUserID, p.UserID)
	shortstr(PropertyAppID, p.AppID)
	shortstr(PropertyClusterID, p.ClusterID)
	return dst
}

// appendHeaderHead appends what stands before the property list.
func appendHeaderHead(dst []byte, bodySize uint64, flags Property) []byte {
	dst = binary.BigEndian.AppendUint16(dst, ClassBasic)
	dst = append(dst, 0, 0) // weight
	dst = binary.BigEndian.AppendUint64(dst, bodySize)
	return binary.BigEndian.AppendUint16(dst, uint16(flags))
}

// Properties decodes all properties, the headers table with everything in it. Strings are copied. Errors
// are of type *Error.
func (h *Header) Properties() (Properties, error) {
	p := Properties{Present: h.Flags}
	if table, ok := h.Headers(); ok {
		headers, err := table.Decode()
		if err != nil {
			return Properties{}, err
		}
		p.Headers = headers
	}
	p.DeliveryMode, p.Priority = h.DeliveryMode, h.Priority
	for _, field := range [...]struct {
		property Property
		value    *string
	}{
		{PropertyContentType, &p.ContentType},
		{PropertyContentEncoding, &p.ContentEncoding},
		{PropertyCorrelationID, &p.CorrelationID},
		{PropertyReplyTo, &p.ReplyTo},
		{PropertyExpiration, &p.Expiration},
		{PropertyMessageID, &p.MessageID},
		{PropertyType, &p.Type},
		{PropertyUserID, &p.UserID},
		{PropertyAppID, &p.AppID},
		{PropertyClusterID, &p.ClusterID},
	} {
		*field.value = string(h.Shortstr(field.property))
	}
	p.Timestamp, _ = h.Timestamp()
	return p, nil
}
