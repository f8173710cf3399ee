package amqp

import "encoding/binary"

// BasicQos limits how many deliveries may be unsettled.
type BasicQos struct {
	PrefetchSize  uint32 // octets; anything but 0 is refused
	PrefetchCount uint16 // 0 is no limit
	Global        bool   // for the channel, not for each consumer
}

// ID returns BasicQosID.
func (*BasicQos) ID() MethodID { return BasicQosID }

// Append appends the payload of the METHOD frame.
func (m *BasicQos) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint32(dst, m.PrefetchSize)
	dst = binary.BigEndian.AppendUint16(dst, m.PrefetchCount)
	return appendBits(dst, m.Global)
}

func (m *BasicQos) decode(d *decoder) {
	m.PrefetchSize = d.uint32()
	m.PrefetchCount = d.uint16()
	m.Global = d.bit()
}

// BasicQosOk confirms a BasicQos.
type BasicQosOk struct{}

// ID returns BasicQosOkID.
func (*BasicQosOk) ID() MethodID { return BasicQosOkID }

// Append appends the payload of the METHOD frame.
func (m *BasicQosOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*BasicQosOk) decode(*decoder) {}

// BasicConsume starts a consumer. An empty tag asks the server for one.
type BasicConsume struct {
	Queue       string
	ConsumerTag string
	NoLocal     bool
	NoAck       bool
	Exclusive   bool
	NoWait      bool
	Arguments   Table
}

// ID returns BasicConsumeID.
func (*BasicConsume) ID() MethodID { return BasicConsumeID }

// Append appends the payload of the METHOD frame.
func (m *BasicConsume) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Queue)
	dst = AppendShortstr(dst, m.ConsumerTag)
	dst = appendBits(dst, m.NoLocal, m.NoAck, m.Exclusive, m.NoWait)
	return m.Arguments.Append(dst)
}

func (m *BasicConsume) decode(d *decoder) {
	d.ticket()
	m.Queue = d.shortstr()
	m.ConsumerTag = d.shortstr()
	bits := d.uint8()
	m.NoLocal = bits&1 != 0
	m.NoAck = bits&(1<<1) != 0
	m.Exclusive = bits&(1<<2) != 0
	m.NoWait = bits&(1<<3) != 0
	m.Arguments = d.table()
}

// BasicConsumeOk confirms a BasicConsume.
type BasicConsumeOk struct {
	ConsumerTag string
}

// ID returns BasicConsumeOkID.
func (*BasicConsumeOk) ID() MethodID { return BasicConsumeOkID }

// Append appends the payload of the METHOD frame.
func (m *BasicConsumeOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return AppendShortstr(dst, m.ConsumerTag)
}

func (m *BasicConsumeOk) decode(d *decoder) {
	m.ConsumerTag = d.shortstr()
}

// BasicCancel ends a consumer; from the server, with NoWait, it tells that the consumer has ended.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

// ID returns BasicCancelID.
func (*BasicCancel) ID() MethodID { return BasicCancelID }

// Append appends the payload of the METHOD frame.
func (m *BasicCancel) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = AppendShortstr(dst, m.ConsumerTag)
	return appendBits(dst, m.NoWait)
}

func (m *BasicCancel) decode(d *decoder) {
	m.ConsumerTag = d.shortstr()
	m.NoWait = d.bit()
}

// BasicCancelOk confirms a BasicCancel.
type BasicCancelOk struct {
	ConsumerTag string
}

// ID returns BasicCancelOkID.
func (*BasicCancelOk) ID() MethodID { return BasicCancelOkID }

// Append appends the payload of the METHOD frame.
func (m *BasicCancelOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return AppendShortstr(dst, m.ConsumerTag)
}

func (m *BasicCancelOk) decode(d *decoder) {
	m.ConsumerTag = d.shortstr()
}

// BasicCredit grants a consumer deliveries: an extension of RabbitMQ 3 that we decode and do not serve.
type BasicCredit struct {
	ConsumerTag string
	Credit      uint32
	Drain       bool
}

// ID returns BasicCreditID.
func (*BasicCredit) ID() MethodID { return BasicCreditID }

// Append appends the payload of the METHOD frame.
func (m *BasicCredit) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = AppendShortstr(dst, m.ConsumerTag)
	dst = binary.BigEndian.AppendUint32(dst, m.Credit)
	return appendBits(dst, m.Drain)
}

func (m *BasicCredit) decode(d *decoder) {
	m.ConsumerTag = d.shortstr()
	m.Credit = d.uint32()
	m.Drain = d.bit()
}

// BasicCreditOk confirms a BasicCredit.
type BasicCreditOk struct {
	Available uint32
}

// ID returns BasicCreditOkID.
func (*BasicCreditOk) ID() MethodID { return BasicCreditOkID }

// Append appends the payload of the METHOD frame.
func (m *BasicCreditOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return binary.BigEndian.AppendUint32(dst, m.Available)
}

func (m *BasicCreditOk) decode(d *decoder) {
	m.Available = d.uint32()
}

// BasicCreditDrained tells that a queue had no more messages for the credit granted.
type BasicCreditDrained struct {
	ConsumerTag   string
	CreditDrained uint32
}

// ID returns BasicCreditDrainedID.
func (*BasicCreditDrained) ID() MethodID { return BasicCreditDrainedID }

// Append appends the payload of the METHOD frame.
func (m *BasicCreditDrained) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = AppendShortstr(dst, m.ConsumerTag)
	return binary.BigEndian.AppendUint32(dst, m.CreditDrained)
}

func (m *BasicCreditDrained) decode(d *decoder) {
	m.ConsumerTag = d.shortstr()
	m.CreditDrained = d.uint32()
}
