package session_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func pointer[T any](v T) *T { return &v }

func raw(frames ...amqp.RawFrame) []byte {
	var out []byte
	for _, f := range frames {
		out = f.Append(out)
	}
	return out
}

func frame(kind amqp.FrameType, channel uint16, payload ...byte) amqp.RawFrame {
	return amqp.RawFrame{Type: kind, Channel: channel, Payload: payload}
}

// method is a METHOD frame with arguments of the test's making.
func method(channel uint16, id amqp.MethodID, arguments ...byte) amqp.RawFrame {
	return frame(amqp.FrameMethod, channel, append(binary.BigEndian.AppendUint32(nil, uint32(id)), arguments...)...)
}

// change returns octets with the one at i replaced.
func change(octets []byte, i int, to byte) []byte {
	octets[i] = to
	return octets
}

func TestMalformedInputEndsItsConnectionOnly(t *testing.T) {
	s := newServer(t)
	other := s.connect(t)
	other.declare(1, "q")

	publish := frame(amqp.FrameMethod, 1, (&amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody")}).Append(nil)...)
	header := func(size uint64) []byte { return amqp.AppendHeader(nil, size, &amqp.Properties{}) }
	headerFrame := func(payload []byte) amqp.RawFrame { return frame(amqp.FrameHeader, 1, payload...) }
	body := func(text string) amqp.RawFrame { return frame(amqp.FrameBody, 1, []byte(text)...) }
	flags := func(flags uint16, list ...byte) amqp.RawFrame {
		payload := header(0)
		binary.BigEndian.PutUint16(payload[12:], flags)
		return headerFrame(append(payload, list...))
	}
	ack := (&amqp.BasicAck{DeliveryTag: 1}).Append(nil)
	declare := func(name string, table ...byte) []byte {
		arguments := append([]byte{0, 0, byte(len(name))}, name...)
		arguments = append(arguments, 0)
		arguments = binary.BigEndian.AppendUint32(arguments, uint32(len(table)))
		return append(arguments, table...)
	}
	deep := []byte(nil)
	for range 200 {
		deep = append([]byte("\x01kF"), append(binary.BigEndian.AppendUint32(nil, uint32(len(deep))), deep...)...)
	}

	const expectedBody = "expected content body, got non content body frame instead"
	const expectedHeader = "expected content header for class 60, got non content header frame instead"
	for _, test := range []struct {
		name string
		send []byte
		want closed
	}{
		{"frame type 0", raw(frame(0, 1, 1, 2, 3)), closed{amqp.FrameError, 0, "type 0, all octets = <<1,2,3>>: unknown_frame"}},
		{"frame type 4", raw(frame(4, 0, []byte("abc")...)), closed{amqp.FrameError, 0, `type 4, all octets = <<"abc">>: unknown_frame`}},
		{"frame type 255", raw(frame(255, 9)), closed{amqp.FrameError, 0, "type 255, all octets = <<>>: unknown_frame"}},
		{"frame type unknown and long", raw(frame(7, 0, []byte("0123456789abcdefghij")...)), closed{amqp.FrameError, 0, `type 7, first 16 octets = <<"0123456789abcdef">>: unknown_frame`}},
		{
			"frame end", raw(amqp.RawFrame{Type: amqp.FrameMethod, Channel: 1, Payload: []byte{0, 20, 0, 10}, End: pointer(byte(0))}),
			closed{amqp.FrameError, 0, "type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,0}"},
		},
		{
			"frame too large", raw(amqp.RawFrame{Type: amqp.FrameBody, Channel: 1, Size: pointer(uint32(131073))}),
			closed{amqp.FrameError, 0, "type 3, all octets = <<>>: {frame_too_large,131073,131064}"},
		},
		{
			"frame of four gigabytes", raw(amqp.RawFrame{Type: amqp.FrameMethod, Channel: 1, Size: pointer(uint32(1<<32 - 1))}),
			closed{amqp.FrameError, 0, "type 1, all octets = <<>>: {frame_too_large,4294967295,131064}"},
		},
		{"heartbeat on a channel", raw(frame(amqp.FrameHeartbeat, 1)), closed{amqp.UnexpectedFrame, 0, "type 8, all octets = <<>>"}},
		{"heartbeat with a payload", raw(frame(amqp.FrameHeartbeat, 0, 1)), closed{amqp.FrameError, 0, "type 8, all octets = <<1>>: unknown_frame"}},
		{"method without ids", raw(frame(amqp.FrameMethod, 1)), closed{amqp.FrameError, 0, "type 1, all octets = <<>>: unknown_frame"}},
		{"method of three octets", raw(frame(amqp.FrameMethod, 1, 0, 60, 0)), closed{amqp.FrameError, 0, "type 1, all octets = <<0,60,0>>: unknown_frame"}},
		{"header of three octets", raw(publish, frame(amqp.FrameHeader, 1, 0, 60, 0)), closed{amqp.FrameError, 0, "type 2, all octets = <<0,60,0>>: unknown_frame"}},

		{"header without a method", raw(headerFrame(header(0))), closed{amqp.UnexpectedFrame, 0, "expected method frame, got non method frame instead"}},
		{"body without a method", raw(body("m")), closed{amqp.UnexpectedFrame, 0, "expected method frame, got non method frame instead"}},
		{"body on channel 0", raw(frame(amqp.FrameBody, 0, 'm')), closed{amqp.UnexpectedFrame, 0, `type 3, all octets = <<"m">>`}},
		{"header on channel 0", raw(frame(amqp.FrameHeader, 0, header(0)...)), closed{amqp.UnexpectedFrame, 0, "type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>"}},
		{"body on a channel that is not open", raw(frame(amqp.FrameBody, 7, 'm')), closed{amqp.UnexpectedFrame, 0, "expected method frame, got non method frame instead"}},
		{"method in place of a header", raw(publish, publish), closed{amqp.UnexpectedFrame, amqp.BasicPublishID, expectedHeader}},
		{"channel.close in place of a header", raw(publish, method(1, amqp.ChannelCloseID, 0, 200, 0, 0, 0, 0, 0)), closed{amqp.UnexpectedFrame, amqp.BasicPublishID, expectedHeader}},
		{"body in place of a header", raw(publish, body("m")), closed{amqp.UnexpectedFrame, amqp.BasicPublishID, expectedHeader}},
		{"header with a weight", raw(publish, headerFrame(change(header(0), 3, 1))), closed{amqp.UnexpectedFrame, amqp.BasicPublishID, expectedHeader}},
		{
			"header of another class", raw(publish, headerFrame(change(header(0), 1, 50))),
			closed{amqp.UnexpectedFrame, amqp.BasicPublishID, "expected content header for class 60, got one for class 50 instead"},
		},
		{"method in place of a body", raw(publish, headerFrame(header(1)), publish), closed{amqp.UnexpectedFrame, amqp.BasicPublishID, expectedBody}},
		{"header in place of a body", raw(publish, headerFrame(header(1)), headerFrame(header(1))), closed{amqp.UnexpectedFrame, amqp.BasicPublishID, expectedBody}},
		{"body longer than declared", raw(publish, headerFrame(header(3)), body("four")), closed{amqp.FrameError, amqp.BasicPublishID, "content body frame exceeds remaining content size"}},
		{
			"second body longer than what is missing", raw(publish, headerFrame(header(5)), body("four"), body("ty")),
			closed{amqp.FrameError, amqp.BasicPublishID, "content body frame exceeds remaining content size"},
		},
		{"body behind a whole content", raw(publish, headerFrame(header(1)), body("a"), body("b")), closed{amqp.UnexpectedFrame, 0, "expected method frame, got non method frame instead"}},
		{"body behind an empty content", raw(publish, headerFrame(header(0)), body("")), closed{amqp.UnexpectedFrame, 0, "expected method frame, got non method frame instead"}},
		{
			"body of more than 512 MiB", raw(publish, headerFrame(header(512<<20+1))),
			closed{amqp.FrameError, amqp.BasicPublishID, "content body size 536870913 exceeds maximum allowed size 536870912"},
		},
		{
			"body of 2^64-1", raw(publish, headerFrame(header(1<<64-1))),
			closed{amqp.FrameError, amqp.BasicPublishID, "content body size 18446744073709551615 exceeds maximum allowed size 536870912"},
		},
		{"flags of more flags", raw(publish, flags(1)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"flags of no property", raw(publish, flags(2)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"property missing", raw(publish, flags(0x8000)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"property cut", raw(publish, flags(0x8000, 5, 'a', 'b')), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"headers longer than the frame", raw(publish, flags(0x2000, 0xFF, 0xFF, 0xFF, 0xFF)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"more than the properties", raw(publish, flags(0x0800, 1, 2)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"header without flags", raw(publish, headerFrame(header(0)[:12])), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},

		{"no arguments", raw(method(1, amqp.ChannelFlowID)), closed{amqp.FrameError, amqp.ChannelFlowID, "cannot decode <<>>"}},
		{"arguments cut", raw(method(1, amqp.QueueDeclareID, 0)), closed{amqp.FrameError, amqp.QueueDeclareID, "cannot decode <<0>>"}},
		{"name longer than the frame", raw(method(1, amqp.QueueDeclareID, 0, 0, 200, 'q')), closed{amqp.FrameError, amqp.QueueDeclareID, "*"}},
		{"more than the arguments", raw(method(1, amqp.ChannelFlowID, 1, 1)), closed{amqp.FrameError, amqp.ChannelFlowID, "*"}},
		{"publish cut", raw(method(1, amqp.BasicPublishID, 0, 0, 0)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"publish with a long key", raw(method(1, amqp.BasicPublishID, 0, 0, 0, 255, 'k', 0)), closed{amqp.FrameError, amqp.BasicPublishID, "*"}},
		{"ack cut", raw(frame(amqp.FrameMethod, 1, ack[:len(ack)-1]...)), closed{amqp.FrameError, amqp.BasicAckID, "*"}},
		{"ack with more", raw(frame(amqp.FrameMethod, 1, append(ack, 0)...)), closed{amqp.FrameError, amqp.BasicAckID, "*"}},
		{"name that is not UTF-8", raw(method(1, amqp.QueueDeclareID, declare("\xff")...)), closed{amqp.FrameError, 0, "Malformed UTF-8 in shortstr"}},
		{"exchange that is not UTF-8", raw(method(1, amqp.BasicPublishID, 0, 0, 1, 0xff, 0, 0), headerFrame(header(0))), closed{amqp.FrameError, 0, "Malformed UTF-8 in shortstr"}},
		{"table longer than the frame", raw(method(1, amqp.QueueDeclareID, 0, 0, 1, 'q', 0, 0xFF, 0xFF, 0xFF, 0xFF)), closed{amqp.FrameError, amqp.QueueDeclareID, "*"}},
		{"value of an unknown type", raw(method(1, amqp.QueueDeclareID, declare("q", 1, 'k', '?', 0)...)), closed{amqp.SyntaxError, amqp.QueueDeclareID, "*"}},
		{"value cut", raw(method(1, amqp.QueueDeclareID, declare("q", 1, 'k', 'I', 0)...)), closed{amqp.SyntaxError, amqp.QueueDeclareID, "*"}},
		{"array longer than its table", raw(method(1, amqp.QueueDeclareID, declare("q", 1, 'k', 'A', 0, 0, 1, 0)...)), closed{amqp.SyntaxError, amqp.QueueDeclareID, "*"}},
		{"table nested 200 times", raw(method(1, amqp.QueueDeclareID, declare("q", deep...)...)), closed{amqp.SyntaxError, amqp.QueueDeclareID, "*"}},

		{"unknown class", raw(method(1, 99<<16|1)), closed{amqp.CommandInvalid, 99<<16 | 1, "unimplemented method"}},
		{"unknown method", raw(method(1, 60<<16|99)), closed{amqp.CommandInvalid, 60<<16 | 99, "unimplemented method"}},
		{"unknown method on channel 0", raw(method(0, 10<<16|99)), closed{amqp.CommandInvalid, 10<<16 | 99, "unimplemented method"}},
		{"connection's method on a channel", raw(method(1, amqp.ConnectionOpenID, 1, '/', 0, 0)), closed{amqp.CommandInvalid, amqp.ConnectionOpenID, "unimplemented method"}},
		{"connection.close on a channel", raw(method(1, amqp.ConnectionCloseID, 0, 200, 0, 0, 0, 0, 0)), closed{amqp.CommandInvalid, amqp.ConnectionCloseID, "unimplemented method"}},
		{"publish on channel 0", raw(frame(amqp.FrameMethod, 0, publish.Payload...)), closed{amqp.ChannelError, amqp.BasicPublishID, "unexpected method in connection state running"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.connect(t)
			p.raw(append(test.send, raw(frame(amqp.FrameHeartbeat, 0))...)) // and what follows is not looked at
			other.t = t
			other.expectReady(1, "q", 0, 0)
			p.expectConnectionClose(test.want)
			other.expectReady(1, "q", 0, 0)
		})
	}
	other.t = t
	other.publish(1, "", "q", "m")
	if _, _, body := other.get(1, "q"); body != "m" {
		t.Errorf("the other connection gets %q", body)
	}
}

func TestInputThatEndsInTheMiddle(t *testing.T) {
	s := newServer(t)
	other := s.connect(t)
	other.declare(1, "q")
	whole := message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{ContentType: "text/plain"}, strings.Repeat("body", 3))
	for n := range whole {
		p := s.connect(t)
		p.raw(whole[:n])
		p.nc.Close()
		<-p.ended
	}
	other.expectReady(1, "q", 0, 0)
}
