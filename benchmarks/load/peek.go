package load

import (
	"encoding/binary"
	"errors"
)

// The two things that are read of each delivery. Decoding all of its method and header would be a third of
// what the generator costs.

var errShortPayload = errors.New("a frame is too short for what it holds")

// peekDeliveryTag reads the delivery tag from the payload of a basic.deliver, behind class, method and the
// consumer's tag.
func peekDeliveryTag(payload []byte) (uint64, error) {
	const before = 4
	if len(payload) <= before {
		return 0, errShortPayload
	}
	at := before + 1 + int(payload[before])
	if len(payload) < at+8 {
		return 0, errShortPayload
	}
	return binary.BigEndian.Uint64(payload[at:]), nil
}

// peekBodySize reads the size of the body from the payload of a HEADER frame, behind class and weight.
func peekBodySize(payload []byte) (uint64, error) {
	const before = 4
	if len(payload) < before+8 {
		return 0, errShortPayload
	}
	return binary.BigEndian.Uint64(payload[before:]), nil
}
