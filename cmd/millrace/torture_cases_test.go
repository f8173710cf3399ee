package main_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Why RabbitMQ answers otherwise, for rows that share a reason. docs/compatibility.md has them too.
const (
	whyHandshake = "RabbitMQ closes the socket on faults in the handshake; a close with a reason helps to find them (CONN-12)"
	whyDecoding  = "RabbitMQ fails inside where it cannot decode a table or properties, and answers 541 or drops the socket (WIRE-14)"
	whySurplus   = "RabbitMQ 3.10 waits for more; 4.x refuses what is too much"
	whyUnknown   = "RabbitMQ drops the socket where it does not know a method (CHAN-07)"
)

func pointer[T any](v T) *T { return &v }

func plainFrame(kind amqp.FrameType, channel uint16, payload ...byte) amqp.RawFrame {
	return amqp.RawFrame{Type: kind, Channel: channel, Payload: payload}
}

func sendFrames(frames ...amqp.RawFrame) func(*rawPeer) {
	return func(p *rawPeer) { p.frames(frames...) }
}

func sendMethods(channel uint16, methods ...amqp.Method) func(*rawPeer) {
	return func(p *rawPeer) { p.methods(channel, methods...) }
}

func sendArguments(channel uint16, id amqp.MethodID, arguments ...byte) func(*rawPeer) {
	return func(p *rawPeer) { p.arguments(channel, id, arguments...) }
}

func sendRaw(octets string) func(*rawPeer) {
	return func(p *rawPeer) { p.raw([]byte(octets)) }
}

// inTurn does one after the other.
func inTurn(parts ...func(*rawPeer)) func(*rawPeer) {
	return func(p *rawPeer) {
		for _, do := range parts {
			do(p)
		}
	}
}

func header(size uint64) []byte { return amqp.AppendHeader(nil, size, &amqp.Properties{}) }

// withHeader begins a content and sends a header of the test's making.
func withHeader(payload []byte, more ...amqp.RawFrame) func(*rawPeer) {
	return inTurn(sendPublish, sendFrames(append([]amqp.RawFrame{plainFrame(amqp.FrameHeader, 1, payload...)}, more...)...))
}

// flagged is a header with these property flags and this list of properties.
func flagged(flags uint16, list ...byte) []byte {
	payload := header(0)
	binary.BigEndian.PutUint16(payload[12:], flags)
	return append(payload, list...)
}

func changed(octets []byte, at int, to byte) []byte {
	octets[at] = to
	return octets
}

