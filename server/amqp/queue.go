package amqp

import "encoding/binary"

// QueueDeclare creates a queue, or checks that it exists. An empty name asks the server for one.
type QueueDeclare struct {
	Queue      string
	Passive    bool // only check
	Durable    bool
	Exclusive  bool
	AutoDelete bool
	NoWait     bool
	Arguments  Table
}

// ID returns QueueDeclareID.
func (*QueueDeclare) ID() MethodID { return QueueDeclareID }

// Append appends the payload of the METHOD frame.
func (m *QueueDeclare) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Queue)
	dst = appendBits(dst, m.Passive, m.Durable, m.Exclusive, m.AutoDelete, m.NoWait)
	return m.Arguments.Append(dst)
}

func (m *QueueDeclare) decode(d *decoder) {
	d.ticket()
	m.Queue = d.shortstr()
	bits := d.uint8()
	m.Passive = bits&1 != 0
	m.Durable = bits&(1<<1) != 0
	m.Exclusive = bits&(1<<2) != 0
	m.AutoDelete = bits&(1<<3) != 0
	m.NoWait = bits&(1<<4) != 0
	m.Arguments = d.table()
}

// QueueDeclareOk confirms a QueueDeclare.
type QueueDeclareOk struct {
	Queue         string
	MessageCount  uint32 // ready messages only
	ConsumerCount uint32
}

// ID returns QueueDeclareOkID.
func (*QueueDeclareOk) ID() MethodID { return QueueDeclareOkID }

// Append appends the payload of the METHOD frame.
func (m *QueueDeclareOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = AppendShortstr(dst, m.Queue)
	dst = binary.BigEndian.AppendUint32(dst, m.MessageCount)
	return binary.BigEndian.AppendUint32(dst, m.ConsumerCount)
}

func (m *QueueDeclareOk) decode(d *decoder) {
	m.Queue = d.shortstr()
	m.MessageCount = d.uint32()
	m.ConsumerCount = d.uint32()
}

// QueueBind binds a queue to an exchange.
type QueueBind struct {
	Queue      string
	Exchange   string
	RoutingKey string
	NoWait     bool
	Arguments  Table
}

// ID returns QueueBindID.
func (*QueueBind) ID() MethodID { return QueueBindID }

// Append appends the payload of the METHOD frame.
func (m *QueueBind) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Queue)
	dst = AppendShortstr(dst, m.Exchange)
	dst = AppendShortstr(dst, m.RoutingKey)
	dst = appendBits(dst, m.NoWait)
	return m.Arguments.Append(dst)
}

func (m *QueueBind) decode(d *decoder) {
	d.ticket()
	m.Queue = d.shortstr()
	m.Exchange = d.shortstr()
	m.RoutingKey = d.shortstr()
	m.NoWait = d.bit()
	m.Arguments = d.table()
}

// QueueBindOk confirms a QueueBind.
type QueueBindOk struct{}

// ID returns QueueBindOkID.
func (*QueueBindOk) ID() MethodID { return QueueBindOkID }

// Append appends the payload of the METHOD frame.
func (m *QueueBindOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*QueueBindOk) decode(*decoder) {}

// QueuePurge removes all ready messages.
type QueuePurge struct {
	Queue  string
	NoWait bool
}

// ID returns QueuePurgeID.
func (*QueuePurge) ID() MethodID { return QueuePurgeID }

// Append appends the payload of the METHOD frame.
func (m *QueuePurge) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Queue)
	return appendBits(dst, m.NoWait)
}

func (m *QueuePurge) decode(d *decoder) {
	d.ticket()
	m.Queue = d.shortstr()
	m.NoWait = d.bit()
}

// QueuePurgeOk confirms a QueuePurge.
type QueuePurgeOk struct {
	MessageCount uint32
}

// ID returns QueuePurgeOkID.
func (*QueuePurgeOk) ID() MethodID { return QueuePurgeOkID }

// Append appends the payload of the METHOD frame.
func (m *QueuePurgeOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

func (m *QueuePurgeOk) decode(d *decoder) {
	m.MessageCount = d.uint32()
}

// QueueDelete deletes a queue.
type QueueDelete struct {
	Queue    string
	IfUnused bool
	IfEmpty  bool
	NoWait   bool
}

// ID returns QueueDeleteID.
func (*QueueDelete) ID() MethodID { return QueueDeleteID }

// Append appends the payload of the METHOD frame.
func (m *QueueDelete) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Queue)
	return appendBits(dst, m.IfUnused, m.IfEmpty, m.NoWait)
}

func (m *QueueDelete) decode(d *decoder) {
	d.ticket()
	m.Queue = d.shortstr()
	bits := d.uint8()
	m.IfUnused = bits&1 != 0
	m.IfEmpty = bits&(1<<1) != 0
	m.NoWait = bits&(1<<2) != 0
}

// QueueDeleteOk confirms a QueueDelete.
type QueueDeleteOk struct {
	MessageCount uint32
}

// ID returns QueueDeleteOkID.
func (*QueueDeleteOk) ID() MethodID { return QueueDeleteOkID }

// Append appends the payload of the METHOD frame.
func (m *QueueDeleteOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

func (m *QueueDeleteOk) decode(d *decoder) {
	m.MessageCount = d.uint32()
}

// QueueUnbind removes the binding of the same arguments. It has no NoWait.
type QueueUnbind struct {
	Queue      string
	Exchange   string
	RoutingKey string
	Arguments  Table
}

// ID returns QueueUnbindID.
func (*QueueUnbind) ID() MethodID { return QueueUnbindID }

// Append appends the payload of the METHOD frame.
func (m *QueueUnbind) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Queue)
	dst = AppendShortstr(dst, m.Exchange)
	dst = AppendShortstr(dst, m.RoutingKey)
	return m.Arguments.Append(dst)
}

func (m *QueueUnbind) decode(d *decoder) {
	d.ticket()
	m.Queue = d.shortstr()
	m.Exchange = d.shortstr()
	m.RoutingKey = d.shortstr()
	m.Arguments = d.table()
}

// QueueUnbindOk confirms a QueueUnbind.
type QueueUnbindOk struct{}

// ID returns QueueUnbindOkID.
func (*QueueUnbindOk) ID() MethodID { return QueueUnbindOkID }

// Append appends the payload of the METHOD frame.
func (m *QueueUnbindOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*QueueUnbindOk) decode(*decoder) {}
