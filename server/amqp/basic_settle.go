package amqp

import "encoding/binary"

// BasicAck acknowledges a delivery; from the server, confirms a publish.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool // this tag and all before it; with tag 0, all
}

// ID returns BasicAckID.
func (*BasicAck) ID() MethodID { return BasicAckID }

// Append appends the payload of the METHOD frame.
func (m *BasicAck) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	return appendBits(dst, m.Multiple)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method.
func (m *BasicAck) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicAck) decode(d *decoder) {
	m.DeliveryTag = d.uint64()
	m.Multiple = d.bit()
}

// BasicReject refuses one delivery.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// ID returns BasicRejectID.
func (*BasicReject) ID() MethodID { return BasicRejectID }

// Append appends the payload of the METHOD frame.
func (m *BasicReject) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	return appendBits(dst, m.Requeue)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method.
func (m *BasicReject) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicReject) decode(d *decoder) {
	m.DeliveryTag = d.uint64()
	m.Requeue = d.bit()
}

// BasicNack refuses deliveries; from the server, tells that a publish was not taken.
type BasicNack struct {
	DeliveryTag uint64
	Multiple    bool // this tag and all before it; with tag 0, all
	Requeue     bool
}

// ID returns BasicNackID.
func (*BasicNack) ID() MethodID { return BasicNackID }

// Append appends the payload of the METHOD frame.
func (m *BasicNack) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	return appendBits(dst, m.Multiple, m.Requeue)
}

// Decode decodes the payload of a METHOD frame that PeekMethod found to be of this method.
func (m *BasicNack) Decode(payload []byte) error {
	d := methodDecoder(payload)
	m.decode(&d)
	return d.finish()
}

func (m *BasicNack) decode(d *decoder) {
	m.DeliveryTag = d.uint64()
	bits := d.uint8()
	m.Multiple = bits&1 != 0
	m.Requeue = bits&(1<<1) != 0
}

// BasicRecoverAsync is BasicRecover without an answer.
type BasicRecoverAsync struct {
	Requeue bool
}

// ID returns BasicRecoverAsyncID.
func (*BasicRecoverAsync) ID() MethodID { return BasicRecoverAsyncID }

// Append appends the payload of the METHOD frame.
func (m *BasicRecoverAsync) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendBits(dst, m.Requeue)
}

func (m *BasicRecoverAsync) decode(d *decoder) {
	m.Requeue = d.bit()
}

// BasicRecover puts all unsettled deliveries of the channel back.
type BasicRecover struct {
	Requeue bool
}

// ID returns BasicRecoverID.
func (*BasicRecover) ID() MethodID { return BasicRecoverID }

// Append appends the payload of the METHOD frame.
func (m *BasicRecover) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendBits(dst, m.Requeue)
}

func (m *BasicRecover) decode(d *decoder) {
	m.Requeue = d.bit()
}

// BasicRecoverOk confirms a BasicRecover.
type BasicRecoverOk struct{}

// ID returns BasicRecoverOkID.
func (*BasicRecoverOk) ID() MethodID { return BasicRecoverOkID }

// Append appends the payload of the METHOD frame.
func (m *BasicRecoverOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*BasicRecoverOk) decode(*decoder) {}
