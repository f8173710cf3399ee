package amqp_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestEveryMethodSurvivesEncodingAndDecoding(t *testing.T) {
	seen := map[amqp.MethodID]bool{}
	for _, m := range allMethods() {
		t.Run(m.ID().String(), func(t *testing.T) {
			seen[m.ID()] = true
			payload := m.Append(nil)
			if id := amqp.PeekMethod(payload); id != m.ID() {
				t.Fatalf("payload is of %v", id)
			}
			got, err := amqp.DecodeMethod(payload)
			if err != nil {
				t.Fatal(err)
			}
			clear(payload) // nothing may be borrowed
			if !reflect.DeepEqual(got, m) {
				t.Errorf("got  %+v\nwant %+v", got, m)
			}
		})
	}
	// Every id that has a name must be among them.
	for class := range uint16(100) {
		for method := range uint16(300) {
			id := amqp.MakeMethodID(class, method)
			if known := id.String()[0] > '9'; known != seen[id] {
				t.Errorf("%v: known %v, tested %v", id, known, seen[id])
			}
		}
	}
}

// An encoding that starts in the middle of a buffer must be the same as one at its start.
func TestAppendKeepsWhatIsThere(t *testing.T) {
	for _, m := range allMethods() {
		if got := m.Append([]byte("abc")); !bytes.Equal(got, append([]byte("abc"), m.Append(nil)...)) {
			t.Errorf("%v: got %q", m.ID(), got)
		}
	}
}

// Chapter 27: too few octets, and too many, are no arguments.
func TestArgumentsMustFillThePayload(t *testing.T) {
	for _, m := range allMethods() {
		payload := m.Append(nil)
		for n := 4; n < len(payload); n++ {
			if _, err := amqp.DecodeMethod(payload[:n:n]); err == nil {
				t.Errorf("%v decodes from %d of %d octets", m.ID(), n, len(payload))
			}
		}
		_, err := amqp.DecodeMethod(append(payload, 0))
		var e *amqp.Error
		if !errors.As(err, &e) || e.Code != amqp.FrameError || e.Method != m.ID() {
			t.Errorf("%v with an octet too many: %v", m.ID(), err)
		}
	}
}

func TestUndecodableArgumentsAreShownAsDecimals(t *testing.T) {
	_, err := amqp.DecodeMethod([]byte{0, 50, 0, 10, 0})
	wantError(t, err, amqp.FrameError, "FRAME_ERROR - cannot decode <<0>>", amqp.QueueDeclareID)
	_, err = amqp.DecodeMethod([]byte("\x00\x0a\x00\x0b" + "ab"))
	wantError(t, err, amqp.FrameError, "FRAME_ERROR - cannot decode <<97,98>>", amqp.ConnectionStartOkID)
	err = new(amqp.BasicAck).Decode([]byte{0, 60, 0, 80, 1, 2})
	wantError(t, err, amqp.FrameError, "FRAME_ERROR - cannot decode <<1,2>>", amqp.BasicAckID)
	_, err = amqp.DecodeMethod([]byte{0, 60})
	wantError(t, err, amqp.FrameError, "FRAME_ERROR - cannot decode <<>>", 0)
}

// CHAN-07.
func TestUnknownMethodIsUnimplemented(t *testing.T) {
	_, err := amqp.DecodeMethod([]byte{0, 60, 0, 99})
	wantError(t, err, amqp.CommandInvalid, "COMMAND_INVALID - unimplemented method", amqp.MakeMethodID(60, 99))
}

// WIRE-13.
func TestNamesMustBeUTF8(t *testing.T) {
	const text = "FRAME_ERROR - Malformed UTF-8 in shortstr"
	bad := "\xff\xfe"
	for _, m := range []amqp.Method{
		&amqp.QueueDeclare{Queue: bad},
		&amqp.QueueBind{Queue: "q", Exchange: "e", RoutingKey: bad},
		&amqp.BasicPublish{Keys: amqp.MakeKeys(bad, "key")},
		&amqp.BasicPublish{Keys: amqp.MakeKeys("exchange", bad)},
		&amqp.BasicPublish{Keys: amqp.MakeKeys("\xc3", "\xa4")}, // valid only when run together
		&amqp.BasicGet{Queue: []byte(bad)},
	} {
		_, err := amqp.DecodeMethod(m.Append(nil))
		wantError(t, err, amqp.FrameError, text, 0)
	}
	var publish amqp.BasicPublish
	wantError(t, publish.Decode((&amqp.BasicPublish{Keys: amqp.MakeKeys(bad, "key")}).Append(nil)), amqp.FrameError, text, 0)

	// A long string is opaque.
	if _, err := amqp.DecodeMethod((&amqp.ConnectionStartOk{Response: bad}).Append(nil)); err != nil {
		t.Error(err)
	}
	// The form is looked at first.
	_, err := amqp.DecodeMethod(append((&amqp.BasicCancelOk{ConsumerTag: "\xff"}).Append(nil), 0))
	wantError(t, err, amqp.FrameError, "FRAME_ERROR - cannot decode <<1,255,0>>", amqp.BasicCancelOkID)
}

