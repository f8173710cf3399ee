package main_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ORD-01, ORD-03, QQ-06, ACK-04, ACK-07: order per publisher's channel, exchange and
// queue, with consumers that acknowledge, give back, close their channels and
// lose their connections. A model of each queue says what may come.
func TestOrderHoldsThroughRequeuesAndLostConsumers(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			playOrder(t, b, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

const (
	orderChannels = 3   // of publishers, on two connections
	orderMessages = 200 // a channel
)

// orderExchanges are those that every publisher uses in turn.
var orderExchanges = []string{"fanout", "direct", "topic"}

// orderQueues are the queues, each bound to several exchanges, so that
// streams mix in it, and how many consume from it.
var orderQueues = []struct {
	word      string
	exchanges []string
	consumers int
}{
	{"all", orderExchanges, 1},
	{"some", []string{"direct", "topic"}, 1},
	{"shared", []string{"fanout", "topic"}, 3},
}

func playOrder(t *testing.T, b *Broker, random *rand.Rand) {
	c, second := b.connect(t), b.connect(t)
	exchanges := map[string]string{}
	for _, kind := range orderExchanges {
		exchanges[kind] = c.exchange(kind, kind, exchangeSpec{})
	}
	var models []*orderModel
	var everybody sync.WaitGroup
	for _, q := range orderQueues {
		m := newOrderModel(c.queue(q.word, queueSpec{}), q.consumers == 1)
		models = append(models, m)
		for _, kind := range q.exchanges {
			c.bind(m.queue, "key", exchanges[kind], nil)
		}
	}
	for number := range orderChannels {
		publisher := []*client{c, second}[number%2].newChannel()
		publisher.confirmMode()
		var last *amqp.DeferredConfirmation
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		messages := make([]orderID, orderMessages)
		for i := range messages {
			messages[i] = orderID{number, orderExchanges[own.IntN(len(orderExchanges))], i}
			for j, q := range orderQueues {
				if slices.Contains(q.exchanges, messages[i].exchange) {
					models[j].mu.expected[messages[i]] = true
				}
			}
		}
		everybody.Go(func() {
			for _, id := range messages {
				message := amqp.Publishing{DeliveryMode: uint8(1 + own.IntN(2)), Body: []byte(id.String())}
				var err error
				if last, err = publisher.PublishWithDeferredConfirm(exchanges[id.exchange], "key", false, false, message); err != nil {
					t.Errorf("publish: %v", err)
					return
				}
			}
			<-last.Done()
		})
	}
	for i, m := range models {
		for range orderQueues[i].consumers {
			own := rand.New(rand.NewPCG(random.Uint64(), 1))
			everybody.Go(func() {
				if err := m.consume(b, own); err != nil {
					t.Errorf("%s: %v", m.queue, err)
				}
			})
		}
	}
	everybody.Wait()
	for _, m := range models {
		m.finish(c)
	}
}

// orderID names a message: channel, exchange, and its number on the channel.
type orderID struct {
	channel  int
	exchange string
	number   int
}

func (id orderID) String() string { return fmt.Sprint(id.channel, " ", id.exchange, " ", id.number) }

// orderModel is what may come out of one queue.
type orderModel struct {
	queue string
	sole  bool // there is one consumer, so all that comes is in one order
	done  chan struct{}

	mu struct {
		sync.Mutex
		expected map[orderID]bool // not acknowledged yet
		seen     map[orderID]bool
		place    map[orderID]int // in the queue, as its first delivery showed
		newest   orderStreams
		returned map[orderID]*orderBatch // what was given back and has not come again
		faults   []string
	}
}

// orderStreams is the number that was last handed out of each stream, which
// is a publisher's channel and an exchange.
type orderStreams map[orderID]int // number is 0 in its keys

// orderBatch is what was given back in one go: it comes again in its order.
type orderBatch struct{ newest int }

func newOrderModel(queue string, sole bool) *orderModel {
	m := &orderModel{queue: queue, sole: sole, done: make(chan struct{})}
	m.mu.expected, m.mu.seen, m.mu.place = map[orderID]bool{}, map[orderID]bool{}, map[orderID]int{}
	m.mu.newest, m.mu.returned = orderStreams{}, map[orderID]*orderBatch{}
	return m
}

// deliver checks a delivery against what came before: on the channel, and,
// with one consumer, in all.
func (m *orderModel) deliver(id orderID, redelivered bool, channel orderStreams) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault := func(format string, args ...any) {
		m.mu.faults = append(m.mu.faults, fmt.Sprintf("%v ", id)+fmt.Sprintf(format, args...))
	}
	if m.mu.seen[id] && !redelivered {
		fault("came again without a mark")
	}
	if !redelivered {
		stream := orderID{id.channel, id.exchange, 0}
		newest := channel
		if m.sole {
			newest = m.mu.newest
		}
		if last, ok := newest[stream]; ok && id.number < last {
			fault("came first after %d", last)
		}
		newest[stream] = id.number
		m.mu.place[id] = len(m.mu.place)
	}
	m.mu.seen[id] = true
	if batch := m.mu.returned[id]; batch != nil && m.sole {
		if m.mu.place[id] < batch.newest {
			fault("came back behind one that stands behind it")
		}
		batch.newest = m.mu.place[id]
		delete(m.mu.returned, id)
	}
}

// giveBack notes what is requeued in one go.
func (m *orderModel) giveBack(held []heldOrder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	batch := &orderBatch{newest: -1}
	for _, h := range held {
		if _, known := m.mu.place[h.id]; known { // it came again only, if it was on its way to a channel that ended
			m.mu.returned[h.id] = batch
		}
	}
}

func (m *orderModel) ack(held []heldOrder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range held {
		delete(m.mu.expected, h.id)
	}
	if len(m.mu.expected) == 0 {
		select {
		case <-m.done:
		default:
			close(m.done)
		}
	}
}

// finish reports what went wrong. What is still in the queue was settled on a
// connection that was lost before the broker knew.
func (m *orderModel) finish(c *client) {
	c.t.Helper()
	for {
		message, ok, err := c.Get(m.queue, true)
		c.must(err)
		if !ok {
			break
		}
		id, err := parseOrderID(message.Body)
		c.must(err)
		m.deliver(id, message.Redelivered, orderStreams{})
	}
	for _, fault := range m.mu.faults[:min(len(m.mu.faults), 10)] {
		c.t.Errorf("%s: %s", m.queue, fault)
	}
	if len(m.mu.expected) > 0 {
		c.t.Errorf("%s: %d messages never came", m.queue, len(m.mu.expected))
	}
}

// consume takes messages on one channel after another, each of which ends
// with deliveries unsettled; and some with their connection, which is closed
// or lost.
func (m *orderModel) consume(b *Broker, random *rand.Rand) error {
	deadline := time.Now().Add(patience)
	for lives := 0; ; lives++ {
		conn, err := amqp.Dial(b.URL)
		if err != nil {
			return err
		}
		for range 1 + random.IntN(3) {
			life := orderLife{model: m, random: random, steady: lives > 10, streams: orderStreams{}}
			if finished, err := life.run(conn, deadline); err != nil || finished {
				_ = conn.Close()
				return err
			}
		}
		if random.IntN(2) == 0 {
			_ = conn.Close()
		} else {
			_ = conn.CloseDeadline(time.Now()) // without a word
		}
	}
}

// orderLife is a consumer on one channel.
type orderLife struct {
	model   *orderModel
	random  *rand.Rand
	steady  bool // it acknowledges everything, and does not end
	streams orderStreams
	ch      *amqp.Channel
	held    []heldOrder
}

type heldOrder struct {
	tag uint64
	id  orderID
}

func (l *orderLife) run(conn *amqp.Connection, deadline time.Time) (finished bool, err error) {
	if l.ch, err = conn.Channel(); err != nil {
		return false, err
	}
	prefetch := 1 + l.random.IntN(20)
	if err := l.ch.Qos(prefetch, 0, false); err != nil {
		return false, err
	}
	deliveries, err := l.ch.Consume(l.model.queue, "", false, false, false, false, nil)
	if err != nil {
		return false, err
	}
	for n := 20 + l.random.IntN(80); n > 0 || l.steady; n-- {
		select {
		case delivery, ok := <-deliveries:
			if !ok {
				return false, errConnectionLost
			}
			if err := l.take(delivery, prefetch); err != nil {
				return false, err
			}
		case <-l.model.done:
			return true, l.ch.Close()
		case <-time.After(50 * time.Millisecond): // what else there is, is held here or elsewhere
			if err := l.settleAll(true); err != nil {
				return false, err
			}
			if time.Now().After(deadline) {
				return true, nil // finish tells what is missing
			}
		}
	}
	l.model.giveBack(l.held)
	if l.random.IntN(3) == 0 {
		return false, nil // the connection's end is the channel's
	}
	return false, l.ch.Close()
}

// take settles the delivery, or another, or all, or none.
func (l *orderLife) take(delivery amqp.Delivery, prefetch int) error {
	id, err := parseOrderID(delivery.Body)
	if err != nil {
		return err
	}
	l.model.deliver(id, delivery.Redelivered, l.streams)
	l.held = append(l.held, heldOrder{delivery.DeliveryTag, id})
	switch action := l.random.IntN(100); {
	case l.steady, action < 10:
		return l.settleAll(true)
	case action < 50:
		return l.settle(len(l.held)-1, true)
	case action < 60:
		return l.settle(l.random.IntN(len(l.held)), false)
	case action < 65:
		return l.settleAll(false)
	case len(l.held) == prefetch:
		return l.settle(0, true)
	}
	return nil
}

// settle acknowledges one of those held, or gives it back.
func (l *orderLife) settle(i int, ack bool) error {
	one := l.held[i : i+1 : i+1]
	defer func() { l.held = slices.Delete(l.held, i, i+1) }()
	if ack {
		l.model.ack(one)
		return l.ch.Ack(one[0].tag, false)
	}
	l.model.giveBack(one)
	return l.ch.Nack(one[0].tag, false, true)
}

func (l *orderLife) settleAll(ack bool) error {
	if len(l.held) == 0 {
		return nil
	}
	all, newest := l.held, l.held[len(l.held)-1].tag
	l.held = nil
	if ack {
		l.model.ack(all)
		return l.ch.Ack(newest, true)
	}
	l.model.giveBack(all)
	return l.ch.Nack(newest, true, true)
}

func parseOrderID(body []byte) (id orderID, err error) {
	_, err = fmt.Sscan(string(body), &id.channel, &id.exchange, &id.number)
	return id, err
}
