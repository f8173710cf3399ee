package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/queue"
)

// look looks for what is overdue at the time when it should be looked for, and says what it found.
func (f *fixture) look(channels ...*queue.Channel) string {
	f.Helper()
	at := f.agenda.NextLook()
	if at == 0 {
		return "never"
	}
	f.now = max(f.now, at)
	var found []string
	f.agenda.Look(f.now, slices.Values(channels), func(o queue.Overdue) {
		word := fmt.Sprintf("channel %d after %d", o.Channel.Number, o.Patience)
		if o.Consumer != nil {
			word = fmt.Sprintf("%s after %d", o.Consumer.Tag, o.Patience)
		}
		found = append(found, word)
	})
	f.dispatch()
	return strings.Join(found, ", ")
}

// patient gives a queue how long it waits.
func (f *fixture) patient(q *queue.Queue, patience int64) *queue.Queue {
	r := q.Rules()
	r.Patience = patience
	q.SetRules(r, f.now)
	return q
}

func TestChannelThatSettlesTooLateIsFound(t *testing.T) { // CONS-12
	f, out := newFixture(t), newOutlet()
	q := f.patient(f.transient(), 1000)
	late, prompt := queue.NewChannel(1, out), queue.NewChannel(2, out)
	start := f.now
	want(t, "before there is anything", f.look(late, prompt), "")
	f.push(q, 3)
	for _, ch := range []*queue.Channel{late, late, prompt} {
		f.get(q, ch, false)
	}
	f.settle(late, 1, false, queue.Acked)
	f.settle(prompt, 1, false, queue.Acked)
	f.now++
	var found string
	for rounds := 0; found == "" && rounds < 20; rounds++ {
		found = f.look(late, prompt)
	}
	want(t, "found", found, "channel 1 after 1000")
	if waited := f.now - start; waited < 1000 || waited > 1201 {
		t.Errorf("after %d ms", waited)
	}
	for range 20 {
		want(t, "found again", f.look(late, prompt), "")
	}
	late.Close()
	wantCounts(t, q, 1, 0)
}

func TestLooksAreRareWhileConsumersKeepUp(t *testing.T) {
	f, out := newFixture(t), newOutlet()
	q := f.patient(f.transient(), 1_800_000)
	ch := queue.NewChannel(1, out)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	start := f.now
	for range 10 {
		f.push(q, 1)
		f.look(ch)
		f.settle(ch, 0, true, queue.Acked)
	}
	if each := (f.now - start) / 10; each < 1_500_000 {
		t.Errorf("a look in %d ms", each)
	}
}

func TestShorterPatienceHoldsForWhatWasHandedOutBefore(t *testing.T) {
	f, out := newFixture(t), newOutlet()
	q := f.patient(f.transient(), 1_800_000)
	ch := queue.NewChannel(1, out)
	f.push(q, 1)
	f.get(q, ch, false)
	want(t, "with much patience", f.look(ch), "")
	f.now += 5000
	f.patient(q, 1000)
	want(t, "with little", f.look(ch), "channel 1 after 1000")
}

func TestPatienceOfAConsumerGoesBeforeItsQueues(t *testing.T) { // CONS-05
	for patience, found := range map[int64]string{0: "channel 1 after 1000", -1: "", 300: "channel 1 after 300"} {
		f, out := newFixture(t), newOutlet()
		q := f.patient(f.transient(), 1000)
		ch := queue.NewChannel(1, out)
		f.consume(q, queue.Consumer{Tag: "c", Channel: ch, ConsumerRules: queue.ConsumerRules{Patience: patience}})
		f.push(q, 1)
		got := ""
		for range 20 {
			got += f.look(ch)
		}
		want(t, fmt.Sprint("patience ", patience), got, found)
	}
}

