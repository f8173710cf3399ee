package session_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// bodyOf makes a body that shows where it went wrong.
func bodyOf(size int) string {
	var out strings.Builder
	for i := 0; out.Len() < size; i++ {
		fmt.Fprintf(&out, "%07d.", i)
	}
	return out.String()[:size]
}

func TestContentComesBackAsItWent(t *testing.T) { // WIRE-04, WIRE-11
	s := newServer(t)
	properties := amqp.Properties{
		ContentType: "text/plain", Headers: amqp.Table{"z": int8(1), "a": amqp.Table{"b": []any{nil, true}}}, DeliveryMode: 1, MessageID: "id",
	}
	for _, frameMax := range []uint32{4096, 131072} {
		for _, size := range []int{0, 1, 4088, 4089, 4095, 4096, 10000, 131064, 131065, 400_000} {
			t.Run(fmt.Sprintf("%d octets in frames of %d", size, frameMax), func(t *testing.T) {
				p := s.dial(t)
				p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 5, FrameMax: frameMax})
				p.openChannel(1)
				p.send(1, &amqp.QueueDeclare{Queue: "", Exclusive: true})
				name := p.method("queue.declare-ok", 1).(*amqp.QueueDeclareOk).Queue
				body := bodyOf(size)
				p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", name)}, properties, body)
				m, header, got := p.get(1, name)
				if got != body {
					t.Errorf("body of %d octets differs", len(got))
				}
				if want := amqp.AppendHeader(nil, uint64(size), &properties); !bytes.Equal(header.Raw, want) {
					t.Errorf("header % x, want % x", header.Raw, want)
				}
				if exchange, key := m.Keys.Split(); string(exchange) != "" || string(key) != name {
					t.Errorf("exchange %q, key %q", exchange, key)
				}
			})
		}
	}
}

func TestNoFrameIsLargerThanAgreed(t *testing.T) { // WIRE-02
	p := newServer(t).dial(t)
	p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 5, FrameMax: 4096})
	p.openChannel(1)
	p.declare(1, "q")
	p.publish(1, "", "q", bodyOf(20_000))
	p.send(1, &amqp.BasicGet{Queue: []byte("q")})
	p.method("basic.get-ok", 1)
	p.frame("header")
	var sizes []int
	for total := 0; total < 20_000; {
		f := p.frame("body")
		sizes = append(sizes, len(f.Payload))
		total += len(f.Payload)
	}
	if want := []int{4088, 4088, 4088, 4088, 3648}; !slices.Equal(sizes, want) {
		t.Errorf("bodies of %v, want %v", sizes, want)
	}
}

func TestHeaderFrameIsNeverSplit(t *testing.T) { // WIRE-06
	s := newServer(t)
	publisher, consumer := s.connect(t), s.dial(t)
	consumer.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 5, FrameMax: 4096})
	consumer.openChannel(1)
	consumer.declare(1, "q")
	properties := amqp.Properties{Headers: amqp.Table{"long": bodyOf(6000)}}
	publisher.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, properties, "m")
	publisher.expectNothing(1)
	if _, header, _ := consumer.get(1, "q"); len(header.Raw) < 6000 {
		t.Errorf("header of %d octets", len(header.Raw))
	}
}

// pieces cuts octets into writes of the given size.
func pieces(octets []byte, size int) [][]byte { return slices.Collect(slices.Chunk(octets, size)) }

func TestContentInManyReads(t *testing.T) {
	s := newServer(t)
	for _, size := range []int{1, 7, 100, 4095} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := s.connect(t)
			p.send(1, &amqp.QueueDeclare{Exclusive: true})
			name := p.method("queue.declare-ok", 1).(*amqp.QueueDeclareOk).Queue
			var octets []byte
			var want []string
			for i, bodySize := range []int{0, 5, 300, 9000} {
				body := fmt.Sprint(i) + bodyOf(bodySize)
				want = append(want, body)
				octets = append(octets, message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", name)}, amqp.Properties{AppID: strings.Repeat("a", i*50)}, body)...)
			}
			for _, piece := range pieces(octets, size) {
				p.raw(piece)
			}
			for i, body := range want {
				_, header, got := p.get(1, name)
				if got != body || string(header.Shortstr(amqp.PropertyAppID)) != strings.Repeat("a", i*50) {
					t.Errorf("message %d differs: %.20q of %d octets, want %.20q of %d", i, got, len(got), body, len(body))
				}
			}
		})
	}
}

