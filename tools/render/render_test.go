package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/render"
)

var update = flag.Bool("update", false, "write the golden files anew")

// names knows queues 7 and 8.
type names struct{}

func (names) QueueName(id segment.QueueID) (string, bool) {
	name, ok := map[segment.QueueID]string{7: "orders", 8: "bills\x1b[2J"}[id]
	return name, ok
}

func (names) VHostName(id uint32) (string, bool) { return "/", id == 1 }

// message is a publish to be shown.
type message struct {
	exchange, key string
	properties    amqp.Properties
	body          []byte
	flags         segment.Flags
}

var when = time.Date(2026, 1, 2, 15, 4, 5, 123e6, time.UTC)

// records builds records, numbered from 1.
func records(t testing.TB, build func(b *segment.Batch)) []render.Entry {
	t.Helper()
	var b segment.Batch
	build(&b)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	sealed := b.Seal(1, 1, when.UnixMilli(), 0)
	var entries []render.Entry
	for at := segment.BatchHeaderSize; at < len(sealed); {
		r, err := segment.RecordAt(sealed, at)
		if err != nil {
			t.Fatal(err)
		}
		at += (len(r) + 7) &^ 7
		e := render.Entry{Record: r, Time: when}
		if p, err := r.Publish(); err == nil {
			if e.Queues, err = p.AppendQueues(nil); err != nil {
				t.Fatal(err)
			}
		}
		entries = append(entries, e)
	}
	return entries
}

func publish(b *segment.Batch, m message, queues ...segment.QueueID) {
	b.BeginPublish(segment.PublishHead{
		Time: when.UnixMilli(), VHost: 1, Flags: m.flags, Queues: queues, Keys: amqp.MakeKeys(m.exchange, m.key),
		Header: amqp.AppendHeader(nil, uint64(len(m.body)), &m.properties), BodySize: len(m.body),
	})
	b.AppendBody(m.body)
	b.EndPublish()
}

