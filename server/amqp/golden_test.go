package amqp_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// The octets below were written by hand from the specification (WIRE-09, WIRE-10, 2.1).
func TestMethodsHaveTheOctetsOfTheSpecification(t *testing.T) {
	tests := []struct {
		method amqp.Method
		octets string // hexadecimal, blanks between arguments
	}{
		{
			&amqp.ConnectionStart{VersionMinor: 9, ServerProperties: amqp.Table{
				"product":      "RabbitMQ",
				"capabilities": amqp.Table{"basic.nack": true},
			}, Mechanisms: "PLAIN", Locales: "en_US"},
			"000a 000a 00 09 00000034" +
				" 0c 6361706162696c6974696573 46 0000000d 0a 62617369632e6e61636b 74 01" +
				" 07 70726f64756374 53 00000008 5261626269744d51" +
				" 00000005 504c41494e 00000005 656e5f5553",
		},
		{&amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}, "000a 001f 07ff 00020000 003c"},
		{&amqp.ConnectionOpen{VirtualHost: "/"}, "000a 0028 01 2f 00 00"},
		{&amqp.ConnectionOpenOk{}, "000a 0029 00"},
		{
			&amqp.ConnectionClose{ReplyCode: 320, ReplyText: "bye", Method: amqp.BasicPublishID},
			"000a 0032 0140 03 627965 003c 0028",
		},
		{&amqp.ConnectionCloseOk{}, "000a 0033"},
		{&amqp.ChannelOpen{}, "0014 000a 00"},
		{&amqp.ChannelOpenOk{}, "0014 000b 00000000"},
		{&amqp.ChannelFlow{Active: true}, "0014 0014 01"},
		{&amqp.AccessRequest{Realm: "r", Passive: true, Read: true}, "001e 000a 01 72 12"},
		{
			&amqp.ExchangeDeclare{Exchange: "e", Type: "fanout", Durable: true, NoWait: true},
			"0028 000a 0000 01 65 06 66616e6f7574 12 00000000",
		},
		{&amqp.ExchangeUnbindOk{}, "0028 0033"},
		{
			&amqp.QueueDeclare{Queue: "q", Durable: true, Exclusive: true, AutoDelete: true, Arguments: amqp.Table{"x-message-ttl": int32(5)}},
			"0032 000a 0000 01 71 0e 00000013 0d 782d6d6573736167652d74746c 49 00000005",
		},
		{&amqp.QueueDeclareOk{Queue: "q", MessageCount: 1, ConsumerCount: 2}, "0032 000b 01 71 00000001 00000002"},
		{&amqp.QueueBind{Queue: "q", Exchange: "e", RoutingKey: "k"}, "0032 0014 0000 01 71 01 65 01 6b 00 00000000"},
		{&amqp.QueueUnbind{Queue: "q", Exchange: "e", RoutingKey: "k"}, "0032 0032 0000 01 71 01 65 01 6b 00000000"},
		{&amqp.QueueDelete{Queue: "q", IfUnused: true, NoWait: true}, "0032 0028 0000 01 71 05"},
		{&amqp.BasicQos{PrefetchCount: 100, Global: true}, "003c 000a 00000000 0064 01"},
		{&amqp.BasicConsume{Queue: "q", ConsumerTag: "t", NoAck: true}, "003c 0014 0000 01 71 01 74 02 00000000"},
		{&amqp.BasicCancel{ConsumerTag: "t", NoWait: true}, "003c 001e 01 74 01"},
		{&amqp.BasicPublish{Keys: amqp.MakeKeys("e", "rk"), Mandatory: true}, "003c 0028 0000 01 65 02 726b 01"},
		{&amqp.BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", Keys: amqp.MakeKeys("e", "k")}, "003c 0032 0138 08 4e4f5f524f555445 01 65 01 6b"},
		{
			&amqp.BasicDeliver{ConsumerTag: []byte("t"), DeliveryTag: 258, Redelivered: true, Keys: amqp.MakeKeys("", "q")},
			"003c 003c 01 74 0000000000000102 01 00 01 71",
		},
		{&amqp.BasicGet{Queue: []byte("q"), NoAck: true}, "003c 0046 0000 01 71 01"},
		{&amqp.BasicGetOk{DeliveryTag: 1, Keys: amqp.MakeKeys("", "q"), MessageCount: 7}, "003c 0047 0000000000000001 00 00 01 71 00000007"},
		{&amqp.BasicGetEmpty{}, "003c 0048 00"},
		{&amqp.BasicAck{DeliveryTag: 1, Multiple: true}, "003c 0050 0000000000000001 01"},
		{&amqp.BasicReject{DeliveryTag: 1, Requeue: true}, "003c 005a 0000000000000001 01"},
		{&amqp.BasicNack{DeliveryTag: 1, Requeue: true}, "003c 0078 0000000000000001 02"},
		{&amqp.BasicRecover{Requeue: true}, "003c 006e 01"},
		{&amqp.ConfirmSelect{NoWait: true}, "0055 000a 01"},
		{&amqp.TxCommit{}, "005a 0014"},
	}
	for _, test := range tests {
		t.Run(test.method.ID().String(), func(t *testing.T) {
			want := fromHex(t, test.octets)
			if got := test.method.Append(nil); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
}

func TestFieldTypesHaveTheOctetsOfTheSpecification(t *testing.T) { // WIRE-10
	tests := []struct {
		value  any
		octets string
	}{
		{true, "74 01"},
		{int8(-1), "62 ff"},
		{uint8(255), "42 ff"},
		{int16(-2), "73 fffe"},
		{uint16(65534), "75 fffe"},
		{int32(-2), "49 fffffffe"},
		{uint32(4294967294), "69 fffffffe"},
		{int64(-2), "6c fffffffffffffffe"},
		{float32(1), "66 3f800000"},
		{float64(1), "64 3ff0000000000000"},
		{amqp.Decimal{Scale: 2, Value: 314}, "44 02 0000013a"},
		{"ab", "53 00000002 6162"},
		{[]any{true, nil}, "41 00000003 74 01 56"},
		{amqp.Timestamp(1), "54 0000000000000001"},
		{amqp.Table{"k": nil}, "46 00000003 01 6b 56"},
		{nil, "56"},
		{[]byte{1, 2}, "78 00000002 0102"},
	}
	for _, test := range tests {
		t.Run(amqp.TypeName(test.value), func(t *testing.T) {
			want := append([]byte{1, 'f'}, fromHex(t, test.octets)...)
			if got := (amqp.Table{"f": test.value}).Raw(); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
			got, err := amqp.RawTable(want).Decode()
			if err != nil || !reflect.DeepEqual(got, amqp.Table{"f": test.value}) {
				t.Errorf("decoded to %v, %v", got, err)
			}
		})
	}
	// The second tag of 64-bit integers means the same as the first.
	if got, err := amqp.RawTable("\x01fL\xff\xff\xff\xff\xff\xff\xff\xfe").Decode(); err != nil || got["f"] != int64(-2) {
		t.Errorf("L decoded to %v, %v", got, err)
	}
}

// WIRE-05 and 2.3.
func TestContentHeaderHasTheOctetsOfTheSpecification(t *testing.T) {
	properties := &amqp.Properties{
		ContentType: "a", ContentEncoding: "b", Headers: amqp.Table{"k": true}, DeliveryMode: 2, Priority: 3,
		CorrelationID: "c", ReplyTo: "d", Expiration: "4", MessageID: "e", Timestamp: 5, Type: "f", UserID: "g",
		AppID: "h", ClusterID: "i",
	}
	want := fromHex(t, "003c 0000 0000000000000006 fffc 01 61 01 62 00000004 01 6b 74 01 02 03 01 63 01 64 01 34 01 65"+
		" 0000000000000005 01 66 01 67 01 68 01 69")
	if got := amqp.AppendHeader(nil, 6, properties); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	want = fromHex(t, "003c 0000 0000000000000000 1000 02")
	if got := amqp.AppendHeader(nil, 0, &amqp.Properties{DeliveryMode: 2}); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	octets, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return octets
}
