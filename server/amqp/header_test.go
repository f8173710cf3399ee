package amqp_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// everyProperty lists the properties with a change of Properties that gives each a value.
var everyProperty = []struct {
	property amqp.Property
	set      func(*amqp.Properties)
}{
	{amqp.PropertyContentType, func(p *amqp.Properties) { p.ContentType = "text/plain" }},
	{amqp.PropertyContentEncoding, func(p *amqp.Properties) { p.ContentEncoding = "gzip" }},
	{amqp.PropertyHeaders, func(p *amqp.Properties) { p.Headers = amqp.Table{"k": "v"} }},
	{amqp.PropertyDeliveryMode, func(p *amqp.Properties) { p.DeliveryMode = 2 }},
	{amqp.PropertyPriority, func(p *amqp.Properties) { p.Priority = 9 }},
	{amqp.PropertyCorrelationID, func(p *amqp.Properties) { p.CorrelationID = "c" }},
	{amqp.PropertyReplyTo, func(p *amqp.Properties) { p.ReplyTo = "r" }},
	{amqp.PropertyExpiration, func(p *amqp.Properties) { p.Expiration = "1000" }},
	{amqp.PropertyMessageID, func(p *amqp.Properties) { p.MessageID = "m" }},
	{amqp.PropertyTimestamp, func(p *amqp.Properties) { p.Timestamp = 1 << 40 }},
	{amqp.PropertyType, func(p *amqp.Properties) { p.Type = "t" }},
	{amqp.PropertyUserID, func(p *amqp.Properties) { p.UserID = "u" }},
	{amqp.PropertyAppID, func(p *amqp.Properties) { p.AppID = "a" }},
	{amqp.PropertyClusterID, func(p *amqp.Properties) { p.ClusterID = "i" }},
}

// propertiesOf returns the properties of a set, given as one bit for each in their order.
func propertiesOf(set int) *amqp.Properties {
	p := &amqp.Properties{}
	for i, each := range everyProperty {
		if set&(1<<i) != 0 {
			each.set(p)
			p.Present |= each.property
		}
	}
	return p
}

func TestEverySetOfPropertiesSurvives(t *testing.T) {
	for set := range 1 << len(everyProperty) {
		want := propertiesOf(set)
		h, err := amqp.ParseHeader(amqp.AppendHeader(nil, 77, want))
		if err != nil {
			t.Fatalf("%#04x: %v", want.Present, err)
		}
		got, err := h.Properties()
		if err != nil || !reflect.DeepEqual(&got, want) {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
		}
		if h.BodySize != 77 || h.Flags != want.Present || h.DeliveryMode != want.DeliveryMode || h.Priority != want.Priority ||
			string(h.ReplyTo()) != want.ReplyTo || string(h.Expiration()) != want.Expiration || string(h.UserID()) != want.UserID {
			t.Fatalf("scan of %+v found %+v", want, h)
		}
		if table, ok := h.Headers(); ok != (want.Headers != nil) || !bytes.Equal(table, want.Headers.Raw()) {
			t.Fatalf("headers of %+v: %q, %v", want, table, ok)
		}
	}
}

func TestEmptyPropertiesDifferFromAbsentOnes(t *testing.T) {
	all := amqp.Property(0)
	for _, each := range everyProperty {
		all |= each.property
	}
	h, err := amqp.ParseHeader(amqp.AppendHeader(nil, 0, &amqp.Properties{Present: all}))
	if err != nil {
		t.Fatal(err)
	}
	if !h.Has(all) {
		t.Errorf("flags are %#04x", h.Flags)
	}
	if table, ok := h.Headers(); !ok || len(table) != 0 {
		t.Errorf("headers: %q, %v", table, ok)
	}
	if stamp, ok := h.Timestamp(); !ok || stamp != 0 {
		t.Errorf("timestamp: %v, %v", stamp, ok)
	}
}

func TestHeaderIsAViewOfThePayload(t *testing.T) {
	payload := amqp.AppendHeader(nil, 5, allProperties())
	h, err := amqp.ParseHeader(payload)
	if err != nil {
		t.Fatal(err)
	}
	if &h.Raw[0] != &payload[0] || len(h.Raw) != len(payload) {
		t.Error("Raw is not the payload")
	}
	for property, want := range map[amqp.Property]string{
		amqp.PropertyContentType: "text/plain", amqp.PropertyMessageID: "id-1", amqp.PropertyClusterID: "cluster",
		amqp.PropertyHeaders: "", amqp.PropertyPriority: "",
	} {
		if got := h.Shortstr(property); string(got) != want {
			t.Errorf("%#04x: got %q, want %q", property, got, want)
		}
	}
}

const malformedHeader = "FRAME_ERROR - malformed content header"

