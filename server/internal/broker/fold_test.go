package broker_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// fold is what a reader knows of the queues who has nothing but the log and docs/format.md. It counts what survives a
// restart: of the rest the log does not tell when it left.
type fold struct {
	*fixture
	queues    map[segment.QueueID]*foldedQueue
	exchanges map[string]bool                 // durable or not, by name
	takers    map[segment.LSN]segment.QueueID // whom records name, and of which queue
	bodies    map[segment.LSN]string
}

type foldedQueue struct {
	name            string
	durable, keeper bool
	keepsAll        bool // whatever the delivery mode
	holds           map[segment.LSN]struct{}
}

// folded folds the whole log.
func (f *fixture) folded() *fold {
	f.Helper()
	l := &fold{
		fixture: f, queues: map[segment.QueueID]*foldedQueue{}, exchanges: map[string]bool{},
		takers: map[segment.LSN]segment.QueueID{}, bodies: map[segment.LSN]string{},
	}
	if err := f.broker.EachRecord(l.apply); err != nil {
		f.Fatal(err)
	}
	return l
}

func (l *fold) apply(r segment.Record, queues []segment.QueueID) {
	switch r.Kind() {
	case segment.KindPublish:
		l.publish(r, queues)
	case segment.KindSettle:
		l.settle(r)
	case segment.KindTopology:
		l.topology(r)
	case segment.KindConsumer:
		l.takers[r.LSN()] = segment.QueueID(l.number(l.table(r), "queue"))
	}
}

func (l *fold) number(t amqp.Table, key string) int64 {
	n, ok := amqp.Int(t[key])
	if !ok {
		l.Fatalf("%v has no %s", t, key)
	}
	return n
}

func (l *fold) publish(r segment.Record, queues []segment.QueueID) {
	p, err := r.Publish()
	if err != nil {
		l.Fatal(err)
	}
	header, err := amqp.ParseHeader(p.Header)
	if err != nil {
		l.Fatal(err)
	}
	l.bodies[r.LSN()] = string(p.Body)
	lasts := r.Flags()&segment.FlagTransient == 0 && header.DeliveryMode == amqp.Persistent
	for _, id := range queues {
		if q := l.queues[id]; q != nil && q.durable && (lasts || q.keepsAll) {
			q.holds[r.LSN()] = struct{}{}
		}
	}
}

func (l *fold) settle(r segment.Record) {
	s, err := r.Settle()
	if err != nil {
		l.Fatal(err)
	}
	byClient := slices.Contains([]segment.SettleReason{
		segment.SettleAck, segment.SettleNoAck, segment.SettleReturn,
	}, s.Reason)
	if id, ok := l.takers[s.Consumer]; byClient && !ok || ok && id != s.Queue {
		l.Errorf("record %d: %s of queue %d by record %d, a taker: %t, of queue %d", r.LSN(), s.Reason, s.Queue, s.Consumer, ok, id)
	}
	if (s.Reason == segment.SettleTransfer) != (s.Successor != 0) {
		l.Errorf("record %d: %s with the successor %d", r.LSN(), s.Reason, s.Successor)
	}
	for span := range s.Ranges() {
		if s.Successor != 0 && (span.From != span.To || l.bodies[s.Successor] != l.bodies[span.From]) {
			l.Errorf("record %d: %v went on as %d, another message", r.LSN(), span, s.Successor)
		}
		if q := l.queues[s.Queue]; q != nil && s.Reason != segment.SettleReturn {
			for lsn := span.From; lsn <= span.To; lsn++ {
				delete(q.holds, lsn)
			}
		}
	}
}

func (l *fold) topology(r segment.Record) {
	t := l.table(r)
	name, _ := t["name"].(string)
	durable, _ := t["durable"].(bool)
	q := &foldedQueue{name: name, durable: durable, holds: map[segment.LSN]struct{}{}}
	switch t["op"] {
	case "queue.declare":
		arguments, _ := t["arguments"].(amqp.Table)
		q.keepsAll = arguments["x-queue-type"] == "quorum"
		l.queues[segment.QueueID(r.LSN())] = q
	case "queue.delete":
		delete(l.queues, segment.QueueID(l.number(t, "id")))
	case "exchange.declare":
		l.exchanges[name] = durable
	case "keeper.declare":
		q.name, _ = t["exchange"].(string)
		q.durable, q.keeper, q.keepsAll = l.exchanges[q.name], true, t["keeps"] == "delayed"
		l.queues[segment.QueueID(r.LSN())] = q
	case "exchange.delete":
		for id, q := range l.queues {
			if q.keeper && q.name == name {
				delete(l.queues, id)
			}
		}
	}
}

