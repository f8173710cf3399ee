package session_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestChannelNumbersAndLimit(t *testing.T) { // CHAN-01
	p := newServer(t).dial(t)
	p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 2, FrameMax: 4096})
	p.openChannel(60000)
	p.openChannel(65535)
	p.send(65535, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
	p.expect(65535, &amqp.ChannelCloseOk{})
	p.openChannel(65535)
	p.send(1, &amqp.ChannelOpen{})
	p.expectConnectionClose(closed{amqp.NotAllowed, 0, "number of channels opened (2) has reached the negotiated channel_max (2)"})
}

func TestFailedChannelDoesNotCountAgainstTheLimit(t *testing.T) { // CHAN-01
	p := newServer(t).dial(t)
	p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096})
	for range 3 {
		p.openChannel(1)
		p.send(1, &amqp.QueueDeclare{Queue: "nope", Passive: true})
		p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "no queue 'nope' in vhost '/'"})
	}
	p.openChannel(2)
}

func TestMethodsNeedAnOpenChannel(t *testing.T) { // CHAN-02
	s := newServer(t)
	for _, m := range []amqp.Method{
		&amqp.QueueDeclare{Queue: "q"}, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess}, &amqp.BasicPublish{}, &amqp.BasicAck{DeliveryTag: 1},
	} {
		t.Run(m.ID().String(), func(t *testing.T) {
			p := s.connect(t)
			p.send(2, m)
			if m.ID().HasContent() { // which some wait for
				p.raw(frame(amqp.FrameHeader, 2, amqp.AppendHeader(nil, 0, &amqp.Properties{})...).Append(nil))
			}
			p.expectConnectionClose(closed{amqp.ChannelError, m.ID(), "expected 'channel.open'"})
		})
	}
	p := s.connect(t)
	p.send(1, &amqp.ChannelOpen{})
	p.expectConnectionClose(closed{amqp.ChannelError, amqp.ChannelOpenID, "second 'channel.open' seen"})
}

func TestLateAnswerToACloseIsHarmless(t *testing.T) { // CHAN-02; RabbitMQ may close the connection
	p := newOwnServer(t).connect(t)
	p.send(2, &amqp.ChannelCloseOk{}, &amqp.ChannelOpen{})
	p.expect(2, &amqp.ChannelOpenOk{})
}

func TestFlow(t *testing.T) { // CHAN-03
	p := newServer(t).connect(t)
	p.send(1, &amqp.ChannelFlow{Active: true})
	p.expect(1, &amqp.ChannelFlowOk{Active: true})
	p.send(1, &amqp.ChannelFlow{})
	p.expectConnectionClose(closed{amqp.NotImplemented, amqp.ChannelFlowID, "active=false"})
}

func TestClosingChannelDiscardsAllButItsAnswer(t *testing.T) { // ERR-04
	p := newServer(t).connect(t)
	p.openChannel(2)
	p.declare(1, "q")
	missing := &amqp.QueueDeclare{Queue: "nope", Passive: true}
	p.send(1, missing)
	p.method("channel.close", 1)
	p.publish(1, "", "q", "discarded")
	p.send(1, missing, &amqp.QueueDeclare{Queue: "never"}, &amqp.BasicAck{DeliveryTag: 9})
	p.expectReady(2, "q", 0, 0) // the other channel goes on
	p.send(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
	p.expect(1, &amqp.ChannelCloseOk{}) // both closed at once
	p.send(1, &amqp.ChannelCloseOk{})
	p.openChannel(1)
	p.send(1, &amqp.QueueDeclare{Queue: "never", Passive: true})
	p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "no queue 'never' in vhost '/'"})
}

func TestReopeningBeforeTheAnswerIsAnError(t *testing.T) { // ERR-04
	p := newServer(t).connect(t)
	p.send(1, &amqp.QueueDeclare{Queue: "nope", Passive: true})
	p.method("channel.close", 1)
	p.send(1, &amqp.ChannelOpen{})
	p.expectConnectionClose(closed{amqp.ChannelError, amqp.ChannelOpenID, "second 'channel.open' seen"})
}