// WIRE-05, WIRE-08 and chapter 27.
func TestMalformedHeadersAreRefused(t *testing.T) {
	head := func(class, weight, flags byte) []byte {
		return []byte{0, class, 0, weight, 0, 0, 0, 0, 0, 0, 0, 1, 0, flags}
	}
	tests := []struct {
		name    string
		payload []byte
		code    amqp.ReplyCode
		text    string
	}{
		{"empty", nil, amqp.FrameError, malformedHeader},
		{"no flags", head(60, 0, 0)[:12], amqp.FrameError, malformedHeader},
		{
			"weight", head(60, 1, 0), amqp.UnexpectedFrame,
			"UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
		},
		{
			"other class", head(50, 0, 0), amqp.UnexpectedFrame,
			"UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
		},
		{"continuation bit", head(60, 0, 1), amqp.FrameError, malformedHeader},
		{"reserved bit", head(60, 0, 2), amqp.FrameError, malformedHeader},
		{"property missing", head(60, 0, 4), amqp.FrameError, malformedHeader},
		{"octets left over", append(head(60, 0, 0), 0), amqp.FrameError, malformedHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := amqp.ParseHeader(test.payload)
			wantError(t, err, test.code, test.text, amqp.BasicPublishID)
		})
	}
	payload := amqp.AppendHeader(nil, 5, allProperties())
	for n := range payload {
		if _, err := amqp.ParseHeader(payload[:n:n]); err == nil {
			t.Errorf("%d of %d octets parse", n, len(payload))
		}
	}
}

// WIRE-14: who does not look into the headers does not mind what is in them.
func TestHeadersTableIsNotLookedInto(t *testing.T) {
	h, err := amqp.ParseHeader([]byte("\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00" + "\x00\x00\x00\x03\x01kZ"))
	if err != nil {
		t.Fatal(err)
	}
	table, _ := h.Headers()
	_, _, err = table.Lookup("CC")
	wantError(t, err, amqp.SyntaxError, "SYNTAX_ERROR - malformed field table: unknown value type", 0)
	if _, err := h.Properties(); err == nil {
		t.Error("malformed headers decode")
	}
}

func TestSinglePropertiesCanBeChanged(t *testing.T) {
	table := amqp.AppendField(nil, "new", int64(1))
	edits := []struct {
		name string
		edit func(h *amqp.Header) []byte
		same func(p *amqp.Properties)
	}{
		{
			"set reply-to",
			func(h *amqp.Header) []byte {
				return h.AppendWithShortstr(nil, amqp.PropertyReplyTo, "amq.rabbitmq.reply-to.x")
			},
			func(p *amqp.Properties) {
				p.ReplyTo = "amq.rabbitmq.reply-to.x"
				p.Present |= amqp.PropertyReplyTo
			},
		},
		{
			"set headers",
			func(h *amqp.Header) []byte { return h.AppendWithHeaders(nil, table) },
			func(p *amqp.Properties) {
				p.Headers = amqp.Table{"new": int64(1)}
				p.Present |= amqp.PropertyHeaders
			},
		},
		{
			"remove expiration",
			func(h *amqp.Header) []byte { return h.AppendWithout(nil, amqp.PropertyExpiration) },
			func(p *amqp.Properties) {
				p.Expiration = ""
				p.Present &^= amqp.PropertyExpiration
			},
		},
		{
			"remove content type",
			func(h *amqp.Header) []byte { return h.AppendWithout(nil, amqp.PropertyContentType) },
			func(p *amqp.Properties) {
				p.ContentType = ""
				p.Present &^= amqp.PropertyContentType
			},
		},
	}
	for _, edit := range edits {
		t.Run(edit.name, func(t *testing.T) {
			for set := range 1 << len(everyProperty) {
				want := propertiesOf(set)
				h, err := amqp.ParseHeader(amqp.AppendHeader(nil, 9, want))
				if err != nil {
					t.Fatal(err)
				}
				edit.same(want)
				if got := edit.edit(&h); !bytes.Equal(got, amqp.AppendHeader(nil, 9, want)) {
					t.Fatalf("%+v became %q", want, got)
				}
			}
		})
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(amqp.AppendHeader(nil, 5, allProperties()))
	f.Add(amqp.AppendHeader(nil, 0, &amqp.Properties{}))
	for name, octets := range map[string]string{
		"continuation bit": "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
		"headers of 4 GiB": "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\xff\xff\xff\xff",
		"string past end":  "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00\xff",
		"half a timestamp": "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00",
		"unknown value":    "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x03\x01kZ",
		"body of 2^64-1":   "\x00\x3c\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00",
	} {
		f.Logf("seed: %s", name)
		f.Add([]byte(octets))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, err := amqp.ParseHeader(payload)
		if err != nil {
			var e *amqp.Error
			if !errors.As(err, &e) || !e.Code.Connection() {
				t.Fatalf("failed with %v", err)
			}
			return
		}
		for _, each := range everyProperty {
			edited, err := amqp.ParseHeader(h.AppendWithout(nil, each.property))
			if err != nil || edited.Flags != h.Flags&^each.property {
				t.Fatalf("without %#04x: %+v, %v", each.property, edited, err)
			}
		}
		p, err := h.Properties()
		if err != nil {
			return
		}
		again, err := amqp.ParseHeader(amqp.AppendHeader(nil, h.BodySize, &p))
		if err != nil || again.Flags != h.Flags || again.BodySize != h.BodySize ||
			!bytes.Equal(again.ReplyTo(), h.ReplyTo()) || !bytes.Equal(again.UserID(), h.UserID()) {
			t.Fatalf("got %+v, %v, want %+v", again, err, h)
		}
	})
}
