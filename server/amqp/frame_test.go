package amqp_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// wantError fails unless err is an *amqp.Error with the code, the reply text and the method.
func wantError(t *testing.T, err error, code amqp.ReplyCode, text string, method amqp.MethodID) {
	t.Helper()
	var e *amqp.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want %q", err, text)
	}
	if e.Code != code || e.ReplyText() != text || e.Method != method {
		t.Errorf("got %d %q of %v\nwant %d %q of %v", e.Code, e.ReplyText(), e.Method, code, text, method)
	}
}

// WIRE-01.
func TestFrameIsTypeChannelSizePayloadEnd(t *testing.T) {
	got := amqp.AppendFrame([]byte("before"), amqp.FrameBody, 0x0102, []byte("body"))
	want := "before\x03\x01\x02\x00\x00\x00\x04body\xce"
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	f, n, err := amqp.ParseFrame(append(got[6:], "next"...), 4096)
	if err != nil || n != 12 || f.Type != amqp.FrameBody || f.Channel != 0x0102 || string(f.Payload) != "body" {
		t.Errorf("got %+v, %d, %v", f, n, err)
	}
}

func TestHeartbeatIsTheOctetsOfTheSpecification(t *testing.T) {
	want := []byte{8, 0, 0, 0, 0, 0, 0, 0xce} // CONN-16
	got := amqp.AppendHeartbeat(nil)
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	if f, n, err := amqp.ParseFrame(got, 4096); err != nil || n != 8 || f.Type != amqp.FrameHeartbeat {
		t.Errorf("got %+v, %d, %v", f, n, err)
	}
}

func TestEveryPrefixOfAFrameIsIncomplete(t *testing.T) {
	frame := amqp.AppendFrame(nil, amqp.FrameMethod, 1, publishPayload())
	for n := range frame {
		if f, took, err := amqp.ParseFrame(frame[:n], 4096); took != 0 || err != nil || f.Payload != nil {
			t.Fatalf("of %d octets: got %+v, %d, %v", n, f, took, err)
		}
		want := uint64(len(frame))
		if n < amqp.FrameHeadSize {
			want = amqp.FrameHeadSize
		}
		if got := amqp.FrameSize(frame[:n]); got != want {
			t.Fatalf("size told by %d octets: got %d, want %d", n, got, want)
		}
	}
}

func TestPayloadIsBorrowedAndCannotGrowIntoTheEndOctet(t *testing.T) {
	buf := amqp.AppendFrame(nil, amqp.FrameBody, 1, []byte("body"))
	f, _, err := amqp.ParseFrame(buf, 0)
	if err != nil {
		t.Fatal(err)
	}
	if &f.Payload[0] != &buf[amqp.FrameHeadSize] || cap(f.Payload) != len(f.Payload) {
		t.Error("payload is not a view of exactly its own octets")
	}
}

// WIRE-02: eight octets too many are tolerated, the limit reported is the one without them. The head
// alone decides.
func TestFrameLimitIsCheckedFromTheHead(t *testing.T) {
	head := func(size int) []byte { return amqp.AppendFrameHead(nil, amqp.FrameBody, 1, size) }
	for _, size := range []int{131064, 131072} {
		if _, n, err := amqp.ParseFrame(head(size), 131072); n != 0 || err != nil {
			t.Errorf("payload of %d: got %d, %v", size, n, err)
		}
	}
	_, _, err := amqp.ParseFrame(head(131073), 131072)
	wantError(t, err, amqp.FrameError, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}", 0)
	if _, n, err := amqp.ParseFrame(head(math.MaxUint32), 0); n != 0 || err != nil {
		t.Errorf("without a limit: got %d, %v", n, err)
	}
}

// Chapter 27 and CONN-19.
func TestBadFramesAreRefusedInRabbitMQsWords(t *testing.T) {
	zero := byte(0)
	tests := []struct {
		name  string
		frame amqp.RawFrame
		code  amqp.ReplyCode
		text  string
	}{
		{
			"bad end",
			amqp.RawFrame{Type: 1, Payload: []byte{0, 20, 0, 10}, End: &zero},
			amqp.FrameError, "type 1, all octets = <<0,20,0,10>>: {invalid_frame_end_marker,0}",
		},
		{
			"bad end of an unknown type",
			amqp.RawFrame{Type: 9, Payload: []byte("abc"), End: &zero},
			amqp.FrameError, `type 9, all octets = <<"abc">>: {invalid_frame_end_marker,0}`,
		},
		{
			"unknown type",
			amqp.RawFrame{Type: 4, Payload: []byte("abc")},
			amqp.FrameError, `type 4, all octets = <<"abc">>: unknown_frame`,
		},
		{
			"unknown type, sixteen octets",
			amqp.RawFrame{Type: 4, Payload: []byte("0123456789abcdef")},
			amqp.FrameError, `type 4, all octets = <<"0123456789abcdef">>: unknown_frame`,
		},
		{
			"unknown type, seventeen octets",
			amqp.RawFrame{Type: 4, Payload: []byte("0123456789abcdefg")},
			amqp.FrameError, `type 4, first 16 octets = <<"0123456789abcdef">>: unknown_frame`,
		},
		{
			"escapes",
			amqp.RawFrame{Type: 4, Payload: []byte("a\"\\\n\r\t\v\f\b\x1b")},
			amqp.FrameError, `type 4, all octets = <<"a\"\\\n\r\t\v\f\b\e">>: unknown_frame`,
		},
		{
			"not printable",
			amqp.RawFrame{Type: 4, Payload: []byte("a\x00\xff")},
			amqp.FrameError, "type 4, all octets = <<97,0,255>>: unknown_frame",
		},
		{
			"method without ids",
			amqp.RawFrame{Type: 1, Payload: []byte{0, 20, 0}},
			amqp.FrameError, "type 1, all octets = <<0,20,0>>: unknown_frame",
		},
		{
			"header without size",
			amqp.RawFrame{Type: 2, Payload: make([]byte, 11)},
			amqp.FrameError, "type 2, all octets = <<0,0,0,0,0,0,0,0,0,0,0>>: unknown_frame",
		},
		{
			"heartbeat on a channel",
			amqp.RawFrame{Type: 8, Channel: 1},
			amqp.UnexpectedFrame, "type 8, all octets = <<>>",
		},
		{
			"heartbeat with payload",
			amqp.RawFrame{Type: 8, Payload: []byte("x")},
			amqp.FrameError, `type 8, all octets = <<"x">>: unknown_frame`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, n, err := amqp.ParseFrame(test.frame.Append(nil), 4096)
			if n != 0 {
				t.Errorf("took %d octets", n)
			}
			wantError(t, err, test.code, test.code.String()+" - "+test.text, 0)
		})
	}
}

