package amqp_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestHotPathsAllocateNothing(t *testing.T) {
	var (
		publishOctets = publishPayload()
		ackOctets     = (&amqp.BasicAck{DeliveryTag: 1}).Append(nil)
		nackOctets    = (&amqp.BasicNack{DeliveryTag: 1}).Append(nil)
		rejectOctets  = (&amqp.BasicReject{DeliveryTag: 1}).Append(nil)
		getOctets     = (&amqp.BasicGet{Queue: []byte("q")}).Append(nil)
		keys          = amqp.MakeKeys("events", "order.created")
		deliverOctets = amqp.AppendDeliver(nil, "tag", 1, false, keys)
		headerOctets  = amqp.AppendHeader(nil, 100, allProperties())
		frameOctets   = amqp.AppendFrame(nil, amqp.FrameMethod, 1, publishOctets)
		body          = make([]byte, 100)
		out           = make([]byte, 0, 1024)

		publish amqp.BasicPublish
		ack     amqp.BasicAck
		nack    amqp.BasicNack
		reject  amqp.BasicReject
		get     amqp.BasicGet
		deliver amqp.BasicDeliver
	)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, run := range map[string]func(){
		"parse frame": func() {
			_, _, err := amqp.ParseFrame(frameOctets, 4096)
			check(err)
		},
		"decode publish": func() { check(publish.Decode(publishOctets)) },
		"decode ack":     func() { check(ack.Decode(ackOctets)) },
		"decode nack":    func() { check(nack.Decode(nackOctets)) },
		"decode reject":  func() { check(reject.Decode(rejectOctets)) },
		"decode get":     func() { check(get.Decode(getOctets)) },
		"decode deliver": func() { check(deliver.Decode(deliverOctets)) },
		"scan header": func() {
			h, err := amqp.ParseHeader(headerOctets)
			check(err)
			table, _ := h.Headers()
			_, _, err = table.Lookup("string")
			check(err)
			h.Shortstr(amqp.PropertyMessageID)
		},
		"append delivery": func() {
			out = amqp.BeginFrame(out[:0], amqp.FrameMethod, 1)
			out = amqp.AppendDeliver(out, "tag", 1, false, keys)
			out = amqp.EndFrame(out, 0)
			out = amqp.AppendContent(out, 1, headerOctets, body, 131072)
		},
		"append ack": func() {
			out = amqp.BeginFrame(out[:0], amqp.FrameMethod, 1)
			out = (&amqp.BasicAck{DeliveryTag: 1, Multiple: true}).Append(out)
			out = amqp.EndFrame(out, 0)
		},
		"append publish": func() {
			out = amqp.BeginFrame(out[:0], amqp.FrameMethod, 1)
			out = (&amqp.BasicPublish{Keys: keys}).Append(out)
			out = amqp.EndFrame(out, 0)
		},
		"change header": func() {
			h, err := amqp.ParseHeader(headerOctets)
			check(err)
			out = h.AppendWithShortstr(out[:0], amqp.PropertyReplyTo, "other")
		},
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
