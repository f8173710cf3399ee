package amqp

import "encoding/binary"

// BasicPublish publishes the content that follows it. Keys is borrowed.
type BasicPublish struct {
	Keys      Keys
	Mandatory bool // return what reaches no queue
	Immediate bool // refused, as by RabbitMQ
}

// ID returns BasicPublishID.
func (*BasicPublish) ID() MethodID { return BasicPublishID }

// Append appends the payload of the METHOD frame.
func (m *BasicPublish) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = m.Keys.append(dst)
	return appendBits(dst, m.Mandatory, m.Immediate)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method. Keys is borrowed from it.
func (m *BasicPublish) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicPublish) decode(d *decoder) {
	d.ticket()
	m.Keys = d.keys()
	bits := d.uint8()
	m.Mandatory = bits&1 != 0
	m.Immediate = bits&(1<<1) != 0
}

// BasicReturn returns a mandatory message that reached no queue; its content follows. Keys is borrowed.
type BasicReturn struct {
	ReplyCode ReplyCode
	ReplyText string
	Keys      Keys
}

// ID returns BasicReturnID.
func (*BasicReturn) ID() MethodID { return BasicReturnID }

// Append appends the payload of the METHOD frame.
func (m *BasicReturn) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.ReplyCode))
	dst = AppendShortstr(dst, m.ReplyText)
	return m.Keys.append(dst)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method. Keys is borrowed from it.
func (m *BasicReturn) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicReturn) decode(d *decoder) {
	m.ReplyCode = ReplyCode(d.uint16())
	m.ReplyText = d.shortstr()
	m.Keys = d.keys()
}

// BasicDeliver delivers the content that follows it to a consumer. ConsumerTag and Keys are borrowed.
type BasicDeliver struct {
	ConsumerTag []byte
	DeliveryTag uint64
	Redelivered bool
	Keys        Keys
}

// ID returns BasicDeliverID.
func (*BasicDeliver) ID() MethodID { return BasicDeliverID }

// Append appends the payload of the METHOD frame.
func (m *BasicDeliver) Append(dst []byte) []byte {
	return AppendDeliver(dst, m.ConsumerTag, m.DeliveryTag, m.Redelivered, m.Keys)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method. ConsumerTag and Keys are
// borrowed from it.
func (m *BasicDeliver) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicDeliver) decode(d *decoder) {
	m.ConsumerTag = d.ownedBytes()
	m.DeliveryTag = d.uint64()
	m.Redelivered = d.bit()
	m.Keys = d.keys()
}

// BasicGet asks for one message. Queue is borrowed.
type BasicGet struct {
	Queue []byte
	NoAck bool
}

// ID returns BasicGetID.
func (*BasicGet) ID() MethodID { return BasicGetID }

// Append appends the payload of the METHOD frame.
func (m *BasicGet) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = appendShortBytes(dst, m.Queue)
	return appendBits(dst, m.NoAck)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method. Queue is borrowed from it.
func (m *BasicGet) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicGet) decode(d *decoder) {
	d.ticket()
	m.Queue = d.ownedBytes()
	m.NoAck = d.bit()
}

// BasicGetOk answers a BasicGet with the content that follows it. Keys is borrowed.
type BasicGetOk struct {
	DeliveryTag  uint64
	Redelivered  bool
	Keys         Keys
	MessageCount uint32 // ready messages left
}

// ID returns BasicGetOkID.
func (*BasicGetOk) ID() MethodID { return BasicGetOkID }

// Append appends the payload of the METHOD frame.
func (m *BasicGetOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	dst = appendBits(dst, m.Redelivered)
	dst = m.Keys.append(dst)
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method. Keys is borrowed from it.
func (m *BasicGetOk) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicGetOk) decode(d *decoder) {
	m.DeliveryTag = d.uint64()
	m.Redelivered = d.bit()
	m.Keys = d.keys()
	m.MessageCount = d.uint32()
}

// BasicGetEmpty answers a BasicGet of an empty queue.
type BasicGetEmpty struct{}

// ID returns BasicGetEmptyID.
func (*BasicGetEmpty) ID() MethodID { return BasicGetEmptyID }

// Append appends the payload of the METHOD frame.
func (m *BasicGetEmpty) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return append(dst, 0) // reserved
}

func (m *BasicGetEmpty) decode(d *decoder) {
	d.shortBytes() // reserved
}