func compressed(t testing.TB, encoding string, octets []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "bare":
		w, err = flate.NewWriter(&out, 5)
	}
	if err == nil {
		_, err = w.Write(octets)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sample has a record of each kind, and what can be in one.
func sample(t testing.TB) []render.Entry {
	return records(t, func(b *segment.Batch) {
		publish(b, message{"", "orders", amqp.Properties{}, []byte("hello"), 0}, 7)
		publish(b, message{"ex\"change", "a.b", amqp.Properties{
			ContentType: "application/json; charset=utf-8", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 3,
			CorrelationID: "c-1", ReplyTo: "amq.rabbitmq.reply-to", Expiration: "60000", MessageID: "m-1",
			Timestamp: 1767366245, Type: "order", UserID: "guest", AppID: "shop", ClusterID: "none",
			Headers: amqp.Table{
				"bool": true, "int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16),
				"int32": int32(-32), "uint32": uint32(32), "int64": int64(-64), "float": float32(0.5), "double": 2.25,
				"decimal": amqp.Decimal{Scale: 3, Value: 12}, "text": "grün\n", "octets": []byte{0, 255},
				"time": amqp.Timestamp(1767366245), "table": amqp.Table{"inner": []any{int32(1), "two", nil}}, "void": nil,
				"\xff": "\xfe", "escape\x1b[31m": "\x1b[0m",
			},
		}, compressed(t, "gzip", []byte(`{"id": 17, "lines": [1, 2]}`)), segment.FlagDeadLettered}, 7, 8, 99)
		publish(b, message{"x", "k", amqp.Properties{DeliveryMode: 1, Headers: amqp.Table{}}, []byte{0, 1, 2, 0xff, 0xfe}, segment.FlagTransient})
		publish(b, message{"x", "k", amqp.Properties{ContentType: "text/plain"}, []byte("two\nlines \x1b[2J and a control\n"), 0}, 7)
		b.AppendSettle(when.UnixMilli(), 1, 7, segment.SettleAck, []segment.Range{{From: 1, To: 1}, {From: 3, To: 9}})
		b.AppendHorizon(when.UnixMilli(), 1, 99, 4)
		b.Append(segment.KindTopology, 0, 1, when.UnixMilli(), amqp.Table{
			"op": "queue.declare", "vhost": uint32(1), "name": "orders", "durable": true, "exclusive": false, "auto_delete": false,
			"arguments": amqp.Table{"x-message-ttl": int64(1000)},
		}.Raw())
		user := amqp.Table{"op": "user.put", "name": "guest", "password_hash": "secret", "hashing_algorithm": "none", "tags": []any{"administrator"}}.Raw()
		b.Append(segment.KindTopology, 0, 0, when.UnixMilli(), user)
		entry := amqp.Table{"op": "vhost.create", "vhost": uint32(1), "name": "/"}.Raw()
		catalogue := append([]byte{byte(len(entry)), 0, 0, 0}, entry...)
		catalogue = append(append(catalogue, byte(len(user)), 0, 0, 0), user...)
		b.Append(segment.KindCatalogue, 0, 0, when.UnixMilli(), catalogue)
		b.Append(segment.KindTopology, 0, 1, when.UnixMilli(), []byte{3, 'o'})
		b.Append(segment.KindStart, 0, 0, when.UnixMilli(), amqp.Table{"op": "broker.start", "version": "0.1.0", "clean": false}.Raw())
		b.Append(segment.KindConsumer, 0, 1, when.UnixMilli(), amqp.Table{
			"op": "consumer.start", "queue": int64(7), "channel": int32(1), "tag": "c-1", "no_ack": false, "exclusive": false,
			"user": "guest", "peer": "10.0.0.7:40000", "connection": "billing",
		}.Raw())
		consumer := segment.Reference{Place: b.Count()}
		b.AppendSettled(segment.SettleHead{
			Time: when.UnixMilli(), VHost: 1, Queue: 7, Reason: segment.SettleReturn, Consumer: consumer,
		}, []segment.Range{{From: 3, To: 3}})
		b.AppendSettled(segment.SettleHead{
			Time: when.UnixMilli(), VHost: 1, Queue: 7, Reason: segment.SettleTransfer, Consumer: consumer, Successor: segment.Reference{Place: 2},
		}, []segment.Range{{From: 3, To: 3}})
	})
}

func shown(t testing.TB, entries []render.Entry, cfg render.Config) string {
	t.Helper()
	var out bytes.Buffer
	r := render.New(&out, cfg)
	for _, e := range entries {
		if err := r.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestRecordsAreShownAsTheGoldenFilesSay(t *testing.T) {
	for name, cfg := range map[string]render.Config{
		"human":         {Names: names{}},
		"human-decoded": {Names: names{}, Decode: true},
		"human-color":   {Color: true, MaxShown: 3},
		"json":          {Format: render.JSON, Names: names{}},
		"json-decoded":  {Format: render.JSON, Names: names{}, Decode: true},
		"raw":           {Format: render.Raw, Separator: "--\n", Decode: true},
		"hex":           {Format: render.Hex, Names: names{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := shown(t, sample(t), cfg)
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; run with -update and look at the difference. Got\n%s", golden, got)
			}
		})
	}
}

func TestEveryLineOfJSONIsAnObject(t *testing.T) {
	for line := range strings.Lines(shown(t, sample(t), render.Config{Format: render.JSON, Decode: true})) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%s: %s", err, line)
		}
		if fields["lsn"] == nil || fields["time"] != "2026-01-02T15:04:05.123Z" || fields["kind"] == nil {
			t.Errorf("lacks lsn, time or kind: %s", line)
		}
	}
}

