package amqp

import "encoding/binary"

// ConnectionStart opens the handshake: what the server is and how a client may log in.
type ConnectionStart struct {
	VersionMajor     uint8
	VersionMinor     uint8
	ServerProperties Table
	Mechanisms       string // separated by blanks
	Locales          string // separated by blanks
}

// ID returns ConnectionStartID.
func (*ConnectionStart) ID() MethodID { return ConnectionStartID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionStart) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = append(dst, m.VersionMajor)
	dst = append(dst, m.VersionMinor)
	dst = m.ServerProperties.Append(dst)
	dst = appendLongstr(dst, m.Mechanisms)
	return appendLongstr(dst, m.Locales)
}

func (m *ConnectionStart) decode(d *decoder) {
	m.VersionMajor = d.uint8()
	m.VersionMinor = d.uint8()
	m.ServerProperties = d.table()
	m.Mechanisms = d.longstr()
	m.Locales = d.longstr()
}

// ConnectionStartOk chooses a mechanism and logs in.
type ConnectionStartOk struct {
	ClientProperties Table
	Mechanism        string
	Response         string // the mechanism's own octets
	Locale           string
}

// ID returns ConnectionStartOkID.
func (*ConnectionStartOk) ID() MethodID { return ConnectionStartOkID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionStartOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = m.ClientProperties.Append(dst)
	dst = AppendShortstr(dst, m.Mechanism)
	dst = appendLongstr(dst, m.Response)
	return AppendShortstr(dst, m.Locale)
}

func (m *ConnectionStartOk) decode(d *decoder) {
	m.ClientProperties = d.table()
	m.Mechanism = d.shortstr()
	m.Response = d.longstr()
	m.Locale = d.shortstr()
}

// ConnectionSecure asks for more in a mechanism that takes several rounds.
type ConnectionSecure struct {
	Challenge string
}

// ID returns ConnectionSecureID.
func (*ConnectionSecure) ID() MethodID { return ConnectionSecureID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionSecure) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendLongstr(dst, m.Challenge)
}

func (m *ConnectionSecure) decode(d *decoder) {
	m.Challenge = d.longstr()
}

// ConnectionSecureOk answers a challenge.
type ConnectionSecureOk struct {
	Response string
}

// ID returns ConnectionSecureOkID.
func (*ConnectionSecureOk) ID() MethodID { return ConnectionSecureOkID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionSecureOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendLongstr(dst, m.Response)
}

func (m *ConnectionSecureOk) decode(d *decoder) {
	m.Response = d.longstr()
}

// ConnectionTune proposes limits.
type ConnectionTune struct {
	ChannelMax uint16 // 0 is no limit
	FrameMax   uint32 // counts head and end octet; 0 is no limit
	Heartbeat  uint16 // seconds; 0 is none
}

// ID returns ConnectionTuneID.
func (*ConnectionTune) ID() MethodID { return ConnectionTuneID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionTune) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint16(dst, m.ChannelMax)
	dst = binary.BigEndian.AppendUint32(dst, m.FrameMax)
	return binary.BigEndian.AppendUint16(dst, m.Heartbeat)
}

func (m *ConnectionTune) decode(d *decoder) {
	m.ChannelMax = d.uint16()
	m.FrameMax = d.uint32()
	m.Heartbeat = d.uint16()
}

// ConnectionTuneOk settles the limits.
type ConnectionTuneOk struct {
	ChannelMax uint16 // 0 is no limit
	FrameMax   uint32 // counts head and end octet; 0 is no limit
	Heartbeat  uint16 // seconds; 0 is none
}

// ID returns ConnectionTuneOkID.
func (*ConnectionTuneOk) ID() MethodID { return ConnectionTuneOkID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionTuneOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint16(dst, m.ChannelMax)
	dst = binary.BigEndian.AppendUint32(dst, m.FrameMax)
	return binary.BigEndian.AppendUint16(dst, m.Heartbeat)
}

