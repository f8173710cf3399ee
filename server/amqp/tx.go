package amqp

// TxSelect makes the channel transactional.
type TxSelect struct{}

// ID returns TxSelectID.
func (*TxSelect) ID() MethodID { return TxSelectID }

// Append appends the payload of the METHOD frame.
func (m *TxSelect) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*TxSelect) decode(*decoder) {}

// TxSelectOk confirms a TxSelect.
type TxSelectOk struct{}

// ID returns TxSelectOkID.
func (*TxSelectOk) ID() MethodID { return TxSelectOkID }

// Append appends the payload of the METHOD frame.
func (m *TxSelectOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*TxSelectOk) decode(*decoder) {}

// TxCommit carries out what the channel published and settled since the last Commit or Rollback.
type TxCommit struct{}

// ID returns TxCommitID.
func (*TxCommit) ID() MethodID { return TxCommitID }

// Append appends the payload of the METHOD frame.
func (m *TxCommit) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*TxCommit) decode(*decoder) {}

// TxCommitOk confirms a TxCommit.
type TxCommitOk struct{}

// ID returns TxCommitOkID.
func (*TxCommitOk) ID() MethodID { return TxCommitOkID }

// Append appends the payload of the METHOD frame.
func (m *TxCommitOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*TxCommitOk) decode(*decoder) {}

// TxRollback discards what the channel published and settled since the last Commit or Rollback.
type TxRollback struct{}

// ID returns TxRollbackID.
func (*TxRollback) ID() MethodID { return TxRollbackID }

// Append appends the payload of the METHOD frame.
func (m *TxRollback) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*TxRollback) decode(*decoder) {}

// TxRollbackOk confirms a TxRollback.
type TxRollbackOk struct{}

// ID returns TxRollbackOkID.
func (*TxRollbackOk) ID() MethodID { return TxRollbackOkID }

// Append appends the payload of the METHOD frame.
func (m *TxRollbackOk) Append(dst []byte) []byte { return appendMethodID(dst, m.ID()) }

func (*TxRollbackOk) decode(*decoder) {}
