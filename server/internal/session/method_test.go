package session_test

import (
	"regexp"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// TestRefusals has a line for each situation of chapter 27 that can be brought about with a method.
func TestRefusals(t *testing.T) {
	s := newServer(t)
	owner := s.connect(t)
	owner.send(1, &amqp.QueueDeclare{Queue: "locked", Exclusive: true})
	owner.expect(1, &amqp.QueueDeclareOk{Queue: "locked"})
	owner.declare(1, "q")
	owner.declare(1, "full")
	owner.declare(1, "busy")
	owner.declare(1, "sole")
	owner.publish(1, "", "full", "m")
	owner.send(1, &amqp.BasicConsume{Queue: "busy", ConsumerTag: "b"}, &amqp.BasicConsume{Queue: "sole", ConsumerTag: "s", Exclusive: true})
	owner.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "b"}, &amqp.BasicConsumeOk{ConsumerTag: "s"})
	owner.send(1, &amqp.ExchangeDeclare{Exchange: "e", Type: "direct"}, &amqp.ExchangeDeclare{Exchange: "inner", Type: "fanout", Internal: true},
		&amqp.QueueBind{Queue: "q", Exchange: "e", RoutingKey: "k"}, &amqp.QueueBind{Queue: "locked", Exchange: "e", RoutingKey: "mine"})
	owner.expect(1, &amqp.ExchangeDeclareOk{}, &amqp.ExchangeDeclareOk{}, &amqp.QueueBindOk{}, &amqp.QueueBindOk{})

	const locked = "cannot obtain exclusive access to locked queue 'locked' in vhost '/'. It could be originally declared on another " +
		"connection or the exclusive property value does not match that of the original declaration."
	for _, test := range []struct {
		name string
		send amqp.Method
		code amqp.ReplyCode
		text string
	}{
		{"exchange missing", &amqp.ExchangeDeclare{Exchange: "nox", Passive: true}, amqp.NotFound, "no exchange 'nox' in vhost '/'"},
		{"exchange of unknown type", &amqp.ExchangeDeclare{Exchange: "x", Type: "x-nope"}, amqp.PreconditionFailed, "unknown exchange type 'x-nope'"},
		{"exchange of no type", &amqp.ExchangeDeclare{Exchange: "x"}, amqp.PreconditionFailed, "unknown exchange type ''"},
		{"exchange reserved", &amqp.ExchangeDeclare{Exchange: "amq.foo", Type: "direct"}, amqp.AccessRefused, "exchange name 'amq.foo' contains reserved prefix 'amq.*'"},
		{"exchange default", &amqp.ExchangeDeclare{Exchange: "", Type: "direct"}, amqp.AccessRefused, "operation not permitted on the default exchange"},
		{"exchange inequivalent", &amqp.ExchangeDeclare{Exchange: "e", Type: "fanout"}, amqp.PreconditionFailed, "inequivalent arg 'type' for exchange 'e' in vhost '/': received 'fanout' but current is 'direct'"},
		{"exchange in use", &amqp.ExchangeDelete{Exchange: "e", IfUnused: true}, amqp.PreconditionFailed, "exchange 'e' in vhost '/' in use"},
		{"system exchange deleted", &amqp.ExchangeDelete{Exchange: "amq.topic"}, amqp.AccessRefused, "deletion of system exchange 'amq.topic' in vhost '/' not allowed"},
		{"exchange bound from nowhere", &amqp.ExchangeBind{Source: "nox", Destination: "e"}, amqp.NotFound, "no exchange 'nox' in vhost '/'"},
		{"exchange bound to the default", &amqp.ExchangeBind{Source: "e", Destination: ""}, amqp.AccessRefused, "operation not permitted on the default exchange"},
		{"exchange unbound from the default", &amqp.ExchangeUnbind{Source: "", Destination: "e"}, amqp.AccessRefused, "operation not permitted on the default exchange"},
		{"queue missing", &amqp.QueueDeclare{Queue: "noq", Passive: true}, amqp.NotFound, "no queue 'noq' in vhost '/'"},
		{"queue reserved", &amqp.QueueDeclare{Queue: "amq.foo"}, amqp.AccessRefused, "queue name 'amq.foo' contains reserved prefix 'amq.*'"},
		{"queue inequivalent", &amqp.QueueDeclare{Queue: "q", Durable: true}, amqp.PreconditionFailed, "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
		{
			"queue argument inequivalent", &amqp.QueueDeclare{Queue: "q", Arguments: amqp.Table{"x-message-ttl": int64(5)}}, amqp.PreconditionFailed,
			"inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '5' of type 'long' but current is none",
		},
		{"queue locked", &amqp.QueueDeclare{Queue: "locked"}, amqp.ResourceLocked, locked},
		{"locked queue bound", &amqp.QueueBind{Queue: "locked", Exchange: "e"}, amqp.ResourceLocked, locked},
		{"locked queue unbound", &amqp.QueueUnbind{Queue: "locked", Exchange: "e", RoutingKey: "mine"}, amqp.ResourceLocked, locked},
		{"locked queue purged", &amqp.QueuePurge{Queue: "locked"}, amqp.ResourceLocked, locked},
		{"locked queue deleted", &amqp.QueueDelete{Queue: "locked"}, amqp.ResourceLocked, locked},
		{"locked queue consumed", &amqp.BasicConsume{Queue: "locked"}, amqp.ResourceLocked, locked},
		{"locked queue asked", &amqp.BasicGet{Queue: []byte("locked")}, amqp.ResourceLocked, locked},
		{"no queue declared before", &amqp.QueueBind{Exchange: "e"}, amqp.NotFound, "no previously declared queue"},
		{"no queue declared before purge", &amqp.QueuePurge{}, amqp.NotFound, "no previously declared queue"},
		{"no queue declared before delete", &amqp.QueueDelete{}, amqp.NotFound, "no previously declared queue"},
		{"no queue declared before consume", &amqp.BasicConsume{}, amqp.NotFound, "no previously declared queue"},
		{"no queue declared before get", &amqp.BasicGet{}, amqp.NotFound, "no previously declared queue"},
		{"no queue declared before unbind", &amqp.QueueUnbind{Exchange: "e"}, amqp.NotFound, "no previously declared queue"},
		{"no queue of no name", &amqp.QueueDeclare{Passive: true}, amqp.NotFound, "no queue '' in vhost '/'"},
		{"queue bound to nowhere", &amqp.QueueBind{Queue: "q", Exchange: "nox"}, amqp.NotFound, "no exchange 'nox' in vhost '/'"},
		{"no queue bound", &amqp.QueueBind{Queue: "noq", Exchange: "e"}, amqp.NotFound, "no queue 'noq' in vhost '/'"},
		{"no queue purged", &amqp.QueuePurge{Queue: "noq"}, amqp.NotFound, "no queue 'noq' in vhost '/'"},
		{"queue not empty", &amqp.QueueDelete{Queue: "full", IfEmpty: true}, amqp.PreconditionFailed, "queue 'full' in vhost '/' not empty"},
		{"queue in use", &amqp.QueueDelete{Queue: "busy", IfUnused: true}, amqp.PreconditionFailed, "queue 'busy' in vhost '/' in use"},
		{
			"headers with a bad x-match", &amqp.QueueBind{Queue: "q", Exchange: "amq.headers", Arguments: amqp.Table{"x-match": "foo"}},
			amqp.PreconditionFailed, `Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`,
		},
		{"no queue consumed", &amqp.BasicConsume{Queue: "noq"}, amqp.NotFound, "no queue 'noq' in vhost '/'"},
		{"consumer beside an exclusive one", &amqp.BasicConsume{Queue: "sole"}, amqp.AccessRefused, "queue 'sole' in vhost '/' in exclusive use"},
		{"exclusive consumer beside another", &amqp.BasicConsume{Queue: "busy", Exclusive: true}, amqp.AccessRefused, "queue 'busy' in vhost '/' in exclusive use"},
		{"no queue asked", &amqp.BasicGet{Queue: []byte("noq")}, amqp.NotFound, "no queue 'noq' in vhost '/'"},
		{"ack", &amqp.BasicAck{DeliveryTag: 5}, amqp.PreconditionFailed, "unknown delivery tag 5"},
		{"ack of zero", &amqp.BasicAck{}, amqp.PreconditionFailed, "unknown delivery tag 0"},
		{"nack", &amqp.BasicNack{DeliveryTag: 6, Multiple: true}, amqp.PreconditionFailed, "unknown delivery tag 6"},
		{"reject", &amqp.BasicReject{DeliveryTag: 7}, amqp.PreconditionFailed, "unknown delivery tag 7"},
		{"prefetch size", &amqp.BasicQos{PrefetchSize: 10}, amqp.NotImplemented, "prefetch_size!=0 (10)"},
		{"recover without requeue", &amqp.BasicRecover{}, amqp.NotImplemented, "requeue=false"},
		{"recover-async without requeue", &amqp.BasicRecoverAsync{}, amqp.NotImplemented, "requeue=false"},
		{"immediate", &amqp.BasicPublish{Immediate: true}, amqp.NotImplemented, "immediate=true"},
		{"credit", &amqp.BasicCredit{ConsumerTag: "c"}, amqp.CommandInvalid, "unimplemented method"},
		{"server's method", &amqp.QueueDeclareOk{Queue: "q"}, amqp.CommandInvalid, "unimplemented method"},
		{"server's delivery", &amqp.BasicDeliver{ConsumerTag: []byte("c")}, amqp.CommandInvalid, "unimplemented method"},
		{"server's return", &amqp.BasicReturn{}, amqp.CommandInvalid, "unimplemented method"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := s.connect(t)
			p.send(1, test.send)
			if test.send.ID().HasContent() { // which some wait for
				p.raw(frame(amqp.FrameHeader, 1, amqp.AppendHeader(nil, 0, &amqp.Properties{})...).Append(nil))
			}
			p.expectClose(1, closed{test.code, test.send.ID(), test.text})
		})
	}
	owner.expectNothing(1) // and is served as before
}

