package amqp_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// HDR-01 to HDR-04.
var protocolHeaders = map[string]amqp.Protocol{
	"AMQP\x00\x00\x09\x01":                 amqp.ProtocolAMQP091,
	"AMQP\x01\x01\x00\x09":                 amqp.ProtocolAMQP09,
	"AMQP\x01\x01\x08\x00":                 amqp.ProtocolAMQPOther, // 0-8
	"AMQP\x00\x00\x09\x02":                 amqp.ProtocolAMQPOther,
	"AMQP\x00\x01\x00\x00":                 amqp.ProtocolAMQP10,
	"AMQP\x02\x01\x00\x00":                 amqp.ProtocolAMQP10TLS,
	"AMQP\x03\x01\x00\x00":                 amqp.ProtocolAMQP10SASL,
	"GET / HTTP/1.1":                       amqp.ProtocolHTTP,
	"POST /api":                            amqp.ProtocolHTTP,
	"PRI * HTTP/2.0":                       amqp.ProtocolHTTP,
	"\x16\x03\x01\x02\x00\x01\x00\x01\xfc": amqp.ProtocolTLS,
	"amqp\x00\x00\x09\x01":                 amqp.ProtocolGarbage,
	"\x10\x0c\x00\x04MQTT":                 amqp.ProtocolGarbage,
	"\x00\x00\x00\x00\x00\x00\x00\x00":     amqp.ProtocolGarbage,
}

func TestProtocolHeadersAreToldApart(t *testing.T) {
	for header, want := range protocolHeaders {
		if got, n := amqp.ParseProtocolHeader([]byte(header)); got != want || n != 8 {
			t.Errorf("%q: got %v after %d octets, want %v", header, got, n, want)
		}
		for n := range 8 {
			if _, took := amqp.ParseProtocolHeader([]byte(header)[:n]); took != 0 {
				t.Errorf("%q: decided after %d octets", header, n)
			}
		}
	}
	if got, _ := amqp.ParseProtocolHeader([]byte(amqp.ProtocolHeader)); got != amqp.ProtocolAMQP091 {
		t.Errorf("our own header is of %v", got)
	}
}

func FuzzParseProtocolHeader(f *testing.F) {
	for header := range protocolHeaders {
		f.Add([]byte(header))
	}
	f.Add([]byte("AMQP"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		p, n := amqp.ParseProtocolHeader(buf)
		if (n == 8) != (len(buf) >= 8) || p.String() == "" {
			t.Fatalf("got %v after %d of %d octets", p, n, len(buf))
		}
	})
}