func TestBodyInManyFrames(t *testing.T) { // WIRE-04: also in empty ones
	p := newServer(t).connect(t)
	p.declare(1, "q")
	octets := encode(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")})
	octets = amqp.AppendFrame(octets, amqp.FrameHeader, 1, amqp.AppendHeader(nil, 6, &amqp.Properties{}))
	for _, piece := range []string{"", "a", "", "", "bcd", "e", "", "f"} {
		octets = amqp.AppendFrame(octets, amqp.FrameBody, 1, []byte(piece))
		p.raw(octets) // each in a read of its own
		octets = nil
	}
	if _, _, body := p.get(1, "q"); body != "abcdef" {
		t.Errorf("body %q", body)
	}
}

func TestContentsOfChannelsInterleave(t *testing.T) { // WIRE-07
	for _, oneRead := range []bool{true, false} {
		t.Run(fmt.Sprintf("one read %v", oneRead), func(t *testing.T) {
			s := newServer(t) // its own, for the exclusive queue goes with the connection, but not at once
			p := s.connect(t)
			p.openChannel(2)
			p.send(1, &amqp.QueueDeclare{Queue: "q", Exclusive: true})
			p.expect(1, &amqp.QueueDeclareOk{Queue: "q"})
			var frames [][]byte
			add := func(octets []byte) { frames = append(frames, octets) }
			for channel := uint16(1); channel <= 2; channel++ {
				add(encode(channel, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}))
			}
			add(amqp.AppendHeartbeat(nil))
			for channel := uint16(1); channel <= 2; channel++ {
				add(amqp.AppendFrame(nil, amqp.FrameHeader, channel, amqp.AppendHeader(nil, 4, &amqp.Properties{AppID: fmt.Sprint(channel)})))
			}
			add(amqp.AppendFrame(nil, amqp.FrameBody, 1, []byte("on")))
			add(amqp.AppendFrame(nil, amqp.FrameBody, 2, []byte("tw")))
			add(amqp.AppendHeartbeat(nil))
			add(amqp.AppendFrame(nil, amqp.FrameBody, 2, []byte("o2")))
			add(amqp.AppendFrame(nil, amqp.FrameBody, 1, []byte("e1")))
			if oneRead {
				frames = [][]byte{bytes.Join(frames, nil)}
			}
			for _, octets := range frames {
				p.raw(octets)
			}
			_, _, first := p.get(1, "q")
			_, _, second := p.get(1, "q")
			if s.external != "" && first == "one1" { // others promise no order between channels
				first, second = second, first
			}
			if first != "two2" || second != "one1" { // in the order in which they were whole (ORD-02)
				t.Errorf("bodies %q, %q", first, second)
			}
		})
	}
}

func TestOtherChannelWorksWhileAContentIsIncomplete(t *testing.T) { // WIRE-07
	p := newServer(t).connect(t)
	p.openChannel(2)
	body := bodyOf(9000)
	octets := encode(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")})
	octets = amqp.AppendFrame(octets, amqp.FrameHeader, 1, amqp.AppendHeader(nil, 9000, &amqp.Properties{}))
	p.raw(amqp.AppendFrame(octets, amqp.FrameBody, 1, []byte(body[:5000])))
	p.declare(2, "q") // the read buffer is reused meanwhile
	for i := range 20 {
		p.publish(2, "", "elsewhere", bodyOf(500+i))
	}
	p.expectNothing(2)
	p.raw(amqp.AppendFrame(nil, amqp.FrameBody, 1, []byte(body[5000:])))
	if _, _, got := p.get(1, "q"); got != body {
		t.Error("body differs")
	}
}

func TestMessageOverTheConfiguredSize(t *testing.T) { // WIRE-15, PUB-09
	s := newOwnServer(t)
	s.cfg.MaxMessageSize = 10_000
	p := s.connect(t)
	p.declare(1, "q")
	p.publish(1, "", "q", bodyOf(10_000))
	p.publish(1, "", "q", bodyOf(10_001))
	p.publish(1, "", "q", "behind it")
	p.expectChannelClose(1, closed{amqp.PreconditionFailed, amqp.BasicPublishID, "message size 10001 is larger than configured max size 10000"})
	p.openChannel(1)
	p.expectReady(1, "q", 1, 0)
}

func TestMandatoryMessageComesBack(t *testing.T) { // PUB-04, PUB-05
	p := newServer(t).connect(t)
	p.send(1, &amqp.ConfirmSelect{})
	p.expect(1, &amqp.ConfirmSelectOk{})
	properties := amqp.Properties{MessageID: "id", Headers: amqp.Table{"k": "v"}}
	for n, size := range []int{0, 10, 9000} {
		body := bodyOf(size)
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("amq.direct", "nowhere"), Mandatory: true}, properties, body)
		m, ok := p.method("basic.return", 1).(*amqp.BasicReturn)
		if !ok || m.ReplyCode != amqp.NoRoute || m.ReplyText != "NO_ROUTE" || !bytes.Equal(m.Keys, amqp.MakeKeys("amq.direct", "nowhere")) {
			t.Fatalf("answer %+v", m)
		}
		header, got := p.content(1, m)
		if want := amqp.AppendHeader(nil, uint64(size), &properties); !bytes.Equal(header.Raw, want) || got != body {
			t.Errorf("message of %d octets comes back changed", size)
		}
		p.expect(1, &amqp.BasicAck{DeliveryTag: uint64(n + 1)}) // behind it
	}
	p.publish(1, "amq.direct", "nowhere", "not mandatory")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 4})
}