// differs tells where the broker's durable queues hold something else, in words.
func (l *fold) differs() string {
	contents, err := l.broker.Contents()
	if err != nil {
		l.Fatal(err)
	}
	var words []string
	for id, q := range l.queues {
		if !q.durable {
			continue
		}
		held, ok := contents[id]
		if !ok {
			words = append(words, fmt.Sprintf("%s is not there", q.name))
		}
		delete(contents, id)
		held = slices.DeleteFunc(held, func(lsn segment.LSN) bool { // what does not survive a restart
			_, told := q.holds[lsn]
			return !told && !q.keepsAll && strings.HasPrefix(l.bodies[lsn], "transient")
		})
		for lsn := range q.holds {
			if !slices.Contains(held, lsn) {
				words = append(words, fmt.Sprintf("%s does not hold %d", q.name, lsn))
			}
		}
		if len(held) > len(q.holds) {
			words = append(words, fmt.Sprintf("%s holds %v, not %d", q.name, held, len(q.holds)))
		}
	}
	for id := range contents {
		words = append(words, fmt.Sprintf("queue %d is told of nowhere", id))
	}
	return strings.Join(words, ", ")
}

// foldModel does everything that fills and empties queues, at random.
type foldModel struct {
	*fixture
	*rand.Rand
	c       *client
	tags    map[*broker.Channel][]queue.Tag
	next    int
	history []string
}

var foldedQueues = []string{"plain", "letters", "short", "fleeting", "quorum", "other"}

func (m *foldModel) declare() {
	m.c = m.client()
	m.c.channel(2)
	m.tags = map[*broker.Channel][]queue.Tag{}
	m.c.exchange(broker.ExchangeDeclaration{
		Name: "delays", Type: "x-delayed-message", Durable: true, Arguments: amqp.Table{"x-delayed-type": "fanout"},
	})
	m.c.historyExchange("remembers", amqp.Table{"x-recent-history-length": int32(3)})
	for name, args := range map[string]amqp.Table{
		"plain": {}, "letters": {}, "other": {},
		"short":    {"x-max-length": int32(4), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "letters"},
		"fleeting": {"x-message-ttl": int32(20), "x-dead-letter-exchange": "delays"},
		"quorum":   {"x-queue-type": "quorum", "x-delivery-limit": int32(1), "x-dead-letter-exchange": "remembers"},
	} {
		m.c.queue(broker.QueueDeclaration{Name: name, Durable: true, Arguments: args})
	}
	m.c.queue(broker.QueueDeclaration{Name: "passing"})
	for _, exchange := range []string{"delays", "remembers"} {
		m.c.bind(exchange, "letters", "")
		m.c.bind(exchange, "passing", "")
	}
}

func (m *foldModel) channel() *broker.Channel {
	if m.IntN(2) == 0 {
		return m.c.ch
	}
	return m.c.others[0]
}

func (m *foldModel) queue() string { return foldedQueues[m.IntN(len(foldedQueues))] }

func (m *foldModel) publish() {
	for range 1 + m.IntN(10) {
		m.next++
		p, body := persistent, fmt.Sprintf("lasting %d", m.next)
		if m.IntN(3) == 0 {
			p, body = amqp.Properties{}, fmt.Sprintf("transient %d", m.next)
		}
		exchange, key := "", m.queue()
		switch m.IntN(6) {
		case 0:
			exchange = "remembers"
		case 1:
			exchange = "delays"
			p.Headers = amqp.Table{"x-delay": int32(m.IntN(100))}
		}
		m.c.stage(m.c.ch, exchange, key, p, body)
	}
	m.c.flush()
}