func (m *ConnectionTuneOk) decode(d *decoder) {
	m.ChannelMax = d.uint16()
	m.FrameMax = d.uint32()
	m.Heartbeat = d.uint16()
}

// ConnectionOpen chooses a virtual host.
type ConnectionOpen struct {
	VirtualHost string
}

// ID returns ConnectionOpenID.
func (*ConnectionOpen) ID() MethodID { return ConnectionOpenID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionOpen) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = AppendShortstr(dst, m.VirtualHost)
	dst = append(dst, 0)  // reserved
	return append(dst, 0) // reserved
}

func (m *ConnectionOpen) decode(d *decoder) {
	m.VirtualHost = d.shortstr()
	d.shortBytes() // reserved
	d.uint8()      // reserved
}

// ConnectionOpenOk ends the handshake.
type ConnectionOpenOk struct{}

// ID returns ConnectionOpenOkID.
func (*ConnectionOpenOk) ID() MethodID { return ConnectionOpenOkID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionOpenOk) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return append(dst, 0) // reserved
}

func (m *ConnectionOpenOk) decode(d *decoder) {
	d.shortBytes() // reserved
}

// ConnectionClose ends the connection, from either side. What the peer sent since is discarded.
type ConnectionClose struct {
	ReplyCode ReplyCode
	ReplyText string
	Method    MethodID // method at fault, or zero
}

// ID returns ConnectionCloseID.
func (*ConnectionClose) ID() MethodID { return ConnectionCloseID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionClose) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.ReplyCode))
	dst = AppendShortstr(dst, m.ReplyText)
	return appendMethodID(dst, m.Method)
}

func (m *ConnectionClose) decode(d *decoder) {
	m.ReplyCode = ReplyCode(d.uint16())
	m.ReplyText = d.shortstr()
	m.Method = MethodID(d.uint32())
}

// ConnectionCloseOk confirms a ConnectionClose; nothing follows it.
type ConnectionCloseOk struct{}

// ID returns ConnectionCloseOkID.
func (*ConnectionCloseOk) ID() MethodID { return ConnectionCloseOkID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionCloseOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ConnectionCloseOk) decode(*decoder) {}

// ConnectionBlocked tells a publisher that the server has stopped reading from it.
type ConnectionBlocked struct {
	Reason string
}

// ID returns ConnectionBlockedID.
func (*ConnectionBlocked) ID() MethodID { return ConnectionBlockedID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionBlocked) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return AppendShortstr(dst, m.Reason)
}

func (m *ConnectionBlocked) decode(d *decoder) {
	m.Reason = d.shortstr()
}

// ConnectionUnblocked ends what ConnectionBlocked began.
type ConnectionUnblocked struct{}

// ID returns ConnectionUnblockedID.
func (*ConnectionUnblocked) ID() MethodID { return ConnectionUnblockedID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionUnblocked) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ConnectionUnblocked) decode(*decoder) {}

// ConnectionUpdateSecret replaces the secret that the client logged in with.
type ConnectionUpdateSecret struct {
	NewSecret string
	Reason    string
}

// ID returns ConnectionUpdateSecretID.
func (*ConnectionUpdateSecret) ID() MethodID { return ConnectionUpdateSecretID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionUpdateSecret) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendLongstr(dst, m.NewSecret)
	return AppendShortstr(dst, m.Reason)
}

func (m *ConnectionUpdateSecret) decode(d *decoder) {
	m.NewSecret = d.longstr()
	m.Reason = d.shortstr()
}

// ConnectionUpdateSecretOk confirms a ConnectionUpdateSecret.
type ConnectionUpdateSecretOk struct{}

// ID returns ConnectionUpdateSecretOkID.
func (*ConnectionUpdateSecretOk) ID() MethodID { return ConnectionUpdateSecretOkID }

// Append appends the payload of the METHOD frame.
func (m *ConnectionUpdateSecretOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ConnectionUpdateSecretOk) decode(*decoder) {}
