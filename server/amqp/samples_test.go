package amqp_test

import "github.com/millrace-mq/millrace/server/amqp"

// allTypes has a field of every type, under the name of the type.
func allTypes() amqp.Table {
	return amqp.Table{
		"bool":          true,
		"byte":          int8(-1),
		"unsignedbyte":  uint8(200),
		"short":         int16(-300),
		"unsignedshort": uint16(60000),
		"signedint":     int32(-70000),
		"unsignedint":   uint32(4000000000),
		"long":          int64(-1 << 60),
		"float":         float32(1.5),
		"double":        float64(-2.25),
		"decimal":       amqp.Decimal{Scale: 2, Value: 314},
		"longstr":       "gärtner",
		"binary":        []byte{0, 1, 255},
		"timestamp":     amqp.Timestamp(1700000000),
		"table":         amqp.Table{"inner": amqp.Table{}},
		"array":         []any{int32(1), "two", nil, []any{}, amqp.Table{"k": false}},
		"void":          nil,
	}
}

func allProperties() *amqp.Properties {
	return &amqp.Properties{
		ContentType:     "text/plain",
		ContentEncoding: "gzip",
		Headers:         amqp.Table{"string": "value", "int": int32(5), "bool": true},
		DeliveryMode:    amqp.Persistent,
		Priority:        9,
		CorrelationID:   "correlation",
		ReplyTo:         "reply.queue",
		Expiration:      "60000",
		MessageID:       "id-1",
		Timestamp:       1700000000,
		Type:            "event",
		UserID:          "guest",
		AppID:           "app",
		ClusterID:       "cluster",
	}
}

func publishPayload() []byte {
	return (&amqp.BasicPublish{Keys: amqp.MakeKeys("events", "order.created"), Mandatory: true}).Append(nil)
}

// allMethods has every method with all of its arguments set to something that is not zero. Where
// there are several bits, every other one is set, so that swapped bits show.
func allMethods() []amqp.Method {
	keys := amqp.MakeKeys("exchange", "routing.key")
	args := allTypes()
	return []amqp.Method{
		&amqp.ConnectionStart{VersionMinor: 9, ServerProperties: args, Mechanisms: "PLAIN AMQPLAIN", Locales: "en_US"},
		&amqp.ConnectionStartOk{ClientProperties: args, Mechanism: "PLAIN", Response: "\x00guest\x00guest", Locale: "en_US"},
		&amqp.ConnectionSecure{Challenge: "\x00\xff"},
		&amqp.ConnectionSecureOk{Response: "\xff\x00"},
		&amqp.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60},
		&amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60},
		&amqp.ConnectionOpen{VirtualHost: "/"},
		&amqp.ConnectionOpenOk{},
		&amqp.ConnectionClose{ReplyCode: amqp.NotAllowed, ReplyText: "text", Method: amqp.ConnectionOpenID},
		&amqp.ConnectionCloseOk{},
		&amqp.ConnectionBlocked{Reason: "low on memory"},
		&amqp.ConnectionUnblocked{},
		&amqp.ConnectionUpdateSecret{NewSecret: "secret", Reason: "expired"},
		&amqp.ConnectionUpdateSecretOk{},

		&amqp.ChannelOpen{},
		&amqp.ChannelOpenOk{},
		&amqp.ChannelFlow{Active: true},
		&amqp.ChannelFlowOk{Active: true},
		&amqp.ChannelClose{ReplyCode: amqp.NotFound, ReplyText: "text", Method: amqp.QueueDeclareID},
		&amqp.ChannelCloseOk{},

		&amqp.AccessRequest{Realm: "/data", Exclusive: true, Active: true, Read: true},
		&amqp.AccessRequestOk{Ticket: 1},

		&amqp.ExchangeDeclare{Exchange: "e", Type: "topic", Passive: true, AutoDelete: true, NoWait: true, Arguments: args},
		&amqp.ExchangeDeclareOk{},
		&amqp.ExchangeDelete{Exchange: "e", NoWait: true},
		&amqp.ExchangeDeleteOk{},
		&amqp.ExchangeBind{Destination: "d", Source: "s", RoutingKey: "k", NoWait: true, Arguments: args},
		&amqp.ExchangeBindOk{},
		&amqp.ExchangeUnbind{Destination: "d", Source: "s", RoutingKey: "k", NoWait: true, Arguments: args},
		&amqp.ExchangeUnbindOk{},

		&amqp.QueueDeclare{Queue: "q", Durable: true, AutoDelete: true, Arguments: args},
		&amqp.QueueDeclareOk{Queue: "q", MessageCount: 3, ConsumerCount: 4},
		&amqp.QueueBind{Queue: "q", Exchange: "e", RoutingKey: "k", NoWait: true, Arguments: args},
		&amqp.QueueBindOk{},
		&amqp.QueuePurge{Queue: "q", NoWait: true},
		&amqp.QueuePurgeOk{MessageCount: 5},
		&amqp.QueueDelete{Queue: "q", IfEmpty: true},
		&amqp.QueueDeleteOk{MessageCount: 6},
		&amqp.QueueUnbind{Queue: "q", Exchange: "e", RoutingKey: "k", Arguments: args},
		&amqp.QueueUnbindOk{},

		&amqp.BasicQos{PrefetchSize: 7, PrefetchCount: 8, Global: true},
		&amqp.BasicQosOk{},
		&amqp.BasicConsume{Queue: "q", ConsumerTag: "t", NoAck: true, NoWait: true, Arguments: args},
		&amqp.BasicConsumeOk{ConsumerTag: "t"},
		&amqp.BasicCancel{ConsumerTag: "t", NoWait: true},
		&amqp.BasicCancelOk{ConsumerTag: "t"},
		&amqp.BasicPublish{Keys: keys, Immediate: true},
		&amqp.BasicReturn{ReplyCode: amqp.NoRoute, ReplyText: "NO_ROUTE", Keys: keys},
		&amqp.BasicDeliver{ConsumerTag: []byte("t"), DeliveryTag: 1 << 40, Redelivered: true, Keys: keys},
		&amqp.BasicGet{Queue: []byte("q"), NoAck: true},
		&amqp.BasicGetOk{DeliveryTag: 1 << 40, Redelivered: true, Keys: keys, MessageCount: 9},
		&amqp.BasicGetEmpty{},
		&amqp.BasicAck{DeliveryTag: 1 << 40, Multiple: true},
		&amqp.BasicReject{DeliveryTag: 1 << 40, Requeue: true},
		&amqp.BasicRecoverAsync{Requeue: true},
		&amqp.BasicRecover{Requeue: true},
		&amqp.BasicRecoverOk{},
		&amqp.BasicNack{DeliveryTag: 1 << 40, Requeue: true},
		&amqp.BasicCredit{ConsumerTag: "t", Credit: 10, Drain: true},
		&amqp.BasicCreditOk{Available: 11},
		&amqp.BasicCreditDrained{ConsumerTag: "t", CreditDrained: 12},

		&amqp.ConfirmSelect{NoWait: true},
		&amqp.ConfirmSelectOk{},

		&amqp.TxSelect{},
		&amqp.TxSelectOk{},
		&amqp.TxCommit{},
		&amqp.TxCommitOk{},
		&amqp.TxRollback{},
		&amqp.TxRollbackOk{},
	}
}
