package session_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestLineBreaksAreStrippedFromDeclaredNames(t *testing.T) { // EXCH-05, QUEUE-05
	p := newServer(t).connect(t)
	p.call(1, &amqp.QueueDeclare{Queue: "on\r\ne"}, &amqp.QueueDeclareOk{Queue: "one"})
	p.call(1, &amqp.QueueDeclare{Queue: "one", Passive: true}, &amqp.QueueDeclareOk{Queue: "one"})
	p.call(1, &amqp.ExchangeDeclare{Exchange: "e\nx", Type: "fanout"}, &amqp.ExchangeDeclareOk{})
	p.call(1, &amqp.ExchangeDeclare{Exchange: "ex", Passive: true}, &amqp.ExchangeDeclareOk{})
	p.call(1, &amqp.QueueDelete{Queue: "one"}, &amqp.QueueDeleteOk{})
	p.call(1, &amqp.ExchangeDelete{Exchange: "ex"}, &amqp.ExchangeDeleteOk{})
}

func TestExchangeIsMissedBeforeTheQueue(t *testing.T) { // QUEUE-15, EXCH-21
	s := newServer(t)
	for _, test := range []struct {
		send amqp.Method
		text string
	}{
		{&amqp.QueueBind{Queue: "noq", Exchange: "nox"}, "no exchange 'nox' in vhost '/'"},
		{&amqp.QueueBind{Queue: "noq", Exchange: "amq.direct"}, "no queue 'noq' in vhost '/'"},
		{&amqp.ExchangeBind{Source: "amq.direct", Destination: "noy"}, "no exchange 'noy' in vhost '/'"},
		{&amqp.ExchangeBind{Source: "nox", Destination: "noy"}, "no exchange 'nox' in vhost '/'"},
	} {
		p := s.connect(t)
		p.send(1, test.send)
		p.expectChannelClose(1, closed{amqp.NotFound, test.send.ID(), test.text})
	}
	p := s.connect(t) // QUEUE-16, EXCH-22: what is not there is not missed
	p.call(1, &amqp.QueueUnbind{Queue: "noq", Exchange: "amq.direct"}, &amqp.QueueUnbindOk{})
	p.call(1, &amqp.QueueUnbind{Queue: "noq", Exchange: "nox"}, &amqp.QueueUnbindOk{})
	p.call(1, &amqp.ExchangeUnbind{Source: "nox", Destination: "amq.direct"}, &amqp.ExchangeUnbindOk{})
}

func TestTransientQueueOutlivesItsConnection(t *testing.T) { // QUEUE-19
	s := newServer(t)
	p := s.connect(t)
	p.declare(1, "q")
	p.publish(1, "", "q", "m")
	p.call(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess}, &amqp.ConnectionCloseOk{})
	s.connect(t).expectReady(1, "q", 1, 0)
}

func TestArgumentsOfAQueueAreItsOwnForGood(t *testing.T) { // QARG-03, QUEUE-08
	s := newServer(t)
	p := s.connect(t)
	first := amqp.Table{"x-max-length": int32(5), "x-ours": "anything"}
	p.call(1, &amqp.QueueDeclare{Queue: "q", Arguments: first}, &amqp.QueueDeclareOk{Queue: "q"})
	p.call(1, &amqp.QueueDeclare{Queue: "q", Arguments: amqp.Table{"x-max-length": int64(5), "x-ours": "else"}}, &amqp.QueueDeclareOk{Queue: "q"})
	for received, text := range map[any]string{
		int32(6): "received '6' but current is '5'",
		nil:      "received none but current is the value '5' of type 'signedint'",
	} {
		t.Run(text, func(t *testing.T) {
			p := s.connect(t)
			arguments := amqp.Table{}
			if received != nil {
				arguments["x-max-length"] = received
			}
			p.send(1, &amqp.QueueDeclare{Queue: "q", Arguments: arguments})
			p.expectChannelClose(1, closed{
				amqp.PreconditionFailed, amqp.QueueDeclareID, "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': " + text,
			})
		})
	}
}

func TestNoLocalIsIgnored(t *testing.T) { // CONS-03
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.call(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c", NoLocal: true}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.publish(1, "", "q", "mine")
	p.expectDeliveries(1, "c:1:mine")
}

func TestRequeueIntoAFullQueueDropsFromItsHead(t *testing.T) { // ACK-08, LEN-01
	p := newServer(t).connect(t)
	p.call(1, &amqp.QueueDeclare{Queue: "q", Arguments: amqp.Table{"x-max-length": int32(2)}}, &amqp.QueueDeclareOk{Queue: "q"})
	p.publish(1, "", "q", "old")
	p.get(1, "q")
	p.publish(1, "", "q", "a")
	p.publish(1, "", "q", "b")
	p.expectReady(1, "q", 2, 0) // what is held does not count
	p.send(1, &amqp.BasicReject{DeliveryTag: 1, Requeue: true})
	p.expectReady(1, "q", 2, 0)
	for _, want := range []string{"a", "b"} {
		if _, _, body := p.get(1, "q"); body != want {
			t.Errorf("got %q, want %q: the one that came back is the oldest", body, want)
		}
	}
}

func TestClientsDoNotConfirmPublishes(t *testing.T) { // ACK-10, CONF-07
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.call(1, &amqp.ConfirmSelect{}, &amqp.ConfirmSelectOk{})
	p.publish(1, "", "q", "m")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 1})
	p.send(1, &amqp.BasicAck{DeliveryTag: 1}) // it has received nothing under that number
	p.expectChannelClose(1, closed{amqp.PreconditionFailed, amqp.BasicAckID, "unknown delivery tag 1"})
}