func TestRawFrameWritesTheSizeItIsTold(t *testing.T) {
	size := uint32(0x01020304)
	got := amqp.RawFrame{Type: 77, Channel: 1, Payload: []byte("x"), Size: &size}.Append([]byte("p"))
	if want := "p\x4d\x00\x01\x01\x02\x03\x04x\xce"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// WIRE-02, WIRE-04, WIRE-06.
func TestContentIsSplitByFrameMax(t *testing.T) {
	header := amqp.AppendHeader(nil, 0, &amqp.Properties{CorrelationID: strings.Repeat("c", 100)})
	tests := []struct {
		name     string
		body     int
		frameMax uint32
		bodies   []int
	}{
		{"empty body has no frame", 0, 20, nil},
		{"fits exactly", 12, 20, []int{12}},
		{"one too many", 13, 20, []int{12, 1}},
		{"two full", 24, 20, []int{12, 12}},
		{"no limit", 5000, 0, []int{5000}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := bytes.Repeat([]byte("b"), test.body)
			out := amqp.AppendContent(nil, 3, header, body, test.frameMax)
			for i := -1; i < len(test.bodies); i++ {
				f, n, err := amqp.ParseFrame(out, 0)
				if err != nil || n == 0 || f.Channel != 3 {
					t.Fatalf("frame %d: %+v, %d, %v", i, f, n, err)
				}
				if i < 0 {
					if f.Type != amqp.FrameHeader || !bytes.Equal(f.Payload, header) {
						t.Fatalf("first frame is %+v", f)
					}
				} else if f.Type != amqp.FrameBody || len(f.Payload) != test.bodies[i] {
					t.Fatalf("frame %d has type %d and %d octets", i, f.Type, len(f.Payload))
				}
				out = out[n:]
			}
			if len(out) != 0 {
				t.Errorf("%d octets left", len(out))
			}
		})
	}
}

func FuzzParseFrame(f *testing.F) {
	size, end := uint32(math.MaxUint32), byte(0)
	for name, frame := range map[string][]byte{
		"empty":          {},
		"heartbeat":      amqp.AppendHeartbeat(nil),
		"method":         amqp.AppendFrame(nil, amqp.FrameMethod, 1, publishPayload()),
		"lying size":     amqp.RawFrame{Type: 3, Size: &size}.Append(nil),
		"bad end":        amqp.RawFrame{Type: 1, Payload: []byte{0, 20, 0, 10}, End: &end}.Append(nil),
		"unknown type":   amqp.RawFrame{Type: 4, Payload: []byte("abc")}.Append(nil),
		"short method":   amqp.RawFrame{Type: 1, Payload: []byte{0}}.Append(nil),
		"short header":   amqp.RawFrame{Type: 2, Payload: []byte{0, 60}}.Append(nil),
		"busy heartbeat": amqp.RawFrame{Type: 8, Channel: 7, Payload: []byte("x")}.Append(nil),
	} {
		f.Logf("seed: %s", name)
		f.Add(frame, uint32(4096))
		f.Add(frame, uint32(0))
	}
	f.Fuzz(func(t *testing.T, buf []byte, frameMax uint32) {
		frame, n, err := amqp.ParseFrame(buf, frameMax)
		if err != nil {
			var e *amqp.Error
			if !errors.As(err, &e) || !e.Code.Connection() || n != 0 {
				t.Fatalf("took %d octets and failed with %v", n, err)
			}
			return
		}
		if n == 0 {
			if need := amqp.FrameSize(buf); need <= uint64(len(buf)) {
				t.Fatalf("incomplete with %d octets of %d", len(buf), need)
			}
			return
		}
		if again := amqp.AppendFrame(nil, frame.Type, frame.Channel, frame.Payload); !bytes.Equal(again, buf[:n]) {
			t.Fatalf("encodes to %q, was %q", again, buf[:n])
		}
	})
}
