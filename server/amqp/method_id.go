package amqp

import (
	"encoding/binary"
	"strconv"
)

// ClassBasic is the only class whose methods carry content, so the only one that a content header may name.
const ClassBasic uint16 = 60

// MethodID names a method: class id in the upper sixteen bits, method id in the lower ones. The zero
// value means "no method", as reply frames write it when no method is at fault (ERR-02).
type MethodID uint32

// The methods of AMQP 0-9-1 with RabbitMQ's extensions.
const (
	ConnectionStartID          MethodID = 10<<16 | 10
	ConnectionStartOkID        MethodID = 10<<16 | 11
	ConnectionSecureID         MethodID = 10<<16 | 20
	ConnectionSecureOkID       MethodID = 10<<16 | 21
	ConnectionTuneID           MethodID = 10<<16 | 30
	ConnectionTuneOkID         MethodID = 10<<16 | 31
	ConnectionOpenID           MethodID = 10<<16 | 40
	ConnectionOpenOkID         MethodID = 10<<16 | 41
	ConnectionCloseID          MethodID = 10<<16 | 50
	ConnectionCloseOkID        MethodID = 10<<16 | 51
	ConnectionBlockedID        MethodID = 10<<16 | 60
	ConnectionUnblockedID      MethodID = 10<<16 | 61
	ConnectionUpdateSecretID   MethodID = 10<<16 | 70
	ConnectionUpdateSecretOkID MethodID = 10<<16 | 71

	ChannelOpenID    MethodID = 20<<16 | 10
	ChannelOpenOkID  MethodID = 20<<16 | 11
	ChannelFlowID    MethodID = 20<<16 | 20
	ChannelFlowOkID  MethodID = 20<<16 | 21
	ChannelCloseID   MethodID = 20<<16 | 40
	ChannelCloseOkID MethodID = 20<<16 | 41

	AccessRequestID   MethodID = 30<<16 | 10
	AccessRequestOkID MethodID = 30<<16 | 11

	ExchangeDeclareID   MethodID = 40<<16 | 10
	ExchangeDeclareOkID MethodID = 40<<16 | 11
	ExchangeDeleteID    MethodID = 40<<16 | 20
	ExchangeDeleteOkID  MethodID = 40<<16 | 21
	ExchangeBindID      MethodID = 40<<16 | 30
	ExchangeBindOkID    MethodID = 40<<16 | 31
	ExchangeUnbindID    MethodID = 40<<16 | 40
	ExchangeUnbindOkID  MethodID = 40<<16 | 51 // 51 and not 41: an old slip that every client knows

	QueueDeclareID   MethodID = 50<<16 | 10
	QueueDeclareOkID MethodID = 50<<16 | 11
	QueueBindID      MethodID = 50<<16 | 20
	QueueBindOkID    MethodID = 50<<16 | 21
	QueuePurgeID     MethodID = 50<<16 | 30
	QueuePurgeOkID   MethodID = 50<<16 | 31
	QueueDeleteID    MethodID = 50<<16 | 40
	QueueDeleteOkID  MethodID = 50<<16 | 41
	QueueUnbindID    MethodID = 50<<16 | 50
	QueueUnbindOkID  MethodID = 50<<16 | 51

	BasicQosID           MethodID = 60<<16 | 10
	BasicQosOkID         MethodID = 60<<16 | 11
	BasicConsumeID       MethodID = 60<<16 | 20
	BasicConsumeOkID     MethodID = 60<<16 | 21
	BasicCancelID        MethodID = 60<<16 | 30
	BasicCancelOkID      MethodID = 60<<16 | 31
	BasicPublishID       MethodID = 60<<16 | 40
	BasicReturnID        MethodID = 60<<16 | 50
	BasicDeliverID       MethodID = 60<<16 | 60
	BasicGetID           MethodID = 60<<16 | 70
	BasicGetOkID         MethodID = 60<<16 | 71
	BasicGetEmptyID      MethodID = 60<<16 | 72
	BasicAckID           MethodID = 60<<16 | 80
	BasicRejectID        MethodID = 60<<16 | 90
	BasicRecoverAsyncID  MethodID = 60<<16 | 100
	BasicRecoverID       MethodID = 60<<16 | 110
	BasicRecoverOkID     MethodID = 60<<16 | 111
	BasicNackID          MethodID = 60<<16 | 120
	BasicCreditID        MethodID = 60<<16 | 200
	BasicCreditOkID      MethodID = 60<<16 | 201
	BasicCreditDrainedID MethodID = 60<<16 | 202

	ConfirmSelectID   MethodID = 85<<16 | 10
	ConfirmSelectOkID MethodID = 85<<16 | 11

	TxSelectID     MethodID = 90<<16 | 10
	TxSelectOkID   MethodID = 90<<16 | 11
	TxCommitID     MethodID = 90<<16 | 20
	TxCommitOkID   MethodID = 90<<16 | 21
	TxRollbackID   MethodID = 90<<16 | 30
	TxRollbackOkID MethodID = 90<<16 | 31
)

// MakeMethodID joins a class id and a method id.
func MakeMethodID(class, method uint16) MethodID {
	return MethodID(class)<<16 | MethodID(method)
}

// PeekMethod returns the method that a METHOD frame's payload names, without looking at its arguments.
// It returns zero for a payload shorter than the two ids, which ParseFrame never lets through.
func PeekMethod(payload []byte) MethodID {
	if len(payload) < methodHeadSize {
		return 0
	}
	return MethodID(binary.BigEndian.Uint32(payload))
}

// Class returns the class id.
func (id MethodID) Class() uint16 { return uint16(id >> 16) }

// Method returns the method id within the class.
func (id MethodID) Method() uint16 { return uint16(id) }

// HasContent reports whether a content header frame follows the method.
func (id MethodID) HasContent() bool {
	switch id {
	case BasicPublishID, BasicReturnID, BasicDeliverID, BasicGetOkID:
		return true
	}
	return false
}

// FromServer reports whether only a server sends the method: from a client it is answered with
// COMMAND_INVALID (CHAN-07).
func (id MethodID) FromServer() bool {
	switch id {
	case ConnectionStartID, ConnectionSecureID, ConnectionTuneID, ConnectionOpenOkID, ConnectionBlockedID,
		ConnectionUnblockedID, ConnectionUpdateSecretOkID,
		ChannelOpenOkID, AccessRequestOkID,
		ExchangeDeclareOkID, ExchangeDeleteOkID, ExchangeBindOkID, ExchangeUnbindOkID,
		QueueDeclareOkID, QueueBindOkID, QueuePurgeOkID, QueueDeleteOkID, QueueUnbindOkID,
		BasicQosOkID, BasicConsumeOkID, BasicReturnID, BasicDeliverID, BasicGetOkID, BasicGetEmptyID,
		BasicRecoverOkID, BasicCreditOkID, BasicCreditDrainedID,
		ConfirmSelectOkID, TxSelectOkID, TxCommitOkID, TxRollbackOkID:
		return true
	}
	return false
}

// String returns the name as the protocol writes it, "queue.declare", or the two ids, "60/99", of a
// method that does not exist.
func (id MethodID) String() string {
	if kind, ok := methods[id]; ok {
		return kind.name
	}
	return strconv.Itoa(int(id.Class())) + "/" + strconv.Itoa(int(id.Method()))
}
