package selection_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/tools/selection"
)

type names struct{}

func (names) QueueName(id segment.QueueID) (string, bool) { return "q7", id == 7 }
func (names) VHostName(id uint32) (string, bool)          { return "/", id == 1 }

var now = time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)

// filter parses flags as a command would.
func filter(args ...string) (*selection.Filter, error) {
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	s := selection.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	return s.Compile(now, names{})
}

// record builds a record of number 10.
func record(t testing.TB, build func(b *segment.Batch)) segment.Record {
	t.Helper()
	var b segment.Batch
	build(&b)
	r, err := segment.RecordAt(b.Seal(10, 1, 0, 0), segment.BatchHeaderSize)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func message(t testing.TB, body string) segment.Record {
	return record(t, func(b *segment.Batch) {
		header := amqp.AppendHeader(nil, uint64(len(body)), &amqp.Properties{
			ContentType: "text/plain", DeliveryMode: 2, Priority: 5, Timestamp: 1767366245, Type: "order", MessageID: "m-1",
			Headers: amqp.Table{
				"tenant": "acme", "n": int32(-3), "on": true, "half": 0.5, "raw": []byte("xy"), "when": amqp.Timestamp(1767366245),
				"deep": amqp.Table{"list": []any{int8(1), "two"}}, "void": nil,
			},
		})
		b.BeginPublish(segment.PublishHead{VHost: 1, Queues: []segment.QueueID{7, 8}, Keys: amqp.MakeKeys("logs", "eu.order.new"), Header: header, BodySize: len(body)})
		b.AppendBody([]byte(body))
		b.EndPublish()
	})
}

func TestRecordsMatchWhatTheFlagsSay(t *testing.T) {
	publish := message(t, "poison 17")
	settle := record(t, func(b *segment.Batch) { b.AppendSettle(0, 1, 7, segment.SettleAck, []segment.Range{{From: 1, To: 2}}) })
	topology := record(t, func(b *segment.Batch) { b.Append(segment.KindTopology, 0, 2, 0, []byte("x")) })
	for _, c := range []struct {
		args                      string // separated by |
		publish, settle, topology bool
	}{
		{"", true, true, true},
		{"--kind=publish,settle", true, true, false},
		{"--vhost=/", true, true, false},
		{"--vhost=other", false, false, false},
		{"--exchange=logs", true, false, false},
		{"--exchange=", false, false, false},
		{"--queue=q7", true, true, false},
		{"--queue=q8", false, false, false},
		{"--key=eu.#", true, false, false},
		{"--key=*.order.*", true, false, false},
		{"--key=*.order", false, false, false},
		{"--key=us.#|--key=#.new", true, false, false},
		{"--header=tenant=acme", true, false, false},
		{"--header=tenant=ac", false, false, false},
		{"--header=n=-3|--header=on=true|--header=half=0.50|--header=raw=xy|--header=when=2026-01-02T15:04:05Z|--header=void", true, false, false},
		{"--header=n=-3|--header=missing", false, false, false},
		{"--body=poison", true, false, false},
		{"--body=Poison", false, false, false},
		{"--body-regexp=(?i)^POISON \\d+$", true, false, false},
		{"--from=10|--to=10", true, true, true},
		{"--from=11", false, false, false},
		{"--to=9", false, false, false},
		{"--since=10m", true, true, true},
		{"--since=1s", false, false, false},
		{"--from=2026-01-02T14:59:00Z|--to=2026-01-02T15:59:00+01:00", true, true, true},
		{"--to=2026-01-02T14:58:59.999Z", false, false, false},
		{`--where=exchange == "logs" && size == 9 && key startsWith "eu." && "q7" in queues && vhost == "/"`, true, false, false},
		{`--where=headers["tenant"] == "acme" && headers.n < 0 && headers.half >= 0.5 && headers.deep.list[1] == "two"`, true, false, false},
		{`--where=priority > 4 && delivery_mode == 2 && content_type == "text/plain" && type == "order" && message_id matches "^m-"`, true, false, false},
		{`--where=timestamp.Year() == 2026 && body contains "17" && lsn == 10`, true, false, false},
		{`--where=kind == "settle" && reason == "ack"`, false, true, false},
		{`--where=headers.missing > 5`, false, false, false},
		{`--where=headers.missing == nil`, true, true, true},
	} {
		var args []string
		if c.args != "" {
			args = strings.Split(c.args, "|")
		}
		when := now.Add(-time.Minute)
		for name, r := range map[string]struct {
			record segment.Record
			want   bool
		}{"publish": {publish, c.publish}, "settle": {settle, c.settle}, "topology": {topology, c.topology}} {
			f, err := filter(args...)
			if err != nil {
				t.Fatalf("%s: %v", c.args, err)
			}
			if got := f.Match(r.record, when, []segment.QueueID{7, 8}); got != r.want {
				_, err := f.Failed()
				t.Errorf("%s: %s matches %v, want %v (%v)", c.args, name, got, r.want, err)
			}
		}
	}
}

func TestConsumersBelongToTheirQueue(t *testing.T) {
	consumer := record(t, func(b *segment.Batch) {
		b.Append(segment.KindConsumer, 0, 1, now.UnixMilli(), amqp.Table{"op": "consumer.start", "queue": int64(7), "tag": "c"}.Raw())
	})
	for flag, want := range map[string]bool{"--queue=q7": true, "--queue=q8": false} {
		f, err := filter(flag, "--kind=consumer")
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Match(consumer, now, nil); got != want {
			t.Errorf("%s: %v", flag, got)
		}
	}
}

func TestWrongValuesAreNamed(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--since=yesterday", `--since "yesterday" is no duration as in 90s, 10m, 6h or 2d`},
		{"--since=-1m", "is no duration"},
		{"--since=xd", "is no duration"},
		{"--since=1m|--from=3", "give one of them"},
		{"--from=0", "the first record of a log is 1"},
		{"--from=noon", `--from "noon" is neither the number of a record nor a time`},
		{"--from=9|--to=8", "--to 8 is before the beginning"},
		{"--kind=message", `--kind "message": there are publish, settle`},
		{"--header==x", "names no header"},
		{"--body-regexp=(", "--body-regexp: error parsing regexp: missing closing )"},
		{"--where=size >", "(1:"},
		{"--where=colour == 1", "unknown name colour (1:1)"},
		{"--where=size", "expected bool"},
	} {
		if _, err := filter(strings.Split(c.args, "|")...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestASelectionBeginsAndEnds(t *testing.T) {
	f, err := filter("--since=2d", "--limit=1", "--to=12")
	if err != nil {
		t.Fatal(err)
	}
	var asked time.Time
	if start := f.Start(func(t time.Time) segment.LSN { asked = t; return 5 }); start != 5 || !asked.Equal(now.Add(-48*time.Hour)) {
		t.Errorf("starts at %d, %s", start, asked)
	}
	if f.Past(12, now) || !f.Past(13, now) || !f.Bounded() {
		t.Error("does not end behind 12")
	}
	r := message(t, "x")
	if !f.Match(r, now, nil) || !f.Done() || f.Match(r, now, nil) || f.Matched() != 1 {
		t.Errorf("limit 1 has let %d through", f.Matched())
	}
}

func TestWhatAnExpressionCannotTellIsCounted(t *testing.T) {
	f, err := filter("--where=headers.missing > 5")
	if err != nil {
		t.Fatal(err)
	}
	if f.Match(message(t, ""), now, nil) {
		t.Error("matched")
	}
	if n, err := f.Failed(); n != 1 || err == nil {
		t.Errorf("%d failed: %v", n, err)
	}
}

func FuzzAnyMessageIsTaken(f *testing.F) {
	header := amqp.AppendHeader(nil, 1, &amqp.Properties{Headers: amqp.Table{"a": 1}})
	f.Add(header, "k", []byte("b"))
	f.Fuzz(func(t *testing.T, header []byte, key string, body []byte) {
		if len(key) > 255 || len(header)+len(body) > 1<<16 {
			return
		}
		r := record(t, func(b *segment.Batch) {
			b.BeginPublish(segment.PublishHead{VHost: 1, Keys: amqp.MakeKeys("x", key), Header: header, BodySize: len(body)})
			b.AppendBody(body)
			b.EndPublish()
		})
		for _, args := range [][]string{{"--header=a=1"}, {"--key=#.a.#"}, {`--where=headers.a == 1 || key == "k"`}} {
			filter, err := filter(args...)
			if err != nil {
				t.Fatal(err)
			}
			filter.Match(r, now, nil)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	r := message(b, strings.Repeat("x", 1024))
	queues := []segment.QueueID{7}
	for name, args := range map[string][]string{
		"header": {"--header=tenant=other"},
		"key":    {"--key=#.missing"},
		"queue":  {"--queue=other"},
		"body":   {"--body=missing"},
		"where":  {`--where=size > 2000 || priority > 7`},
		"whereh": {`--where=headers["tenant"] == "other"`},
	} {
		b.Run(name, func(b *testing.B) {
			f, err := filter(args...)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(1024)
			b.ReportAllocs()
			for b.Loop() {
				if f.Match(r, now, queues) {
					b.Fatal("matched")
				}
			}
		})
	}
}
