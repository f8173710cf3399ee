package amqp

// ExchangeDeclare creates an exchange, or checks that it exists.
type ExchangeDeclare struct {
	Exchange   string
	Type       string
	Passive    bool // only check
	Durable    bool
	AutoDelete bool
	Internal   bool
	NoWait     bool
	Arguments  Table
}

// ID returns ExchangeDeclareID.
func (*ExchangeDeclare) ID() MethodID { return ExchangeDeclareID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeDeclare) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Exchange)
	dst = AppendShortstr(dst, m.Type)
	dst = appendBits(dst, m.Passive, m.Durable, m.AutoDelete, m.Internal, m.NoWait)
	return m.Arguments.Append(dst)
}

func (m *ExchangeDeclare) decode(d *decoder) {
	d.ticket()
	m.Exchange = d.shortstr()
	m.Type = d.shortstr()
	bits := d.uint8()
	m.Passive = bits&1 != 0
	m.Durable = bits&(1<<1) != 0
	m.AutoDelete = bits&(1<<2) != 0
	m.Internal = bits&(1<<3) != 0
	m.NoWait = bits&(1<<4) != 0
	m.Arguments = d.table()
}

// ExchangeDeclareOk confirms an ExchangeDeclare.
type ExchangeDeclareOk struct{}

// ID returns ExchangeDeclareOkID.
func (*ExchangeDeclareOk) ID() MethodID { return ExchangeDeclareOkID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeDeclareOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ExchangeDeclareOk) decode(*decoder) {}

// ExchangeDelete deletes an exchange.
type ExchangeDelete struct {
	Exchange string
	IfUnused bool
	NoWait   bool
}

// ID returns ExchangeDeleteID.
func (*ExchangeDelete) ID() MethodID { return ExchangeDeleteID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeDelete) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Exchange)
	return appendBits(dst, m.IfUnused, m.NoWait)
}

func (m *ExchangeDelete) decode(d *decoder) {
	d.ticket()
	m.Exchange = d.shortstr()
	bits := d.uint8()
	m.IfUnused = bits&1 != 0
	m.NoWait = bits&(1<<1) != 0
}

// ExchangeDeleteOk confirms an ExchangeDelete.
type ExchangeDeleteOk struct{}

// ID returns ExchangeDeleteOkID.
func (*ExchangeDeleteOk) ID() MethodID { return ExchangeDeleteOkID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeDeleteOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ExchangeDeleteOk) decode(*decoder) {}

// ExchangeBind binds an exchange to another: what reaches Source goes on to Destination.
type ExchangeBind struct {
	Destination string
	Source      string
	RoutingKey  string
	NoWait      bool
	Arguments   Table
}

// ID returns ExchangeBindID.
func (*ExchangeBind) ID() MethodID { return ExchangeBindID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeBind) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Destination)
	dst = AppendShortstr(dst, m.Source)
	dst = AppendShortstr(dst, m.RoutingKey)
	dst = appendBits(dst, m.NoWait)
	return m.Arguments.Append(dst)
}

func (m *ExchangeBind) decode(d *decoder) {
	d.ticket()
	m.Destination = d.shortstr()
	m.Source = d.shortstr()
	m.RoutingKey = d.shortstr()
	m.NoWait = d.bit()
	m.Arguments = d.table()
}

// ExchangeBindOk confirms an ExchangeBind.
type ExchangeBindOk struct{}

// ID returns ExchangeBindOkID.
func (*ExchangeBindOk) ID() MethodID { return ExchangeBindOkID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeBindOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ExchangeBindOk) decode(*decoder) {}

// ExchangeUnbind removes the binding of the same arguments.
type ExchangeUnbind struct {
	Destination string
	Source      string
	RoutingKey  string
	NoWait      bool
	Arguments   Table
}

// ID returns ExchangeUnbindID.
func (*ExchangeUnbind) ID() MethodID { return ExchangeUnbindID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeUnbind) Append(dst []byte) []byte {
	dst = appendMethodID(dst, m.ID())
	dst = appendTicket(dst)
	dst = AppendShortstr(dst, m.Destination)
	dst = AppendShortstr(dst, m.Source)
	dst = AppendShortstr(dst, m.RoutingKey)
	dst = appendBits(dst, m.NoWait)
	return m.Arguments.Append(dst)
}

func (m *ExchangeUnbind) decode(d *decoder) {
	d.ticket()
	m.Destination = d.shortstr()
	m.Source = d.shortstr()
	m.RoutingKey = d.shortstr()
	m.NoWait = d.bit()
	m.Arguments = d.table()
}

// ExchangeUnbindOk confirms an ExchangeUnbind.
type ExchangeUnbindOk struct{}

// ID returns ExchangeUnbindOkID.
func (*ExchangeUnbindOk) ID() MethodID { return ExchangeUnbindOkID }

// Append appends the payload of the METHOD frame.
func (m *ExchangeUnbindOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*ExchangeUnbindOk) decode(*decoder) {}