var sendPublish = sendMethods(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody")})

func body(text string) amqp.RawFrame { return plainFrame(amqp.FrameBody, 1, []byte(text)...) }

// declaration is the arguments of a queue.declare with a table of the test's making.
func declaration(name string, table ...byte) []byte {
	arguments := append([]byte{0, 0, byte(len(name))}, name...)
	arguments = binary.BigEndian.AppendUint32(append(arguments, 8), uint32(len(table))) // auto-delete
	return append(arguments, table...)
}

// nestedTable is the content of a table in a table in a table.
func nestedTable(depth int) (table []byte) {
	for range depth {
		table = append(binary.BigEndian.AppendUint32([]byte("\x01kF"), uint32(len(table))), table...)
	}
	return table
}

const (
	notMethod   = "expected method frame, got non method frame instead"
	notHeader   = "expected content header for class 60, got non content header frame instead"
	notBody     = "expected content body, got non content body frame instead"
	notOpen     = "expected 'channel.open'"
	notExpected = "unexpected method in connection state running"
)

func tortures() []torture {
	var all []torture
	for _, part := range [][]torture{torturesOfHandshake(), torturesOfFrames(), torturesOfContents(), torturesOfMethods(), torturesOfSettling(), torturesOfSockets()} {
		all = append(all, part...)
	}
	return all
}

func torturesOfHandshake() []torture {
	tune := func(channelMax uint16, frameMax uint32) func(*rawPeer) {
		return func(p *rawPeer) {
			p.raw([]byte(amqp.ProtocolHeader))
			p.methods(0, p.startOk(), &amqp.ConnectionTuneOk{ChannelMax: channelMax, FrameMax: frameMax}, &amqp.ConnectionOpen{VirtualHost: "/"})
		}
	}
	begun := func(methods ...amqp.Method) func(*rawPeer) {
		return inTurn(sendRaw(amqp.ProtocolHeader), sendMethods(0, methods...))
	}
	return []torture{
		{name: "version that does not exist", bare: true, do: sendRaw("AMQP\x09\x09\x09\x09"), want: ending{kind: headerAndHangsUp}},
		{name: "version 0-10", bare: true, do: sendRaw("AMQP\x01\x01\x00\x0a"), want: ending{kind: headerAndHangsUp}},
		{name: "HTTP", bare: true, do: sendRaw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), want: ending{kind: headerAndHangsUp}},
		{name: "TLS", bare: true, do: sendRaw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), want: ending{kind: headerAndHangsUp}},
		{name: "eight zeros", bare: true, do: sendRaw(strings.Repeat("\x00", 8)), want: ending{kind: headerAndHangsUp}},
		{
			name: "tune-ok with more channels", bare: true, do: tune(3000, 131072), rabbit: ending{kind: hangsUp}, why: whyHandshake,
			want: connection(530, amqp.ConnectionTuneOkID, "negotiated channel_max = 3000 is higher than the maximum allowed value (2047)"),
		},
		{
			name: "tune-ok with any number of channels", bare: true, do: tune(0, 131072), rabbit: ending{kind: hangsUp}, why: whyHandshake,
			want: connection(530, amqp.ConnectionTuneOkID, "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
		},
		{
			name: "tune-ok with larger frames", bare: true, do: tune(10, 131073), rabbit: ending{kind: hangsUp}, why: whyHandshake,
			want: connection(530, amqp.ConnectionTuneOkID, "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"),
		},
		{
			name: "tune-ok with tiny frames", bare: true, do: tune(10, 100), rabbit: ending{kind: hangsUp}, why: whyHandshake,
			want: connection(530, amqp.ConnectionTuneOkID, "negotiated frame_max = 100 is lower than the minimum allowed value (4096)"),
		},
		{name: "open before start-ok", bare: true, do: begun(&amqp.ConnectionOpen{VirtualHost: "/"}), want: ending{kind: hangsUp}},
		{name: "tune-ok before start-ok", bare: true, do: begun(tortureTune), want: ending{kind: hangsUp}},
		{name: "channel.open before all", bare: true, do: inTurn(sendRaw(amqp.ProtocolHeader), sendMethods(1, &amqp.ChannelOpen{})), want: ending{kind: hangsUp}},
		{name: "start-ok twice", bare: true, do: func(p *rawPeer) {
			p.raw([]byte(amqp.ProtocolHeader))
			p.methods(0, p.startOk(), p.startOk())
		}, want: ending{kind: hangsUp}},
		{
			name: "virtual host that is not there", bare: true, do: func(p *rawPeer) {
				p.raw([]byte(amqp.ProtocolHeader))
				p.methods(0, p.startOk(), tortureTune, &amqp.ConnectionOpen{VirtualHost: "nope"})
			}, want: connection(530, amqp.ConnectionOpenID, "vhost nope not found"),
		},
		{name: "open twice", do: sendMethods(0, &amqp.ConnectionOpen{VirtualHost: "/"}), want: connection(504, amqp.ConnectionOpenID, notExpected)},
		{name: "tune-ok when all is open", do: sendMethods(0, tortureTune), want: connection(504, amqp.ConnectionTuneOkID, notExpected)},
	}
}