func TestConsumerOfAQuorumQueueLosesWhatIsOverdue(t *testing.T) { // CONS-12, chapter 26
	f, out := newFixture(t), newOutlet()
	q := f.queue(queue.Declaration{Durable: true, Quorum: true})
	q.RaiseHorizon(openHorizon)
	r := queue.NoRules
	r.CountsReturns, r.Patience = true, 1000
	q.SetRules(r, f.now)
	slow, ch := queue.NewChannel(1, out), queue.NewChannel(2, out)
	f.push(q, 3)
	f.consume(q, queue.Consumer{Tag: "slow", Channel: slow, Limit: 2})
	want(t, "deliveries", out.words(), "slow:1 slow:2")
	f.consume(q, queue.Consumer{Tag: "other", Channel: ch, Limit: 3})
	want(t, "deliveries", out.words(), "other:3")
	f.settle(ch, 1, false, queue.Acked)
	got := ""
	for range 15 {
		got += f.look(slow, ch)
		out.room = 1 << 30
		if words := out.words(); words != "" {
			got += ": " + words
			f.settle(ch, 0, true, queue.Acked)
		}
	}
	want(t, "found", got, "slow after 1000: other:1+ other:2+")
	want(t, "consumers", q.Consumers(), 1)
	f.settle(slow, 2, true, queue.Acked) // too late, and no fault
	want(t, "unsettled", slow.Unsettled(), 0)
	wantCounts(t, q, 0, 0)
	want(t, "journal", f.takeWritten(q), "ack 3-3, ack 1-2")
}

// What is settled out of order stays among what the channel holds until those before it are settled too.
func TestLooksPassOverWhatIsSettled(t *testing.T) { // CONS-12
	f, out := newFixture(t), newOutlet()
	q := f.patient(f.transient(), 5000)
	f.patient(f.transient(), 1000) // there are looks long before the first delivery is overdue
	ch := queue.NewChannel(1, out)
	f.push(q, 2)
	f.get(q, ch, false)
	f.get(q, ch, false)
	f.settle(ch, 2, false, queue.Acked)
	found, start := "", f.now
	for rounds := 0; found == "" && rounds < 50; rounds++ {
		found = f.look(ch)
	}
	want(t, "found", found, "channel 1 after 5000")
	if waited := f.now - start; waited < 5000 {
		t.Errorf("after %d ms", waited)
	}
}

func TestLooksOfAQuorumQueuePassOverWhatIsSettled(t *testing.T) { // CONS-12
	f, out := newFixture(t), newOutlet()
	q := f.patient(f.queue(queue.Declaration{Durable: true, Quorum: true}), 1000)
	q.RaiseHorizon(openHorizon)
	ch := queue.NewChannel(1, out)
	f.push(q, 3)
	f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
	f.settle(ch, 2, false, queue.Acked)
	found := ""
	for rounds := 0; found == "" && rounds < 20; rounds++ {
		found = f.look(ch)
	}
	want(t, "found", found, "c after 1000")
	wantCounts(t, q, 2, 0)
}

func TestLooksAreNotToldToHurry(t *testing.T) {
	f, out := newFixture(t), newOutlet()
	f.patient(f.transient(), 1).Delete()
	ch := queue.NewChannel(1, out)
	f.look(ch)
	start := f.now
	for range 10 {
		f.look(ch)
	}
	if each := (f.now - start) / 10; each < 100 {
		t.Errorf("a look in %d ms for a queue that is no more", each)
	}
}

func TestReturnedMessagesWait(t *testing.T) { // QQ-07
	for _, test := range []struct {
		failed, returned bool
		outcome          queue.Outcome
		want             []int64 // how long, return by return
	}{
		{true, true, queue.Failed, []int64{100, 200, 250, 250}},
		{true, true, queue.Returned, []int64{100, 200, 250, 250}},
		{true, false, queue.Failed, []int64{100, 200}},
		{true, false, queue.Returned, []int64{0, 0}},
		{false, true, queue.Failed, []int64{0, 0}},
		{false, true, queue.Returned, []int64{100, 200}},
	} {
		f, out := newFixture(t), newOutlet()
		q := f.queue(queue.Declaration{Durable: true, Quorum: true})
		q.RaiseHorizon(openHorizon)
		r := queue.NoRules
		r.CountsReturns, r.RetryFailed, r.RetryReturned, r.RetryMin, r.RetryMax = true, test.failed, test.returned, 100, 250
		q.SetRules(r, f.now)
		ch := queue.NewChannel(1, out)
		f.consume(q, queue.Consumer{Tag: "c", Channel: ch})
		f.push(q, 1)
		want(t, "deliveries", out.words(), "c:1")
		var waits []int64
		for range test.want {
			f.settle(ch, 0, true, test.outcome)
			start := f.now
			if len(out.deliveries) == 0 {
				wantCounts(t, q, 0, 1) // held by nobody
				at, ok := f.agenda.NextTime()
				if !ok {
					t.Fatal("nothing waits")
				}
				f.now = at
				f.agenda.Tick(f.now)
				f.dispatch()
			}
			waits = append(waits, f.now-start)
			want(t, "deliveries", len(out.take()), 1)
		}
		want(t, fmt.Sprintf("%+v", test), waits, test.want)
	}
}
