package queue_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// openHorizon is what the log holds while a consumer keeps up.
const openHorizon = ^segment.LSN(0)

// fixture is a virtual host without a broker: it hands out LSNs, and takes the journal as the broker's
// journal writer would.
type fixture struct {
	testing.TB
	store  *index.Store
	agenda *queue.Agenda
	last   segment.LSN // as if of a log that other queues write to as well
	ids    segment.QueueID
	now    int64 // ms

	scratch []segment.Range
	journal map[segment.QueueID][]string // what the log was told, in words
	settled map[segment.QueueID][]segment.Range
	told    map[segment.QueueID][]string // returns too, with who had the entries
	started []string
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	store, err := index.Open(index.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the index: %v", err)
		}
	})
	return &fixture{
		TB: t, store: store, agenda: &queue.Agenda{}, now: 1_000_000,
		journal: map[segment.QueueID][]string{}, settled: map[segment.QueueID][]segment.Range{}, told: map[segment.QueueID][]string{},
	}
}

// queue makes a queue whose index is checked when the test ends.
func (f *fixture) queue(d queue.Declaration) *queue.Queue {
	f.ids++
	d.ID = f.ids
	if d.Name == "" {
		d.Name = fmt.Sprintf("q%d", d.ID)
	}
	q := queue.New(d, f.store.NewQueue(d.ID), f.agenda)
	f.Cleanup(func() {
		for _, err := range check(q) {
			f.Errorf("index of queue %s: %v", q.Name, err)
		}
	})
	return q
}

// durable makes a durable queue whose horizon is open, as that of one that has been consumed from.
func (f *fixture) durable() *queue.Queue {
	q := f.queue(queue.Declaration{Durable: true})
	q.RaiseHorizon(openHorizon)
	return q
}

func (f *fixture) transient() *queue.Queue { return f.queue(queue.Declaration{}) }

// dispatch lets the queues deliver what they can.
func (f *fixture) dispatch() { f.agenda.Dispatch(f.now) }

// add adds one message at the tail.
func (f *fixture) add(q *queue.Queue, lsn segment.LSN, size uint32, transient bool) {
	q.Push(queue.Message{LSN: lsn, Size: size, Transient: transient, Time: f.now, Expiration: -1})
}

// get takes one message, as basic.get does.
func (f *fixture) get(q *queue.Queue, ch *queue.Channel, noAck bool) (bool, error) {
	return q.Take(ch, noAck, f.now)
}

// push adds n persistent messages and returns their LSNs.
func (f *fixture) push(q *queue.Queue, n int) []segment.LSN { return f.pushAs(q, n, false) }

func (f *fixture) pushAs(q *queue.Queue, n int, transient bool) []segment.LSN {
	lsns := make([]segment.LSN, n)
	for i := range lsns {
		f.last++
		lsns[i] = f.last
		f.add(q, f.last, uint32(f.last), transient)
	}
	f.dispatch()
	return lsns
}

// write does once what the broker's journal writer does.
func (f *fixture) write() {
	type raise struct {
		q  *queue.Queue
		to segment.LSN
	}
	var raises []raise
	for _, t := range f.agenda.TakeStarts(nil, 1000) {
		f.started = append(f.started, takerName(t))
	}
	for _, q := range f.agenda.TakeJournal(nil) {
		f.scratch = q.TakeJournal(f.scratch, func(by *queue.Taker, reason segment.SettleReason, ranges []segment.Range) {
			for _, r := range ranges {
				f.told[q.ID] = append(f.told[q.ID], fmt.Sprintf("%s: %s %d-%d", takerName(by), reasons[reason], r.From, r.To))
				if reason == segment.SettleReturn {
					continue
				}
				f.journal[q.ID] = append(f.journal[q.ID], fmt.Sprintf("%s %d-%d", reasons[reason], r.From, r.To))
				f.settled[q.ID] = append(f.settled[q.ID], r)
			}
		})
		if to, ok := q.NextHorizon(); ok {
			word := fmt.Sprintf("horizon %d", to)
			if to == openHorizon {
				word = "horizon open"
			}
			f.journal[q.ID] = append(f.journal[q.ID], word)
			raises = append(raises, raise{q, to})
		}
	}
	for _, r := range raises {
		r.q.RaiseHorizon(r.to)
	}
}