func TestEverythingOfAChannelStartsAfresh(t *testing.T) { // CHAN-04
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.send(1, &amqp.ConfirmSelect{}, &amqp.BasicQos{PrefetchCount: 1})
	p.expect(1, &amqp.ConfirmSelectOk{}, &amqp.BasicQosOk{})
	for tag := range uint64(2) {
		p.publish(1, "", "q", "m")
		p.expect(1, &amqp.BasicAck{DeliveryTag: tag + 1})
	}
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.expectDeliveries(1, "c:1:m")
	p.send(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
	p.expect(1, &amqp.ChannelCloseOk{})
	p.openChannel(1)

	p.send(1, &amqp.QueuePurge{})
	p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueuePurgeID, "no previously declared queue"})
	p.openChannel(1)
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.expectDeliveries(1, "c:1:m+", "c:2:m")
	p.publish(1, "", "q", "not confirmed")
	p.expectDeliveries(1, "c:3:not confirmed")
	p.send(1, &amqp.ConfirmSelect{})
	p.expect(1, &amqp.ConfirmSelectOk{})
	p.publish(1, "", "nobody", "m")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 1})
}

func TestChannelMayBeOpenedRightBehindItsClose(t *testing.T) { // ERR-06
	p := newServer(t).connect(t)
	p.send(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess}, &amqp.ChannelOpen{})
	p.expect(1, &amqp.ChannelCloseOk{}, &amqp.ChannelOpenOk{})
	p.expectNothing(1)
}

func TestServerHangsUpWhenItHasAgreedToClose(t *testing.T) { // ERR-08
	p := newServer(t).connect(t)
	p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess})
	p.expect(0, &amqp.ConnectionCloseOk{})
	p.expectEnd()
}

func TestRepliesComeInTheOrderOfTheRequests(t *testing.T) { // CHAN-05
	p := newServer(t).connect(t)
	p.send(1, &amqp.QueueDeclare{Queue: "q"}, &amqp.BasicConsume{Queue: "q", ConsumerTag: "a"}, &amqp.BasicQos{PrefetchCount: 5},
		&amqp.BasicCancel{ConsumerTag: "a"}, &amqp.BasicGet{Queue: []byte("q")}, &amqp.QueueDelete{Queue: "q"})
	p.expect(1, &amqp.QueueDeclareOk{Queue: "q"}, &amqp.BasicConsumeOk{ConsumerTag: "a"}, &amqp.BasicQosOk{},
		&amqp.BasicCancelOk{ConsumerTag: "a"}, &amqp.BasicGetEmpty{}, &amqp.QueueDeleteOk{})
}

func TestFailedAckDiscardsWhatComesBehindIt(t *testing.T) { // ACK-02, ERR-04
	s := newServer(t)
	watcher := s.connect(t)
	watcher.declare(1, "q")
	for name, settle := range map[string]amqp.Method{
		"ack": &amqp.BasicAck{DeliveryTag: 5}, "nack": &amqp.BasicNack{DeliveryTag: 5}, "reject": &amqp.BasicReject{DeliveryTag: 5},
		"multiple": &amqp.BasicAck{DeliveryTag: 5, Multiple: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.connect(t)
			var octets []byte // all in one read
			octets = append(octets, message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{}, "before")...)
			octets = append(octets, encode(1, settle)...)
			octets = append(octets, message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{}, "behind")...)
			octets = append(octets, encode(1, &amqp.QueueDeclare{Queue: "behind"})...)
			p.raw(octets)
			p.expectChannelClose(1, closed{amqp.PreconditionFailed, settle.ID(), "unknown delivery tag 5"})
			p.openChannel(1)
			p.send(1, &amqp.QueueDeclare{Queue: "behind", Passive: true})
			p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "no queue 'behind' in vhost '/'"})
			watcher.expectReady(1, "q", 1, 0)
			if _, _, body := watcher.get(1, "q"); body != "before" {
				t.Errorf("message %q", body)
			}
		})
	}
}

