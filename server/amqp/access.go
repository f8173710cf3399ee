package amqp

import "encoding/binary"

// AccessRequest asks for an access ticket. Tickets mean nothing any more; old clients still ask.
type AccessRequest struct {
	Realm     string
	Exclusive bool
	Passive   bool
	Active    bool
	Write     bool
	Read      bool
}

// ID returns AccessRequestID.
func (*AccessRequest) ID() MethodID { return AccessRequestID }

// Append appends the payload of the METHOD frame.
func (m *AccessRequest) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = AppendShortstr(dst, m.Realm)
	return appendBits(dst, m.Exclusive, m.Passive, m.Active, m.Write, m.Read)
}

func (m *AccessRequest) decode(d *decoder) {
	m.Realm = d.shortstr()
	bits := d.uint8()
	m.Exclusive = bits&1 != 0
	m.Passive = bits&(1<<1) != 0
	m.Active = bits&(1<<2) != 0
	m.Write = bits&(1<<3) != 0
	m.Read = bits&(1<<4) != 0
}

// AccessRequestOk grants a ticket.
type AccessRequestOk struct {
	Ticket uint16 // 1, always
}

// ID returns AccessRequestOkID.
func (*AccessRequestOk) ID() MethodID { return AccessRequestOkID }

// Append appends the payload of the METHOD frame.
func (m *AccessRequestOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return binary.BigEndian.AppendUint16(dst, m.Ticket)
}

func (m *AccessRequestOk) decode(d *decoder) {
	m.Ticket = d.uint16()
}
