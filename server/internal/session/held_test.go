package session_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/session"
)

// bounded makes a connection that may hold 100,000 bytes, with some channels open.
func bounded(t *testing.T, channels uint16) (*server, *peer) {
	s := newOwnServer(t)
	s.cfg.MaxHeld = 100_000
	p := s.connect(t)
	for n := uint16(2); n <= channels; n++ {
		p.openChannel(n)
	}
	return s, p
}

const heldTooMuch = "messages that are not complete and transactions that are not committed hold %d bytes, a connection may hold 100000"

// expectHeldTooMuch waits for the close of a connection that holds too much, and is told how much.
func (p *peer) expectHeldTooMuch() {
	p.t.Helper()
	m, ok := p.method("connection.close", 0).(*amqp.ConnectionClose)
	if !ok {
		p.t.Fatal("want connection.close")
	}
	held := 0
	if _, err := fmt.Sscanf(m.ReplyText, "RESOURCE_ERROR - "+heldTooMuch, &held); err != nil || held <= 100_000 || held > 400_000 {
		p.t.Errorf("closed with %q (%v)", m.ReplyText, err)
	}
	if m.ReplyCode != amqp.ResourceError || m.Method != amqp.BasicPublishID {
		p.t.Errorf("closed with %d for %s", m.ReplyCode, m.Method)
	}
}

func TestContentsThatAreNeverCompletedAreBounded(t *testing.T) {
	const channels = 30
	s, p := bounded(t, channels)
	other := s.connect(t)
	piece := strings.Repeat("x", 4000)
	for n := range uint16(channels) {
		out := amqp.AppendMethod(nil, n+1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody")})
		out = amqp.AppendFrame(out, amqp.FrameHeader, n+1, amqp.AppendHeader(nil, 16<<20, &amqp.Properties{}))
		p.raw(amqp.AppendFrame(out, amqp.FrameBody, n+1, []byte(piece)))
	}
	p.expectHeldTooMuch()
	other.expectNothing(1)
}

func TestLargeContentsOneAfterTheOtherAreNot(t *testing.T) {
	_, p := bounded(t, 1)
	for range 20 {
		p.publish(1, "", "nobody", strings.Repeat("x", 90_000))
	}
	p.expectNothing(1)
}

func TestClosedChannelHoldsNothing(t *testing.T) {
	_, p := bounded(t, 1)
	for range 5 {
		p.openChannel(2)
		p.send(2, &amqp.TxSelect{})
		p.expect(2, &amqp.TxSelectOk{})
		p.publish(2, "", "nobody", strings.Repeat("x", 10))
		for range 8 {
			p.publishAs(2, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody"), Mandatory: true}, amqp.Properties{}, strings.Repeat("x", 8_000))
		}
		p.send(2, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
		p.expect(2, &amqp.ChannelCloseOk{})
	}
}

func TestTransactionsAreBounded(t *testing.T) {
	for name, publish := range map[string]*amqp.BasicPublish{
		"publishes": {Keys: amqp.MakeKeys("", "q")},
		"returns":   {Keys: amqp.MakeKeys("", "nobody"), Mandatory: true},
		"headers":   {Keys: amqp.MakeKeys("", "q")},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := bounded(t, 2)
			p.declare(1, "q")
			body, properties := strings.Repeat("x", 3000), amqp.Properties{}
			if name == "headers" {
				body, properties.Headers = "", amqp.Table{"long": strings.Repeat("x", 3000)}
			}
			for _, channel := range []uint16{1, 2} {
				p.send(channel, &amqp.TxSelect{})
				p.expect(channel, &amqp.TxSelectOk{})
			}
			for round := range 6 { // what is committed or given up counts no more
				for n := range 30 {
					p.publishAs(uint16(1+n%2), publish, properties, body)
				}
				for _, channel := range []uint16{1, 2} {
					if round%2 == 0 {
						p.send(channel, &amqp.TxRollback{})
						p.expect(channel, &amqp.TxRollbackOk{})
						continue
					}
					p.send(channel, &amqp.TxCommit{})
					for {
						f := p.frame("tx.commit-ok")
						if f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == amqp.TxCommitOkID {
							break
						}
					}
				}
			}
			for n := range 40 {
				p.publishAs(uint16(1+n%2), publish, properties, body)
			}
			p.expectHeldTooMuch()
		})
	}
}

func TestLargeReturnsAndRepliesComeInOrder(t *testing.T) {
	s := newServer(t)
	p, responder := s.connect(t), s.connect(t)
	p.send(1, &amqp.BasicConsume{Queue: "amq.rabbitmq.reply-to", ConsumerTag: "r", NoAck: true}, &amqp.ConfirmSelect{})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "r"}, &amqp.ConfirmSelectOk{})
	p.declare(1, "q")
	p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{ReplyTo: "amq.rabbitmq.reply-to"}, "request")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 1})
	_, header, _ := responder.get(1, "q")
	for n, size := range []int{10, 300_000, 5_000, 1 << 20, 1} {
		large := strings.Repeat(fmt.Sprint(n), size)
		responder.publish(1, "", string(header.ReplyTo()), large)
		if got, want := p.delivery(1), fmt.Sprintf("r:%d:%s", n+1, large); got != want {
			t.Fatalf("reply %.40q, want %.40q", got, want)
		}
		p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody"), Mandatory: true}, amqp.Properties{}, large)
		m := p.method("basic.return", 1)
		if _, body := p.content(1, m); body != large {
			t.Fatalf("return %.40q, want %.40q", body, large)
		}
		p.expect(1, &amqp.BasicAck{DeliveryTag: uint64(n + 2)})
	}
}

func TestReadBufferDoesNotGrowBeforeTheConnectionIsOpen(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server) {
		p := s.dial(t)
		p.header()
		p.raw(bytes.Repeat(amqp.AppendHeartbeat(nil), 10_000)) // harmless, and nothing else is needed
		synctest.Wait()
		if size := session.ReadBuffer(s.stopper.Sinks()[0]); size > 8<<10 {
			t.Errorf("a stranger has a buffer of %d bytes", size)
		}
	})
}
