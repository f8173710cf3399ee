package amqp_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestReplyTextIsNameAndExplanation(t *testing.T) { // ERR-01
	tests := []struct {
		err  *amqp.Error
		want string
	}{
		{amqp.Errorf(amqp.NotFound, amqp.BasicGetID, "no queue '%s' in vhost '%s'", "q", "/"), "NOT_FOUND - no queue 'q' in vhost '/'"},
		{&amqp.Error{Code: amqp.InternalError}, "INTERNAL_ERROR"},
		{amqp.ExpectedMethod(), "UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
		{
			amqp.ExpectedHeader(amqp.BasicPublishID),
			"UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
		},
		{amqp.ExpectedBody(amqp.BasicPublishID), "UNEXPECTED_FRAME - expected content body, got non content body frame instead"},
		{amqp.BodyExceedsSize(amqp.BasicPublishID), "FRAME_ERROR - content body frame exceeds remaining content size"},
		{amqp.UnimplementedMethod(amqp.BasicDeliverID), "COMMAND_INVALID - unimplemented method"},
		{&amqp.Error{Code: 999, Text: "text"}, "999 - text"},
	}
	for _, test := range tests {
		if got := test.err.ReplyText(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestReplyTextIsCutBetweenCharacters(t *testing.T) { // ERR-01
	for _, char := range []string{"a", "ä", "€", "𝄞"} {
		for before := range 5 {
			err := &amqp.Error{Code: amqp.NotFound, Text: strings.Repeat("a", before) + strings.Repeat(char, 300)}
			got := err.ReplyText()
			if len(got) > 255 || len(got) <= 255-len(char) || !utf8.ValidString(got) || !strings.HasSuffix(got, char+"...") {
				t.Errorf("%s after %d: %d octets, valid %v", char, before, len(got), utf8.ValidString(got))
			}
		}
	}
	if got := (&amqp.Error{Code: amqp.NotFound, Text: strings.Repeat("\x80", 300)}).ReplyText(); len(got) != 255 {
		t.Errorf("text that is not UTF-8 was cut to %d octets", len(got))
	}
}

func TestCodeAloneDecidesTheScope(t *testing.T) { // 2.2, ERR-03
	channel := map[amqp.ReplyCode]string{
		311: "CONTENT_TOO_LARGE", 403: "ACCESS_REFUSED", 404: "NOT_FOUND", 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED",
	}
	connection := map[amqp.ReplyCode]string{
		320: "CONNECTION_FORCED", 402: "INVALID_PATH", 501: "FRAME_ERROR", 502: "SYNTAX_ERROR", 503: "COMMAND_INVALID",
		504: "CHANNEL_ERROR", 505: "UNEXPECTED_FRAME", 506: "RESOURCE_ERROR", 530: "NOT_ALLOWED", 540: "NOT_IMPLEMENTED",
		541: "INTERNAL_ERROR",
	}
	for code, name := range channel {
		if code.Connection() || code.String() != name {
			t.Errorf("%d: %v, connection %v", code, code, code.Connection())
		}
	}
	for code, name := range connection {
		if !code.Connection() || code.String() != name {
			t.Errorf("%d: %v, connection %v", code, code, code.Connection())
		}
	}
	if amqp.NoRoute.String() != "NO_ROUTE" || amqp.NoConsumers.String() != "NO_CONSUMERS" || amqp.ReplySuccess.String() != "REPLY_SUCCESS" {
		t.Error("codes of no error have other names")
	}
}

func TestCloseMethodsCarryTheError(t *testing.T) { // ERR-02
	err := amqp.Errorf(amqp.NotFound, amqp.BasicGetID, "no queue")
	channel, connection := err.ChannelClose(), err.ConnectionClose()
	if channel.ReplyCode != 404 || channel.ReplyText != "NOT_FOUND - no queue" || channel.Method != amqp.BasicGetID {
		t.Errorf("got %+v", channel)
	}
	if connection.ReplyCode != 404 || connection.ReplyText != "NOT_FOUND - no queue" || connection.Method != amqp.BasicGetID {
		t.Errorf("got %+v", connection)
	}
}
