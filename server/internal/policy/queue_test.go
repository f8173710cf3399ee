package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

// queue is a declaration that every type of queue could have.
var queue = policy.Queue{VHost: "/", Name: "q", Durable: true}

// typed returns arguments with a type and one argument more.
func typed(t policy.Type, name string, value any) amqp.Table {
	args := amqp.Table{name: value}
	if t != policy.Classic {
		args["x-queue-type"] = t.String()
	}
	return args
}

func refused(t *testing.T, err error, method amqp.MethodID, want string) {
	t.Helper()
	var e *amqp.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want %q", err, want)
	}
	if e.Code != amqp.PreconditionFailed || e.Method != method {
		t.Errorf("error is %v of method %v, want PRECONDITION_FAILED of %v", e.Code, e.Method, method)
	}
	if e.Text != want {
		t.Errorf("text\n%q, want\n%q", e.Text, want)
	}
}

// Chapter 9 of the behaviour, argument by argument. reason is what stands behind "invalid arg … in vhost '/': ".
func TestArgumentsAreRefusedForRabbitMQsReasons(t *testing.T) {
	const c, q, s = policy.Classic, policy.Quorum, policy.Stream
	for _, test := range []struct {
		of     policy.Type
		name   string
		value  any
		reason string
	}{
		{c, "x-queue-type", "foo", `"unsupported queue type 'foo'"`},
		{c, "x-queue-type", `f"o\`, `"unsupported queue type 'f\"o\\'"`},
		{c, "x-queue-type", "\x00", `[117,110,115,117,112,112,111,114,116,101,100,32,113,117,101,117,101,32,116,121,112,101,32,39,0,39]`},
		{c, "x-queue-type", int64(1), `{unacceptable_type,long}`},
		{c, "x-message-ttl", "5", `"expected integer, got longstr"`},
		{c, "x-message-ttl", 5.0, `"expected integer, got double"`},
		{c, "x-message-ttl", true, `"expected integer, got bool"`},
		{c, "x-message-ttl", nil, `"expected integer, got void"`},
		{c, "x-message-ttl", int32(-1), `{value_negative,-1}`},
		{c, "x-message-ttl", int64(315360000001), `{value_too_large,315360000001}`},
		{q, "x-message-ttl", amqp.Table{}, `"expected integer, got table"`},
		{c, "x-expires", int64(0), `{value_zero,0}`},
		{c, "x-expires", int16(-2), `{value_negative,-2}`},
		{c, "x-expires", int64(315360000001), `{value_too_large,315360000001}`},
		{q, "x-expires", []any{}, `"expected integer, got array"`},
		{c, "x-max-length", int64(-1), `{value_negative,-1}`},
		{q, "x-max-length", float32(1), `"expected integer, got float"`},
		{c, "x-max-length-bytes", int8(-1), `{value_negative,-1}`},
		{s, "x-max-length-bytes", "1GB", `"expected integer, got longstr"`},
		{c, "x-overflow", "drop-tail", `invalid_overflow`},
		{c, "x-overflow", "drop-lowest-priority", `invalid_overflow`}, // in policies only
		{q, "x-overflow", int64(1), `{unacceptable_type,long}`},
		{c, "x-dead-letter-exchange", strings.Repeat("x", 256), `{value_too_long,256}`},
		{c, "x-dead-letter-routing-key", "k", `routing_key_but_no_dlx_defined`},
		{q, "x-dead-letter-routing-key", int64(1), `{unacceptable_type,long}`},
		{q, "x-dead-letter-strategy", "best-effort", `invalid_dlx_strategy`},
		{q, "x-dead-letter-strategy", int64(1), `{unacceptable_type,long}`},
		{c, "x-max-priority", int32(256), `{max_value_exceeded,256}`},
		{c, "x-max-priority", int32(-1), `{value_negative,-1}`},
		{c, "x-max-priority", "10", `"expected integer, got longstr"`},
		{c, "x-single-active-consumer", "true", `{unacceptable_type,longstr}`},
		{q, "x-single-active-consumer", int64(1), `{unacceptable_type,long}`},
		{c, "x-deliver-after-sync", "true", `{unacceptable_type,longstr}`},
		{q, "x-deliver-after-sync", int64(1), `{unacceptable_type,long}`},
		{c, "x-queue-mode", "foo", `"unsupported queue mode 'foo'"`},
		{c, "x-queue-mode", int64(1), `{unacceptable_type,long}`},
		{c, "x-queue-version", int64(3), `"unsupported queue version '3'"`},
		{c, "x-queue-version", "2", `"expected integer, got longstr"`},
		{c, "x-queue-master-locator", "nearest", `invalid_queue_locator_arg`},
		{c, "x-queue-leader-locator", "nearest", `invalid_queue_locator_arg`},
		{s, "x-queue-leader-locator", int64(1), `{unacceptable_type,long}`},
		{q, "x-delivery-limit", "5", `"expected integer, got longstr"`},
		{q, "x-quorum-initial-group-size", int64(0), `{value_zero,0}`},
		{q, "x-quorum-target-group-size", "3", `"expected integer, got longstr"`},
		{q, "x-member-placement-tag", int64(3), `{unacceptable_type,long}`},
		{q, "x-max-in-memory-length", int64(-1), `{value_negative,-1}`},
		{q, "x-max-in-memory-bytes", int64(-1), `{value_negative,-1}`},
		{q, "x-consumer-timeout", int64(-1), `{value_negative,-1}`},
		{c, "x-consumer-disconnected-timeout", int64(-1), `{value_negative,-1}`},
		{q, "x-delayed-retry-type", "some", `invalid_delayed_retry_type`},
		{q, "x-delayed-retry-min", int64(-1), `{value_negative,-1}`},
		{q, "x-delayed-retry-max", "1s", `"expected integer, got longstr"`},
		{s, "x-max-age", "1w", `invalid_max_age`},
		{s, "x-max-age", "h", `invalid_max_age`},
		{s, "x-max-age", "", `invalid_max_age`},
		{s, "x-max-age", "-1h", `invalid_max_age`},
		{s, "x-max-age", "0s", `invalid_max_age`},
		{s, "x-max-age", "1h\n", `invalid_max_age`},
		{s, "x-max-age", int64(5), `{unacceptable_type,long}`},
		{s, "x-stream-max-segment-size-bytes", int64(-1), `{value_negative,-1}`},
		{s, "x-stream-filter-size-bytes", "16", `"expected integer, got longstr"`},
		{s, "x-initial-cluster-size", int64(0), `{value_zero,0}`},
	} {
		args := typed(test.of, test.name, test.value)
		if test.name == "x-queue-type" {
			args = amqp.Table{test.name: test.value}
		}
		t.Run(test.of.String()+" "+test.name, func(t *testing.T) {
			_, err := policy.ParseQueue(queue, args)
			refused(t, err, amqp.QueueDeclareID, "invalid arg '"+test.name+"' for queue 'q' in vhost '/': "+test.reason)
		})
	}
}

// Texts that do not have the common form.
func TestDeclarationsAreRefusedInRabbitMQsWords(t *testing.T) {
	quorum := amqp.Table{"x-queue-type": "quorum"}
	for _, test := range []struct {
		name  string
		queue policy.Queue
		args  amqp.Table
		text  string
	}{
		{
			"server-named quorum queue (QUEUE-04)",
			policy.Queue{VHost: "/", Name: "amq.gen-1", Durable: true, ServerNamed: true},
			quorum, "Cannot declare a server-named queue for type rabbit_quorum_queue",
		},
		{
			"server-named stream (QUEUE-04)",
			policy.Queue{VHost: "/", Name: "amq.gen-1", Durable: true, ServerNamed: true},
			amqp.Table{"x-queue-type": "stream"},
			"Cannot declare a server-named queue for type rabbit_stream_queue",
		},
		{
			"long prefix (QUEUE-03)",
			policy.Queue{VHost: "/", ServerNamed: true},
			amqp.Table{"x-name-prefix": strings.Repeat("p", 65)},
			"Queue name prefix '" + strings.Repeat("p", 65) + "' exceeds the 64-byte limit",
		},
		{
			"prefix that is no string",
			policy.Queue{VHost: "/", Name: "q", ServerNamed: true},
			amqp.Table{"x-name-prefix": int64(1)},
			"invalid arg 'x-name-prefix' for queue 'q' in vhost '/': {unacceptable_type,long}",
		},
		{
			"prefix that no name can have",
			policy.Queue{VHost: "/", Name: "q", ServerNamed: true},
			amqp.Table{"x-name-prefix": "\xff"},
			"invalid arg 'x-name-prefix' for queue 'q' in vhost '/': invalid_utf8",
		},
		{
			"dead letter exchange that is no string", queue,
			amqp.Table{"x-dead-letter-exchange": int64(1)},
			"invalid type 'long' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
		},
		{
			"argument of classic queues (QARG-01)", queue, typed(policy.Quorum, "x-max-priority", int64(10)),
			"invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue",
		},
		{
			"argument of quorum queues (QARG-01)", queue, typed(policy.Classic, "x-delivery-limit", int64(10)),
			"invalid arg 'x-delivery-limit' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
		},
		{
			"argument that streams do not have (QARG-01)", queue, typed(policy.Stream, "x-message-ttl", "whatever"),
			"invalid arg 'x-message-ttl' for queue 'q' in vhost '/' of queue type rabbit_stream_queue",
		},
		{
			"transient quorum queue (QARG-02)",
			policy.Queue{VHost: "/", Name: "q"},
			quorum,
			"invalid property 'non-durable' for queue 'q' in vhost '/'",
		},
		{
			"exclusive quorum queue (QARG-02)",
			policy.Queue{VHost: "/", Name: "q", Exclusive: true},
			quorum,
			"invalid property 'exclusive-owner' for queue 'q' in vhost '/'",
		},
		{
			"auto-delete stream (QARG-02)",
			policy.Queue{VHost: "/", Name: "q", AutoDelete: true, Exclusive: true},
			amqp.Table{"x-queue-type": "stream"},
			"invalid property 'auto-delete' for queue 'q' in vhost '/'",
		},
		{
			"large segments", queue, typed(policy.Stream, "x-stream-max-segment-size-bytes", int64(3000000001)),
			"Exceeded max value for x-stream-max-segment-size-bytes",
		},
		{
			"small filter", queue, typed(policy.Stream, "x-stream-filter-size-bytes", int64(15)),
			"Invalid value for  x-stream-filter-size-bytes",
		},
		{
			"names are the actual ones",
			policy.Queue{VHost: "v1", Name: "a.b"},
			amqp.Table{"x-expires": int64(0)},
			"invalid arg 'x-expires' for queue 'a.b' in vhost 'v1': {value_zero,0}",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := policy.ParseQueue(test.queue, test.args)
			refused(t, err, amqp.QueueDeclareID, test.text)
			if s != (policy.Settings{}) {
				t.Errorf("settings %+v beside an error", s)
			}
		})
	}
}

// Of many faults the one reported does not depend on the order of a map.
func TestFaultsAreReportedInOneOrder(t *testing.T) {
	all := amqp.Table{
		"x-queue-type": "foo", "x-dead-letter-exchange": int64(1), "x-expires": int64(0), "x-message-ttl": "x",
		"x-overflow": "x", "x-max-priority": int64(300), "x-delivery-limit": int64(1), "x-max-age": "1h",
	}
	q := policy.Queue{VHost: "/", Name: "q"}
	for _, step := range []struct {
		text   string
		remedy func()
	}{
		{`invalid arg 'x-queue-type' for queue 'q' in vhost '/': "unsupported queue type 'foo'"`, func() { all["x-queue-type"] = "quorum" }},
		{"invalid type 'long' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'", func() { delete(all, "x-dead-letter-exchange") }},
		{"invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}", func() { delete(all, "x-expires") }},
		{`invalid arg 'x-message-ttl' for queue 'q' in vhost '/': "expected integer, got longstr"`, func() { delete(all, "x-message-ttl") }},
		{"invalid arg 'x-overflow' for queue 'q' in vhost '/': invalid_overflow", func() { delete(all, "x-overflow") }},
		{"invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue", func() { delete(all, "x-max-priority") }},
		{"invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue", func() { delete(all, "x-max-age") }},
		{"invalid property 'non-durable' for queue 'q' in vhost '/'", func() { q.Durable = true }},
	} {
		for range 10 {
			_, err := policy.ParseQueue(q, all)
			refused(t, err, amqp.QueueDeclareID, step.text)
		}
		step.remedy()
	}
	if _, err := policy.ParseQueue(q, all); err != nil {
		t.Error(err)
	}
}

func TestArgumentsBecomeSettings(t *testing.T) {
	optional := func(s string) policy.Optional[string] { return policy.Optional[string]{Value: s, OK: true} }
	span := func(d time.Duration) policy.Optional[time.Duration] {
		return policy.Optional[time.Duration]{Value: d, OK: true}
	}
	number := func(n int64) policy.Optional[int64] { return policy.Optional[int64]{Value: n, OK: true} }
	const year = 365 * 24 * time.Hour
	for _, test := range []struct {
		name string
		args amqp.Table
		want func(*policy.Settings)
	}{
		{"none", nil, func(*policy.Settings) {}},
		{"unknown ones", amqp.Table{"x-foo": "bar", "alternate-exchange": 1, "x-name-prefix": 7}, func(*policy.Settings) {}},
		{"classic", amqp.Table{"x-queue-type": "classic"}, func(*policy.Settings) {}},
		{"quorum", amqp.Table{"x-queue-type": "quorum"}, func(s *policy.Settings) {
			s.Type, s.DeliveryLimit.Value = policy.Quorum, policy.DefaultDeliveryLimit
		}},
		{"integers of every width", amqp.Table{
			"x-message-ttl": int8(1), "x-expires": uint8(2), "x-max-length": int16(3), "x-max-length-bytes": uint16(4),
			"x-max-priority": uint32(255), "x-consumer-timeout": int32(6), "x-queue-version": int64(2),
		}, func(s *policy.Settings) {
			s.MessageTTL, s.Expires = span(time.Millisecond), span(2*time.Millisecond)
			s.MaxLength, s.MaxLengthBytes, s.MaxPriority = 3, 4, 255
			s.ConsumerTimeout = span(6 * time.Millisecond)
		}},
		{"zeroes", amqp.Table{
			"x-message-ttl": int64(0), "x-max-length": int64(0), "x-max-length-bytes": int64(0), "x-max-priority": int64(0),
			"x-consumer-timeout": int64(0),
		}, func(s *policy.Settings) {
			s.MessageTTL, s.ConsumerTimeout, s.MaxLength, s.MaxLengthBytes = span(0), span(0), 0, 0
		}},
		{"ten years", amqp.Table{"x-message-ttl": int64(315360000000), "x-expires": int64(315360000000)}, func(s *policy.Settings) {
			s.MessageTTL, s.Expires = span(10*year), span(10*year)
		}},
		{"dead letters", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k", "x-overflow": "reject-publish-dlx"}, func(s *policy.Settings) {
			s.DeadLetterExchange, s.DeadLetterRoutingKey = optional(""), optional("k")
			s.Overflow = policy.Optional[policy.Overflow]{Value: policy.RejectPublishDLX, OK: true}
		}},
		{"ignored ones", amqp.Table{
			"x-queue-mode": "lazy", "x-queue-master-locator": "random", "x-queue-leader-locator": "balanced",
			"x-single-active-consumer": true, "x-deliver-after-sync": true,
		}, func(s *policy.Settings) { s.SingleActiveConsumer, s.DeliverAfterSync = true, true }},
		{"quorum's", amqp.Table{
			"x-queue-type": "quorum", "x-delivery-limit": int64(-7), "x-dead-letter-strategy": "at-least-once",
			"x-delayed-retry-type": "failed", "x-delayed-retry-min": int64(10), "x-delayed-retry-max": int64(1 << 62),
			"x-member-placement-tag": "t", "x-quorum-target-group-size": int64(5),
		}, func(s *policy.Settings) {
			s.Type, s.DeliveryLimit = policy.Quorum, number(policy.NoLimit)
			s.DeadLetterStrategy = policy.Optional[policy.DeadLetterStrategy]{Value: policy.AtLeastOnce, OK: true}
			s.DelayedRetry = policy.Optional[policy.DelayedRetry]{Value: policy.RetryFailed, OK: true}
			s.DelayedRetryMin = span(10 * time.Millisecond)
			s.DelayedRetryMax = span(9223372036854 * time.Millisecond) // the longest there is
		}},
		{"streams'", amqp.Table{
			"x-queue-type": "stream", "x-max-length-bytes": int64(1 << 40), "x-max-age": "2Y",
			"x-stream-max-segment-size-bytes": int64(3000000000), "x-stream-filter-size-bytes": int64(255), "x-initial-cluster-size": int64(1),
		}, func(s *policy.Settings) {
			s.Type, s.MaxLengthBytes, s.MaxAge = policy.Stream, 1<<40, span(2*year)
			s.MaxSegmentBytes, s.FilterBytes = number(3000000000), number(255)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := policy.Defaults(policy.Classic)
			test.want(&want)
			got, err := policy.ParseQueue(queue, test.args)
			if err != nil || got != want {
				t.Errorf("settings\n%+v, error %v, want\n%+v", got, err, want)
			}
		})
	}
}

func TestAgesHaveUnits(t *testing.T) {
	const day = 24 * time.Hour
	for age, want := range map[string]time.Duration{
		"1Y": 365 * day, "2M": 60 * day, "3D": 3 * day, "4h": 4 * time.Hour, "5m": 5 * time.Minute, "006s": 6 * time.Second,
		"99999999999999999999Y": 9223372036854 * time.Millisecond, "300Y": 9223372036854 * time.Millisecond,
	} {
		s, err := policy.ParseQueue(queue, typed(policy.Stream, "x-max-age", age))
		if err != nil || s.MaxAge.Value != want {
			t.Errorf("%s is %v, error %v, want %v", age, s.MaxAge.Value, err, want)
		}
	}
}

// QUEUE-18.
func TestDefaultTypeIsForDurableSharedQueuesThatStay(t *testing.T) {
	for _, test := range []struct {
		queue policy.Queue
		args  amqp.Table
		want  policy.Type
	}{
		{policy.Queue{Durable: true}, nil, policy.Quorum},
		{policy.Queue{Durable: true}, amqp.Table{"x-queue-type": "classic"}, policy.Classic},
		{policy.Queue{}, nil, policy.Classic},
		{policy.Queue{Durable: true, Exclusive: true}, nil, policy.Classic},
		{policy.Queue{Durable: true, AutoDelete: true}, nil, policy.Classic},
		{policy.Queue{Durable: true, ServerNamed: true}, nil, policy.Classic},
	} {
		test.queue.DefaultType = policy.Quorum
		s, err := policy.ParseQueue(test.queue, test.args)
		if err != nil || s.Type != test.want {
			t.Errorf("%+v with %v is %v, error %v, want %v", test.queue, test.args, s.Type, err, test.want)
		}
	}
}

func TestServerNamedQueuesMayHaveAPrefix(t *testing.T) {
	args := amqp.Table{"x-name-prefix": "orders."}
	s, err := policy.ParseQueue(policy.Queue{ServerNamed: true}, args)
	if err != nil || s.NamePrefix.Value != "orders." || !s.NamePrefix.OK {
		t.Errorf("prefix %+v, error %v", s.NamePrefix, err)
	}
	if s, err := policy.ParseQueue(queue, args); err != nil || s.NamePrefix.OK {
		t.Errorf("a queue with a name of its own has prefix %+v, error %v", s.NamePrefix, err)
	}
}
