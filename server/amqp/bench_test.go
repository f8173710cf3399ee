package amqp_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func BenchmarkParseFrame(b *testing.B) {
	buf := amqp.AppendFrame(nil, amqp.FrameMethod, 1, publishPayload())
	for b.Loop() {
		if _, n, err := amqp.ParseFrame(buf, 131072); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	payload := publishPayload()
	var m amqp.BasicPublish
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeAck(b *testing.B) {
	payload := (&amqp.BasicAck{DeliveryTag: 7, Multiple: true}).Append(nil)
	var m amqp.BasicAck
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeDeliver(b *testing.B) {
	payload := amqp.AppendDeliver(nil, "ctag1", 7, false, amqp.MakeKeys("", "orders"))
	var m amqp.BasicDeliver
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Decode(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseHeader(b *testing.B) {
	for name, payload := range map[string][]byte{
		"persistent": amqp.AppendHeader(nil, 100, &amqp.Properties{DeliveryMode: amqp.Persistent}),
		"all":        amqp.AppendHeader(nil, 100, allProperties()),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := amqp.ParseHeader(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendDelivery(b *testing.B) {
	keys := amqp.MakeKeys("", "orders")
	header := amqp.AppendHeader(nil, 100, &amqp.Properties{DeliveryMode: amqp.Persistent})
	body := make([]byte, 100)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = amqp.BeginFrame(out[:0], amqp.FrameMethod, 1)
		out = amqp.AppendDeliver(out, "ctag1", 7, false, keys)
		out = amqp.EndFrame(out, 0)
		out = amqp.AppendContent(out, 1, header, body, 131072)
	}
}

func BenchmarkTableLookup(b *testing.B) {
	raw := allProperties().Headers.Raw()
	b.ReportAllocs()
	for b.Loop() {
		if _, found, err := raw.Lookup("string"); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkTableDecode(b *testing.B) {
	raw := allProperties().Headers.Raw()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := raw.Decode(); err != nil {
			b.Fatal(err)
		}
	}
}
