package amqp

import "encoding/binary"

// ChannelOpen opens the channel that its frame names.
type ChannelOpen struct{}

// ID returns ChannelOpenID.
func (*ChannelOpen) ID() MethodID { return ChannelOpenID }

// Append appends the payload of the METHOD frame.
func (m *ChannelOpen) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return append(dst, 0) // reserved
}

func (m *ChannelOpen) decode(d *decoder) {
	d.shortBytes() // reserved
}

// ChannelOpenOk confirms a ChannelOpen.
type ChannelOpenOk struct{}

// ID returns ChannelOpenOkID.
func (*ChannelOpenOk) ID() MethodID { return ChannelOpenOkID }

// Append appends the payload of the METHOD frame.
func (m *ChannelOpenOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return append(dst, 0, 0, 0, 0) // reserved
}

func (m *ChannelOpenOk) decode(d *decoder) {
	d.longstr() // reserved
}

// ChannelFlow asks the peer to stop or resume sending content.
type ChannelFlow struct {
	Active bool
}

// ID returns ChannelFlowID.
func (*ChannelFlow) ID() MethodID { return ChannelFlowID }

// Append appends the payload of the METHOD frame.
func (m *ChannelFlow) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendBits(dst, m.Active)
}

func (m *ChannelFlow) decode(d *decoder) {
	m.Active = d.bit()
}

// ChannelFlowOk confirms a ChannelFlow.
type ChannelFlowOk struct {
	Active bool
}

// ID returns ChannelFlowOkID.
func (*ChannelFlowOk) ID() MethodID { return ChannelFlowOkID }

// Append appends the payload of the METHOD frame.
func (m *ChannelFlowOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendBits(dst, m.Active)
}

func (m *ChannelFlowOk) decode(d *decoder) {
	m.Active = d.bit()
}

// ChannelClose ends the channel, from either side. What the peer sent on it since is discarded (ERR-04).
type ChannelClose struct {
	ReplyCode ReplyCode
	ReplyText string
	Method    MethodID // method at fault, or zero
}

// ID returns ChannelCloseID.
func (*ChannelClose) ID() MethodID { return ChannelCloseID }

// Append appends the payload of the METHOD frame.
func (m *ChannelClose) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.ReplyCode))
	dst = AppendShortstr(dst, m.ReplyText)
	return appendMethodID(dst, m.Method)
}

func (m *ChannelClose) decode(d *decoder) {
	m.ReplyCode = ReplyCode(d.uint16())
	m.ReplyText = d.shortstr()
	m.Method = MethodID(d.uint32())
}

// ChannelCloseOk confirms a ChannelClose.
type ChannelCloseOk struct{}

// ID returns ChannelCloseOkID.
func (*ChannelCloseOk) ID() MethodID { return ChannelCloseOkID }

// Append appends the payload of the METHOD frame.
func (m *ChannelCloseOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ChannelCloseOk) decode(*decoder) {}
