package republish

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/archive"
)

func stamped(t *testing.T, p *amqp.Properties) (before, after amqp.Header) {
	t.Helper()
	m := archive.Message{LSN: 4711, Time: time.UnixMilli(1_767_366_245_123), Header: amqp.AppendHeader(nil, 3, p)}
	before, err := amqp.ParseHeader(m.Header)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := stamp(nil, &m, &before)
	if err != nil {
		t.Fatal(err)
	}
	if after, err = amqp.ParseHeader(raw); err != nil {
		t.Fatal(err)
	}
	return before, after
}

func TestHeadersTellWhereAMessageComesFrom(t *testing.T) {
	for name, p := range map[string]*amqp.Properties{
		"none":       {},
		"properties": {ContentType: "text/plain", DeliveryMode: 2, MessageID: "m", AppID: "a"},
		"headers":    {Headers: amqp.Table{"a": int8(1), "z": amqp.Table{"deep": "er"}}, Priority: 3},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := stamped(t, p)
			old, _ := before.Headers()
			table, _ := after.Headers()
			decoded, err := table.Decode()
			if err != nil || decoded[HeaderLSN] != int64(4711) || decoded[HeaderTime] != "2026-01-02T15:04:05.123Z" {
				t.Errorf("%v, %v", decoded, err)
			}
			if !bytes.HasPrefix(table, old) {
				t.Errorf("headers %x do not begin with %x", table, old)
			}
			// Without the headers both are the same.
			if a, b := before.AppendWithout(nil, amqp.PropertyHeaders), after.AppendWithout(nil, amqp.PropertyHeaders); !bytes.Equal(a, b) {
				t.Errorf("properties were %x, and are %x", a, b)
			}
		})
	}
}

func TestTheHeadersOfAnEarlierReplayGo(t *testing.T) {
	_, after := stamped(t, &amqp.Properties{Headers: amqp.Table{HeaderLSN: int64(1), "x": true, HeaderTime: "yesterday"}})
	table, _ := after.Headers()
	if n := bytes.Count(table, []byte(HeaderLSN)); n != 1 || bytes.Contains(table, []byte("yesterday")) {
		t.Errorf("%q", []byte(table))
	}
}

func TestHeadersThatCannotBeReadAreNotTouched(t *testing.T) {
	raw := amqp.AppendHeader(nil, 0, &amqp.Properties{Headers: amqp.Table{"a": "b"}})
	raw[len(raw)-2] = '?' // a type that does not exist
	m := archive.Message{LSN: 1, Header: bytes.Replace(raw, []byte("\x01aS"), []byte("\x01a?"), 1)}
	header, err := amqp.ParseHeader(m.Header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stamp(nil, &m, &header); err == nil {
		t.Error("taken")
	}
}

func TestProgressIsThatOfTheSameReplay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress")
	replay := Progress{Source: "data", Selection: "--queue q", Target: "amqp://host/"}
	p, err := LoadProgress(path, replay)
	if err != nil || p != replay {
		t.Fatalf("%+v, %v", p, err)
	}
	for lsn := range 3 {
		p.LSN, p.Messages = replay.LSN+4711, uint64(lsn)
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := LoadProgress(path, replay); err != nil || again != p {
		t.Errorf("%+v, %v, want %+v", again, err, p)
	}
	replay.Target = "amqp://other/"
	if _, err := LoadProgress(path, replay); err == nil || !strings.Contains(err.Error(), `its target was "amqp://host/", and is "amqp://other/" now`) {
		t.Errorf("%v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if err := p.Save(filepath.Join(path, "no-folder", "x")); err == nil {
		t.Error("saved nowhere")
	}
}
