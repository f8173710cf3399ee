package session_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// transcript is a conversation to be read: it becomes a file in testdata, with what the client (C) and the
// server (S) send on which channel.
type transcript struct {
	file, about string
	play        func(*server, *peer)
}

func transcripts() []transcript { return append(basicTranscripts, accessTranscripts...) }

var basicTranscripts = []transcript{
	{"handshake", "A connection and a channel are opened and closed.", func(_ *server, p *peer) {
		p.handshake()
		p.openChannel(1)
		p.send(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess, ReplyText: "done"})
		p.expect(1, &amqp.ChannelCloseOk{})
		p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess, ReplyText: "bye"})
		p.expect(0, &amqp.ConnectionCloseOk{})
	}},
	{"login-refused", "The password is wrong, and the client can be told so.", func(_ *server, p *peer) {
		p.header()
		p.send(0, plain("guest", "wrong"))
		p.expectConnectionClose(closed{amqp.AccessRefused, 0, "*"})
	}},
	{"publish-get", "A message goes in through an exchange and is taken by basic.get.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.ExchangeDeclare{Exchange: "orders", Type: "topic"}, &amqp.QueueDeclare{Queue: "eu", Exclusive: true},
			&amqp.QueueBind{Queue: "eu", Exchange: "orders", RoutingKey: "eu.#"})
		p.expect(1, &amqp.ExchangeDeclareOk{}, &amqp.QueueDeclareOk{Queue: "eu"}, &amqp.QueueBindOk{})
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("orders", "eu.de.1")},
			amqp.Properties{ContentType: "text/plain", Headers: amqp.Table{"tries": int32(1)}}, "one")
		p.publish(1, "orders", "us.1", "lost")
		p.get(1, "eu")
		p.send(1, &amqp.BasicReject{DeliveryTag: 1, Requeue: true})
		p.get(1, "eu")
		p.send(1, &amqp.BasicAck{DeliveryTag: 2}, &amqp.BasicGet{Queue: []byte("eu")})
		p.expect(1, &amqp.BasicGetEmpty{})
	}},
	{"consume", "Two consumers of one channel take turns, one of them with a prefetch of one.", func(_ *server, p *peer) {
		open(p)
		p.call(1, &amqp.QueueDeclare{Queue: "jobs", AutoDelete: true}, &amqp.QueueDeclareOk{Queue: "jobs"})
		p.call(1, &amqp.BasicQos{PrefetchCount: 1}, &amqp.BasicQosOk{})
		p.call(1, &amqp.BasicConsume{ConsumerTag: "one"}, &amqp.BasicConsumeOk{ConsumerTag: "one"})
		p.call(1, &amqp.BasicQos{}, &amqp.BasicQosOk{})
		p.call(1, &amqp.BasicConsume{ConsumerTag: "any"}, &amqp.BasicConsumeOk{ConsumerTag: "any"})
		for _, body := range []string{"a", "b", "c", "d"} {
			p.publish(1, "", "jobs", body)
		}
		p.expectDeliveries(1, "one:1:a", "any:2:b", "any:3:c", "any:4:d")
		p.call(1, &amqp.BasicCancel{ConsumerTag: "any"}, &amqp.BasicCancelOk{ConsumerTag: "any"})
		p.send(1, &amqp.BasicNack{DeliveryTag: 1, Requeue: true})
		p.expectDeliveries(1, "one:5:a+")
		p.send(1, &amqp.BasicAck{DeliveryTag: 5, Multiple: true})
		p.call(1, &amqp.BasicCancel{ConsumerTag: "one"}, &amqp.BasicCancelOk{ConsumerTag: "one"})
		p.send(1, &amqp.QueueDeclare{Queue: "jobs", Passive: true}) // went with its last consumer
		p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "*"})
	}},
	{"confirms", "A publisher is told that its messages are safe, and of one that went nowhere.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "safe", Durable: true}, &amqp.ConfirmSelect{})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "safe"}, &amqp.ConfirmSelectOk{})
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "safe")}, amqp.Properties{DeliveryMode: amqp.Persistent}, "kept")
		p.expect(1, &amqp.BasicAck{DeliveryTag: 1})
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nowhere"), Mandatory: true}, amqp.Properties{MessageID: "7"}, "returned")
		p.content(1, p.method("basic.return", 1))
		p.expect(1, &amqp.BasicAck{DeliveryTag: 2})
	}},
	{"channel-error", "A channel fails, the other goes on, and the number serves again.", func(_ *server, p *peer) {
		open(p)
		p.openChannel(2)
		p.send(1, &amqp.QueueDeclare{Queue: "missing", Passive: true})
		p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "*"})
		p.expectNothing(2)
		p.openChannel(1)
		p.send(1, &amqp.BasicAck{DeliveryTag: 9})
		p.expectChannelClose(1, closed{amqp.PreconditionFailed, amqp.BasicAckID, "*"})
	}},
	{"connection-error", "A method where the body of a message is due ends the connection.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, &amqp.QueueDeclare{Queue: "q"})
		p.expectConnectionClose(closed{amqp.UnexpectedFrame, amqp.BasicPublishID, "*"})
	}},
	{"queue-deleted", "A consumer is told that another connection has deleted its queue.", func(s *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "doomed"}, &amqp.BasicConsume{Queue: "doomed"})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "doomed"})
		started, _ := p.method("basic.consume-ok", 1).(*amqp.BasicConsumeOk)
		other := s.connect(p.t)
		other.send(1, &amqp.QueueDelete{Queue: "doomed"})
		other.expect(1, &amqp.QueueDeleteOk{})
		p.expect(1, &amqp.BasicCancel{ConsumerTag: started.ConsumerTag, NoWait: true})
	}},
	{"exclusive", "A queue of one connection is out of reach for another, until the first has gone.", func(s *server, p *peer) {
		owner := s.connect(p.t)
		owner.send(1, &amqp.QueueDeclare{Queue: "private", Exclusive: true})
		owner.expect(1, &amqp.QueueDeclareOk{Queue: "private"})
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "private", Exclusive: true})
		p.expectChannelClose(1, closed{amqp.ResourceLocked, amqp.QueueDeclareID, "*"})
		p.openChannel(1)
		owner.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess})
		owner.expect(0, &amqp.ConnectionCloseOk{})
		p.send(1, &amqp.QueueDeclare{Queue: "private", Exclusive: true})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "private"})
	}},
	{"transaction", "Two messages and an ack take effect together; a rollback forgets the rest.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "ledger", Exclusive: true}, &amqp.TxSelect{})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "ledger"}, &amqp.TxSelectOk{})
		p.publish(1, "", "ledger", "debit")
		p.publish(1, "", "ledger", "credit")
		p.expectReady(1, "ledger", 0, 0)
		p.call(1, &amqp.TxCommit{}, &amqp.TxCommitOk{})
		p.expectReady(1, "ledger", 2, 0)
		p.get(1, "ledger")
		p.send(1, &amqp.BasicAck{DeliveryTag: 1}, &amqp.TxRollback{}, &amqp.BasicReject{DeliveryTag: 1, Requeue: true}, &amqp.TxCommit{})
		p.expect(1, &amqp.TxRollbackOk{}, &amqp.TxCommitOk{})
		p.get(1, "ledger")
	}},
	{"priorities", "Higher priorities first; what is returned keeps its place among its own.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "urgent", Arguments: amqp.Table{"x-max-priority": int32(9)}})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "urgent"})
		for i, priority := range []uint8{0, 9, 4, 9} {
			p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "urgent")}, amqp.Properties{Priority: priority}, string(rune('a'+i)))
		}
		p.get(1, "urgent")
		p.get(1, "urgent")
		p.send(1, &amqp.BasicReject{DeliveryTag: 1, Requeue: true}, &amqp.BasicConsume{Queue: "urgent", ConsumerTag: "c"})
		p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
		p.expectDeliveries(1, "c:3:b+", "c:4:c", "c:5:a")
	}},
	{"quorum", "A quorum queue tells how often a message failed, and gives it up when it failed too often.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "dead"}, &amqp.QueueDeclare{Queue: "jobs", Durable: true, Arguments: amqp.Table{
			"x-queue-type": "quorum", "x-delivery-limit": int32(1), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead",
		}})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "dead"}, &amqp.QueueDeclareOk{Queue: "jobs"})
		p.send(1, &amqp.ConfirmSelect{})
		p.expect(1, &amqp.ConfirmSelectOk{})
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "jobs")}, amqp.Properties{Headers: amqp.Table{"tries": int32(1)}}, "job")
		p.expect(1, &amqp.BasicAck{DeliveryTag: 1}) // or RabbitMQ's may not be there yet
		p.get(1, "jobs")
		p.send(1, &amqp.BasicNack{DeliveryTag: 1, Requeue: true})
		p.get(1, "jobs")
		p.send(1, &amqp.BasicReject{DeliveryTag: 2, Requeue: true})
		p.get(1, "jobs")
		p.send(1, &amqp.BasicConsume{Queue: "dead", ConsumerTag: "undertaker", NoAck: true})
		p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "undertaker"})
		p.script.WriteString("# what comes now tells the time, and is not shown\n")
		shown := p.script.String()
		p.send(1, &amqp.BasicReject{DeliveryTag: 3, Requeue: true})
		p.expectDeliveries(1, "undertaker:4:job")
		p.script.Reset()
		p.script.WriteString(shown)
	}},
	{"consumer-timeout", "A delivery is not settled in time: the channel ends, or with a quorum queue the consumer.", func(s *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "plain", Arguments: amqp.Table{"x-consumer-timeout": int32(100)}}, &amqp.BasicConsume{Queue: "plain", ConsumerTag: "c"})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "plain"}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
		p.publish(1, "", "plain", "forgotten")
		p.expectDeliveries(1, "c:1:forgotten")
		p.expectChannelClose(1, closed{amqp.PreconditionFailed, 0, "*"})
		p.openChannel(1)
		p.send(1, &amqp.QueueDeclare{Queue: "quorum", Durable: true, Arguments: amqp.Table{"x-queue-type": "quorum", "x-consumer-timeout": int32(100)}},
			&amqp.BasicConsume{Queue: "quorum", ConsumerTag: "c"})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "quorum"}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
		p.publish(1, "", "quorum", "forgotten too")
		p.expectDeliveries(1, "c:1:forgotten too")
		p.expect(1, &amqp.BasicCancel{ConsumerTag: "c", NoWait: true})
		p.send(1, &amqp.BasicAck{DeliveryTag: 1})
		p.get(1, "quorum")
	}},
	{"recover", "Everything unsettled is delivered again.", func(_ *server, p *peer) {
		open(p)
		p.send(1, &amqp.QueueDeclare{Queue: "again", Exclusive: true}, &amqp.BasicConsume{ConsumerTag: "c"})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "again"}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
		p.publish(1, "", "again", "a")
		p.publish(1, "", "again", "b")
		p.expectDeliveries(1, "c:1:a", "c:2:b")
		p.send(1, &amqp.BasicAck{DeliveryTag: 1}, &amqp.BasicRecover{Requeue: true})
		p.expect(1, &amqp.BasicRecoverOk{})
		p.expectDeliveries(1, "c:3:b+")
	}},
}

// open is the handshake, which only its own transcript shows.
func open(p *peer) {
	p.handshake()
	p.openChannel(1)
	p.script.Reset()
}

func TestTranscripts(t *testing.T) {
	for _, transcript := range transcripts() {
		t.Run(transcript.file, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			p := s.dial(t)
			transcript.play(s, p)
			got := "# " + transcript.about + "\n" + p.transcript()
			path := filepath.Join("testdata", transcript.file+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if s.external != "" { // it tells its own name and version
				got, want = withoutStart(got), []byte(withoutStart(string(want)))
			}
			if got != string(want) {
				t.Errorf("%s differs (run with -update, and read what changed):\n%s", path, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one is longer than the other"
}

func TestEveryTranscriptBelongsToAScenario(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(transcripts()) {
		t.Errorf("%d files in testdata, %d scenarios", len(files), len(transcripts()))
	}
}