func torturesOfFrames() []torture {
	return []torture{
		{name: "frame of type 0", do: sendFrames(plainFrame(0, 1, 1, 2, 3)), want: connection(501, 0, "type 0, all octets = <<1,2,3>>: unknown_frame")},
		{name: "frame of type 4", do: sendFrames(plainFrame(4, 0, []byte("abc")...)), want: connection(501, 0, `type 4, all octets = <<"abc">>: unknown_frame`)},
		{name: "frame of type 255", do: sendFrames(plainFrame(255, 9)), want: connection(501, 0, "type 255, all octets = <<>>: unknown_frame")},
		{
			name: "wrong frame end", do: sendFrames(amqp.RawFrame{Type: amqp.FrameMethod, Channel: 1, Payload: []byte{0, 20, 0, 10}, End: pointer(byte(0))}),
			want: connection(501, 0, "type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,0}"),
		},
		{
			name: "frame that is too large", do: sendFrames(amqp.RawFrame{Type: amqp.FrameBody, Channel: 1, Size: pointer(uint32(131073))}),
			want: connection(501, 0, "type 3, all octets = <<>>: {frame_too_large,131073,131064}"),
		},
		{
			name: "frame of four gigabytes", do: sendFrames(amqp.RawFrame{Type: amqp.FrameMethod, Channel: 1, Size: pointer(uint32(1<<32 - 1))}),
			want: connection(501, 0, "type 1, all octets = <<>>: {frame_too_large,4294967295,131064}"),
		},
		{name: "heartbeat on a channel", do: sendFrames(plainFrame(amqp.FrameHeartbeat, 1)), want: connection(505, 0, "type 8, all octets = <<>>")},
		{name: "heartbeat with a payload", do: sendFrames(plainFrame(amqp.FrameHeartbeat, 0, 1)), want: connection(501, 0, "type 8, all octets = <<1>>: unknown_frame")},
		{name: "a thousand heartbeats", do: sendRaw(strings.Repeat("\x08\x00\x00\x00\x00\x00\x00\xce", 1000)), want: ending{kind: goesOn}},
		{name: "method without ids", do: sendFrames(plainFrame(amqp.FrameMethod, 1)), want: connection(501, 0, "type 1, all octets = <<>>: unknown_frame")},
		{name: "method of three octets", do: sendFrames(plainFrame(amqp.FrameMethod, 1, 0, 60, 0)), want: connection(501, 0, "type 1, all octets = <<0,60,0>>: unknown_frame")},
	}
}

