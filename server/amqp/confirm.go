package amqp

// ConfirmSelect has all further publishes of the channel confirmed.
type ConfirmSelect struct {
	NoWait bool
}

// ID returns ConfirmSelectID.
func (*ConfirmSelect) ID() MethodID { return ConfirmSelectID }

// Append appends the payload of the METHOD frame.
func (m *ConfirmSelect) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	return appendBits(dst, m.NoWait)
}

func (m *ConfirmSelect) decode(d *decoder) {
	m.NoWait = d.bit()
}

// ConfirmSelectOk confirms a ConfirmSelect.
type ConfirmSelectOk struct{}

// ID returns ConfirmSelectOkID.
func (*ConfirmSelectOk) ID() MethodID { return ConfirmSelectOkID }

// Append appends the payload of the METHOD frame.
func (m *ConfirmSelectOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ConfirmSelectOk) decode(*decoder) {}