func TestSilentMethodsStillFail(t *testing.T) { // ERR-11
	s := newServer(t)
	for _, test := range []struct {
		send amqp.Method
		want closed
	}{
		{&amqp.QueueDeclare{Queue: "amq.x", NoWait: true}, closed{amqp.AccessRefused, amqp.QueueDeclareID, "*"}},
		{&amqp.QueueBind{Queue: "q", Exchange: "nox", NoWait: true}, closed{amqp.NotFound, amqp.QueueBindID, "*"}},
		{&amqp.QueuePurge{Queue: "noq", NoWait: true}, closed{amqp.NotFound, amqp.QueuePurgeID, "*"}},
		{&amqp.ExchangeDeclare{Exchange: "x", Type: "nope", NoWait: true}, closed{amqp.PreconditionFailed, amqp.ExchangeDeclareID, "*"}},
		{&amqp.ExchangeDelete{Exchange: "amq.direct", NoWait: true}, closed{amqp.AccessRefused, amqp.ExchangeDeleteID, "*"}},
		{&amqp.BasicConsume{Queue: "noq", NoWait: true}, closed{amqp.NotFound, amqp.BasicConsumeID, "*"}},
	} {
		t.Run(test.send.ID().String(), func(t *testing.T) {
			p := s.connect(t)
			p.send(1, test.send)
			p.expectChannelClose(1, test.want)
		})
	}
}