func TestCloseBehindAFailedAckIsAnswered(t *testing.T) { // ERR-04
	p := newServer(t).connect(t)
	p.send(1, &amqp.BasicAck{DeliveryTag: 5}, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
	p.method("channel.close", 1)
	p.expect(1, &amqp.ChannelCloseOk{})
	p.send(1, &amqp.ChannelCloseOk{})
	p.openChannel(1)
}

func TestOpenBehindAFailedAckIsAnError(t *testing.T) { // ERR-04
	p := newServer(t).connect(t)
	p.send(1, &amqp.BasicAck{DeliveryTag: 5}, &amqp.ChannelOpen{})
	p.method("channel.close", 1)
	p.expectConnectionClose(closed{amqp.ChannelError, amqp.ChannelOpenID, "second 'channel.open' seen"})
}

func TestWhatCameBeforeACloseCounts(t *testing.T) { // ERR-05
	s := newServer(t)
	watcher := s.connect(t)
	watcher.declare(1, "q")
	publish := message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{}, "m")
	goodbye := amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess, ReplyText: "bye"}
	for n, test := range []struct {
		name   string
		behind []byte
		expect func(*peer)
	}{
		{"channel.close", encode(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess}), func(p *peer) { p.expect(1, &amqp.ChannelCloseOk{}) }},
		{"connection.close", encode(0, &goodbye), func(p *peer) { p.expect(0, &amqp.ConnectionCloseOk{}) }},
		{"channel error", encode(1, &amqp.BasicConsume{Queue: "nope"}), func(p *peer) { p.method("channel.close", 1) }},
		{"connection error", encode(1, &amqp.ChannelOpen{}), func(p *peer) { p.method("connection.close", 0) }},
		{"malformed frame", []byte{9, 0, 0, 0, 0, 0, 0, 0xCE}, func(p *peer) { p.method("connection.close", 0) }},
		{"method out of place", encode(0, &amqp.ConnectionCloseOk{}), func(p *peer) { p.method("connection.close", 0) }},
		{"nothing", nil, func(p *peer) { p.expectNothing(1) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.connect(t)
			p.raw(append(append([]byte(nil), publish...), test.behind...))
			test.expect(p)
			watcher.expectReady(1, "q", uint32(n+1), 0)
		})
	}
}

func TestAcksBeforeACloseCount(t *testing.T) { // ERR-05
	s := newServer(t)
	watcher := s.connect(t)
	watcher.declare(1, "q")
	for range 2 {
		watcher.publish(1, "", "q", "m")
	}
	watcher.expectReady(1, "q", 2, 0) // they are there before another connection asks
	p := s.connect(t)
	p.get(1, "q")
	p.get(1, "q")
	p.raw(append(encode(1, &amqp.BasicAck{DeliveryTag: 1}), encode(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess})...))
	p.expect(0, &amqp.ConnectionCloseOk{})
	watcher.expectReady(1, "q", 1, 0)
}

func TestLostConnectionGivesBackWhatItHeld(t *testing.T) { // ERR-09
	s := newServer(t)
	watcher := s.connect(t)
	watcher.declare(1, "q")
	watcher.publish(1, "", "q", "m")
	p := s.connect(t)
	p.send(1, &amqp.QueueDeclare{Queue: "mine", Exclusive: true}, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
	p.expect(1, &amqp.QueueDeclareOk{Queue: "mine"}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.expectDeliveries(1, "c:1:m")
	p.nc.Close()
	<-p.ended
	watcher.expectReady(1, "q", 1, 0)
	if m, _, _ := watcher.get(1, "q"); !m.Redelivered {
		t.Error("a message that was handed out is not marked")
	}
	watcher.send(1, &amqp.QueueDeclare{Queue: "mine", Passive: true})
	watcher.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "no queue 'mine' in vhost '/'"})
}

func TestConnectionThatFailedGivesBackWhatItHeldAtOnce(t *testing.T) { // ERR-05: before the answer to the close
	s := newServer(t)
	watcher := s.connect(t)
	watcher.declare(1, "q")
	watcher.publish(1, "", "q", "m")
	p := s.connect(t)
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.expectDeliveries(1, "c:1:m")
	p.send(1, &amqp.ChannelOpen{})
	p.method("connection.close", 0)
	watcher.expectReady(1, "q", 1, 0)
	p.send(0, &amqp.ConnectionCloseOk{})
	p.expectEnd()
}

func TestExclusiveNameIsFreeWhenTheCloseIsAnswered(t *testing.T) { // ERR-08
	s := newServer(t)
	for range 20 {
		p := s.connect(t)
		p.send(1, &amqp.QueueDeclare{Queue: "mine", Exclusive: true})
		p.expect(1, &amqp.QueueDeclareOk{Queue: "mine"})
		p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess})
		p.expect(0, &amqp.ConnectionCloseOk{})
	}
}
