package policy_test

import (
	"errors"
	"testing"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/policy"
)

// QUEUE-08, QUEUE-18.
func TestRedeclarationsAreCompared(t *testing.T) {
	mismatch := func(arg, received, current string) error {
		return router.Mismatch{Arg: arg, Received: received, Current: current}
	}
	defaultQuorum := policy.Queue{Durable: true, DefaultType: policy.Quorum}
	for _, test := range []struct {
		name              string
		of                policy.Type
		current, received amqp.Table
		queue             policy.Queue
		want              error
	}{
		{"nothing", policy.Classic, nil, nil, queue, nil},
		{"absent type is classic", policy.Classic, nil, amqp.Table{"x-queue-type": "classic"}, queue, nil},
		{"absent type was classic", policy.Classic, amqp.Table{"x-queue-type": "classic"}, nil, queue, nil},
		{"other type", policy.Classic, nil, amqp.Table{"x-queue-type": "quorum"}, queue, mismatch("x-queue-type", "'quorum'", "'classic'")},
		{"absent type on a quorum queue", policy.Quorum, amqp.Table{"x-queue-type": "quorum"}, nil, queue, mismatch("x-queue-type", "'classic'", "'quorum'")},
		{"absent type is the default", policy.Quorum, nil, nil, defaultQuorum, nil},
		{"absent type was the default", policy.Quorum, nil, amqp.Table{"x-queue-type": "quorum"}, queue, nil},
		{"widths", policy.Classic, amqp.Table{"x-expires": int64(5)}, amqp.Table{"x-expires": int8(5)}, queue, nil},
		{"unknown ones", policy.Classic, amqp.Table{"x-foo": 1}, amqp.Table{"x-bar": 1}, queue, nil},
		{
			"current absent", policy.Classic, nil,
			amqp.Table{"x-message-ttl": int64(5)},
			queue,
			mismatch("x-message-ttl", "the value '5' of type 'long'", "none"),
		},
		{
			"received absent", policy.Classic,
			amqp.Table{"x-overflow": "drop-head"},
			nil, queue,
			mismatch("x-overflow", "none", "the value 'drop-head' of type 'longstr'"),
		},
		{
			"first of two", policy.Classic,
			amqp.Table{"x-expires": int64(5), "x-max-length": int64(5)},
			amqp.Table{"x-expires": int64(6), "x-max-length": int64(6)},
			queue, mismatch("x-expires", "'6'", "'5'"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := policy.Equivalent(test.of, test.current, test.queue, test.received); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}
