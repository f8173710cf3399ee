package session_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

// transactional opens channel 1 with a queue of the given name and a transaction on it.
func transactional(t *testing.T, queue string) *peer {
	p := newServer(t).connect(t)
	p.call(1, &amqp.QueueDeclare{Queue: queue}, &amqp.QueueDeclareOk{Queue: queue})
	p.call(1, &amqp.TxSelect{}, &amqp.TxSelectOk{})
	return p
}

func commit(p *peer)   { p.t.Helper(); p.call(1, &amqp.TxCommit{}, &amqp.TxCommitOk{}) }
func rollback(p *peer) { p.t.Helper(); p.call(1, &amqp.TxRollback{}, &amqp.TxRollbackOk{}) }

func TestTransactionsNeedToBeSelected(t *testing.T) { // TX-01
	p := newServer(t).connect(t)
	for _, m := range []amqp.Method{&amqp.TxCommit{}, &amqp.TxRollback{}} {
		p.send(1, m)
		p.expectClose(1, closed{amqp.PreconditionFailed, m.ID(), "channel is not transactional"})
	}
	for range 2 {
		p.call(1, &amqp.TxSelect{}, &amqp.TxSelectOk{})
	}
	commit(p)
	rollback(p)
	p.send(1, &amqp.ConfirmSelect{})
	p.expectClose(1, closed{amqp.PreconditionFailed, amqp.ConfirmSelectID, "cannot switch from tx to confirm mode"})
	p.call(1, &amqp.ConfirmSelect{}, &amqp.ConfirmSelectOk{}) // the mode went with the channel
	p.send(1, &amqp.TxSelect{})
	p.expectClose(1, closed{amqp.PreconditionFailed, amqp.TxSelectID, "cannot switch from confirm to tx mode"})
}

func TestRollbackForgetsPublishesAndSettlements(t *testing.T) { // TX-02
	p := transactional(t, "q")
	for _, body := range []string{"a", "b", "c"} {
		p.publish(1, "", "q", body)
	}
	commit(p)
	for range 3 {
		p.get(1, "q")
	}
	p.publish(1, "", "q", "forgotten")
	p.send(1, &amqp.BasicAck{DeliveryTag: 1}, &amqp.BasicReject{DeliveryTag: 2, Requeue: true}, &amqp.BasicNack{DeliveryTag: 3})
	rollback(p)
	p.expectReady(1, "q", 0, 0) // nothing came, and nothing came back
	p.send(1, &amqp.BasicNack{DeliveryTag: 3, Multiple: true, Requeue: true})
	p.expectReady(1, "q", 0, 0) // not before the commit
	commit(p)
	for i, want := range []string{"a", "b", "c"} {
		if m, _, body := p.get(1, "q"); body != want || !m.Redelivered || m.DeliveryTag != uint64(i+4) {
			t.Errorf("get %d is %q, %s", i, body, describe(m))
		}
	}
}

func TestEndOfAChannelIsARollback(t *testing.T) { // TX-03
	s := newServer(t)
	other := s.connect(t)
	other.declare(1, "q")
	for name, end := range map[string]func(*peer){
		"closed": func(p *peer) {
			p.call(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess}, &amqp.ChannelCloseOk{})
		},
		"failed": func(p *peer) {
			p.send(1, &amqp.BasicAck{DeliveryTag: 99})
			p.expectChannelClose(1, closed{amqp.PreconditionFailed, amqp.BasicAckID, "unknown delivery tag 99"})
		},
		"connection closed": func(p *peer) {
			p.call(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess}, &amqp.ConnectionCloseOk{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			other.t = t
			other.publish(1, "", "q", "stays")
			other.expectReady(1, "q", 1, 0)
			p := s.connect(t)
			p.call(1, &amqp.TxSelect{}, &amqp.TxSelectOk{})
			p.get(1, "q")
			p.publish(1, "", "q", "discarded")
			p.send(1, &amqp.BasicAck{DeliveryTag: 1})
			end(p)
			other.expectReady(1, "q", 1, 0)
			m, _, body := other.get(1, "q")
			if body != "stays" || !m.Redelivered {
				t.Errorf("%q, redelivered %v", body, m.Redelivered)
			}
			other.send(1, &amqp.BasicAck{DeliveryTag: m.DeliveryTag})
		})
	}
}

