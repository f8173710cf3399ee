package queue_test

import (
	"errors"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/queue"
)

// afterSync makes a queue that hands out only what is synced.
func (f *fixture) afterSync(change ...func(*queue.Rules)) *queue.Queue {
	q, r := f.durable(), queue.NoRules
	r.AfterSync = true
	for _, do := range change {
		do(&r)
	}
	q.SetRules(r, f.now)
	return q
}

func TestWhatIsNotSyncedWaits(t *testing.T) {
	f := newFixture(t)
	q, other, out := f.afterSync(), f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.consume(other, queue.Consumer{Tag: "other", Channel: ch})
	want(t, "nobody waits for a sync", f.agenda.AwaitsSync(), 0)
	f.push(q, 2)
	f.pushAs(q, 1, true)
	f.push(other, 1)
	want(t, "before a sync", out.words(), "other:4")
	want(t, "waited for", f.agenda.AwaitsSync(), 1)
	f.agenda.SyncedTo(2)
	f.dispatch()
	want(t, "synced to 2", out.words(), "c:1 c:2")
	want(t, "waited for", f.agenda.AwaitsSync(), 3)
	f.agenda.SyncedTo(1) // an old word
	f.dispatch()
	want(t, "synced to 2 still", out.words(), "")
	f.agenda.SyncedTo(9)
	f.dispatch()
	want(t, "all is synced", out.words(), "c:3")
	want(t, "waited for", f.agenda.AwaitsSync(), 0)
	f.settle(ch, 2, false, queue.Returned)
	want(t, "what came back", out.words(), "c:1+")
}

func TestGetOfWhatIsNotSynced(t *testing.T) {
	f := newFixture(t)
	q, out := f.afterSync(), newOutlet()
	ch := queue.NewChannel(1, out)
	if found, err := f.get(q, ch, true); found || err != nil {
		t.Errorf("get from an empty queue: %v, %v", found, err)
	}
	f.push(q, 1)
	if found, err := f.get(q, ch, true); found || !errors.Is(err, queue.ErrNotSynced) {
		t.Errorf("get before the sync: %v, %v", found, err)
	}
	want(t, "waited for", f.agenda.AwaitsSync(), 1)
	f.agenda.SyncedTo(1)
	if found, err := f.get(q, ch, true); !found || err != nil {
		t.Errorf("get after the sync: %v, %v", found, err)
	}
}

// A message arrives when it is synced: until then it keeps no other of a lower priority waiting.
func TestLowerPriorityIsServedWhileAHigherIsNotSynced(t *testing.T) {
	f := newFixture(t)
	q, out := f.afterSync(func(r *queue.Rules) { r.MaxPriority = 9 }), newOutlet()
	for _, priority := range []uint8{1, 1, 5, 9} {
		f.last++
		q.Push(queue.Message{LSN: f.last, Time: f.now, Expiration: -1, Priority: priority, Prioritized: true})
	}
	f.agenda.SyncedTo(1)
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	want(t, "synced to 1", out.words(), "c:1")
	want(t, "waited for", f.agenda.AwaitsSync(), 4)
	f.agenda.SyncedTo(4)
	f.dispatch()
	want(t, "all is synced", out.words(), "c:4 c:3 c:2")
}

func TestWhatWaitsIsHandedOutWhenTheRuleGoes(t *testing.T) {
	f := newFixture(t)
	q, out := f.afterSync(), newOutlet()
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	f.push(q, 2)
	want(t, "before", out.words(), "")
	q.SetRules(queue.NoRules, f.now)
	f.dispatch()
	want(t, "without the rule", out.words(), "c:1 c:2")
	f.agenda.SyncedTo(2)
	f.dispatch()
	want(t, "after the sync", out.words(), "")
}

// LEN-05: what a consumer will take is not dropped, but for one who can take nothing nothing is kept.
func TestLimitWaitsForTheSyncIfAConsumerDoes(t *testing.T) {
	f := newFixture(t)
	q, out := f.afterSync(func(r *queue.Rules) { r.MaxLength = 1 }), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch, Limit: 2})
	f.push(q, 4)
	wantCounts(t, q, 4, 0)
	f.agenda.SyncedTo(4)
	f.dispatch()
	want(t, "synced", out.words(), "c:1 c:2")
	wantCounts(t, q, 1, 2) // 3 was one too many
	f.push(q, 1)
	wantCounts(t, q, 1, 2)
	f.settle(ch, 1, false, queue.Acked)
	f.agenda.SyncedTo(5)
	f.dispatch()
	want(t, "the last", out.words(), "c:5")
}

func TestDeletedQueueIsNotHeldUpBySyncs(t *testing.T) {
	f := newFixture(t)
	q, out := f.afterSync(), newOutlet()
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out)})
	f.push(q, 1)
	q.Delete()
	f.agenda.SyncedTo(1)
	f.dispatch()
	want(t, "deliveries", out.words(), "")
	want(t, "waited for", f.agenda.AwaitsSync(), 0)
}