func TestMalformedArgumentsTableIsASyntaxError(t *testing.T) {
	payload := []byte("\x00\x32\x00\x0a\x00\x00\x01q\x00" + "\x00\x00\x00\x03\x01kZ")
	_, err := amqp.DecodeMethod(payload)
	wantError(t, err, amqp.SyntaxError, "SYNTAX_ERROR - malformed field table: unknown value type", amqp.QueueDeclareID)
}

// The two directions meet nowhere but in acks, cancels, flow and closes.
func TestServerMethodsAreKnown(t *testing.T) {
	for id, want := range map[amqp.MethodID]bool{
		amqp.BasicDeliverID: true, amqp.QueueDeclareOkID: true, amqp.ConnectionStartID: true,
		amqp.BasicAckID: false, amqp.BasicCancelID: false, amqp.BasicCancelOkID: false, amqp.BasicNackID: false,
		amqp.ChannelFlowOkID: false, amqp.ChannelCloseOkID: false, amqp.ConnectionStartOkID: false, amqp.BasicPublishID: false,
	} {
		if id.FromServer() != want {
			t.Errorf("%v: got %v", id, !want)
		}
	}
}

func TestDecodedHotMethodsBorrow(t *testing.T) {
	payload := publishPayload()
	var m amqp.BasicPublish
	if err := m.Decode(payload); err != nil {
		t.Fatal(err)
	}
	if &m.Keys[0] != &payload[6] || cap(m.Keys) != len(m.Keys) {
		t.Error("keys are not a view of exactly their own octets")
	}
	if string(m.Keys) != "\x06events\x0dorder.created" {
		t.Errorf("keys are %q", m.Keys)
	}
	if string(m.Keys.Exchange()) != "events" || string(m.Keys.RoutingKey()) != "order.created" {
		t.Errorf("keys split into %q and %q", m.Keys.Exchange(), m.Keys.RoutingKey())
	}
	// Decoding again must leave nothing of the last method.
	if err := m.Decode((&amqp.BasicPublish{}).Append(nil)); err != nil || m.Mandatory || len(m.Keys.Exchange()) != 0 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestMalformedKeysCanBeSplit(t *testing.T) {
	for _, data := range []string{"", "\x00", "\x00\x00", "\x01a\x01b", "\x01a", "\x02a", "\x01a\x02b", "\x01a\x01bc"} {
		amqp.Keys(data).Split() // must not panic, whatever the octets
	}
}

func TestOverlongStringsAreCutSoThatFramesStayWhole(t *testing.T) {
	long := bytes.Repeat([]byte("ä"), 200)
	for _, m := range []amqp.Method{
		&amqp.ConnectionClose{ReplyText: string(long)},
		&amqp.BasicDeliver{ConsumerTag: bytes.Repeat([]byte("x"), 300)},
		&amqp.BasicGet{Queue: bytes.Repeat([]byte("x"), 300)},
		&amqp.BasicPublish{Keys: amqp.MakeKeys(string(long), string(long))},
	} {
		if _, err := amqp.DecodeMethod(m.Append(nil)); err != nil {
			t.Errorf("%v: %v", m.ID(), err)
		}
	}
}

func FuzzDecodeMethod(f *testing.F) {
	for _, m := range allMethods() {
		f.Add(m.Append(nil))
	}
	for name, payload := range map[string]string{
		"no ids":               "\x00\x3c",
		"unknown class":        "\x00\x63\x00\x01",
		"shortstr past end":    "\x00\x3c\x00\x28\x00\x00\xff",
		"longstr of 4 GiB":     "\x00\x0a\x00\x14\xff\xff\xff\xff",
		"table of 4 GiB":       "\x00\x0a\x00\x0b\xff\xff\xff\xff",
		"array of 4 GiB":       "\x00\x0a\x00\x0b\x00\x00\x00\x07\x01aA\xff\xff\xff\xff",
		"octet too many":       "\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00",
		"routing key past end": "\x00\x3c\x00\x28\x00\x00\x00\xff\x00",
	} {
		f.Logf("seed: %s", name)
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := amqp.DecodeMethod(payload)
		if err != nil {
			var e *amqp.Error
			if !errors.As(err, &e) || !e.Code.Connection() || len(e.ReplyText()) > 255 {
				t.Fatalf("failed with %v", err)
			}
			return
		}
		// What was decoded has one encoding, which decodes to the same.
		once := m.Append(nil)
		again, err := amqp.DecodeMethod(once)
		if err != nil {
			t.Fatalf("%+v does not survive encoding: %v", m, err)
		}
		if twice := again.Append(nil); !bytes.Equal(twice, once) {
			t.Fatalf("encodes to %q, then to %q", once, twice)
		}
	})
}
