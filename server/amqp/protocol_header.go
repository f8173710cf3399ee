package amqp

import "bytes"

// ProtocolHeader is what a client sends first, and what a server sends back to one that asked for a
// protocol it does not speak (HDR-02).
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// Protocol is what the first octets of a connection ask for.
type Protocol uint8

// The protocols that a header can ask for.
const (
	ProtocolGarbage    Protocol = iota // nothing known: answered with ProtocolHeader (HDR-04)
	ProtocolAMQP091                    // AMQP 0-9-1
	ProtocolAMQP09                     // AMQP 0-9, served as 0-9-1 (HDR-01)
	ProtocolAMQP10                     // AMQP 1.0 without SASL
	ProtocolAMQP10TLS                  // AMQP 1.0 asking for TLS
	ProtocolAMQP10SASL                 // AMQP 1.0 with SASL
	ProtocolAMQPOther                  // "AMQP" with a version that nobody serves, 0-8 among them
	ProtocolHTTP                       // an HTTP request
	ProtocolTLS                        // a TLS ClientHello on a plain port
)

// ParseProtocolHeader tells what the octets at the start of a connection ask for. n is 0 when buf holds
// fewer than the eight octets that it takes.
func ParseProtocolHeader(buf []byte) (p Protocol, n int) {
	if len(buf) < len(ProtocolHeader) {
		return ProtocolGarbage, 0
	}
	return classify(buf[:len(ProtocolHeader)]), len(ProtocolHeader)
}

func classify(header []byte) Protocol {
	if version, ok := bytes.CutPrefix(header, []byte("AMQP")); ok {
		switch string(version) {
		case "\x00\x00\x09\x01":
			return ProtocolAMQP091
		case "\x01\x01\x00\x09":
			return ProtocolAMQP09
		case "\x00\x01\x00\x00":
			return ProtocolAMQP10
		case "\x02\x01\x00\x00":
			return ProtocolAMQP10TLS
		case "\x03\x01\x00\x00":
			return ProtocolAMQP10SASL
		}
		return ProtocolAMQPOther
	}
	if header[0] == 0x16 && header[1] == 0x03 { // handshake record of any TLS version
		return ProtocolTLS
	}
	for _, verb := range [...]string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "CONNECT ", "PRI * HT"} {
		if bytes.HasPrefix(header, []byte(verb)) {
			return ProtocolHTTP
		}
	}
	return ProtocolGarbage
}

// String names the protocol for log lines.
func (p Protocol) String() string {
	switch p {
	case ProtocolAMQP091:
		return "AMQP 0-9-1"
	case ProtocolAMQP09:
		return "AMQP 0-9"
	case ProtocolAMQP10:
		return "AMQP 1.0"
	case ProtocolAMQP10TLS:
		return "AMQP 1.0 over TLS"
	case ProtocolAMQP10SASL:
		return "AMQP 1.0 with SASL"
	case ProtocolAMQPOther:
		return "AMQP of another version"
	case ProtocolHTTP:
		return "HTTP"
	case ProtocolTLS:
		return "TLS"
	}
	return "unknown"
}
