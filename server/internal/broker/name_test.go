package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// QUEUE-01, QUEUE-03: the broker makes names, with the prefix that it is asked for.
func TestGeneratedNames(t *testing.T) {
	f := open(t)
	c := f.client()
	declare := func(args amqp.Table) string {
		return c.queue(broker.QueueDeclaration{Durable: true, Arguments: args})
	}
	plain, mine := declare(nil), declare(amqp.Table{"x-name-prefix": "mine-"})
	if !strings.HasPrefix(plain, "amq.gen-") || len(plain) != len("amq.gen-")+22 {
		t.Errorf("name %q", plain)
	}
	if !strings.HasPrefix(mine, "mine-") || len(mine) != len("mine-")+22 {
		t.Errorf("name %q", mine)
	}
	long := strings.Repeat("x", 65)
	_, err := c.DeclareQueue(broker.QueueDeclaration{Arguments: amqp.Table{"x-name-prefix": long}})
	wantError(t, err, amqp.PreconditionFailed, amqp.QueueDeclareID, "Queue name prefix '"+long+"' exceeds the 64-byte limit")
	f.restart()
	c = f.client()
	want(t, "names after a restart", c.exists(plain) && c.exists(mine), true)
}

// REPLY-03: an answer given in a transaction leaves with its commit.
func TestAnswerInATransactionLeavesWithTheCommit(t *testing.T) {
	f := open(t)
	asking, answering := f.client(), f.client()
	if err := asking.ch.ConsumeReplies(&queue.Consumer{Tag: "r", NoAck: true, Channel: asking.ch.Channel}, func() {}); err != nil {
		t.Fatal(err)
	}
	asking.durable("requests")
	asking.stage(asking.ch, "", "requests", amqp.Properties{ReplyTo: broker.ReplyTo}, "?")
	asking.flush()
	answering.consume("requests", queue.Consumer{Tag: "c", NoAck: true})
	answering.sink.await(t, "request", func() bool { return len(answering.sink.mu.deliveries) == 1 })
	record, err := answering.view.Record(answering.sink.take()[0].LSN)
	if err != nil {
		t.Fatal(err)
	}
	request, err := record.Publish()
	if err != nil {
		t.Fatal(err)
	}
	header, err := amqp.ParseHeader(request.Header)
	if err != nil {
		t.Fatal(err)
	}
	to := string(header.ReplyTo())
	if err := answering.ch.SelectTx(); err != nil {
		t.Fatal(err)
	}
	want(t, "routed", answering.stage(answering.ch, "", to, amqp.Properties{}, "dropped"), true)
	answering.ch.Rollback()
	answering.stage(answering.ch, "", to, amqp.Properties{}, "1")
	answering.stage(answering.ch, "", to, amqp.Properties{}, "2")
	want(t, "answers before the commit", len(asking.sink.mu.replies), 0)
	if err := answering.ch.Commit(); err != nil {
		t.Fatal(err)
	}
	want(t, "answers", strings.Join(asking.sink.mu.replies, " "), fmt.Sprintf("1:r:1 %[1]s 1:r:2 %[1]s", to))
}