// What comes from messages must not move a terminal's cursor, whatever they hold.
func TestNothingOfARecordReachesTheTerminalAsAControl(t *testing.T) {
	for _, format := range []render.Format{render.Human, render.JSON, render.Hex} {
		out := shown(t, sample(t), render.Config{Format: format, Names: names{}, Decode: true})
		if at := strings.IndexFunc(out, func(c rune) bool { return c != '\n' && c < ' ' || c >= 0x7f && c < 0xa0 }); at >= 0 {
			t.Errorf("%s: control in %q", format, out[max(0, at-20):at+10])
		}
	}
}

func TestBodiesAreDecoded(t *testing.T) {
	text := []byte(strings.Repeat("decode me ", 20))
	for name, c := range map[string]struct {
		contentEncoding string
		body            []byte
		want            string
		note            string
	}{
		"none":         {"", text, string(text), ""},
		"charset":      {"utf-8", text, string(text), ""},
		"gzip":         {"GZIP", compressed(t, "gzip", text), string(text), ""},
		"zstd":         {"zstd", compressed(t, "zstd", text), string(text), ""},
		"deflate":      {"deflate", compressed(t, "deflate", text), string(text), ""},
		"bare deflate": {"deflate", compressed(t, "bare", text), string(text), ""},
		"two":          {"gzip, zstd", compressed(t, "zstd", compressed(t, "gzip", text)), string(text), ""},
		"too long":     {"gzip", compressed(t, "gzip", bytes.Repeat([]byte("a"), 2000)), strings.Repeat("a", 1000), "cut: gzip decodes to more than 1000 octets"},
		"no gzip":      {"gzip", []byte("not"), "not", "not decoded: gzip: unexpected EOF"},
		"no zstd":      {"zstd", []byte("not it"), "not it", "not decoded: zstd: invalid input: magic number mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			entries := records(t, func(b *segment.Batch) {
				publish(b, message{properties: amqp.Properties{ContentEncoding: c.contentEncoding}, body: c.body}, 7)
			})
			var got struct {
				Body string `json:"body"`
				Note string `json:"body_note"`
			}
			line := shown(t, entries, render.Config{Format: render.JSON, Decode: true, MaxDecoded: 1000})
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.Body != c.want || got.Note != c.note {
				t.Errorf("%v: body %q, note %q", err, got.Body, got.Note)
			}
		})
	}
}

// A few octets can stand for very many.
func TestABombIsCutInTime(t *testing.T) {
	bomb := compressed(t, "zstd", make([]byte, 64<<20))
	entries := records(t, func(b *segment.Batch) {
		publish(b, message{properties: amqp.Properties{ContentEncoding: "zstd"}, body: bomb}, 7)
	})
	out := shown(t, entries, render.Config{Format: render.Raw, Decode: true})
	if len(out) != 16<<20 {
		t.Errorf("%d octets of a bomb", len(out))
	}
}

func TestFormatsHaveNames(t *testing.T) {
	for f := render.Human; f <= render.Hex; f++ {
		if got, err := render.ParseFormat(f.String()); err != nil || got != f {
			t.Errorf("%s: %v, %v", f, got, err)
		}
	}
	if _, err := render.ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "human, json, raw and hex") {
		t.Errorf("xml: %v", err)
	}
}

func FuzzAnyPayloadIsShown(f *testing.F) {
	for _, e := range sample(f) {
		f.Add(uint8(e.Record.Kind()), uint16(0), []byte(e.Record.Payload()))
	}
	f.Fuzz(func(t *testing.T, kind uint8, keys uint16, payload []byte) {
		if len(payload) > 1<<16 {
			return
		}
		record := make(segment.Record, segment.RecordHeaderSize, segment.RecordHeaderSize+len(payload))
		record[24], record[26], record[27] = kind, byte(keys), byte(keys>>8)
		record = append(record, payload...)
		for format := render.Human; format <= render.Hex; format++ {
			out := shown(t, []render.Entry{{Record: record, Time: when}}, render.Config{Format: format, Decode: true, MaxDecoded: 1 << 16})
			if format == render.JSON && !json.Valid([]byte(out)) {
				t.Fatalf("no JSON: %s", out)
			}
		}
	})
}
