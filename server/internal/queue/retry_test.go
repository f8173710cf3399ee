package queue_test

import (
	"testing"

	"github.com/millrace-mq/millrace/server/internal/queue"
)

// What the disk did not give leaves its consumer and waits, and others are delivered meanwhile.
func TestWhatCannotBeReadStaysInItsQueue(t *testing.T) {
	f, out := newFixture(t), newOutlet()
	q := f.durable()
	q.RaiseHorizon(openHorizon)
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 1})
	f.push(q, 2)
	want(t, "first", out.words(), "c:1")
	f.settle(ch, 1, false, queue.Unread)
	want(t, "the next", out.words(), "c:2")
	f.settle(ch, 0, true, queue.Acked)
	wantCounts(t, q, 0, 1) // and a settlement of all up to a later one does not take it
	f.now += 29_999
	f.agenda.Tick(f.now)
	f.dispatch()
	want(t, "too early", len(out.deliveries), 0)
	f.now++
	f.agenda.Tick(f.now)
	f.dispatch()
	want(t, "again", len(out.take()), 1)
	ch.Close()
	wantCounts(t, q, 1, 0)
}
