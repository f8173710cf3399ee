package amqp

import "encoding/binary"

// FrameType is a frame's first octet.
type FrameType uint8

// The frame types; no other is valid (WIRE-01).
const (
	FrameMethod    FrameType = 1
	FrameHeader    FrameType = 2
	FrameBody      FrameType = 3
	FrameHeartbeat FrameType = 8
)

const (
	// FrameEnd is the octet behind every payload.
	FrameEnd = 0xCE
	// FrameHeadSize is the size of what stands before a payload: type, channel and size.
	FrameHeadSize = 7
	// FrameOverhead is what a frame adds to its payload: head and end octet.
	FrameOverhead = FrameHeadSize + 1
	// MinFrameMax is the least frame_max that a peer may ask for.
	MinFrameMax = 4096

	methodHeadSize  = 4  // class id and method id
	contentHeadSize = 12 // class id, weight and body size
)

// Frame is one frame. Payload is borrowed from the buffer that it was parsed from.
type Frame struct {
	Type    FrameType
	Channel uint16
	Payload []byte
}

// ParseFrame parses the frame at the start of buf and returns how many octets it took; n is 0 when buf
// does not hold all of it yet (FrameSize then tells how much to read). Nothing is copied.
//
// A payload may be as large as frameMax itself although frame_max counts head and end octet too: RabbitMQ
// tolerates those eight octets (WIRE-02). A frameMax of 0 means no limit. A frame beyond it is refused
// as soon as its head is there. Errors are of type *Error and end the connection.
func ParseFrame(buf []byte, frameMax uint32) (f Frame, n int, err error) {
	if len(buf) < FrameHeadSize {
		return Frame{}, 0, nil
	}
	size := binary.BigEndian.Uint32(buf[3:])
	if size > frameMax && frameMax != 0 {
		return Frame{}, 0, frameTooLarge(FrameType(buf[0]), size, frameMax)
	}
	end := FrameHeadSize + uint64(size)
	if uint64(len(buf)) <= end {
		return Frame{}, 0, nil
	}
	f = Frame{
		Type:    FrameType(buf[0]),
		Channel: binary.BigEndian.Uint16(buf[1:]),
		Payload: buf[FrameHeadSize:end:end],
	}
	if buf[end] != FrameEnd || !f.wellFormed() {
		return Frame{}, 0, f.fault(buf[end])
	}
	return f, int(end) + 1, nil
}

// FrameSize returns how many octets the frame at the start of buf has in all, which its head tells; for
// a shorter buf it is the size of a head. Call it for a buf in which ParseFrame found no whole frame
// and no error: only then is the size within the limit.
func FrameSize(buf []byte) uint64 {
	if len(buf) < FrameHeadSize {
		return FrameHeadSize
	}
	return uint64(binary.BigEndian.Uint32(buf[3:])) + FrameOverhead
}

// wellFormed reports whether the type exists, the payload has room for what every frame of the type
// begins with, and a heartbeat is empty and on channel 0.
func (f Frame) wellFormed() bool {
	switch f.Type {
	case FrameMethod:
		return len(f.Payload) >= methodHeadSize
	case FrameHeader:
		return len(f.Payload) >= contentHeadSize
	case FrameBody:
		return true
	case FrameHeartbeat:
		return len(f.Payload) == 0 && f.Channel == 0
	}
	return false
}

// fault returns the error of a frame that has the given octet at its end or is not well formed. The
// texts are RabbitMQ's, which show Erlang terms.
func (f Frame) fault(end byte) *Error {
	switch {
	case end != FrameEnd:
		return Errorf(FrameError, 0, "type %d, %s: {invalid_frame_end_marker,%d}", f.Type, frameOctets(f.Payload), end)
	case f.Type == FrameHeartbeat && len(f.Payload) == 0: // CONN-19: on a channel other than 0
		return UnexpectedOnChannel(f)
	}
	return Errorf(FrameError, 0, "type %d, %s: unknown_frame", f.Type, frameOctets(f.Payload))
}

// frameTooLarge reports the limit as RabbitMQ does, less the octets that it tolerates.
func frameTooLarge(t FrameType, size, frameMax uint32) *Error {
	return Errorf(FrameError, 0, "type %d, %s: {frame_too_large,%d,%d}",
		t, frameOctets(nil), size, int64(frameMax)-FrameOverhead)
}
