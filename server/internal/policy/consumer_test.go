package policy_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

// CONS-05.
func TestConsumerArgumentsAreRefusedInRabbitMQsWords(t *testing.T) {
	const c, q, s = policy.Classic, policy.Quorum, policy.Stream
	for _, test := range []struct {
		of    policy.Type
		name  string
		value any
		text  string
	}{
		{c, "x-priority", "1", `: "expected integer, got longstr"`},
		{c, "x-cancel-on-ha-failover", "true", `: {unacceptable_type,longstr}`},
		{c, "x-stream-offset", "first", ` of queue type rabbit_classic_queue`},
		{q, "x-stream-filter", "first", ` of queue type rabbit_quorum_queue`},
		{s, "x-consumer-timeout", int64(5), ` of queue type rabbit_stream_queue`},
		{q, "x-consumer-timeout", int64(-5), `: {value_negative,-5}`},
		{s, "x-stream-offset", "foo", `: {invalid_stream_offset_arg,{longstr,<<"foo">>}}`},
		{s, "x-stream-offset", 1.5, `: {invalid_stream_offset_arg,{double,1.5}}`},
		{s, "x-stream-offset", amqp.Table{"a": []any{nil, true}}, `: {invalid_stream_offset_arg,{table,#{<<"a">> => [null,true]}}}`},
		{s, "x-stream-filter", []any{"a", int64(1)}, `: {unacceptable_type,long}`},
		{s, "x-stream-filter", int64(1), `: {unacceptable_type,long}`},
		{s, "x-stream-match-unfiltered", "x", `: {unacceptable_type,longstr}`},
	} {
		t.Run(test.of.String()+" "+test.name, func(t *testing.T) {
			got, err := policy.ParseConsumer(queue, policy.Defaults(test.of), amqp.Table{test.name: test.value})
			refused(t, err, amqp.BasicConsumeID, "invalid arg '"+test.name+"' for queue 'q' in vhost '/'"+test.text)
			if !reflect.DeepEqual(got, policy.Consumer{}) {
				t.Errorf("%+v beside an error", got)
			}
		})
	}
}

func TestConsumerArgumentsAreRead(t *testing.T) {
	offset := func(o policy.StreamOffset) policy.Consumer { return policy.Consumer{Offset: o} }
	for _, test := range []struct {
		name string
		of   policy.Type
		args amqp.Table
		want policy.Consumer
	}{
		{"none", policy.Classic, nil, policy.Consumer{}},
		{"unknown ones", policy.Classic, amqp.Table{"x-foo": 1}, policy.Consumer{}},
		{"priority", policy.Stream, amqp.Table{"x-priority": int8(-3), "x-cancel-on-ha-failover": true}, policy.Consumer{Priority: -3}},
		{"timeout", policy.Classic, amqp.Table{"x-consumer-timeout": int64(5)}, policy.Consumer{
			Timeout: policy.Optional[time.Duration]{Value: 5 * time.Millisecond, OK: true},
		}},
		{"filter", policy.Stream, amqp.Table{"x-stream-filter": []any{"a", "b"}, "x-stream-match-unfiltered": true}, policy.Consumer{
			Filter: []string{"a", "b"}, MatchUnfiltered: true,
		}},
		{"first", policy.Stream, amqp.Table{"x-stream-offset": "first"}, offset(policy.StreamOffset{Kind: policy.FromFirst})},
		{"last", policy.Stream, amqp.Table{"x-stream-offset": "last"}, offset(policy.StreamOffset{Kind: policy.FromLast})},
		{"next", policy.Stream, amqp.Table{"x-stream-offset": "next"}, offset(policy.StreamOffset{Kind: policy.FromNext})},
		{"number", policy.Stream, amqp.Table{"x-stream-offset": int16(7)}, offset(policy.StreamOffset{Kind: policy.FromNumber, Number: 7})},
		{"negative number", policy.Stream, amqp.Table{"x-stream-offset": int16(-7)}, offset(policy.StreamOffset{Kind: policy.FromFirst})},
		{"time", policy.Stream, amqp.Table{"x-stream-offset": amqp.Timestamp(5)}, offset(policy.StreamOffset{Kind: policy.FromTime, Time: time.Unix(5, 0).UTC()})},
		{"age", policy.Stream, amqp.Table{"x-stream-offset": "2h"}, offset(policy.StreamOffset{Kind: policy.FromAge, Age: 2 * time.Hour})},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := policy.ParseConsumer(queue, policy.Defaults(test.of), test.args)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, error %v, want %+v", got, err, test.want)
			}
		})
	}
}