func (m *foldModel) get() {
	name, ch, noAck := m.queue(), m.channel(), m.IntN(4) == 0
	for range m.IntN(8) {
		if found, err := m.c.Take(name, ch, noAck); err != nil {
			m.Fatal(err)
		} else if !found {
			break
		}
	}
	m.noteDeliveries()
}

// consume has a consumer for a while, who takes what comes.
func (m *foldModel) consume() {
	ch := m.channel()
	m.c.consume(m.queue(), queue.Consumer{Tag: fmt.Sprint("c", m.next, m.IntN(1<<30)), Channel: ch.Channel, Limit: 1 + m.IntN(5), NoAck: m.IntN(4) == 0})
}

func (m *foldModel) noteDeliveries() {
	for _, d := range m.c.sink.take() {
		m.c.Sent(1, int64(d.Size))
		for _, ch := range []*broker.Channel{m.c.ch, m.c.others[0]} {
			if ch.Channel == d.Channel && (d.Consumer == nil || !d.Consumer.NoAck) {
				m.tags[ch] = append(m.tags[ch], d.Tag)
			}
		}
	}
}

// settle ends some deliveries. Those that needed no settling are unknown, which does not matter here.
func (m *foldModel) settle() {
	m.noteDeliveries()
	ch := m.channel()
	for range m.IntN(10) {
		if len(m.tags[ch]) == 0 {
			break
		}
		i := m.IntN(len(m.tags[ch]))
		outcome := []queue.Outcome{queue.Acked, queue.Acked, queue.Rejected, queue.Returned, queue.Failed}[m.IntN(5)]
		ch.Settle(amqp.BasicAckID, m.tags[ch][i], false, outcome)
		m.tags[ch] = slices.Delete(m.tags[ch], i, i+1)
		_ = m.c.Flush()
	}
}

func (m *foldModel) reconnect() {
	m.c.close()
	m.declare()
}

func (m *foldModel) purge() {
	if _, err := m.c.Purge(m.queue()); err != nil {
		m.Fatal(err)
	}
}

func (m *foldModel) redeclare() {
	if m.IntN(2) == 0 {
		if err := m.c.DeleteExchange("delays", false); err != nil {
			m.Fatal(err)
		}
	}
	if _, err := m.c.DeleteQueue(m.queue(), false, false); err != nil {
		m.Fatal(err)
	}
	m.reconnect()
}

func (m *foldModel) end() {
	switch m.IntN(4) {
	case 0:
		m.restart()
	case 1:
		m.crash()
	case 2:
		m.crash(loseIndex)
	case 3: // with what the journal has not written yet
		copied := m.copyData()
		m.stop()
		m.cfg.Data = copied
		m.start()
	}
	m.check("after a restart")
	m.declare()
}

// check compares the log with the broker, when that has nothing left to do by itself.
func (m *foldModel) check(when string) {
	m.Helper()
	why := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		m.broker.FlushJournal()
		if why = m.folded().differs(); why == "" || m.Failed() {
			return
		}
	}
	m.Fatalf("%s, in %s: %s\n%s", when, filepath.Base(m.cfg.Data), why, strings.Join(m.history, " "))
}

// Who folds the log by the rules of docs/format.md knows what is in the queues, whatever happened to them.
func TestLogAloneTellsWhatIsInTheQueues(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &foldModel{fixture: openKeeping(t), Rand: rand.New(rand.NewPCG(seed, 2))}
			m.declare()
			steps := []struct {
				name   string
				weight int
				do     func()
			}{
				{"publish", 10, m.publish},
				{"get", 6, m.get},
				{"consume", 3, m.consume},
				{"settle", 8, m.settle},
				{"purge", 1, m.purge},
				{"reconnect", 2, m.reconnect},
				{"redeclare", 1, m.redeclare},
				{"checkpoint", 1, m.checkpoint},
				{"check", 2, func() { m.check("meanwhile") }},
				{"end", 1, m.end},
			}
			all := 0
			for _, s := range steps {
				all += s.weight
			}
			for range 250 {
				at := m.IntN(all)
				for _, s := range steps {
					if at -= s.weight; at < 0 {
						m.history = append(m.history, s.name)
						s.do()
						break
					}
				}
			}
			m.end()
		})
	}
}
