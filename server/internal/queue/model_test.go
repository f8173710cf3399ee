package queue_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// The model: slices, searched from the front. It does not decide who gets a message, it judges what the
// queues decided: the message must be the oldest one ready, its taker must be the one whose turn it is,
// and nothing deliverable may be left.

type modelMessage struct {
	lsn                    segment.LSN
	transient, redelivered bool
	holder                 *modelChannel // nil: ready
}

type modelQueue struct {
	real      *queue.Queue
	messages  []*modelMessage // oldest first
	consumers []*modelConsumer
	turns     []int // the consumer to be asked next; the end of the list and its start are the same turn
	gone      bool
	settled   map[segment.LSN]bool // persistent messages that left a durable queue
}

type modelConsumer struct {
	real         *queue.Consumer
	queue        *modelQueue
	channel      *modelChannel
	limit, holds int
	noAck, excl  bool
}

type modelHeld struct {
	tag      queue.Tag
	message  *modelMessage
	queue    *modelQueue
	consumer *modelConsumer // nil: by get
}

type modelChannel struct {
	real  *queue.Channel
	out   *outlet
	last  queue.Tag
	limit int
	held  []*modelHeld
}

type model struct {
	*fixture
	queues    []*modelQueue
	channels  []*modelChannel
	consumers []*modelConsumer
}

func (c *modelChannel) consumed() int {
	n := 0
	for _, h := range c.held {
		if h.consumer != nil {
			n++
		}
	}
	return n
}

func (c *modelConsumer) canTake() bool {
	if c.channel.out.room <= 0 {
		return false
	}
	return c.noAck || (c.limit == 0 || c.holds < c.limit) && (c.channel.limit == 0 || c.channel.consumed() < c.channel.limit)
}

func (q *modelQueue) oldest() *modelMessage {
	for _, m := range q.messages {
		if m.holder == nil {
			return m
		}
	}
	return nil
}

func (q *modelQueue) ready() (n int) {
	for _, m := range q.messages {
		if m.holder == nil {
			n++
		}
	}
	return n
}

func (q *modelQueue) remove(m *modelMessage) {
	q.messages = slices.DeleteFunc(q.messages, func(other *modelMessage) bool { return other == m })
	if q.real.Durable && !m.transient && !q.gone {
		q.settled[m.lsn] = true
	}
}

// takeTurn reports whether it may be the consumer's turn, and moves the turn on.
func (q *modelQueue) takeTurn(c *modelConsumer) bool {
	var after []int
	for _, turn := range q.turns {
		for range q.consumers {
			turn %= len(q.consumers)
			asked := q.consumers[turn]
			turn++
			if !asked.canTake() {
				continue
			}
			if asked == c {
				after = append(after, turn)
			}
			break
		}
	}
	q.turns = after
	return len(after) > 0
}

// add puts a consumer at the end of the list, which may be the place whose turn it is.
func (q *modelQueue) add(c *modelConsumer) {
	if n := len(q.consumers); slices.ContainsFunc(q.turns, func(turn int) bool { return turn == 0 || turn == n }) {
		q.turns = append(q.turns, 0, n)
	}
	q.consumers = append(q.consumers, c)
	slices.Sort(q.turns)
	q.turns = slices.Compact(q.turns)
}

// judge replays a delivery that was made on the model.
func (m *model) judge(t *rapid.T, d queue.Delivery) {
	i := slices.IndexFunc(m.consumers, func(c *modelConsumer) bool { return c.real == d.Consumer })
	if i < 0 {
		t.Fatalf("delivery %d to a consumer that nobody knows", d.LSN)
	}
	c := m.consumers[i]
	q := c.queue
	if d.Consumer.Queue() == nil {
		t.Fatalf("delivery %d to a consumer that has ended", d.LSN)
	}
	if q.real.Durable {
		// A turn may be lost while the queue waits for its horizon: any consumer with credit will do.
		if !c.canTake() {
			t.Fatalf("delivery %d to %s, which has no credit", d.LSN, c.real.Tag)
		}
	} else if !q.takeTurn(c) {
		t.Fatalf("delivery %d to %s out of turn", d.LSN, c.real.Tag)
	}
	message := q.oldest()
	if message == nil || message.lsn != d.LSN {
		t.Fatalf("delivery of %d from %s, the oldest ready message is %+v", d.LSN, q.real.Name, message)
	}
	m.hand(t, q, c.channel, c, message, d, c.noAck)
}

