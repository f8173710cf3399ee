package queue_test

import (
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// withTTL sets a queue's rules to a TTL and nothing else.
func (f *fixture) withTTL(q *queue.Queue, ttl int64) {
	r := queue.NoRules
	r.TTL = ttl
	q.SetRules(r, f.now)
	f.dispatch()
}

// retimeStep tells a queue the next times that it asks for; every message entered at its LSN.
func (f *fixture) retimeStep(t *testing.T, q *queue.Queue, expiration int64) bool {
	t.Helper()
	if next := f.agenda.TakeUntimed(); next == nil {
		return false
	} else if next != q {
		t.Fatal("another queue wants to know times")
	}
	lsns := q.NextUntimed(nil)
	var entered []queue.Entered
	for _, lsn := range lsns {
		entered = append(entered, queue.Entered{LSN: lsn, Time: int64(lsn), Expiration: expiration})
	}
	q.Enter(entered)
	f.dispatch()
	return true
}

func (f *fixture) retime(t *testing.T, q *queue.Queue, expiration int64) {
	t.Helper()
	for f.retimeStep(t, q, expiration) {
	}
	if q.Untimed() {
		t.Error("times are wanted, but not asked for")
	}
}

// pushed adds messages that enter at their LSNs.
func pushed(q *queue.Queue, lsns ...segment.LSN) {
	for _, lsn := range lsns {
		q.Push(queue.Message{LSN: lsn, Size: 1, Time: int64(lsn), Expiration: -1})
	}
}

func TestNewTTLHoldsForWhatIsInTheQueue(t *testing.T) { // POL-04
	f := newFixture(t)
	q := f.durable()
	f.withTTL(q, -1)
	pushed(q, 10, 20, 30, 40)
	f.now = 50
	f.withTTL(q, 25)
	if q.Ready() != 4 || !q.Untimed() {
		t.Errorf("%d ready, untimed %t, before the times are known", q.Ready(), q.Untimed())
	}
	f.retime(t, q, -1)
	if q.Ready() != 2 {
		t.Errorf("%d ready, want those that entered at 30 and 40", q.Ready())
	}
	if at, _ := f.agenda.NextTime(); at != 55 {
		t.Errorf("next time is %d, want 55", at)
	}
	f.now = 66
	f.agenda.Tick(f.now)
	if q.Ready() != 0 {
		t.Errorf("%d ready, want none", q.Ready())
	}
}

func TestLongerTTLGivesUpNothingThatShouldLive(t *testing.T) { // POL-04
	f := newFixture(t)
	q := f.durable()
	f.withTTL(q, 10)
	pushed(q, 1, 2, 3)
	f.withTTL(q, 1000)
	f.now = 500 // the old times are over, the new ones not yet known
	f.agenda.Tick(f.now)
	f.withTTL(q, 900) // another change begins anew, and does not forget
	f.agenda.Tick(f.now)
	if q.Ready() != 3 {
		t.Fatalf("%d ready, want all", q.Ready())
	}
	f.retime(t, q, -1)
	if q.Ready() != 3 {
		t.Errorf("%d ready, want all", q.Ready())
	}
	if at, _ := f.agenda.NextTime(); at != 901 {
		t.Errorf("next time is %d, want 901", at)
	}
	f.withTTL(q, -1)
	f.retime(t, q, 700)
	f.now = 702
	f.agenda.Tick(f.now)
	if q.Ready() != 1 {
		t.Errorf("%d ready, want one: the messages' own expiration is 700", q.Ready())
	}
}

func TestMessagesInFlightAreRetimed(t *testing.T) { // TTL-05, POL-04
	f := newFixture(t)
	q := f.durable()
	f.withTTL(q, -1)
	ch := queue.NewChannel(1, newOutlet())
	pushed(q, 1, 2)
	if ok, err := f.get(q, ch, false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	f.now = 100
	f.withTTL(q, 5)
	f.retime(t, q, -1)
	if q.Ready() != 0 || q.Unsettled() != 1 {
		t.Errorf("%d ready, %d unsettled", q.Ready(), q.Unsettled())
	}
	ch.Close()
	f.dispatch()
	if q.Ready() != 0 || q.Unsettled() != 0 {
		t.Errorf("%d ready, %d unsettled after it came back", q.Ready(), q.Unsettled())
	}
}

func TestManyMessagesAreRetimedInSteps(t *testing.T) {
	f := newFixture(t)
	q := f.durable()
	f.withTTL(q, -1)
	for lsn := range segment.LSN(10_000) {
		pushed(q, lsn+1)
	}
	f.withTTL(q, 5_000)
	pushed(q, 20_000)
	steps := 0
	for f.now = 11_000; f.retimeStep(t, q, -1); steps++ {
	}
	if steps < 3 || q.Ready() != 4_001 {
		t.Errorf("%d steps, %d ready; want several, 4001", steps, q.Ready())
	}
}

func TestDeletedAndEmptyQueuesAreNotRetimed(t *testing.T) {
	f := newFixture(t)
	q, empty := f.durable(), f.transient()
	f.withTTL(q, -1)
	f.withTTL(empty, -1)
	pushed(q, 1)
	f.withTTL(q, 5)
	f.withTTL(empty, 5)
	if empty.Untimed() {
		t.Error("an empty queue wants to know times")
	}
	q.Delete()
	if got := q.NextUntimed(nil); !slices.Equal(got, nil) {
		t.Errorf("a deleted queue asks for the times of %v", got)
	}
	if f.agenda.TakeUntimed() != nil {
		t.Error("a queue is still to be retimed")
	}
}
