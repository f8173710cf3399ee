package session_test

import (
	"net"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestServerSaysWhatItIs(t *testing.T) { // CONN-01, CONN-02, CONN-03
	start := newServer(t).dial(t).header()
	if start.VersionMajor != 0 || start.VersionMinor != 9 || start.Mechanisms != "PLAIN AMQPLAIN" || start.Locales != "en_US" {
		t.Errorf("start %+v", start)
	}
	for key, want := range map[string]string{"product": "RabbitMQ", "broker": "Millrace", "broker_version": "0.0-test", "cluster_name": "millrace", "sync": "disk"} {
		if start.ServerProperties[key] != want {
			t.Errorf("server property %s is %v, want %q", key, start.ServerProperties[key], want)
		}
	}
	for _, key := range []string{"version", "platform", "copyright", "information"} {
		if text, ok := start.ServerProperties[key].(string); !ok || text == "" {
			t.Errorf("server property %s is %v", key, start.ServerProperties[key])
		}
	}
	got, _ := start.ServerProperties["capabilities"].(amqp.Table)
	want := []string{
		"authentication_failure_close", "basic.nack", "connection.blocked", "consumer_cancel_notify", "consumer_priorities",
		"direct_reply_to", "exchange_exchange_bindings", "per_consumer_qos", "publisher_confirms",
	}
	if keys := sortedKeys(got); strings.Join(keys, " ") != strings.Join(want, " ") {
		t.Errorf("capabilities %v, want %v", keys, want)
	}
	for key, value := range got {
		if value != true {
			t.Errorf("capability %s is %v", key, value)
		}
	}
}

func TestProtocolHeaders(t *testing.T) { // HDR-01, HDR-02, HDR-04
	s := newServer(t)
	for name, test := range map[string]struct {
		header string
		served bool
	}{
		"0-9-1":           {"AMQP\x00\x00\x09\x01", true},
		"0-9":             {"AMQP\x01\x01\x00\x09", true},
		"0-8":             {"AMQP\x01\x01\x08\x00", false},
		"wrong revision":  {"AMQP\x00\x00\x09\x02", false},
		"1.0":             {"AMQP\x00\x01\x00\x00", false},
		"1.0 with SASL":   {"AMQP\x03\x01\x00\x00", false},
		"1.0 with TLS":    {"AMQP\x02\x01\x00\x00", false},
		"HTTP":            {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false},
		"TLS ClientHello": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false},
		"zeroes":          {"\x00\x00\x00\x00\x00\x00\x00\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.dial(t)
			p.raw([]byte(test.header))
			if test.served {
				p.method("connection.start", 0)
				return
			}
			p.next("protocol header", func(octets []byte) int {
				if len(octets) < 8 {
					return 0
				}
				if string(octets) != amqp.ProtocolHeader {
					t.Errorf("answer %q", octets)
				}
				return len(octets)
			})
			p.expectEnd()
		})
	}
}

func TestHandshakeInPieces(t *testing.T) {
	p := newServer(t).dial(t)
	for _, octet := range []byte(amqp.ProtocolHeader) {
		p.raw([]byte{octet})
	}
	p.method("connection.start", 0)
	for _, octet := range encode(0, plain("guest", "guest")) {
		p.raw([]byte{octet})
	}
	p.method("connection.tune", 0)
	// and all the rest in one
	p.raw(append(encode(0, &amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096}, &amqp.ConnectionOpen{VirtualHost: "/"}), encode(1, &amqp.ChannelOpen{})...))
	p.expect(0, &amqp.ConnectionOpenOk{})
	p.expect(1, &amqp.ChannelOpenOk{})
}

func amqplain(fields amqp.Table) *amqp.ConnectionStartOk {
	return &amqp.ConnectionStartOk{ClientProperties: capabilities, Mechanism: "AMQPLAIN", Response: string(fields.Raw())}
}