func (m *model) hand(t *rapid.T, q *modelQueue, ch *modelChannel, c *modelConsumer, message *modelMessage, d queue.Delivery, noAck bool) {
	ch.last++
	ch.out.room--
	d.Channel.Outlet().(*sharedOutlet).used--
	if d.Tag != ch.last || d.Channel != ch.real || d.Redelivered != message.redelivered || d.Size != uint32(message.lsn) {
		t.Fatalf("delivery %+v, want tag %d on channel %d, message %+v", d, ch.last, ch.real.Number, message)
	}
	if noAck {
		q.remove(message)
		return
	}
	message.holder = ch
	if c != nil {
		c.holds++
	}
	ch.held = append(ch.held, &modelHeld{ch.last, message, q, c})
}

func (m *model) conclude(ch *modelChannel, h *modelHeld, o queue.Outcome) {
	ch.held = slices.DeleteFunc(ch.held, func(other *modelHeld) bool { return other == h })
	if h.consumer != nil {
		h.consumer.holds--
	}
	h.message.holder = nil
	if o == queue.Returned {
		h.message.redelivered = true
		return
	}
	h.queue.remove(h.message)
}

func (m *model) cancel(c *modelConsumer) {
	i := slices.Index(c.queue.consumers, c)
	if i < 0 {
		return
	}
	c.queue.consumers = slices.Delete(c.queue.consumers, i, i+1)
	for at, turn := range c.queue.turns {
		if turn > i {
			c.queue.turns[at]--
		}
	}
}

// catchUp lets the queues act and judges what they did. All outlets share one list of deliveries, for
// their order matters: see sharedOutlet.
func (m *model) catchUp(t *rapid.T, all *[]queue.Delivery) {
	for rounds := 0; ; rounds++ {
		m.dispatch()
		for _, d := range *all {
			m.judge(t, d)
		}
		*all = nil
		if !m.agenda.HasJournal() {
			break
		}
		if rounds > 100 {
			t.Fatal("the agenda never empties")
		}
		m.write()
	}
	for _, q := range m.queues {
		if q.gone {
			continue
		}
		if q.oldest() != nil && slices.ContainsFunc(q.consumers, (*modelConsumer).canTake) {
			t.Fatalf("%s keeps %d ready messages from a consumer with credit", q.real.Name, q.ready())
		}
		if q.real.Ready() != q.ready() || q.real.Unsettled() != len(q.messages)-q.ready() || q.real.Consumers() != len(q.consumers) {
			t.Fatalf("%s: %d ready, %d unsettled, %d consumers; model %d, %d, %d", q.real.Name,
				q.real.Ready(), q.real.Unsettled(), q.real.Consumers(), q.ready(), len(q.messages)-q.ready(), len(q.consumers))
		}
	}
	for _, ch := range m.channels {
		if ch.real.Unsettled() != len(ch.held) {
			t.Fatalf("channel %d: %d unsettled, model %d", ch.real.Number, ch.real.Unsettled(), len(ch.held))
		}
	}
}

// sharedOutlet is an outlet whose deliveries go to a list that it shares with others.
type sharedOutlet struct {
	room *int
	all  *[]queue.Delivery
	used int // of the room, by deliveries that are not judged yet
}

func (o *sharedOutlet) Room() bool { return *o.room-o.used > 0 }

func (o *sharedOutlet) Deliver(d queue.Delivery) {
	o.used++
	*o.all = append(*o.all, d)
}