func TestSilentMethodsHaveTheirEffect(t *testing.T) { // ERR-11
	p := newServer(t).connect(t)
	p.send(1, &amqp.ExchangeDeclare{Exchange: "x", Type: "fanout", NoWait: true}, &amqp.ExchangeDeclare{Exchange: "y", Type: "fanout", NoWait: true},
		&amqp.ExchangeBind{Source: "x", Destination: "y", NoWait: true}, &amqp.QueueDeclare{Queue: "q", NoWait: true},
		&amqp.QueueBind{Queue: "q", Exchange: "y", NoWait: true}, &amqp.ConfirmSelect{NoWait: true})
	p.publish(1, "x", "", "m")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 1})
	p.expectReady(1, "q", 1, 0)
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c", NoWait: true, NoAck: true})
	p.expectDeliveries(1, "c:1:m") // no consume-ok before it (CONS-02)
	p.send(1, &amqp.BasicCancel{ConsumerTag: "c", NoWait: true}, &amqp.ExchangeUnbind{Source: "x", Destination: "y", NoWait: true})
	p.publish(1, "x", "", "nowhere")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 2})
	p.publish(1, "y", "", "purged")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 3})
	p.send(1, &amqp.QueuePurge{Queue: "q", NoWait: true})
	p.expectReady(1, "q", 0, 0)
	p.send(1, &amqp.ExchangeDelete{Exchange: "x", NoWait: true}, &amqp.QueueDelete{Queue: "q", NoWait: true}, &amqp.QueueDeclare{Queue: "q", Passive: true})
	p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "no queue 'q' in vhost '/'"})
}

