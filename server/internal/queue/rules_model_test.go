package queue_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// The model of what a queue does by itself: one queue with random rules, priorities, expiry, limits, counted
// failures, a single active consumer, and a log from which it can be made anew. As the model of the turns
// does, it judges what the queue decided.

type ruledMessage struct {
	lsn           segment.LSN
	priority      uint8 // as it counts
	deadline      int64 // 0 is never
	failures, all int64
	handedOut     bool
	holder        *ruledChannel // nil: ready
	consumer      *ruledConsumer
}

type ruledConsumer struct {
	real            *queue.Consumer
	limit, priority int
	noAck           bool
	holds           int
}

type ruledChannel struct {
	real *queue.Channel
	last queue.Tag
	held map[queue.Tag]*ruledMessage
}

type ruledModel struct {
	*fixture
	out       *outlet
	declared  queue.Declaration
	rules     queue.Rules
	q         *queue.Queue
	messages  []*ruledMessage // alive, oldest first
	published []queue.Message // all
	channels  []*ruledChannel
	consumers []*ruledConsumer // in the order in which they came
	active    *ruledConsumer
	synced    segment.LSN // the log, as far as the queue knows
}

// next is the message that is to be delivered next, of those that may be.
func (m *ruledModel) next() *ruledMessage {
	var best *ruledMessage
	for _, message := range m.messages {
		if m.visible(message) && (best == nil || message.priority > best.priority) {
			best = message
		}
	}
	return best
}

// visible reports whether a message is ready, and synced if it has to be.
func (m *ruledModel) visible(message *ruledMessage) bool {
	return message.holder == nil && (!m.rules.AfterSync || message.lsn <= m.synced)
}

func (m *ruledModel) remove(message *ruledMessage) {
	m.messages = slices.DeleteFunc(m.messages, func(other *ruledMessage) bool { return other == message })
}

func (m *ruledModel) ready() (n int) {
	for _, message := range m.messages {
		if message.holder == nil {
			n++
		}
	}
	return n
}

func (c *ruledConsumer) canTake() bool { return c.noAck || c.limit == 0 || c.holds < c.limit }

// mayTake reports whether a message may go to the consumer now.
func (m *ruledModel) mayTake(c *ruledConsumer) bool {
	if !c.canTake() {
		return false
	}
	if m.rules.SingleActive {
		for _, best := range m.consumers { // the first of the highest priority
			if m.declared.Quorum && m.active.holds == 0 && best.priority > m.active.priority {
				m.active = best
			}
		}
		waits := m.declared.Quorum && slices.ContainsFunc(m.consumers, func(c *ruledConsumer) bool { return c.priority > m.active.priority })
		return c == m.active && !waits
	}
	return !slices.ContainsFunc(m.consumers, func(other *ruledConsumer) bool { return other.priority > c.priority && other.canTake() })
}

func (m *ruledModel) hand(t *rapid.T, d queue.Delivery, noAck bool) {
	message := m.next()
	for message != nil && message.deadline != 0 && message.deadline < m.now {
		m.remove(message)
		message = m.next()
	}
	i := slices.IndexFunc(m.channels, func(ch *ruledChannel) bool { return ch.real == d.Channel })
	ch := m.channels[i]
	ch.last++
	if message == nil || message.lsn != d.LSN || d.Tag != ch.last {
		t.Fatalf("delivery %+v, want tag %d, message %+v", d, ch.last, message)
	}
	if d.Redelivered != message.handedOut {
		t.Fatalf("message %d: redelivered %v", d.LSN, d.Redelivered)
	}
	if m.rules.CountsReturns && (d.Returns.Failures() != message.failures || d.Returns.Acquisitions() != message.all) {
		t.Fatalf("message %d came back %d times and failed %d times: %+v", d.LSN, message.all, message.failures, d)
	}
	message.handedOut = true
	if noAck {
		m.remove(message)
		return
	}
	message.holder = ch
	ch.held[ch.last] = message
}