func TestLogin(t *testing.T) { // CONN-05, CONN-06, CONN-07
	s := newServer(t)
	remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	local := &net.TCPAddr{IP: net.IPv6loopback, Port: 1}
	with := func(mechanism, response string) *amqp.ConnectionStartOk {
		return &amqp.ConnectionStartOk{ClientProperties: capabilities, Mechanism: mechanism, Response: response}
	}
	for _, test := range []struct {
		name    string
		startOk *amqp.ConnectionStartOk
		from    net.Addr
		refused string // the mechanism named in the refusal
	}{
		{"plain", plain("guest", "guest"), nil, ""},
		{"from this machine", plain("guest", "guest"), local, ""},
		{"amqplain", amqplain(amqp.Table{"LOGIN": "guest", "PASSWORD": "guest"}), nil, ""},
		{"amqplain with more", amqplain(amqp.Table{"LOGIN": "guest", "PASSWORD": "guest", "X": int32(1)}), nil, ""},
		{"wrong password", plain("guest", "wrong"), nil, "PLAIN"},
		{"blank password", plain("guest", ""), nil, "PLAIN"},
		{"unknown user", plain("nobody", "guest"), nil, "PLAIN"},
		{"guest from afar", plain("guest", "guest"), remote, "PLAIN"},
		{"authorisation identity", with("PLAIN", "guest\x00guest\x00guest"), nil, "PLAIN"},
		{"too few parts", with("PLAIN", "\x00guest"), nil, "PLAIN"},
		{"too many parts", with("PLAIN", "\x00guest\x00guest\x00"), nil, "PLAIN"},
		{"nothing", with("PLAIN", ""), nil, "PLAIN"},
		{"amqplain with a wrong password", amqplain(amqp.Table{"LOGIN": "guest", "PASSWORD": "x"}), nil, "AMQPLAIN"},
		{"amqplain without a password", amqplain(amqp.Table{"LOGIN": "guest"}), nil, "AMQPLAIN"},
		{"amqplain of a wrong type", amqplain(amqp.Table{"LOGIN": "guest", "PASSWORD": int32(5)}), nil, "AMQPLAIN"},
		{"amqplain that is no table", with("AMQPLAIN", "\x05LOG"), nil, "AMQPLAIN"},
		{"mechanism not offered", with("EXTERNAL", ""), nil, "EXTERNAL"},
		{"no mechanism", with("", ""), nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.dialFrom(t, test.from)
			p.header()
			p.send(0, test.startOk)
			if test.refused == "" && test.startOk.Mechanism != "" {
				p.expect(0, &amqp.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60})
				return
			}
			p.expectConnectionClose(closed{
				amqp.AccessRefused, 0,
				"Login was refused using authentication mechanism " + test.refused + ". For details see the broker logfile.",
			})

			silent := *test.startOk // a client that cannot take the close gets none
			silent.ClientProperties = amqp.Table{}
			p = s.dialFrom(t, test.from)
			p.header()
			p.send(0, &silent)
			p.expectEnd()
		})
	}
}

func TestTuning(t *testing.T) { // CONN-12
	s := newServer(t)
	for _, test := range []struct {
		name    string
		tuneOk  amqp.ConnectionTuneOk
		refused string
	}{
		{"as offered", amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}, ""},
		{"less", amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096, Heartbeat: 1}, ""},
		{"longer heartbeat", amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 65535}, ""},
		{"no channel limit", amqp.ConnectionTuneOk{FrameMax: 131072}, "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"},
		{"more channels", amqp.ConnectionTuneOk{ChannelMax: 2048, FrameMax: 131072}, "channel_max = 2048 is higher than the maximum allowed value (2047)"},
		{"no frame limit", amqp.ConnectionTuneOk{ChannelMax: 1}, "frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"},
		{"larger frames", amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 131073}, "frame_max = 131073 is higher than the maximum allowed value (131072)"},
		{"small frames", amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4095}, "frame_max = 4095 is lower than the minimum allowed value (4096)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.dial(t)
			p.header()
			p.send(0, plain("guest", "guest"))
			p.method("connection.tune", 0)
			p.send(0, &test.tuneOk)
			if test.refused != "" {
				p.expectConnectionClose(closed{amqp.NotAllowed, amqp.ConnectionTuneOkID, "negotiated " + test.refused})
				return
			}
			p.send(0, &amqp.ConnectionOpen{VirtualHost: "/"})
			p.expect(0, &amqp.ConnectionOpenOk{})
		})
	}
}

