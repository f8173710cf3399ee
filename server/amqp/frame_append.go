package amqp

import (
	"encoding/binary"
	"math"
)

// MaxBody returns the largest BODY payload that fits into a frame of frameMax octets; 0 means no limit.
func MaxBody(frameMax uint32) int {
	if frameMax == 0 {
		return math.MaxInt32
	}
	return max(int(frameMax)-FrameOverhead, 1)
}

// AppendFrameHead appends what stands before a payload of the given size. The payload and FrameEnd must
// follow: in dst, or around a payload that is written from where it lies.
func AppendFrameHead(dst []byte, t FrameType, channel uint16, size int) []byte {
	return append(dst, byte(t), byte(channel>>8), byte(channel),
		byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
}

// BeginFrame appends a frame head whose size EndFrame fills in when the payload has been appended.
func BeginFrame(dst []byte, t FrameType, channel uint16) []byte {
	return AppendFrameHead(dst, t, channel, 0)
}

// EndFrame ends the frame that BeginFrame began when dst had start octets.
func EndFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+3:], uint32(len(dst)-start-FrameHeadSize))
	return append(dst, FrameEnd)
}

// AppendFrame appends a whole frame.
func AppendFrame(dst []byte, t FrameType, channel uint16, payload []byte) []byte {
	dst = AppendFrameHead(dst, t, channel, len(payload))
	dst = append(dst, payload...)
	return append(dst, FrameEnd)
}

// AppendMethod appends a METHOD frame. It may cause m to be allocated: frames sent once a message go
// through BeginFrame, the method's own Append and EndFrame, which do not.
func AppendMethod(dst []byte, channel uint16, m Method) []byte {
	start := len(dst)
	dst = BeginFrame(dst, FrameMethod, channel)
	dst = m.Append(dst)
	return EndFrame(dst, start)
}

// AppendHeartbeat appends a heartbeat.
func AppendHeartbeat(dst []byte) []byte {
	return append(dst, byte(FrameHeartbeat), 0, 0, 0, 0, 0, 0, FrameEnd)
}

// AppendContent appends the HEADER frame with the given payload and the body in as many BODY frames as
// frameMax asks for; an empty body has none (WIRE-04). The HEADER frame is never split, so it may be
// larger than frameMax (WIRE-06).
func AppendContent(dst []byte, channel uint16, header, body []byte, frameMax uint32) []byte {
	dst = AppendFrame(dst, FrameHeader, channel, header)
	for limit := MaxBody(frameMax); len(body) > 0; {
		n := min(len(body), limit)
		dst = AppendFrame(dst, FrameBody, channel, body[:n])
		body = body[n:]
	}
	return dst
}