// catchUp judges what the queue has done.
func (m *ruledModel) catchUp(t *rapid.T) {
	m.settleDown()
	for _, d := range m.out.take() {
		i := slices.IndexFunc(m.consumers, func(c *ruledConsumer) bool { return c.real == d.Consumer })
		if i < 0 || !m.mayTake(m.consumers[i]) {
			t.Fatalf("delivery %d to %q, who may not take it", d.LSN, d.Consumer.Tag)
		}
		c := m.consumers[i]
		m.hand(t, d, c.noAck)
		if !c.noAck {
			c.holds++
			m.channels[slices.IndexFunc(m.channels, func(ch *ruledChannel) bool { return ch.real == d.Channel })].held[d.Tag].consumer = c
		}
	}
	if m.ready() > 0 && slices.ContainsFunc(m.consumers, m.mayTake) {
		if next := m.next(); next != nil && (next.deadline == 0 || next.deadline > m.now) {
			t.Fatalf("%d ready messages are kept from a consumer", m.ready())
		}
	}
	m.messages = slices.DeleteFunc(m.messages, func(message *ruledMessage) bool {
		return message.holder == nil && message.deadline != 0 && message.deadline <= m.now
	})
	for m.rules.MaxLength >= 0 && int64(m.ready()) > m.rules.MaxLength {
		drop := m.next()
		if m.rules.DropsLowest {
			for _, message := range slices.Backward(m.messages) {
				if message.holder == nil && message.priority <= drop.priority {
					drop = message
				}
			}
		}
		m.remove(drop)
	}
	if m.q.Ready() != m.ready() || m.q.Unsettled() != len(m.messages)-m.ready() || m.q.Consumers() != len(m.consumers) {
		t.Fatalf("%d ready, %d unsettled, %d consumers; want %d, %d, %d", m.q.Ready(), m.q.Unsettled(), m.q.Consumers(),
			m.ready(), len(m.messages)-m.ready(), len(m.consumers))
	}
}

func (m *ruledModel) conclude(ch *ruledChannel, tag queue.Tag, o queue.Outcome) {
	message := ch.held[tag]
	delete(ch.held, tag)
	if message.consumer != nil {
		message.consumer.holds--
	}
	message.holder, message.consumer = nil, nil
	if o != queue.Returned && o != queue.Failed {
		m.remove(message)
		return
	}
	message.all++
	if o == queue.Failed {
		message.failures++
	}
	if limit := m.rules.DeliveryLimit; limit >= 0 && message.failures > limit {
		m.remove(message)
	}
}

func (m *ruledModel) cancelled(gone func(*ruledConsumer) bool) {
	m.consumers = slices.DeleteFunc(m.consumers, gone)
	if m.active != nil && gone(m.active) {
		m.active = nil
		for _, c := range m.consumers {
			if m.active == nil || c.priority > m.active.priority {
				m.active = c
			}
		}
	}
}

// crash makes the queue anew from what the log was told, and compares.
func (m *ruledModel) crash(t *rapid.T) {
	m.ids++
	d := m.declared
	d.ID = m.ids
	agenda := &queue.Agenda{}
	agenda.SyncedTo(m.last) // what has been stored
	q := queue.New(d, m.store.NewQueue(d.ID), agenda)
	rules := m.rules
	rules.SingleActive = false // for basic.get
	q.SetRules(rules, m.now)
	for _, message := range m.published {
		q.Push(message)
	}
	for _, r := range m.settled[m.q.ID] {
		q.Settled(r.From, r.To)
	}
	q.ReplayHorizon(m.q.Horizon()) // all has been written
	if err := q.Recovered(); err != nil {
		t.Fatal(err)
	}
	q.RaiseHorizon(openHorizon)
	out := newOutlet()
	ch := queue.NewChannel(1, out)
	for range m.messages {
		if found, err := q.Take(ch, false, 0); !found || err != nil {
			t.Fatalf("after a crash: %v, %v", found, err)
		}
	}
	wanted := slices.Clone(m.messages)
	slices.SortStableFunc(wanted, func(a, b *ruledMessage) int { return cmp.Compare(b.priority, a.priority) })
	for i, d := range out.take() {
		if d.LSN != wanted[i].lsn || wanted[i].handedOut && !d.Redelivered {
			t.Fatalf("after a crash message %d comes (redelivered %v), want %+v", d.LSN, d.Redelivered, wanted[i])
		}
	}
	if q.Ready() != 0 {
		t.Fatalf("after a crash %d messages more are there", q.Ready())
	}
}

