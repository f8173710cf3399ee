package queue_test

import (
	"testing"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestDeletedQueueIsNotWaitedFor(t *testing.T) {
	f := newFixture(t)
	q := f.transient()
	r := queue.NoRules
	r.Expires = 1_000_000
	q.SetRules(r, f.now)
	f.dispatch()
	if _, ok := f.agenda.NextTime(); !ok {
		t.Error("nobody waits for the queue to expire")
	}
	q.Delete()
	f.dispatch()
	if at, ok := f.agenda.NextTime(); ok {
		t.Errorf("a deleted queue is waited for until %d", at)
	}
}

// An index that cannot be read must not hold the whole virtual host.
func TestTimeGoesOnWhenAQueueCannotReadItsIndex(t *testing.T) {
	store, err := index.Open(index.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	agenda := &queue.Agenda{}
	q := queue.New(queue.Declaration{ID: 1, Name: "q"}, store.NewQueue(1), agenda)
	const n = 40_000 // more than stay in memory
	for lsn := segment.LSN(1); lsn <= n; lsn++ {
		q.Push(queue.Message{LSN: lsn, Time: 1000, Expiration: 1000})
	}
	c := store.Checkpoint()
	for level := range q.Levels() {
		c.Queue(level)
	}
	if err := c.Commit(n); err != nil {
		t.Fatal(err)
	}
	for level := range q.Levels() {
		store.Checkpoint().Queue(level) // gives memory back
	}
	agenda.Dispatch(1000)
	if _, ok := agenda.NextTime(); !ok {
		t.Error("nothing expires")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	agenda.Tick(3000)
	if q.Err() == nil {
		t.Fatal("the index could be read")
	}
	if at, ok := agenda.NextTime(); ok && at <= 3000 {
		t.Errorf("the next time is %d", at)
	}
}