// settle dispatches and writes until nothing is left to do.
func (f *fixture) settleDown() {
	f.dispatch()
	for rounds := 0; f.agenda.HasJournal(); rounds++ {
		if rounds > 10 {
			f.Fatal("the agenda never empties")
		}
		f.write()
		f.dispatch()
	}
}

var reasons = map[segment.SettleReason]string{
	segment.SettleAck: "ack", segment.SettleNoAck: "noack", segment.SettleReject: "reject", segment.SettlePurge: "purge",
	segment.SettleReturn: "return", segment.SettleExpire: "expire", segment.SettleDrop: "drop",
}

// takerName is a subscription's tag, "get" for basic.get and "nobody" for nobody.
func takerName(t *queue.Taker) string {
	switch {
	case t == nil:
		return "nobody"
	case t.Consumer == nil:
		return "get"
	}
	return t.Consumer.Tag
}

// takeTold returns what the log was told about the queue since the last call, with who had the entries.
func (f *fixture) takeTold(q *queue.Queue) string {
	f.settleDown()
	words := strings.Join(f.told[q.ID], ", ")
	f.told[q.ID], f.journal[q.ID] = nil, nil
	return words
}

// takeWritten returns what the log was told about the queue since the last call.
func (f *fixture) takeWritten(q *queue.Queue) string {
	f.settleDown()
	words := strings.Join(f.journal[q.ID], ", ")
	f.journal[q.ID] = nil
	return words
}

// outlet is a connection that notes what it is told to deliver.
type outlet struct {
	room       int // deliveries it still takes
	deliveries []queue.Delivery
}

func newOutlet() *outlet { return &outlet{room: 1 << 30} }

func (o *outlet) Room() bool { return o.room > 0 }

func (o *outlet) Deliver(d queue.Delivery) {
	o.room--
	o.deliveries = append(o.deliveries, d)
}

// take returns the deliveries since the last call.
func (o *outlet) take() []queue.Delivery {
	taken := o.deliveries
	o.deliveries = nil
	return taken
}

// words describes the deliveries since the last call: consumer, message, and + for redelivered.
func (o *outlet) words() string {
	var words []string
	for _, d := range o.take() {
		tag := "get"
		if d.Consumer != nil {
			tag = d.Consumer.Tag
		}
		word := fmt.Sprintf("%s:%d", tag, d.LSN)
		if d.Redelivered {
			word += "+"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// consume starts a consumer, makes what can be delivered, and fails the test if it is refused.
func (f *fixture) consume(q *queue.Queue, c queue.Consumer) *queue.Consumer {
	f.Helper()
	if err := q.Consume(&c); err != nil {
		f.Fatalf("consume %s by %s: %v", q.Name, c.Tag, err)
	}
	f.dispatch()
	return &c
}

func (f *fixture) settle(ch *queue.Channel, tag queue.Tag, multiple bool, o queue.Outcome) {
	f.Helper()
	if err := ch.Settle(tag, multiple, o); err != nil {
		f.Fatalf("settle %d: %v", tag, err)
	}
	f.dispatch()
}

func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func wantCounts(t testing.TB, q *queue.Queue, ready, unsettled int) {
	t.Helper()
	if q.Ready() != ready || q.Unsettled() != unsettled {
		t.Errorf("queue %s: %d ready, %d unsettled; want %d, %d", q.Name, q.Ready(), q.Unsettled(), ready, unsettled)
	}
}

// check looks for faults in all of a queue's indexes.
func check(q *queue.Queue) (faults []error) {
	for level := range q.Levels() {
		faults = append(faults, level.Check()...)
	}
	return faults
}