// refusedTransaction commits two messages, one of them to a queue that is full.
func refusedTransaction(t *testing.T) *peer {
	p := transactional(t, "q")
	full := amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"}
	p.call(1, &amqp.QueueDeclare{Queue: "full", Arguments: full}, &amqp.QueueDeclareOk{Queue: "full"})
	p.publish(1, "", "full", "there")
	commit(p)
	p.publish(1, "", "q", "beside it")
	p.publish(1, "", "full", "too much")
	p.send(1, &amqp.TxCommit{})
	p.expectClose(1, closed{amqp.PreconditionFailed, amqp.TxCommitID, "partial tx completion"})
	p.expectReady(1, "full", 1, 0)
	return p
}

func TestTransactionThatAQueueRefuses(t *testing.T) { // TX-04
	refusedTransaction(t)
}

func TestRefusedTransactionHasNoEffect(t *testing.T) { // TX-04
	refusedTransaction(t).expectReady(1, "q", 0, 0)
}

func TestQueueDeletedBeforeTheCommit(t *testing.T) { // TX-05
	p := transactional(t, "q")
	p.call(1, &amqp.QueueDeclare{Queue: "gone"}, &amqp.QueueDeclareOk{Queue: "gone"})
	p.publish(1, "", "gone", "lost")
	p.publish(1, "", "q", "kept")
	p.call(1, &amqp.QueueDelete{Queue: "gone"}, &amqp.QueueDeleteOk{}) // not transactional
	commit(p)
	p.expectReady(1, "q", 1, 0)
}

func TestTransactionRoutesWhenItPublishes(t *testing.T) { // TX-06
	p := transactional(t, "q")
	p.publish(1, "", "late", "to nobody")
	p.call(1, &amqp.QueueDeclare{Queue: "late"}, &amqp.QueueDeclareOk{Queue: "late"})
	commit(p)
	p.expectReady(1, "late", 0, 0)
}

func TestReturnsOfATransactionComeAtItsCommit(t *testing.T) { // TX-06
	p := transactional(t, "q")
	p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nowhere"), Mandatory: true}, amqp.Properties{}, "rolled back")
	rollback(p)
	p.publishAs(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nowhere"), Mandatory: true}, amqp.Properties{}, "returned")
	p.expectReady(1, "q", 0, 0)
	p.send(1, &amqp.TxCommit{})
	if _, body := p.content(1, p.method("basic.return", 1)); body != "returned" {
		t.Errorf("returned %q", body)
	}
	p.expect(1, &amqp.TxCommitOk{})
}

func TestMethodsBehindACommitWaitForIt(t *testing.T) { // TX-07
	p := transactional(t, "q")
	p.publish(1, "", "q", "m")
	p.send(1, &amqp.TxCommit{}, &amqp.QueueDeclare{Queue: "q", Passive: true}, &amqp.TxCommit{}, &amqp.TxRollback{})
	p.expect(1, &amqp.TxCommitOk{}, &amqp.QueueDeclareOk{Queue: "q", MessageCount: 1}, &amqp.TxCommitOk{}, &amqp.TxRollbackOk{})
}

func TestTransactionsFollowEachOther(t *testing.T) { // TX-08
	p := transactional(t, "q")
	for i := range uint32(3) {
		p.publish(1, "", "q", "committed")
		p.expectReady(1, "q", i, 0)
		commit(p)
		p.publish(1, "", "q", "rolled back")
		rollback(p)
		p.expectReady(1, "q", i+1, 0)
	}
}

func TestFaultsInATransactionAreToldAtOnce(t *testing.T) { // chapter 12: error detection
	p := transactional(t, "q")
	p.publish(1, "", "q", "before")
	p.publish(1, "nox", "key", "lost")
	p.expectClose(1, closed{amqp.NotFound, amqp.BasicPublishID, "no exchange 'nox' in vhost '/'"})
	p.expectReady(1, "q", 0, 0)
	p.call(1, &amqp.TxSelect{}, &amqp.TxSelectOk{})
	p.publish(1, "", "q", "m")
	commit(p)
	p.get(1, "q")
	p.send(1, &amqp.BasicAck{DeliveryTag: 1}, &amqp.BasicAck{DeliveryTag: 1})
	p.expectClose(1, closed{amqp.PreconditionFailed, amqp.BasicAckID, "unknown delivery tag 1"})
	p.expectReady(1, "q", 1, 0)
}
