package amqp

// Method is a method with its arguments. All methods are pointers to the structs of this package; a type
// switch tells them apart.
type Method interface {
	// ID returns the method's class and method id.
	ID() MethodID
	// Append appends the payload of a METHOD frame: the two ids and the arguments.
	Append(dst []byte) []byte

	decode(d *decoder)
}

// DecodeMethod decodes the payload of a METHOD frame. Nothing in the result is borrowed. Octets left
// over behind the last argument are an error, as too few are. Errors are of type *Error.
//
// The methods of which there is one a message have a Decode method of their own, which allocates
// nothing.
func DecodeMethod(payload []byte) (Method, error) {
	if len(payload) < methodHeadSize {
		return nil, methodError(payload, faultShort)
	}
	id := PeekMethod(payload)
	m := newMethod(id)
	if m == nil {
		return nil, UnimplementedMethod(id)
	}
	d := methodDecoder(payload)
	d.copy = true
	m.decode(&d)
	if err := d.finish(); err != nil {
		return nil, err
	}
	return m, nil
}

// methodDecoder returns a decoder of the arguments in a METHOD frame's payload.
func methodDecoder(payload []byte) decoder {
	return decoder{buf: payload, off: min(methodHeadSize, len(payload))}
}

// newMethod returns an empty method, or nil when there is none of the id.
func newMethod(id MethodID) Method {
	switch id {
	case ConnectionStartID:
		return new(ConnectionStart)
	case ConnectionStartOkID:
		return new(ConnectionStartOk)
	case ConnectionSecureID:
		return new(ConnectionSecure)
	case ConnectionSecureOkID:
		return new(ConnectionSecureOk)
	case ConnectionTuneID:
		return new(ConnectionTune)
	case ConnectionTuneOkID:
		return new(ConnectionTuneOk)
	case ConnectionOpenID:
		return new(ConnectionOpen)
	case ConnectionOpenOkID:
		return new(ConnectionOpenOk)
	case ConnectionCloseID:
		return new(ConnectionClose)
	case ConnectionCloseOkID:
		return new(ConnectionCloseOk)
	case ConnectionBlockedID:
		return new(ConnectionBlocked)
	case ConnectionUnblockedID:
		return new(ConnectionUnblocked)
	case ConnectionUpdateSecretID:
		return new(ConnectionUpdateSecret)
	case ConnectionUpdateSecretOkID:
		return new(ConnectionUpdateSecretOk)
	case ChannelOpenID:
		return new(ChannelOpen)
	case ChannelOpenOkID:
		return new(ChannelOpenOk)
	case ChannelFlowID:
		return new(ChannelFlow)
	case ChannelFlowOkID:
		return new(ChannelFlowOk)
	case ChannelCloseID:
		return new(ChannelClose)
	case ChannelCloseOkID:
		return new(ChannelCloseOk)
	case AccessRequestID:
		return new(AccessRequest)
	case AccessRequestOkID:
		return new(AccessRequestOk)
	case ExchangeDeclareID:
		return new(ExchangeDeclare)
	case ExchangeDeclareOkID:
		return new(ExchangeDeclareOk)
	case ExchangeDeleteID:
		return new(ExchangeDelete)
	case ExchangeDeleteOkID:
		return new(ExchangeDeleteOk)
	case ExchangeBindID:
		return new(ExchangeBind)
	case ExchangeBindOkID:
		return new(ExchangeBindOk)
	case ExchangeUnbindID:
		return new(ExchangeUnbind)
	case ExchangeUnbindOkID:
		return new(ExchangeUnbindOk)
	case QueueDeclareID:
		return new(QueueDeclare)
	case QueueDeclareOkID:
		return new(QueueDeclareOk)
	case QueueBindID:
		return new(QueueBind)
	case QueueBindOkID:
		return new(QueueBindOk)
	case QueuePurgeID:
		return new(QueuePurge)
	case QueuePurgeOkID:
		return new(QueuePurgeOk)
	case QueueDeleteID:
		return new(QueueDelete)
	case QueueDeleteOkID:
		return new(QueueDeleteOk)
	case QueueUnbindID:
		return new(QueueUnbind)
	case QueueUnbindOkID:
		return new(QueueUnbindOk)
	case BasicQosID:
		return new(BasicQos)
	case BasicQosOkID:
		return new(BasicQosOk)
	case BasicConsumeID:
		return new(BasicConsume)
	case BasicConsumeOkID:
		return new(BasicConsumeOk)
	case BasicCancelID:
		return new(BasicCancel)
	case BasicCancelOkID:
		return new(BasicCancelOk)
	case BasicCreditID:
		return new(BasicCredit)
	case BasicCreditOkID:
		return new(BasicCreditOk)
	case BasicCreditDrainedID:
		return new(BasicCreditDrained)
	case BasicPublishID:
		return new(BasicPublish)
	case BasicReturnID:
		return new(BasicReturn)
	case BasicDeliverID:
		return new(BasicDeliver)
	case BasicGetID:
		return new(BasicGet)
	case BasicGetOkID:
		return new(BasicGetOk)
	case BasicGetEmptyID:
		return new(BasicGetEmpty)
	case BasicAckID:
		return new(BasicAck)
	case BasicRejectID:
		return new(BasicReject)
	case BasicNackID:
		return new(BasicNack)
	case BasicRecoverAsyncID:
		return new(BasicRecoverAsync)
	case BasicRecoverID:
		return new(BasicRecover)
	case BasicRecoverOkID:
		return new(BasicRecoverOk)
	case ConfirmSelectID:
		return new(ConfirmSelect)
	case ConfirmSelectOkID:
		return new(ConfirmSelectOk)
	case TxSelectID:
		return new(TxSelect)
	case TxSelectOkID:
		return new(TxSelectOk)
	case TxCommitID:
		return new(TxCommit)
	case TxCommitOkID:
		return new(TxCommitOk)
	case TxRollbackID:
		return new(TxRollback)
	case TxRollbackOkID:
		return new(TxRollbackOk)
	}
	return nil
}
