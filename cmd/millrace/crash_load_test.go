package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	publishers    = 4
	markers       = publishers // sends the messages that end a drain
	crashExchange = "crash"
)

// crashQueue is a queue of the crash test and what it takes.
type crashQueue struct {
	name    string
	pattern string // of its binding; keys are p.<publisher>
	ordered bool   // one consumer at a time, so that order can be told
	takes   func(publisher int) bool
}

var crashQueues = []crashQueue{
	{"crash.all", "p.#", true, func(int) bool { return true }},
	{"crash.one", "p.1", true, func(p int) bool { return p == 1 || p == markers }},
	{"crash.two", "p.2", true, func(p int) bool { return p == 2 || p == markers }},
	{"crash.shared", "#", false, func(int) bool { return true }},
}

func routingKey(publisher int) string {
	if publisher == markers {
		return "p.marker"
	}
	return fmt.Sprint("p.", publisher)
}

// declareCrashQueues makes the topology, which survives all that follows.
func declareCrashQueues(url string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.ExchangeDeclare(crashExchange, "topic", true, false, false, false, nil); err != nil {
		return err
	}
	for _, queue := range crashQueues {
		if _, err := ch.QueueDeclare(queue.name, true, false, false, false, nil); err != nil {
			return err
		}
		for _, pattern := range []string{queue.pattern, routingKey(markers)} {
			if err := ch.QueueBind(queue.name, pattern, crashExchange, false, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// crashLoad is the traffic of one round: publishers with confirms and
// consumers with acks, until they are told to quit or their broker dies.
type crashLoad struct {
	url    string
	ledger *ledger
	target int // confirms, over all rounds, that make the round's traffic enough

	enough  chan struct{} // closed at the target
	quit    chan struct{} // closed when the clients are to end by themselves
	dying   atomic.Bool   // the broker may go away: lost connections are expected
	reached sync.Once
	clients sync.WaitGroup
}

// startLoad starts the clients of a round. They end after stop or after the
// death of the broker; join waits for them.
func startLoad(url string, ledger *ledger, confirms int, random *rand.Rand) *crashLoad {
	sums, _ := ledger.result()
	l := &crashLoad{
		url: url, ledger: ledger, target: sums.confirmed + confirms,
		enough: make(chan struct{}), quit: make(chan struct{}),
	}
	for publisher := range publishers {
		window := 1 + random.IntN(200)
		l.client(fmt.Sprint("publisher ", publisher), func() error { return l.publish(publisher, window) })
	}
	for _, queue := range crashQueues {
		consumers := 1
		if !queue.ordered {
			consumers = 2
		}
		for range consumers {
			own := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
			l.client("consumer of "+queue.name, func() error { return l.consume(queue.name, own) })
		}
	}
	return l
}

var errConnectionLost = errors.New("connection lost")

func (l *crashLoad) client(name string, run func() error) {
	l.clients.Go(func() {
		err := run()
		var reply *amqp.Error
		switch {
		case err == nil:
		case errors.As(err, &reply) && reply.Server && reply.Code != amqp.ConnectionForced:
			l.ledger.fault("%s was refused: %v", name, err)
		case !l.dying.Load():
			l.ledger.fault("%s ended: %v", name, err)
		}
	})
}

// stop lets the clients settle what they wait for and close.
func (l *crashLoad) stop() {
	close(l.quit)
	l.clients.Wait()
}

// publish sends persistent and transient messages with at most window of
// them unconfirmed.
func (l *crashLoad) publish(publisher, window int) error {
	conn, ch, err := dialChannel(l.url)
	if err != nil {
		return err
	}
	defer conn.Close()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	before := l.ledger.sentBy(publisher)
	room := make(chan struct{}, window)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for confirm := range confirms {
			id := messageID{publisher, before + int(confirm.DeliveryTag)}
			if !confirm.Ack {
				l.ledger.fault("%v was refused", id)
			} else if l.ledger.confirm(id) >= l.target {
				l.reached.Do(func() { close(l.enough) })
			}
			<-room
		}
	}()
	defer func() { // a confirm that has come counts, whatever ended the rest
		_ = conn.Close()
		<-ended
	}()
	for {
		select {
		case <-l.quit:
			for range window { // until every confirm has come
				select {
				case room <- struct{}{}:
				case <-ended:
					return lostBecause(closed)
				}
			}
			return conn.Close()
		case <-ended:
			return lostBecause(closed)
		case room <- struct{}{}:
		}
		if err := ch.Publish(crashExchange, routingKey(publisher), false, false, l.ledger.send(publisher).publishing()); err != nil {
			return err
		}
	}
}

func (m messageID) publishing() amqp.Publishing {
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: m.body()}
	if m.transient() {
		message.DeliveryMode = amqp.Transient
	}
	return message
}

func dialChannel(url string) (*amqp.Connection, *amqp.Channel, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, ch, nil
}

func lostBecause(closed <-chan *amqp.Error) error {
	if reason := <-closed; reason != nil {
		return reason
	}
	return errConnectionLost
}

// consume takes messages on one channel after another, each of which ends
// with deliveries unsettled.
func (l *crashLoad) consume(queue string, random *rand.Rand) error {
	conn, err := amqp.Dial(l.url)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		select {
		case <-l.quit:
			return conn.Close()
		default:
		}
		c := channelConsumer{load: l, queue: queue, random: random, prefetch: 1 + random.IntN(100)}
		if err := c.run(conn); err != nil {
			return err
		}
	}
}

// channelConsumer is a consumer for the life of a channel.
type channelConsumer struct {
	load     *crashLoad
	queue    string
	random   *rand.Rand
	prefetch int
	ch       *amqp.Channel
	held     []heldMessage // unsettled, oldest first
}

type heldMessage struct {
	tag uint64
	id  messageID
}

func (c *channelConsumer) run(conn *amqp.Connection) error {
	var err error
	if c.ch, err = conn.Channel(); err != nil {
		return err
	}
	closed := c.ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := c.ch.Qos(c.prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := c.ch.Consume(c.queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for range 50 + c.random.IntN(2000) {
		select {
		case <-c.load.quit:
			return c.ch.Close()
		case delivery, ok := <-deliveries:
			if !ok {
				return lostBecause(closed)
			}
			if err := c.take(delivery); err != nil {
				return err
			}
		}
	}
	return c.ch.Close()
}

// take settles the delivery, or it and others, or leaves it for later.
func (c *channelConsumer) take(delivery amqp.Delivery) error {
	id, err := parseBody(delivery.Body)
	if err != nil {
		c.load.ledger.fault("%s: %v", c.queue, err)
		return delivery.Ack(false)
	}
	c.load.ledger.deliver(c.queue, id, delivery.Redelivered)
	c.held = append(c.held, heldMessage{delivery.DeliveryTag, id})
	switch action := c.random.IntN(100); {
	case action < 50: // ack this one
		c.held = c.held[:len(c.held)-1]
		c.load.ledger.ack(c.queue, id)
		return delivery.Ack(false)
	case action < 55: // ack all there are
		return c.ackOldest(len(c.held))
	case action < 58: // give it back
		c.held = c.held[:len(c.held)-1]
		return delivery.Nack(false, true)
	case len(c.held) >= c.prefetch:
		return c.ackOldest((len(c.held) + 1) / 2)
	}
	return nil
}

func (c *channelConsumer) ackOldest(n int) error {
	tag := c.held[n-1].tag
	for _, message := range c.held[:n] {
		c.load.ledger.ack(c.queue, message.id)
	}
	c.held = c.held[n:]
	return c.ch.Ack(tag, true)
}

// drain takes everything from all queues. Nothing else runs meanwhile.
func drain(url string, ledger *ledger) error {
	conn, ch, err := dialChannel(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ch.Confirm(false); err != nil {
		return err
	}
	marker := ledger.send(markers)
	confirmation, err := ch.PublishWithDeferredConfirm(crashExchange, routingKey(markers), true, false, marker.publishing())
	if err != nil {
		return err
	}
	select {
	case <-confirmation.Done():
	case <-time.After(patience):
	}
	if !confirmation.Acked() {
		return errors.New("the end of the drain was not confirmed")
	}
	ledger.confirm(marker)
	for _, queue := range crashQueues {
		if err := drainQueue(conn, ledger, queue.name, marker); err != nil {
			return fmt.Errorf("drain of %s: %w", queue.name, err)
		}
		ledger.drained(queue.name)
	}
	return conn.Close()
}

// drainQueue takes and acks messages up to the marker, behind which there
// is nothing.
func drainQueue(conn *amqp.Connection, ledger *ledger, queue string, marker messageID) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(500, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	silence := time.NewTimer(patience)
	defer silence.Stop()
	for id, n := (messageID{}), 1; id != marker; n++ {
		silence.Reset(patience)
		select {
		case delivery, ok := <-deliveries:
			if !ok {
				return errConnectionLost
			}
			if id, err = parseBody(delivery.Body); err != nil {
				return err
			}
			ledger.deliver(queue, id, delivery.Redelivered)
			ledger.ack(queue, id)
			if n%100 == 0 || id == marker {
				if err := delivery.Ack(true); err != nil {
					return err
				}
			}
		case <-silence.C:
			return errors.New("no message in time, and the last one is still to come")
		}
	}
	state, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return err
	}
	if state.Messages != 0 {
		return fmt.Errorf("%d messages behind the last one", state.Messages)
	}
	return ch.Close()
}