func torturesOfContents() []torture {
	surplus := "content body frame exceeds remaining content size"
	return []torture{
		{name: "header without a method", do: sendFrames(plainFrame(amqp.FrameHeader, 1, header(0)...)), want: connection(505, 0, notMethod)},
		{name: "body without a method", do: sendFrames(body("m")), want: connection(505, 0, notMethod)},
		{name: "body on channel 0", do: sendFrames(plainFrame(amqp.FrameBody, 0, 'm')), want: connection(505, 0, `type 3, all octets = <<"m">>`)},
		{name: "header on channel 0", do: sendFrames(plainFrame(amqp.FrameHeader, 0, header(0)...)), want: connection(505, 0, "type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>")},
		{name: "body on a channel that is not open", do: sendFrames(plainFrame(amqp.FrameBody, 7, 'm')), want: connection(505, 0, notMethod)},
		{name: "method in place of a header", do: inTurn(sendPublish, sendPublish), want: connection(505, amqp.BasicPublishID, notHeader)},
		{name: "weight that is not zero", do: withHeader(changed(header(0), 3, 1)), want: connection(505, amqp.BasicPublishID, notHeader)},
		{
			name: "header of another class", do: withHeader(changed(header(0), 1, 50)),
			want: connection(505, amqp.BasicPublishID, "expected content header for class 60, got one for class 50 instead"),
		},
		{name: "method in place of a body", do: inTurn(withHeader(header(1)), sendPublish), want: connection(505, amqp.BasicPublishID, notBody)},
		{name: "header in place of a body", do: withHeader(header(1), plainFrame(amqp.FrameHeader, 1, header(1)...)), want: connection(505, amqp.BasicPublishID, notBody)},
		{name: "body longer than declared", do: withHeader(header(3), body("four")), want: connection(501, amqp.BasicPublishID, surplus), rabbit: connection(505, amqp.BasicPublishID, notBody), why: whySurplus},
		{name: "body behind a whole content", do: withHeader(header(1), body("a"), body("b")), want: connection(505, 0, notMethod)},
		{
			name: "body over the limit", do: withHeader(header(1<<20 + 1)), want: channelClose(406, amqp.BasicPublishID, "message size 1048577 is larger than configured max size 1048576"),
			rabbit: connection(505, amqp.BasicPublishID, notBody), why: "its own limit is 128 MiB: it waits for the body",
		},
		{
			name: "body of 2^64-1", do: withHeader(header(1<<64 - 1)),
			want:   connection(501, amqp.BasicPublishID, "content body size 18446744073709551615 exceeds maximum allowed size 536870912"),
			rabbit: connection(505, amqp.BasicPublishID, notBody), why: "3.10 looks at the size when the content is complete",
		},
		{name: "empty bodies", do: withHeader(header(1), body(""), body(""), body("m")), want: ending{kind: goesOn}},
		{name: "flags for more flags", do: withHeader(flagged(1)), want: connection(501, amqp.BasicPublishID, ""), rabbit: ending{kind: goesOn}, why: "3.10 does not look at the flags of a message that nobody gets"},
		{name: "property that is missing", do: withHeader(flagged(0x8000)), want: connection(501, amqp.BasicPublishID, ""), rabbit: connection(541, 0, ""), why: whyDecoding},
		{name: "headers longer than the frame", do: withHeader(flagged(0x2000, 0xFF, 0xFF, 0xFF, 0xFF)), want: connection(501, amqp.BasicPublishID, ""), rabbit: connection(541, 0, ""), why: whyDecoding},
		{name: "publish without content, then leave", do: sendPublish, want: ending{kind: weLeave}},
		{name: "connection dropped inside a content", do: withHeader(header(1000), body("a little of it")), want: ending{kind: weLeave}},
		{name: "contents begun on many channels", do: func(p *rawPeer) {
			for channel := uint16(2); channel < 90; channel++ {
				p.methods(channel, &amqp.ChannelOpen{}, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody")})
				p.frames(plainFrame(amqp.FrameHeader, channel, header(1<<20)...), plainFrame(amqp.FrameBody, channel, 'm'))
			}
		}, want: ending{kind: goesOn}},
	}
}

func torturesOfMethods() []torture {
	var rows []torture
	for id, arguments := range map[amqp.MethodID][]byte{
		amqp.QueueDeclareOkID: {0, 0, 0, 0, 0, 0, 0, 0, 0},
		amqp.BasicGetEmptyID:  {0}, amqp.ConfirmSelectOkID: nil, amqp.TxCommitOkID: nil, amqp.ExchangeDeclareOkID: nil,
	} {
		rows = append(rows, torture{
			name: fmt.Sprintf("%s from a client", id), do: sendArguments(1, id, arguments...), want: connection(503, id, "unimplemented method"),
		})
	}
	return append(rows, []torture{
		{
			name: "basic.deliver from a client", want: connection(503, amqp.BasicDeliverID, "unimplemented method"),
			do: inTurn(sendArguments(1, amqp.BasicDeliverID, make([]byte, 12)...), sendFrames(plainFrame(amqp.FrameHeader, 1, header(0)...))),
		},
		{name: "unknown class", do: sendArguments(1, 99<<16|1), want: connection(503, 99<<16|1, "unimplemented method"), rabbit: ending{kind: hangsUp}, why: whyUnknown},
		{name: "unknown method", do: sendArguments(1, 60<<16|99), want: connection(503, 60<<16|99, "unimplemented method"), rabbit: ending{kind: hangsUp}, why: whyUnknown},
		{name: "arguments missing", do: sendArguments(1, amqp.ChannelFlowID), want: connection(501, amqp.ChannelFlowID, "cannot decode <<>>")},
		{name: "arguments cut", do: sendArguments(1, amqp.QueueDeclareID, 0), want: connection(501, amqp.QueueDeclareID, "cannot decode <<0>>")},
		{name: "name longer than the frame", do: sendArguments(1, amqp.QueueDeclareID, 0, 0, 200, 'q'), want: connection(501, amqp.QueueDeclareID, "")},
		{name: "more than the arguments", do: sendArguments(1, amqp.ChannelFlowID, 1, 1), want: connection(501, amqp.ChannelFlowID, "")},
		{name: "name that is not UTF-8", do: sendArguments(1, amqp.QueueDeclareID, declaration("\xff")...), want: connection(501, 0, "Malformed UTF-8 in shortstr")},
		{name: "exchange that is not UTF-8", do: inTurn(sendArguments(1, amqp.BasicPublishID, 0, 0, 1, 0xff, 0, 0), sendFrames(plainFrame(amqp.FrameHeader, 1, header(0)...))), want: connection(501, 0, "Malformed UTF-8 in shortstr"), rabbit: ending{kind: unreadable}, why: "3.10 does not check the names of basic.publish, and repeats them in its answer"},
		{name: "table longer than the frame", do: sendArguments(1, amqp.QueueDeclareID, 0, 0, 1, 'q', 0, 0xFF, 0xFF, 0xFF, 0xFF), want: connection(501, amqp.QueueDeclareID, "")},
		{name: "value of an unknown type", do: sendArguments(1, amqp.QueueDeclareID, declaration("q", 1, 'k', '?', 0)...), want: connection(502, amqp.QueueDeclareID, ""), rabbit: ending{kind: hangsUp}, why: whyDecoding},
		{name: "value that is cut", do: sendArguments(1, amqp.QueueDeclareID, declaration("q", 1, 'k', 'I', 0)...), want: connection(502, amqp.QueueDeclareID, ""), rabbit: ending{kind: hangsUp}, why: whyDecoding},
		{name: "array longer than its table", do: sendArguments(1, amqp.QueueDeclareID, declaration("q", 1, 'k', 'A', 0, 0, 1, 0)...), want: connection(502, amqp.QueueDeclareID, ""), rabbit: ending{kind: hangsUp}, why: whyDecoding},
		{name: "table nested 10,000 times", do: sendArguments(1, amqp.QueueDeclareID, declaration("", nestedTable(10_000)...)...), want: connection(502, amqp.QueueDeclareID, ""), rabbit: ending{kind: goesOn}, why: "we nest tables up to 64 deep"},
		{name: "method on a channel that is not open", do: sendMethods(9, &amqp.BasicQos{}), want: connection(504, amqp.BasicQosID, notOpen)},
		{name: "publish on a channel that is not open", do: inTurn(sendMethods(9, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}), sendFrames(plainFrame(amqp.FrameHeader, 9, header(0)...))), want: connection(504, amqp.BasicPublishID, notOpen)},
		{name: "publish on channel 0", do: sendMethods(0, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}), want: connection(504, amqp.BasicPublishID, notExpected)},
		{name: "channel.open on channel 0", do: sendMethods(0, &amqp.ChannelOpen{}), want: connection(504, amqp.ChannelOpenID, notExpected)},
		{name: "connection.open on a channel", do: sendMethods(1, &amqp.ConnectionOpen{VirtualHost: "/"}), want: connection(503, amqp.ConnectionOpenID, "unimplemented method")},
		{name: "channel opened twice", do: sendMethods(1, &amqp.ChannelOpen{}), want: connection(504, amqp.ChannelOpenID, "second 'channel.open' seen")},
		{name: "channels over the limit", do: func(p *rawPeer) {
			for channel := uint16(2); channel <= 101; channel++ {
				p.methods(channel, &amqp.ChannelOpen{})
			}
		}, want: connection(530, 0, "number of channels opened (100) has reached the negotiated channel_max (100)")},
		{name: "channel 65535", do: sendMethods(65535, &amqp.ChannelOpen{}), want: ending{kind: goesOn}},
		{name: "channel opened and closed a hundred times", do: func(p *rawPeer) {
			for range 100 {
				p.methods(2, &amqp.ChannelOpen{}, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
				_ = p.until(amqp.ChannelCloseOkID)
			}
		}, want: ending{kind: goesOn}},
		{
			name: "reply that does not fit", do: sendMethods(1, &amqp.QueueDeclare{Queue: strings.Repeat("q", 255), Passive: true}),
			want: channelClose(404, amqp.QueueDeclareID, "no queue '"+strings.Repeat("q", 230)+"..."),
		},
		{name: "flow off", do: sendMethods(1, &amqp.ChannelFlow{}), want: connection(540, amqp.ChannelFlowID, "active=false")},
		{name: "immediate", do: inTurn(sendMethods(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q"), Immediate: true}), sendFrames(plainFrame(amqp.FrameHeader, 1, header(0)...))), want: connection(540, amqp.BasicPublishID, "immediate=true")},
		{name: "prefetch in octets", do: sendMethods(1, &amqp.BasicQos{PrefetchSize: 10}), want: connection(540, amqp.BasicQosID, "prefetch_size!=0 (10)")},
		{name: "consumer tag used twice", do: sendMethods(1, &amqp.BasicConsume{ConsumerTag: "t"}, &amqp.BasicConsume{ConsumerTag: "t"}), want: connection(530, amqp.BasicConsumeID, "attempt to reuse consumer tag 't'")},
		{name: "queues declared, consumed and deleted", do: func(p *rawPeer) {
			for range 200 {
				p.methods(1, &amqp.QueueDeclare{Exclusive: true}, &amqp.BasicConsume{NoAck: true}, &amqp.QueueDelete{})
			}
		}, want: ending{kind: goesOn}},
	}...)
}

func torturesOfSettling() []torture {
	unknown := func(tag uint64) string { return fmt.Sprintf("unknown delivery tag %d", tag) }
	return []torture{
		{name: "ack of an unknown tag", do: sendMethods(1, &amqp.BasicAck{DeliveryTag: 1}), want: channelClose(406, amqp.BasicAckID, unknown(1))},
		{name: "ack of an unknown tag and those before", do: sendMethods(1, &amqp.BasicAck{DeliveryTag: 5, Multiple: true}), want: channelClose(406, amqp.BasicAckID, unknown(5))},
		{name: "ack of tag 0", do: sendMethods(1, &amqp.BasicAck{}), want: channelClose(406, amqp.BasicAckID, unknown(0))},
		{name: "ack of everything when there is nothing", do: sendMethods(1, &amqp.BasicAck{Multiple: true}), want: ending{kind: goesOn}},
		{name: "ack of the highest tag", do: sendMethods(1, &amqp.BasicAck{DeliveryTag: 1<<64 - 1}), want: channelClose(406, amqp.BasicAckID, unknown(1<<64-1))},
		{name: "nack of an unknown tag", do: sendMethods(1, &amqp.BasicNack{DeliveryTag: 1, Requeue: true}), want: channelClose(406, amqp.BasicNackID, unknown(1))},
		{name: "nack of an unknown tag and those before", do: sendMethods(1, &amqp.BasicNack{DeliveryTag: 9, Multiple: true}), want: channelClose(406, amqp.BasicNackID, unknown(9))},
		{name: "reject of an unknown tag", do: sendMethods(1, &amqp.BasicReject{DeliveryTag: 3}), want: channelClose(406, amqp.BasicRejectID, unknown(3))},
		{name: "many acks of unknown tags", do: sendMethods(1, &amqp.BasicAck{DeliveryTag: 1}, &amqp.BasicAck{DeliveryTag: 2}, &amqp.BasicNack{DeliveryTag: 3}), want: channelClose(406, amqp.BasicAckID, unknown(1))},
		{name: "recover without requeue", do: sendMethods(1, &amqp.BasicRecover{}), want: connection(540, amqp.BasicRecoverID, "requeue=false")},
		{name: "commit without a transaction", do: sendMethods(1, &amqp.TxCommit{}), want: channelClose(406, amqp.TxCommitID, "channel is not transactional")},
		{name: "get from a queue that is not there", do: sendMethods(1, &amqp.BasicGet{Queue: []byte("torture-nowhere")}), want: channelClose(404, amqp.BasicGetID, "no queue 'torture-nowhere' in vhost '/'")},
	}
}

func torturesOfSockets() []torture {
	whole := func() []byte {
		out := amqp.AppendMethod(nil, 1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody"), Mandatory: true})
		return amqp.AppendContent(out, 1, header(100), []byte(strings.Repeat("m", 100)), 4096)
	}
	return []torture{
		{name: "nothing at all, and gone", bare: true, do: func(p *rawPeer) { p.nc.Close() }, want: ending{kind: weLeave}},
		{name: "half a protocol header, and gone", bare: true, do: sendRaw("AMQ"), want: ending{kind: weLeave}},
		{name: "half closed", do: func(p *rawPeer) { _ = p.nc.CloseWrite() }, want: ending{kind: hangsUp}},
		{name: "half closed in a frame", do: inTurn(sendRaw("\x01\x00\x01\x00"), func(p *rawPeer) { _ = p.nc.CloseWrite() }), want: ending{kind: hangsUp}},
		{name: "reset", do: func(p *rawPeer) { _ = p.nc.SetLinger(0); p.nc.Close() }, want: ending{kind: weLeave}},
		{name: "octet by octet", do: func(p *rawPeer) {
			for _, octet := range whole() {
				p.raw([]byte{octet})
			}
		}, want: ending{kind: goesOn}},
		{name: "slowly", once: true, do: func(p *rawPeer) {
			pause := time.NewTicker(10 * time.Millisecond)
			defer pause.Stop()
			for _, octet := range whole() {
				p.raw([]byte{octet})
				<-pause.C
			}
		}, want: ending{kind: goesOn}},
		{name: "a peer that never reads its returns", do: func(p *rawPeer) {
			many := []byte(strings.Repeat(string(whole()), 100))
			p.nc.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)) // the broker stops reading as well
			for range 1000 {
				if _, err := p.nc.Write(many); err != nil {
					return
				}
			}
		}, want: ending{kind: weLeave}, once: true},
		{name: "a peer that never reads its deliveries", do: func(p *rawPeer) {
			p.methods(1, &amqp.BasicConsume{NoAck: true}, &amqp.ExchangeDeclare{Exchange: "torture", Type: "fanout", AutoDelete: true}, &amqp.QueueBind{Exchange: "torture"})
			out := amqp.AppendMethod(nil, 1, &amqp.BasicPublish{Keys: amqp.MakeKeys("torture", "")})
			large := strings.Repeat("m", 100_000)
			out = amqp.AppendContent(out, 1, header(uint64(len(large))), []byte(large), 131072)
			p.nc.SetWriteDeadline(time.Now().Add(time.Second))
			for range 300 {
				p.raw(out)
			}
		}, want: ending{kind: weLeave}, once: true},
		{name: "gone with unread answers", do: func(p *rawPeer) {
			for range 500 {
				p.methods(1, &amqp.BasicQos{PrefetchCount: 1})
			}
			p.nc.Close()
		}, want: ending{kind: weLeave}},
	}
}