func TestExpirationStaysOnWhatIsDelivered(t *testing.T) { // TTL-07, TTL-03
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{Expiration: "0"}, "expired")
	p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{Expiration: "60000"}, "delivered")
	_, header, body := p.get(1, "q")
	properties, err := header.Properties()
	if err != nil || body != "delivered" || properties.Expiration != "60000" {
		t.Errorf("got %q with %+v, %v", body, properties, err)
	}
}

func TestWhatGoesStraightToAConsumerIsNotDropped(t *testing.T) { // LEN-05
	p := newServer(t).connect(t)
	p.call(1, &amqp.QueueDeclare{Queue: "q", Arguments: amqp.Table{"x-max-length": int32(0)}}, &amqp.QueueDeclareOk{Queue: "q"})
	p.publish(1, "", "q", "dropped")
	p.expectReady(1, "q", 0, 0)
	p.call(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.publish(1, "", "q", "delivered")
	p.expectDeliveries(1, "c:1:delivered")
}

func TestDeadLettersKeepTheirOrder(t *testing.T) { // DLX-12, DLX-09
	p := newServer(t).connect(t)
	p.declare(1, "grave")
	p.call(1, &amqp.QueueDeclare{
		Queue: "q", Arguments: amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "grave"},
	}, &amqp.QueueDeclareOk{Queue: "q"})
	p.call(1, &amqp.BasicConsume{Queue: "grave", ConsumerTag: "c", NoAck: true}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	const messages = 50
	for i := range messages {
		p.publish(1, "", "q", fmt.Sprint(i))
	}
	for range messages {
		p.get(1, "q")
	}
	p.send(1, &amqp.BasicNack{DeliveryTag: messages, Multiple: true})
	for i := range messages {
		if got := p.delivery(1); !strings.HasSuffix(got, fmt.Sprint(":", i)) {
			t.Fatalf("dead letter %d is %s", i, got)
		}
	}
}

func TestPriorityOfConsumersIsAboveTheirTurn(t *testing.T) { // PRIO-04, CONS-08
	p := newServer(t).connect(t)
	p.declare(1, "q")
	consume := func(tag string, prefetch uint16, priority int32) {
		p.call(1, &amqp.BasicQos{PrefetchCount: prefetch}, &amqp.BasicQosOk{})
		p.call(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: tag, Arguments: amqp.Table{"x-priority": priority}}, &amqp.BasicConsumeOk{ConsumerTag: tag})
	}
	consume("low", 10, -1)
	consume("high", 2, 7)
	for _, body := range []string{"a", "b", "c"} {
		p.publish(1, "", "q", body)
	}
	p.expectDeliveries(1, "high:1:a", "high:2:b", "low:3:c")
	p.send(1, &amqp.BasicAck{DeliveryTag: 1})
	p.publish(1, "", "q", "d")
	p.expectDeliveries(1, "high:4:d")
}

func TestSingleActiveConsumerAndTheOthers(t *testing.T) { // SAC-01, SAC-04, SAC-05
	s := newServer(t)
	p, other := s.connect(t), s.connect(t)
	p.call(1, &amqp.QueueDeclare{Queue: "q", Arguments: amqp.Table{"x-single-active-consumer": true}}, &amqp.QueueDeclareOk{Queue: "q"})
	p.call(1, &amqp.BasicQos{PrefetchCount: 1}, &amqp.BasicQosOk{})
	p.call(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "first"}, &amqp.BasicConsumeOk{ConsumerTag: "first"})
	other.call(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "second"}, &amqp.BasicConsumeOk{ConsumerTag: "second"})
	for _, body := range []string{"a", "b", "c"} {
		p.publish(1, "", "q", body)
	}
	p.expectDeliveries(1, "first:1:a")
	if _, _, body := p.get(1, "q"); body != "b" { // the queue may be asked all the same
		t.Errorf("got %q", body)
	}
	p.call(1, &amqp.BasicCancel{ConsumerTag: "first"}, &amqp.BasicCancelOk{ConsumerTag: "first"})
	other.expectDeliveries(1, "second:1:c") // not a: it stays with the channel
	p.send(1, &amqp.BasicReject{DeliveryTag: 1, Requeue: true})
	other.expectDeliveries(1, "second:2:a+")
}