func TestPublishFailsWhenItsContentIsWhole(t *testing.T) { // PUB-01
	p := newServer(t).connect(t)
	p.send(1, &amqp.ConfirmSelect{})
	p.expect(1, &amqp.ConfirmSelectOk{})
	octets := encode(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("nox", "k")})
	p.raw(amqp.AppendFrame(octets, amqp.FrameHeader, 1, amqp.AppendHeader(nil, 1, &amqp.Properties{})))
	p.openChannel(2)
	p.expectNothing(2)
	p.raw(amqp.AppendFrame(nil, amqp.FrameBody, 1, []byte("m")))
	p.expectChannelClose(1, closed{amqp.NotFound, amqp.BasicPublishID, "no exchange 'nox' in vhost '/'"})
	p.openChannel(1)
	p.send(1, &amqp.ExchangeDeclare{Exchange: "inner", Type: "fanout", Internal: true})
	p.expect(1, &amqp.ExchangeDeclareOk{})
	p.publish(1, "inner", "k", "m")
	p.expectChannelClose(1, closed{amqp.AccessRefused, amqp.BasicPublishID, "cannot publish to internal exchange 'inner' in vhost '/'"})
}

func TestPropertiesThatAreChecked(t *testing.T) { // PUB-06, PUB-07
	s := newServer(t)
	p := s.connect(t)
	p.declare(1, "q")
	for _, test := range []struct {
		properties amqp.Properties
		refused    string
	}{
		{amqp.Properties{Expiration: "0"}, ""},
		{amqp.Properties{Expiration: "05"}, ""},
		{amqp.Properties{Expiration: "+5"}, ""},
		{amqp.Properties{Expiration: "-0"}, ""},
		{amqp.Properties{Expiration: "315360000000"}, ""},
		{amqp.Properties{Expiration: "315360000001"}, "invalid expiration '315360000001': {value_too_large,315360000001}"},
		{amqp.Properties{Expiration: "abc"}, "invalid expiration 'abc': no_integer"},
		{amqp.Properties{Expiration: "-1"}, "invalid expiration '-1': {value_negative,-1}"},
		{amqp.Properties{Expiration: "1.5"}, `invalid expiration '1.5': {leftover_string,".5"}`},
		{amqp.Properties{Present: amqp.PropertyExpiration}, "invalid expiration '': no_integer"},
		{amqp.Properties{Expiration: " 5"}, "invalid expiration ' 5': no_integer"},
		{amqp.Properties{Expiration: "5 "}, `invalid expiration '5 ': {leftover_string," "}`},
		{amqp.Properties{UserID: "guest"}, ""},
		{amqp.Properties{UserID: "other"}, "user_id property set to 'other' but authenticated user was 'guest'"},
	} {
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("amq.direct", "nowhere")}, test.properties, "m")
		if test.refused == "" {
			p.expectNothing(1)
			continue
		}
		p.expectChannelClose(1, closed{amqp.PreconditionFailed, amqp.BasicPublishID, test.refused})
		p.openChannel(1)
	}
}

func TestManyMessagesInOneWrite(t *testing.T) {
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c", NoAck: true})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	var octets []byte
	const messages = 3000
	for i := range messages {
		octets = append(octets, message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{}, fmt.Sprint(i))...)
	}
	p.raw(octets)
	for i := range messages {
		if got, want := p.delivery(1), fmt.Sprintf("c:%d:%d", i+1, i); got != want {
			t.Fatalf("delivery %s, want %s", got, want)
		}
	}
}