// newRuledModel draws the rules. Messages of a durable queue do not expire: which do while it waits for its
// horizon is another matter.
func newRuledModel(t *rapid.T, f *fixture) *ruledModel {
	f.ids++
	m := &ruledModel{out: newOutlet(), rules: queue.NoRules, fixture: &fixture{
		TB: f.TB, store: f.store, agenda: &queue.Agenda{}, ids: f.ids, now: 1000,
		journal: map[segment.QueueID][]string{}, settled: map[segment.QueueID][]segment.Range{}, told: map[segment.QueueID][]string{},
	}}
	m.declared = queue.Declaration{ID: f.ids, Name: "q", Durable: rapid.Bool().Draw(t, "durable")}
	m.declared.Quorum = m.declared.Durable && rapid.Bool().Draw(t, "quorum")
	r := &m.rules
	r.SingleActive = rapid.Bool().Draw(t, "single active")
	r.MaxPriority = rapid.SampledFrom([]uint8{0, 1, 9, 255}).Draw(t, "highest priority")
	if m.declared.Quorum {
		r.MaxPriority, r.CountsReturns = 31, true
		r.DeliveryLimit = int64(rapid.IntRange(-1, 2).Draw(t, "delivery limit"))
	}
	if rapid.Bool().Draw(t, "limited") {
		r.MaxLength = int64(rapid.IntRange(0, 5).Draw(t, "length limit"))
		r.DropsLowest = rapid.Bool().Draw(t, "drops lowest")
	}
	// Whether a message that is not synced yet counts against a limit depends on who could take it: no limit then.
	r.AfterSync = r.MaxLength < 0 && rapid.Bool().Draw(t, "after the sync")
	m.q = queue.New(m.declared, f.store.NewQueue(f.ids), m.agenda)
	m.q.SetRules(m.rules, m.now)
	for number := range 3 {
		m.channels = append(m.channels, &ruledChannel{
			real: queue.NewChannel(uint16(number+1), m.out), held: map[queue.Tag]*ruledMessage{},
		})
	}
	return m
}

func (m *ruledModel) publish(t *rapid.T) {
	message := queue.Message{Time: m.now, Expiration: -1}
	if message.Prioritized = rapid.Bool().Draw(t, "with priority"); message.Prioritized {
		message.Priority = rapid.SampledFrom([]uint8{0, 1, 4, 5, 9, 200}).Draw(t, "priority")
	}
	if !m.declared.Durable {
		message.Expiration = int64(rapid.SampledFrom([]int{-1, -1, 0, 3, 20}).Draw(t, "expiration"))
	}
	m.last += segment.LSN(rapid.IntRange(1, 2).Draw(t, "gap"))
	message.LSN = m.last
	priority := min(message.Priority, m.rules.MaxPriority)
	if m.declared.Quorum && !message.Prioritized {
		priority = 4
	}
	deadline := int64(0)
	if message.Expiration >= 0 {
		deadline = m.now + message.Expiration
	}
	m.published = append(m.published, message)
	m.messages = append(m.messages, &ruledMessage{lsn: m.last, priority: priority, deadline: deadline})
	m.q.Push(message)
	m.catchUp(t)
}

func (m *ruledModel) consume(t *rapid.T) {
	if len(m.consumers) > 8 {
		return
	}
	ch := pick(t, "channel", m.channels)
	c := &ruledConsumer{
		limit: rapid.IntRange(0, 3).Draw(t, "limit"), priority: rapid.IntRange(0, 1).Draw(t, "consumer priority"),
		noAck: rapid.IntRange(0, 5).Draw(t, "no-ack") == 0,
	}
	c.real = &queue.Consumer{
		Tag: fmt.Sprint("c", m.last, len(m.consumers)), Channel: ch.real, NoAck: c.noAck, Limit: c.limit,
		ConsumerRules: queue.ConsumerRules{Priority: c.priority},
	}
	if err := m.q.Consume(c.real); err != nil {
		t.Fatal(err)
	}
	m.consumers = append(m.consumers, c)
	if m.active == nil {
		m.active = c
	}
	m.catchUp(t)
}

