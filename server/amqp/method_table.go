package amqp

// methodKind is what there is to know of a method by its id.
type methodKind struct {
	name string        // as the protocol writes it
	make func() Method // without arguments
}

// methods are all that there are. Read only.
var methods = map[MethodID]methodKind{
	ConnectionStartID:          {"connection.start", empty[ConnectionStart]},
	ConnectionStartOkID:        {"connection.start-ok", empty[ConnectionStartOk]},
	ConnectionSecureID:         {"connection.secure", empty[ConnectionSecure]},
	ConnectionSecureOkID:       {"connection.secure-ok", empty[ConnectionSecureOk]},
	ConnectionTuneID:           {"connection.tune", empty[ConnectionTune]},
	ConnectionTuneOkID:         {"connection.tune-ok", empty[ConnectionTuneOk]},
	ConnectionOpenID:           {"connection.open", empty[ConnectionOpen]},
	ConnectionOpenOkID:         {"connection.open-ok", empty[ConnectionOpenOk]},
	ConnectionCloseID:          {"connection.close", empty[ConnectionClose]},
	ConnectionCloseOkID:        {"connection.close-ok", empty[ConnectionCloseOk]},
	ConnectionBlockedID:        {"connection.blocked", empty[ConnectionBlocked]},
	ConnectionUnblockedID:      {"connection.unblocked", empty[ConnectionUnblocked]},
	ConnectionUpdateSecretID:   {"connection.update-secret", empty[ConnectionUpdateSecret]},
	ConnectionUpdateSecretOkID: {"connection.update-secret-ok", empty[ConnectionUpdateSecretOk]},

	ChannelOpenID:    {"channel.open", empty[ChannelOpen]},
	ChannelOpenOkID:  {"channel.open-ok", empty[ChannelOpenOk]},
	ChannelFlowID:    {"channel.flow", empty[ChannelFlow]},
	ChannelFlowOkID:  {"channel.flow-ok", empty[ChannelFlowOk]},
	ChannelCloseID:   {"channel.close", empty[ChannelClose]},
	ChannelCloseOkID: {"channel.close-ok", empty[ChannelCloseOk]},

	AccessRequestID:   {"access.request", empty[AccessRequest]},
	AccessRequestOkID: {"access.request-ok", empty[AccessRequestOk]},

	ExchangeDeclareID:   {"exchange.declare", empty[ExchangeDeclare]},
	ExchangeDeclareOkID: {"exchange.declare-ok", empty[ExchangeDeclareOk]},
	ExchangeDeleteID:    {"exchange.delete", empty[ExchangeDelete]},
	ExchangeDeleteOkID:  {"exchange.delete-ok", empty[ExchangeDeleteOk]},
	ExchangeBindID:      {"exchange.bind", empty[ExchangeBind]},
	ExchangeBindOkID:    {"exchange.bind-ok", empty[ExchangeBindOk]},
	ExchangeUnbindID:    {"exchange.unbind", empty[ExchangeUnbind]},
	ExchangeUnbindOkID:  {"exchange.unbind-ok", empty[ExchangeUnbindOk]},

	QueueDeclareID:   {"queue.declare", empty[QueueDeclare]},
	QueueDeclareOkID: {"queue.declare-ok", empty[QueueDeclareOk]},
	QueueBindID:      {"queue.bind", empty[QueueBind]},
	QueueBindOkID:    {"queue.bind-ok", empty[QueueBindOk]},
	QueuePurgeID:     {"queue.purge", empty[QueuePurge]},
	QueuePurgeOkID:   {"queue.purge-ok", empty[QueuePurgeOk]},
	QueueDeleteID:    {"queue.delete", empty[QueueDelete]},
	QueueDeleteOkID:  {"queue.delete-ok", empty[QueueDeleteOk]},
	QueueUnbindID:    {"queue.unbind", empty[QueueUnbind]},
	QueueUnbindOkID:  {"queue.unbind-ok", empty[QueueUnbindOk]},

	BasicQosID:           {"basic.qos", empty[BasicQos]},
	BasicQosOkID:         {"basic.qos-ok", empty[BasicQosOk]},
	BasicConsumeID:       {"basic.consume", empty[BasicConsume]},
	BasicConsumeOkID:     {"basic.consume-ok", empty[BasicConsumeOk]},
	BasicCancelID:        {"basic.cancel", empty[BasicCancel]},
	BasicCancelOkID:      {"basic.cancel-ok", empty[BasicCancelOk]},
	BasicCreditID:        {"basic.credit", empty[BasicCredit]},
	BasicCreditOkID:      {"basic.credit-ok", empty[BasicCreditOk]},
	BasicCreditDrainedID: {"basic.credit-drained", empty[BasicCreditDrained]},
	BasicPublishID:       {"basic.publish", empty[BasicPublish]},
	BasicReturnID:        {"basic.return", empty[BasicReturn]},
	BasicDeliverID:       {"basic.deliver", empty[BasicDeliver]},
	BasicGetID:           {"basic.get", empty[BasicGet]},
	BasicGetOkID:         {"basic.get-ok", empty[BasicGetOk]},
	BasicGetEmptyID:      {"basic.get-empty", empty[BasicGetEmpty]},
	BasicAckID:           {"basic.ack", empty[BasicAck]},
	BasicRejectID:        {"basic.reject", empty[BasicReject]},
	BasicNackID:          {"basic.nack", empty[BasicNack]},
	BasicRecoverAsyncID:  {"basic.recover-async", empty[BasicRecoverAsync]},
	BasicRecoverID:       {"basic.recover", empty[BasicRecover]},
	BasicRecoverOkID:     {"basic.recover-ok", empty[BasicRecoverOk]},

	ConfirmSelectID:   {"confirm.select", empty[ConfirmSelect]},
	ConfirmSelectOkID: {"confirm.select-ok", empty[ConfirmSelectOk]},

	TxSelectID:     {"tx.select", empty[TxSelect]},
	TxSelectOkID:   {"tx.select-ok", empty[TxSelectOk]},
	TxCommitID:     {"tx.commit", empty[TxCommit]},
	TxCommitOkID:   {"tx.commit-ok", empty[TxCommitOk]},
	TxRollbackID:   {"tx.rollback", empty[TxRollback]},
	TxRollbackOkID: {"tx.rollback-ok", empty[TxRollbackOk]},
}

// empty returns a method of the type without arguments.
func empty[T any, M interface {
	*T
	Method
}]() Method {
	return M(new(T))
}
