package queue_test

import (
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// consumed makes a durable queue whose messages have been delivered to ch: lsn n has tag n. The letters
// are p for a persistent message, t for a transient one, and x for a record of another queue.
func consumed(f *fixture, letters string) (*queue.Queue, *queue.Channel) {
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	for _, letter := range letters {
		if letter == 'x' {
			f.last++
			continue
		}
		f.pushAs(q, 1, letter == 't')
	}
	return q, ch
}

func TestSettledMessagesAreWrittenAsRanges(t *testing.T) {
	for _, test := range []struct {
		name    string
		letters string
		settle  []queue.Tag
		want    string
	}{
		{"one", "p", []queue.Tag{1}, "ack 1-1"},
		{"in order", "ppp", []queue.Tag{1, 2, 3}, "ack 1-3"},
		{"backwards", "ppp", []queue.Tag{3, 2, 1}, "ack 3-3, ack 2-2, ack 1-1"},
		{"with a hole", "pppp", []queue.Tag{1, 2, 4}, "ack 1-2, ack 4-4"},
		{"over another queue's records", "pxxp", []queue.Tag{1, 2}, "ack 1-4"},
		{"transient", "t", []queue.Tag{1}, ""},
		{"transient in a run", "ptp", []queue.Tag{1, 2, 3}, "ack 1-3"},
		{"transient before a run", "tpp", []queue.Tag{1, 2, 3}, "ack 2-3"},
		{"transient behind a run", "ppt", []queue.Tag{1, 2, 3}, "ack 1-3"},
		{"transient between runs", "ppptp", []queue.Tag{1, 4, 5}, "ack 1-1, ack 5-5"},
		{"transient one that was jumped over", "ptp", []queue.Tag{1, 3}, "ack 1-1, ack 3-3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			q, ch := consumed(f, test.letters)
			for _, tag := range test.settle {
				f.settle(ch, tag, false, queue.Acked)
			}
			want(t, "journal", f.takeWritten(q), test.want)
			want(t, "journal when it has been taken", f.takeWritten(q), "")
		})
	}
}

func TestEachReasonHasRangesOfItsOwn(t *testing.T) {
	f := newFixture(t)
	q, ch := consumed(f, "pppppp")
	f.settle(ch, 2, true, queue.Acked)
	f.settle(ch, 3, false, queue.Rejected)
	f.settle(ch, 4, false, queue.Rejected)
	f.settle(ch, 5, false, queue.Acked)
	f.settle(ch, 6, false, queue.Returned) // stays
	want(t, "journal", f.takeWritten(q), "ack 1-2, ack 5-5, reject 3-4")
}

func TestReturnedMessageIsSettledOnce(t *testing.T) {
	f := newFixture(t)
	q, ch := consumed(f, "pp")
	f.settle(ch, 1, false, queue.Returned)
	want(t, "returned", f.takeWritten(q), "")
	f.settle(ch, 2, false, queue.Acked)
	f.settle(ch, 3, false, queue.Acked)
	want(t, "acked", f.takeWritten(q), "ack 2-2, ack 1-1")
}

func TestNoAckDeliveriesAreWritten(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	f.consume(q, queue.Consumer{Tag: "c", Channel: queue.NewChannel(1, out), NoAck: true})
	f.push(q, 2)
	f.pushAs(q, 1, true)
	f.push(q, 1)
	want(t, "journal", f.takeWritten(q), "noack 1-4")
	wantCounts(t, q, 0, 0)
}

func TestPurgeIsWrittenWithoutWhatIsHeld(t *testing.T) {
	f := newFixture(t)
	q, out := f.durable(), newOutlet()
	ch := queue.NewChannel(1, out)
	f.push(q, 6)
	for range 3 {
		if found, err := f.get(q, ch, false); !found || err != nil {
			t.Fatalf("get: %v, %v", found, err)
		}
	}
	f.settle(ch, 2, false, queue.Returned)
	want(t, "purged", q.Purge(), 4)
	want(t, "journal", f.takeWritten(q), "purge 2-2, purge 4-6")
	want(t, "purge of nothing", q.Purge(), 0)
	want(t, "journal", f.takeWritten(q), "")
}

func TestRunDoesNotGoOnAfterItWasTaken(t *testing.T) {
	f := newFixture(t)
	q, ch := consumed(f, "ppp")
	f.settle(ch, 1, false, queue.Acked)
	want(t, "first", f.takeWritten(q), "ack 1-1")
	f.settle(ch, 2, false, queue.Acked)
	f.settle(ch, 3, false, queue.Acked)
	want(t, "second", f.takeWritten(q), "ack 2-3")
}

func TestJournalOfManyQueuesIsEachAskedOnce(t *testing.T) {
	f := newFixture(t)
	a, chA := consumed(f, "pp")
	b, chB := consumed(f, "pp")
	f.agenda.TakeStarts(nil, 10)
	f.settle(chA, 1, false, queue.Acked)
	f.settle(chB, 1, false, queue.Acked)
	f.settle(chA, 2, false, queue.Acked)
	if queues := f.agenda.TakeJournal(nil); len(queues) != 2 || queues[0] != a || queues[1] != b {
		t.Errorf("queues with a journal: %v", queues)
	}
	if f.agenda.HasJournal() {
		t.Error("asked again")
	}
}

func TestRangesCoverNothingThatIsStillThere(t *testing.T) {
	f := newFixture(t)
	q, ch := consumed(f, "ptpptppt")
	for _, tag := range []queue.Tag{1, 2, 4, 5, 7} {
		f.settle(ch, tag, false, queue.Acked)
	}
	f.settleDown()
	held := map[segment.LSN]bool{3: true, 6: true, 8: true}
	for _, r := range f.settled[q.ID] {
		for lsn := r.From; lsn <= r.To; lsn++ {
			if held[lsn] {
				t.Errorf("range %d-%d covers %d, which is still held", r.From, r.To, lsn)
			}
		}
	}
}
