package amqp

import (
	"fmt"
	"unicode/utf8"
)

// maxShortstr is the longest shortstr: its length is one octet.
const maxShortstr = 255

// Error is a fault that the peer is told of with connection.close or channel.close. Its code alone
// decides which of the two (ERR-03); whoever raises it does not choose.
type Error struct {
	Code   ReplyCode
	Text   string   // explanation, without the code's name; may be empty
	Method MethodID // method being executed; zero when none is at fault (ERR-02)
}

// Errorf makes an Error. The method is the one being executed, or zero when none is at fault.
func Errorf(code ReplyCode, method MethodID, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...), Method: method}
}

// Error returns the reply text.
func (e *Error) Error() string { return e.ReplyText() }

// ReplyText returns "NAME - explanation", at most 255 octets (ERR-01). What is longer ends in "...", as
// RabbitMQ's does, but is never cut within a character.
func (e *Error) ReplyText() string {
	text := e.Code.String()
	if e.Text != "" {
		text += " - " + e.Text
	}
	if len(text) > maxShortstr {
		const more = "..."
		text = truncate(text, maxShortstr-len(more)) + more
	}
	return text
}

// ConnectionClose returns the method that tells the peer of the error and ends the connection.
func (e *Error) ConnectionClose() *ConnectionClose {
	return &ConnectionClose{ReplyCode: e.Code, ReplyText: e.ReplyText(), Method: e.Method}
}

// ChannelClose returns the method that tells the peer of the error and ends the channel.
func (e *Error) ChannelClose() *ChannelClose {
	return &ChannelClose{ReplyCode: e.Code, ReplyText: e.ReplyText(), Method: e.Method}
}

// UnexpectedOnChannel is the error of a frame whose type has no place on its channel: a heartbeat on any
// but 0 (CONN-19), content on that.
func UnexpectedOnChannel(f Frame) *Error {
	return Errorf(UnexpectedFrame, 0, "type %d, %s", f.Type, frameOctets(f.Payload))
}

// ExpectedMethod is the error of a HEADER or BODY frame on a channel where no content is due.
func ExpectedMethod() *Error {
	return &Error{Code: UnexpectedFrame, Text: "expected method frame, got non method frame instead"}
}

// ExpectedHeader is the error of a METHOD or BODY frame, or of a header with a weight, where the
// content header of the given method is due.
func ExpectedHeader(method MethodID) *Error {
	return Errorf(UnexpectedFrame, method,
		"expected content header for class %d, got non content header frame instead", method.Class())
}

// ExpectedBody is the error of a METHOD or HEADER frame before the body of the given method is whole.
func ExpectedBody(method MethodID) *Error {
	return &Error{Code: UnexpectedFrame, Text: "expected content body, got non content body frame instead", Method: method}
}

// BodyExceedsSize is the error of a BODY frame with more octets than the content header left to come.
func BodyExceedsSize(method MethodID) *Error {
	return &Error{Code: FrameError, Text: "content body frame exceeds remaining content size", Method: method}
}

// UnimplementedMethod is the error of a method that does not exist, or that only a server sends (CHAN-07).
func UnimplementedMethod(method MethodID) *Error {
	return &Error{Code: CommandInvalid, Text: "unimplemented method", Method: method}
}

// truncate cuts text to so many octets, between two characters. Text that is not UTF-8 in the first place is
// cut at the limit.
func truncate(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for cut := most; cut > most-utf8.UTFMax; cut-- {
		if utf8.RuneStart(text[cut]) {
			return text[:cut]
		}
	}
	return text[:most]
}