// checkJournal compares what the log was told with what has left the queues: all of it, and nothing that
// is still there.
func (m *model) checkJournal(t *rapid.T) {
	for _, q := range m.queues {
		if q.gone || !q.real.Durable {
			if !q.real.Durable && len(m.settled[q.real.ID]) > 0 {
				t.Fatalf("%s is not durable and has a journal", q.real.Name)
			}
			continue
		}
		told := func(lsn segment.LSN) bool {
			return slices.ContainsFunc(m.settled[q.real.ID], func(r segment.Range) bool { return r.From <= lsn && lsn <= r.To })
		}
		for lsn := range q.settled {
			if !told(lsn) {
				t.Fatalf("%s: message %d is gone and the log does not know", q.real.Name, lsn)
			}
		}
		for _, message := range q.messages {
			if told(message.lsn) {
				t.Fatalf("%s: the log thinks that message %d is gone", q.real.Name, message.lsn)
			}
		}
		if errs := check(q.real); len(errs) > 0 {
			t.Fatalf("%s: %v", q.real.Name, errors.Join(errs...))
		}
	}
}

// pick draws one of a list by its place, which reads better in a failure than the thing itself.
func pick[T any](t *rapid.T, what string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

func TestQueuesAgainstAModel(t *testing.T) {
	f := newFixture(t)
	rapid.Check(t, func(t *rapid.T) {
		var all []queue.Delivery
		m := &model{fixture: &fixture{
			TB: f.TB, store: f.store, agenda: &queue.Agenda{}, ids: f.ids,
			journal: map[segment.QueueID][]string{}, settled: map[segment.QueueID][]segment.Range{}, told: map[segment.QueueID][]string{},
		}}
		addQueue := func(durable bool) {
			f.ids++
			d := queue.Declaration{ID: f.ids, Name: fmt.Sprintf("q%d", f.ids), Durable: durable}
			m.queues = append(m.queues, &modelQueue{
				real: queue.New(d, f.store.NewQueue(d.ID), m.agenda), settled: map[segment.LSN]bool{}, turns: []int{0},
			})
		}
		addQueue(true)
		addQueue(false)
		for number := range 3 {
			ch := &modelChannel{out: newOutlet()}
			ch.real = queue.NewChannel(uint16(number+1), &sharedOutlet{room: &ch.out.room, all: &all})
			m.channels = append(m.channels, ch)
		}
		catchUp := func() { m.catchUp(t, &all) }
		someQueue := func() *modelQueue { return pick(t, "queue", m.queues) }
		someChannel := func() *modelChannel { return pick(t, "channel", m.channels) }
		tags := 0

		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				q := someQueue()
				transient := rapid.Bool().Draw(t, "transient")
				for range rapid.IntRange(1, 6).Draw(t, "n") {
					m.last += segment.LSN(rapid.IntRange(1, 3).Draw(t, "gap"))
					m.add(q.real, m.last, uint32(m.last), transient)
					if !q.gone {
						q.messages = append(q.messages, &modelMessage{lsn: m.last, transient: transient})
					}
				}
				catchUp()
			},
			"consume": func(t *rapid.T) {
				q, ch := someQueue(), someChannel()
				if q.gone || len(m.consumers) > 40 {
					return
				}
				tags++
				c := &modelConsumer{
					queue: q, channel: ch, limit: rapid.IntRange(0, 3).Draw(t, "limit"),
					noAck: rapid.IntRange(0, 3).Draw(t, "no-ack") == 0, excl: rapid.IntRange(0, 7).Draw(t, "exclusive") == 0,
				}
				c.real = &queue.Consumer{Tag: fmt.Sprintf("c%d", tags), Channel: ch.real, NoAck: c.noAck, Exclusive: c.excl, Limit: c.limit}
				refused := c.excl && len(q.consumers) > 0 ||
					slices.ContainsFunc(q.consumers, func(c *modelConsumer) bool { return c.excl })
				if err := q.real.Consume(c.real); (err != nil) != refused {
					t.Fatalf("consume: %v, want refused = %v", err, refused)
				}
				if !refused {
					m.consumers = append(m.consumers, c)
					q.add(c)
				}
				catchUp()
			},
			"cancel": func(t *rapid.T) {
				if len(m.consumers) == 0 {
					return
				}
				c := pick(t, "consumer", m.consumers)
				c.real.Cancel()
				m.cancel(c)
				catchUp()
			},
			"get": func(t *rapid.T) {
				q, ch, noAck := someQueue(), someChannel(), rapid.Bool().Draw(t, "no-ack")
				if q.gone {
					return
				}
				found, err := m.get(q.real, ch.real, noAck)
				if errors.Is(err, queue.ErrBehindHorizon) {
					catchUp()
					found, err = m.get(q.real, ch.real, noAck)
				}
				message := q.oldest()
				if err != nil || found != (message != nil) {
					t.Fatalf("get: %v, %v; oldest is %v", found, err, message)
				}
				if found {
					d := all[0]
					all = all[1:]
					if d.LSN != message.lsn || d.Consumer != nil || d.Remaining != uint32(q.ready()-1) {
						t.Fatalf("get %+v, want %+v", d, message)
					}
					m.hand(t, q, ch, nil, message, d, noAck)
				}
				catchUp()
			},
			"settle": func(t *rapid.T) {
				ch := someChannel()
				tag := queue.Tag(rapid.Uint64Range(0, uint64(ch.last)+1).Draw(t, "tag"))
				if len(ch.held) > 0 && rapid.IntRange(0, 4).Draw(t, "known") > 0 {
					tag = pick(t, "held", ch.held).tag
				}
				multiple := rapid.Bool().Draw(t, "multiple")
				outcome := rapid.SampledFrom([]queue.Outcome{queue.Acked, queue.Rejected, queue.Returned}).Draw(t, "outcome")
				var touched []*modelHeld
				known := multiple && tag == 0
				for _, h := range ch.held {
					known = known || h.tag == tag
					if h.tag == tag || multiple && (h.tag <= tag || tag == 0) {
						touched = append(touched, h)
					}
				}
				err := ch.real.Settle(tag, multiple, outcome)
				if errors.Is(err, queue.ErrUnknownTag) == known {
					t.Fatalf("settle %d (multiple %v): %v, want known = %v", tag, multiple, err, known)
				}
				if known {
					for _, h := range touched {
						m.conclude(ch, h, outcome)
					}
				}
				catchUp()
			},
			"recover": func(t *rapid.T) {
				ch := someChannel()
				ch.real.Recover()
				for _, h := range slices.Clone(ch.held) {
					m.conclude(ch, h, queue.Returned)
				}
				catchUp()
			},
			"qos": func(t *rapid.T) {
				ch := someChannel()
				ch.limit = rapid.IntRange(0, 4).Draw(t, "limit")
				ch.real.SetLimit(ch.limit)
				catchUp()
			},
			"purge": func(t *rapid.T) {
				q := someQueue()
				if q.gone {
					return
				}
				if got, want := q.real.Purge(), q.ready(); got != want {
					t.Fatalf("purged %d, want %d", got, want)
				}
				for _, message := range slices.Clone(q.messages) {
					if message.holder == nil {
						q.remove(message)
					}
				}
				catchUp()
			},
			"close channel": func(t *rapid.T) {
				ch := someChannel()
				ch.real.Close()
				for _, c := range m.consumers {
					if c.channel == ch {
						m.cancel(c)
					}
				}
				for _, h := range slices.Clone(ch.held) {
					m.conclude(ch, h, queue.Returned)
				}
				number := ch.real.Number
				*ch = modelChannel{out: newOutlet()}
				ch.real = queue.NewChannel(number, &sharedOutlet{room: &ch.out.room, all: &all})
				m.consumers = slices.DeleteFunc(m.consumers, func(c *modelConsumer) bool { return c.channel == ch })
				catchUp()
			},
			"room": func(t *rapid.T) {
				ch := someChannel()
				ch.out.room = rapid.SampledFrom([]int{0, 1, 5, 1 << 30}).Draw(t, "room")
				ch.real.Resume()
				catchUp()
			},
			"replace queue": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
					return
				}
				i := rapid.IntRange(0, len(m.queues)-1).Draw(t, "queue")
				q := m.queues[i]
				ended := q.real.Delete()
				if len(ended) != len(q.consumers) {
					t.Fatalf("%d consumers ended, want %d", len(ended), len(q.consumers))
				}
				q.gone, q.consumers = true, nil
				addQueue(q.real.Durable)
				last := len(m.queues) - 1
				m.queues[i] = m.queues[last]
				m.queues = m.queues[:last]
				catchUp()
			},
			"": func(t *rapid.T) { m.checkJournal(t) },
		})
	})
}
