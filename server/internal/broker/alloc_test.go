package broker_test

import (
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// quietSink keeps the last delivery and forgets the rest.
type quietSink struct{ last atomic.Uint64 }

func (s *quietSink) Deliver(ds []queue.Delivery)  { s.last.Store(uint64(ds[len(ds)-1].Tag)) }
func (s *quietSink) Confirm(uint16, uint64, bool) {}
func (s *quietSink) Cancel(uint16, string)        {}

func (s *quietSink) Refuse(uint16, uint64) {}

func (s *quietSink) CloseChannel(*queue.Channel, *amqp.Error) {}
func (s *quietSink) CloseConnection(*amqp.Error)              {}

func (s *quietSink) Content(uint16, *broker.Publication) []byte         { return nil }
func (s *quietSink) Reply(uint16, string, queue.Tag, amqp.Keys, []byte) {}

func TestMessageInSteadyStateCostsNoAllocation(t *testing.T) {
	f := openWith(t, broker.Config{SegmentSize: 64 << 20})
	sink := &quietSink{}
	c, err := f.broker.Connect(f.user("guest", "guest"), "/", sink)
	if err != nil {
		t.Fatal(err)
	}
	ch := f.openChannel(c, 1)
	t.Cleanup(func() {
		ch.Close()
		c.Close()
		f.stop()
	})
	if _, err := c.DeclareQueue(broker.QueueDeclaration{Name: "q", Durable: true}); err != nil {
		t.Fatal(err)
	}
	consumer := &queue.Consumer{Tag: "c", Channel: ch.Channel}
	if err := c.Consume("q", consumer, func() {}); err != nil {
		t.Fatal(err)
	}
	const batch = 100
	p := publication("", "q", persistent, "0123456789")
	settled := uint64(0)
	round := func() {
		for range batch {
			if _, err := ch.Publish(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if last := sink.last.Load(); last > settled {
			ch.Settle(amqp.BasicAckID, queue.Tag(last), true, queue.Acked)
			c.Sent(int(last-settled), int64(last-settled)*10)
			settled = last
			if err := c.FlushSettles(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		round()
	}
	// The journal writer allocates a little for each of its rounds, beside us and seldom.
	if got := testing.AllocsPerRun(200, round) / batch; got > 0.05 {
		t.Errorf("%v allocations a message", got)
	}
}
