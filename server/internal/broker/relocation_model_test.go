package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// relocationModel works on a broker at random and knows what each queue must hold: a slice of bodies, those that
// a consumer holds among them.
type relocationModel struct {
	*fixture
	*rand.Rand
	c       *client
	queues  []string
	holds   map[string][]string
	taken   []takenMessage // unsettled
	next    int
	relocs  int
	ends    int
	looked  int      // for messages
	history []string // what was done, for a failure
}

type takenMessage struct {
	queue, body string
	tag         queue.Tag
}

func newRelocationModel(t *testing.T, seed uint64) *relocationModel {
	m := &relocationModel{
		fixture: openWith(t, broker.Config{SegmentSize: 16 << 10}), Rand: rand.New(rand.NewPCG(seed, 1)),
		holds: make(map[string][]string),
	}
	m.c = m.client()
	for i := range 20 {
		name := fmt.Sprint("q", i)
		m.queues = append(m.queues, name)
		m.declare(name)
	}
	return m
}

func (m *relocationModel) declare(name string) {
	m.c.durable(name)
	m.c.bind("amq.fanout", name, "")
	m.holds[name] = nil
}

// pick chooses a queue: the first few are busy, the others slow.
func (m *relocationModel) pick() string {
	if m.IntN(10) > 0 {
		return m.queues[m.IntN(3)]
	}
	return m.queues[m.IntN(len(m.queues))]
}

func (m *relocationModel) publish() {
	for range 1 + m.IntN(8) {
		m.next++
		body := fmt.Sprintf("m%d-%s", m.next, strings.Repeat("x", m.IntN(800)))
		exchange, key, to := "", m.pick(), []string(nil)
		if to = []string{key}; m.IntN(40) == 0 {
			exchange, to = "amq.fanout", m.queues
		}
		m.c.stage(m.c.ch, exchange, key, persistent, body)
		for _, name := range to {
			m.holds[name] = append(m.holds[name], body)
		}
	}
	m.c.flush()
}

// take gets messages of a queue and leaves them unsettled.
func (m *relocationModel) take() {
	name := m.pick()
	for range m.IntN(30) {
		found, err := m.c.Take(name, m.c.ch, false)
		if err != nil {
			m.Fatal(err)
		}
		if !found {
			return
		}
		m.c.sink.await(m, "delivery", func() bool { return len(m.c.sink.mu.deliveries) > 0 })
		d := m.c.sink.take()[0]
		body := m.c.body(d.LSN)
		m.c.Sent(1, int64(d.Size))
		m.c.view.Release()
		if !slices.Contains(m.holds[name], body) {
			m.Fatalf("%s gives %.20s, which it does not hold\n%s", name, body, strings.Join(m.history, " "))
		}
		m.taken = append(m.taken, takenMessage{name, body, d.Tag})
	}
}

// settle acknowledges or requeues messages that are held.
func (m *relocationModel) settle() {
	for range m.IntN(40) {
		if len(m.taken) == 0 {
			break
		}
		i := m.IntN(len(m.taken))
		held := m.taken[i]
		m.taken = slices.Delete(m.taken, i, i+1)
		if m.IntN(4) == 0 {
			m.c.ch.Settle(amqp.BasicRejectID, held.tag, false, queue.Returned)
			continue
		}
		m.c.ch.Settle(amqp.BasicAckID, held.tag, false, queue.Acked)
		m.holds[held.queue] = slices.DeleteFunc(slices.Clone(m.holds[held.queue]), func(b string) bool { return b == held.body })
	}
	m.c.flush()
}

func (m *relocationModel) purge() {
	name := m.pick()
	if _, err := m.c.Purge(name); err != nil {
		m.Fatal(err)
	}
	m.holds[name] = slices.DeleteFunc(slices.Clone(m.holds[name]), func(body string) bool {
		return !slices.ContainsFunc(m.taken, func(h takenMessage) bool { return h.queue == name && h.body == body })
	})
}

func (m *relocationModel) redeclare() {
	name := m.pick()
	if _, err := m.c.DeleteQueue(name, false, false); err != nil {
		m.Fatal(err)
	}
	for i := len(m.taken) - 1; i >= 0; i-- { // settling them does nothing now, but frees the channel
		if m.taken[i].queue == name {
			m.c.ch.Settle(amqp.BasicAckID, m.taken[i].tag, false, queue.Acked)
			m.taken = slices.Delete(m.taken, i, i+1)
		}
	}
	m.c.flush()
	m.declare(name)
}

// end stops the broker in some way, and checks what is there afterwards.
func (m *relocationModel) end() {
	m.relocs += m.broker.Relocations().Runs
	m.ends++
	switch m.IntN(4) {
	case 0:
		m.restart()
	case 1:
		m.crash()
	default:
		m.crash(loseIndex)
	}
	m.c, m.taken = m.client(), nil
	m.check()
}

// check drains each queue and gives everything back.
func (m *relocationModel) check() {
	m.Helper()
	look := m.client()
	defer look.close()
	for _, name := range m.queues {
		wanted := slices.DeleteFunc(slices.Clone(m.holds[name]), func(body string) bool {
			return slices.ContainsFunc(m.taken, func(h takenMessage) bool { return h.queue == name && h.body == body })
		})
		m.looked += len(wanted)
		got := strings.Fields(strings.ReplaceAll(look.drain(name), "+", ""))
		if !slices.Equal(got, wanted) {
			m.Fatalf("%s holds %d messages, want %d; first %.30q, want %.30q\n%s", name, len(got), len(wanted),
				slices.Concat(got, []string{""})[0], slices.Concat(wanted, []string{""})[0], strings.Join(m.history, " "))
		}
	}
}

func TestRelocationAgreesWithAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := newRelocationModel(t, seed)
			steps := []struct {
				name   string
				weight int
				do     func()
			}{
				{"publish", 50, m.publish},
				{"take", 30, m.take},
				{"settle", 30, m.settle},
				{"purge", 2, m.purge},
				{"redeclare", 1, m.redeclare},
				{"checkpoint", 4, m.checkpoint},
				{"pass", 8, m.fixture.pass},
				{"relocate", 4, func() {
					if err := m.broker.Relocate(); err != nil {
						m.Fatal(err)
					}
				}},
				{"end", 1, m.end},
			}
			total := 0
			for _, s := range steps {
				total += s.weight
			}
			for range 600 {
				n := m.IntN(total)
				for _, s := range steps {
					if n -= s.weight; n < 0 {
						m.history = append(m.history, s.name)
						s.do()
						break
					}
				}
			}
			m.end()
			if m.relocs == 0 {
				t.Error("nothing was relocated")
			}
			t.Logf("crash: %d rounds, 0 cut points, %d faults, %d looked for, 0 lost", m.relocs, m.ends, m.looked)
		})
	}
}