func TestUnknownVirtualHost(t *testing.T) { // CONN-13
	p := newServer(t).dial(t)
	p.header()
	p.send(0, plain("guest", "guest"))
	p.method("connection.tune", 0)
	p.send(0, &amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096}, &amqp.ConnectionOpen{VirtualHost: "nope"})
	p.expectConnectionClose(closed{amqp.NotAllowed, amqp.ConnectionOpenID, "vhost nope not found"})
}

func TestMethodsOutOfOrderEndTheHandshake(t *testing.T) { // CONN-09
	s := newServer(t)
	tuneOk, open := &amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096}, &amqp.ConnectionOpen{VirtualHost: "/"}
	for _, test := range []struct {
		name  string
		steps int // of the handshake that come before
		send  []byte
	}{
		{"tune-ok first", 0, encode(0, tuneOk)},
		{"open first", 0, encode(0, open)},
		{"close-ok first", 0, encode(0, &amqp.ConnectionCloseOk{})},
		{"channel first", 0, encode(1, &amqp.ChannelOpen{})},
		{"open before tune-ok", 1, encode(0, open)},
		{"start-ok twice", 1, encode(0, plain("guest", "guest"))},
		{"channel before open", 2, encode(1, &amqp.ChannelOpen{})},
		{"tune-ok twice", 2, encode(0, tuneOk)},
		{"new secret before open", 2, encode(0, &amqp.ConnectionUpdateSecret{NewSecret: "x"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.dial(t)
			p.header()
			if test.steps > 0 {
				p.send(0, plain("guest", "guest"))
				p.method("connection.tune", 0)
			}
			if test.steps > 1 {
				p.send(0, tuneOk)
			}
			p.raw(test.send)
			p.expectEnd()
		})
	}
}

func TestCloseDuringTheHandshakeIsAnswered(t *testing.T) {
	p := newServer(t).dial(t)
	p.header()
	p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess, ReplyText: "changed my mind"})
	p.expect(0, &amqp.ConnectionCloseOk{})
	p.expectEnd()
}

func TestFramesAreSmallBeforeTheTuning(t *testing.T) { // WIRE-03
	s := newServer(t)
	startOk := func(size int) *amqp.ConnectionStartOk {
		return &amqp.ConnectionStartOk{ClientProperties: capabilities, Mechanism: "PLAIN", Response: strings.Repeat("x", size)}
	}
	p := s.dial(t)
	p.header()
	p.send(0, startOk(7000))
	p.expectConnectionClose(closed{amqp.AccessRefused, 0, "*"})
	p = s.dial(t)
	p.header()
	p.send(0, startOk(9000))
	p.expectConnectionClose(closed{amqp.FrameError, 0, "*"})
}

func TestMethodsOnChannelZeroOnceItRuns(t *testing.T) { // CONN-10, CONN-14
	s := newServer(t)
	p := s.connect(t)
	p.send(0, &amqp.ConnectionUpdateSecret{NewSecret: "wrong", Reason: "renewed"})
	p.expect(0, &amqp.ConnectionUpdateSecretOk{})
	for _, m := range []amqp.Method{
		&amqp.ConnectionOpen{VirtualHost: "/"}, plain("guest", "guest"), &amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096},
		&amqp.ConnectionCloseOk{}, &amqp.QueueDeclare{Queue: "q"}, &amqp.ChannelOpen{},
	} {
		p := s.connect(t)
		p.send(0, m)
		p.expectConnectionClose(closed{amqp.ChannelError, m.ID(), "unexpected method in connection state running"})
	}
}
