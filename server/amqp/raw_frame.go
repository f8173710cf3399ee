package amqp

import "encoding/binary"

// RawFrame is a frame of which nothing is checked and in which every octet can be chosen. It exists so
// that tests can misbehave.
type RawFrame struct {
	Type    FrameType
	Channel uint16
	Payload []byte
	// Size, when not nil, is written in place of the payload's size.
	Size *uint32
	// End, when not nil, is written in place of FrameEnd.
	End *byte
}

// Append appends the frame to dst.
func (f RawFrame) Append(dst []byte) []byte {
	start := len(dst)
	dst = AppendFrame(dst, f.Type, f.Channel, f.Payload)
	if f.Size != nil {
		binary.BigEndian.PutUint32(dst[start+3:], *f.Size)
	}
	if f.End != nil {
		dst[len(dst)-1] = *f.End
	}
	return dst
}