func TestLastDeclaredQueueStandsForAnEmptyName(t *testing.T) { // QUEUE-01, QUEUE-02
	p := newServer(t).connect(t)
	p.declare(1, "other")
	p.send(1, &amqp.QueueDeclare{Exclusive: true})
	m, ok := p.method("queue.declare-ok", 1).(*amqp.QueueDeclareOk)
	if !ok || !regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`).MatchString(m.Queue) {
		t.Fatalf("answer %+v", m)
	}
	p.send(1, &amqp.QueueBind{Exchange: "amq.direct"}) // both names empty: the key is the queue's name too
	p.expect(1, &amqp.QueueBindOk{})
	p.publish(1, "amq.direct", m.Queue, "m")
	if ok, _, body := p.get(1, ""); body != "m" || ok.MessageCount != 0 {
		t.Errorf("%+v with %q", ok, body)
	}
	p.send(1, &amqp.QueueUnbind{Exchange: "amq.direct", RoutingKey: m.Queue}, &amqp.QueuePurge{}, &amqp.BasicConsume{ConsumerTag: "c"})
	p.expect(1, &amqp.QueueUnbindOk{}, &amqp.QueuePurgeOk{}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	p.send(1, &amqp.QueueDeclare{Queue: "other", Passive: true}, &amqp.QueueDelete{})
	p.expect(1, &amqp.QueueDeclareOk{Queue: "other"}, &amqp.QueueDeleteOk{})
	p.send(1, &amqp.QueueDeclare{Queue: "other", Passive: true})
	p.expectChannelClose(1, closed{amqp.NotFound, amqp.QueueDeclareID, "no queue 'other' in vhost '/'"})
}

func TestConsumerTags(t *testing.T) { // CONS-01, CONS-06
	s := newServer(t)
	p := s.connect(t)
	p.declare(1, "q")
	p.openChannel(2)
	p.send(1, &amqp.BasicConsume{Queue: "q"})
	m, ok := p.method("basic.consume-ok", 1).(*amqp.BasicConsumeOk)
	if !ok || !regexp.MustCompile(`^amq\.ctag-[A-Za-z0-9_-]{22}$`).MatchString(m.ConsumerTag) {
		t.Fatalf("answer %+v", m)
	}
	consume := &amqp.BasicConsume{Queue: "q", ConsumerTag: "t1"}
	p.send(1, consume)
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "t1"})
	p.send(2, consume) // tags are per channel
	p.expect(2, &amqp.BasicConsumeOk{ConsumerTag: "t1"})
	p.send(1, &amqp.BasicCancel{ConsumerTag: "unknown"}, &amqp.BasicCancel{ConsumerTag: "t1"}, consume)
	p.expect(1, &amqp.BasicCancelOk{ConsumerTag: "unknown"}, &amqp.BasicCancelOk{ConsumerTag: "t1"}, &amqp.BasicConsumeOk{ConsumerTag: "t1"})
	p.send(1, consume)
	p.expectConnectionClose(closed{amqp.NotAllowed, amqp.BasicConsumeID, "attempt to reuse consumer tag 't1'"})
}

func TestAnswerToACancelIsIgnored(t *testing.T) { // CONS-07
	p := newServer(t).connect(t)
	p.send(1, &amqp.BasicCancelOk{ConsumerTag: "t1"})
	p.expectNothing(1)
}

func TestConsumersAreToldWhenTheirQueueIsDeleted(t *testing.T) { // QUEUE-13, CONN-04
	s := newServer(t)
	told, untold, deleter := s.connect(t), s.dial(t), s.connect(t)
	startOk := plain("guest", "guest")
	startOk.ClientProperties = nil
	untold.handshakeWith(startOk, amqp.ConnectionTuneOk{ChannelMax: 5, FrameMax: 4096})
	untold.openChannel(1)
	deleter.declare(1, "q")
	for _, p := range []*peer{told, untold} {
		p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
		p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	}
	deleter.publish(1, "", "q", "m")
	told.expectDeliveries(1, "c:1:m")
	deleter.send(1, &amqp.QueueDelete{Queue: "q"})
	deleter.expect(1, &amqp.QueueDeleteOk{})
	told.expect(1, &amqp.BasicCancel{ConsumerTag: "c", NoWait: true})
	untold.expectNothing(1)
	told.send(1, &amqp.BasicAck{DeliveryTag: 1}) // harmless (ACK-09)
	deleter.declare(1, "q")
	for _, p := range []*peer{told, untold} {
		p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"}) // the tag is free again
		p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	}
}

func TestQosAppliesToConsumersStartedLater(t *testing.T) { // QOS-02, QOS-03
	p := newServer(t).connect(t)
	p.declare(1, "a")
	p.declare(1, "b")
	p.call(1, &amqp.BasicConsume{Queue: "a", ConsumerTag: "unlimited"}, &amqp.BasicConsumeOk{ConsumerTag: "unlimited"})
	p.call(1, &amqp.BasicQos{PrefetchCount: 1}, &amqp.BasicQosOk{})
	p.call(1, &amqp.BasicConsume{Queue: "b", ConsumerTag: "one"}, &amqp.BasicConsumeOk{ConsumerTag: "one"})
	p.publish(1, "", "a", "a")
	p.publish(1, "", "a", "a")
	p.expectDeliveries(1, "unlimited:1:a", "unlimited:2:a")
	p.publish(1, "", "b", "b")
	p.publish(1, "", "b", "b")
	p.expectDeliveries(1, "one:3:b")
	p.expectNothing(1)
	p.send(1, &amqp.BasicQos{PrefetchCount: 1, Global: true})
	p.expect(1, &amqp.BasicQosOk{})
	p.publish(1, "", "a", "a")
	p.send(1, &amqp.BasicAck{DeliveryTag: 2, Multiple: true}) // one is still held
	p.expectNothing(1)
	p.send(1, &amqp.BasicQos{PrefetchCount: 5}) // clears the shared limit
	p.expect(1, &amqp.BasicQosOk{})
	p.expectDeliveries(1, "unlimited:4:a")
	p.send(1, &amqp.BasicAck{DeliveryTag: 3})
	p.expectDeliveries(1, "one:5:b")
}

func TestRecover(t *testing.T) { // ACK-06
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	for _, body := range []string{"a", "b", "c"} {
		p.publish(1, "", "q", body)
	}
	p.expectDeliveries(1, "c:1:a", "c:2:b", "c:3:c")
	p.send(1, &amqp.BasicAck{DeliveryTag: 2}, &amqp.BasicRecover{Requeue: true})
	p.expect(1, &amqp.BasicRecoverOk{})
	p.expectDeliveries(1, "c:4:a+", "c:5:c+")
	p.send(1, &amqp.BasicRecoverAsync{Requeue: true})
	p.expectDeliveries(1, "c:6:a+", "c:7:c+")
	p.send(1, &amqp.BasicNack{Multiple: true, Requeue: true})
	p.expectDeliveries(1, "c:8:a+", "c:9:c+")
	p.send(1, &amqp.BasicReject{DeliveryTag: 8, Requeue: true}, &amqp.BasicReject{DeliveryTag: 9})
	p.expectDeliveries(1, "c:10:a+")
	p.send(1, &amqp.BasicAck{Multiple: true})
	p.expectReady(1, "q", 0, 1)
}

func TestGet(t *testing.T) { // CONS-11
	p := newServer(t).connect(t)
	p.declare(1, "q")
	p.send(1, &amqp.BasicGet{Queue: []byte("q")})
	p.expect(1, &amqp.BasicGetEmpty{})
	p.publish(1, "", "q", "a")
	p.publish(1, "", "q", "b")
	m, _, body := p.get(1, "q")
	if m.DeliveryTag != 1 || m.MessageCount != 1 || m.Redelivered || body != "a" || string(m.Keys.RoutingKey()) != "q" {
		t.Errorf("get-ok %+v with %q", m, body)
	}
	p.send(1, &amqp.BasicReject{DeliveryTag: 1, Requeue: true})
	if m, _, body := p.get(1, "q"); m.DeliveryTag != 2 || m.MessageCount != 1 || !m.Redelivered || body != "a" {
		t.Errorf("get-ok %+v with %q", m, body)
	}
}