func (m *ruledModel) get(t *rapid.T) {
	ch, noAck := pick(t, "channel", m.channels), rapid.Bool().Draw(t, "no-ack")
	found, err := m.fixture.get(m.q, ch.real, noAck)
	if m.declared.Quorum && m.rules.SingleActive {
		if !errors.Is(err, queue.ErrSingleActive) {
			t.Fatalf("get past a single active consumer: %v", err)
		}
		return
	}
	if errors.Is(err, queue.ErrBehindHorizon) {
		m.settleDown()
		found, err = m.fixture.get(m.q, ch.real, noAck)
	}
	if m.ready() > 0 && m.next() == nil {
		if !errors.Is(err, queue.ErrNotSynced) || m.agenda.AwaitsSync() <= m.synced {
			t.Fatalf("get of what is not synced: %v, %v, and %d is waited for", found, err, m.agenda.AwaitsSync())
		}
		return
	}
	if err != nil || found != (m.ready() > 0) {
		t.Fatalf("get: %v, %v; %d are ready", found, err, m.ready())
	}
	if found {
		m.hand(t, m.out.take()[0], noAck)
	}
	m.catchUp(t)
}

func (m *ruledModel) settle(t *rapid.T) {
	ch := pick(t, "channel", m.channels)
	if len(ch.held) == 0 {
		return
	}
	var tags []queue.Tag
	for tag := range ch.held {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	tag := pick(t, "tag", tags)
	multiple := rapid.Bool().Draw(t, "multiple")
	o := rapid.SampledFrom([]queue.Outcome{queue.Acked, queue.Rejected, queue.Returned, queue.Failed}).Draw(t, "outcome")
	if err := ch.real.Settle(tag, multiple, o); err != nil {
		t.Fatal(err)
	}
	for _, other := range tags {
		if other == tag || multiple && other < tag {
			m.conclude(ch, other, o)
		}
	}
	m.catchUp(t)
}

func (m *ruledModel) closeChannel(t *rapid.T) {
	ch := pick(t, "channel", m.channels)
	ch.real.Close()
	m.cancelled(func(c *ruledConsumer) bool { return c.real.Channel == ch.real })
	for tag := range ch.held {
		m.conclude(ch, tag, queue.Failed)
	}
	ch.real, ch.last = queue.NewChannel(ch.real.Number, m.out), 0
	m.catchUp(t)
}

func TestRulesAgainstAModel(t *testing.T) {
	f := newFixture(t)
	rapid.Check(t, func(t *rapid.T) {
		m := newRuledModel(t, f)
		defer func() { f.ids = m.ids }()
		t.Repeat(map[string]func(*rapid.T){
			"publish":      m.publish,
			"publish more": m.publish,
			"consume":      m.consume,
			"get":          m.get,
			"settle":       m.settle,
			"settle more":  m.settle,
			"close":        m.closeChannel,
			"cancel": func(t *rapid.T) {
				if len(m.consumers) == 0 {
					return
				}
				c := pick(t, "consumer", m.consumers)
				c.real.Cancel()
				m.cancelled(func(other *ruledConsumer) bool { return other == c })
				m.catchUp(t)
			},
			"purge": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "really") > 0 {
					return
				}
				if got, want := m.q.Purge(), m.ready(); got != want {
					t.Fatalf("purged %d, want %d", got, want)
				}
				m.messages = slices.DeleteFunc(m.messages, func(message *ruledMessage) bool { return message.holder == nil })
				m.catchUp(t)
			},
			"sync": func(t *rapid.T) {
				m.synced = max(m.synced, m.last-min(m.last, segment.LSN(rapid.IntRange(0, 3).Draw(t, "behind"))))
				m.agenda.SyncedTo(m.synced)
				m.catchUp(t)
			},
			"switch": func(t *rapid.T) {
				if m.rules.MaxLength >= 0 {
					return
				}
				m.rules.AfterSync = !m.rules.AfterSync
				m.q.SetRules(m.rules, m.now)
				m.catchUp(t)
			},
			"time": func(t *rapid.T) {
				m.now += int64(rapid.IntRange(1, 10).Draw(t, "ms"))
				m.agenda.Tick(m.now)
				m.catchUp(t)
			},
			"": func(t *rapid.T) {
				if m.declared.Durable {
					m.crash(t)
				}
				if faults := check(m.q); len(faults) > 0 {
					t.Fatal(errors.Join(faults...))
				}
			},
		})
	})
}
