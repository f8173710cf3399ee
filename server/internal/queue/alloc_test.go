package queue_test

import (
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// sink is an outlet that keeps the last delivery only.
type sink struct{ last queue.Delivery }

func (s *sink) Room() bool               { return true }
func (s *sink) Deliver(d queue.Delivery) { s.last = d }

func TestMessageInSteadyStateCostsNoAllocation(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), &sink{}
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 10})
	var queues []*queue.Queue
	ignore := func(*queue.Taker, segment.SettleReason, []segment.Range) {}
	message := func() {
		f.last++
		f.add(q, f.last, 100, false)
		f.dispatch()
		if err := ch.Settle(out.last.Tag, false, queue.Acked); err != nil {
			t.Fatal(err)
		}
		if queues = f.agenda.TakeJournal(queues[:0]); len(queues) == 1 {
			f.scratch = q.TakeJournal(f.scratch, ignore)
		}
	}
	for range 10_000 {
		message()
	}
	if got := testing.AllocsPerRun(10_000, message); got > 0 {
		t.Errorf("%v allocations a message", got)
	}
}
