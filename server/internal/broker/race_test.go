package broker_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10, CheckpointEvery: 5 * time.Millisecond})
	const publishers, consumers, messages = 3, 3, 400
	setup := f.client()
	q := setup.durable("q")
	publishing := make([]*client, publishers)
	for i := range publishing {
		publishing[i] = f.client()
	}
	consuming := make([]*client, consumers)
	for i := range consuming {
		consuming[i] = f.client()
		consuming[i].consume(q, queue.Consumer{Tag: "c", Limit: 20})
	}
	noise := f.client()

	var group sync.WaitGroup
	for number, c := range publishing {
		group.Go(func() {
			selectConfirms(t, c.ch)
			for i := range messages {
				if _, err := c.ch.Publish(publication("", q, persistent, fmt.Sprintf("%d.%d", number, i))); err != nil {
					t.Error(err)
				}
				if i%7 == 0 {
					if err := c.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Go(func() { // topology changes, all the while
		for i := range 30 {
			name := fmt.Sprintf("noise%d", i%3)
			if _, err := noise.DeclareQueue(broker.QueueDeclaration{Name: name, AutoDelete: true}); err != nil {
				t.Error(err)
			}
			if err := noise.BindQueue("amq.fanout", name, "", nil); err != nil {
				t.Error(err)
			}
			if _, err := noise.ch.Publish(publication("amq.fanout", "", persistent, "noise")); err != nil {
				t.Error(err)
			}
			if err := noise.Flush(); err != nil {
				t.Error(err)
			}
			if _, err := noise.DeleteQueue(name, false, false); err != nil {
				t.Error(err)
			}
		}
	})

	var seen struct {
		sync.Mutex
		bodies map[string]bool
	}
	seen.bodies = map[string]bool{}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, c := range consuming {
		readers.Go(func() {
			last := make([]int, publishers)
			for n := 0; ; n++ {
				c.sink.mu.Lock()
				changed, some := c.sink.mu.changed, len(c.sink.mu.deliveries) > 0
				c.sink.mu.Unlock()
				if !some {
					select {
					case <-changed:
					case <-stop:
						return
					}
				}
				for _, d := range c.sink.take() {
					body := c.body(d.LSN)
					c.Sent(1, int64(d.Size))
					publisher, number, _ := strings.Cut(body, ".")
					from, _ := strconv.Atoi(publisher)
					at, _ := strconv.Atoi(number)
					if !d.Redelivered && at < last[from] {
						t.Errorf("message %s after number %d of that publisher", body, last[from])
					}
					outcome, method := queue.Acked, amqp.BasicAckID
					if d.Tag%13 == 5 && !d.Redelivered {
						outcome, method = queue.Returned, amqp.BasicNackID
					} else {
						seen.Lock()
						if seen.bodies[body] {
							t.Errorf("message %s was settled twice", body)
						}
						seen.bodies[body] = true
						seen.Unlock()
					}
					if !d.Redelivered {
						last[from] = at
					}
					c.ch.Settle(method, d.Tag, false, outcome)
				}
				if err := c.Flush(); err != nil {
					t.Error(err)
				}
				c.view.Release()
			}
		})
	}
	group.Wait()
	for _, c := range publishing {
		c.sink.await(t, "confirms", func() bool { return c.sink.confirmedLocked(1) == messages })
	}
	deadline := time.After(patience)
	for done := false; !done; {
		seen.Lock()
		done = len(seen.bodies) == publishers*messages
		seen.Unlock()
		select {
		case <-deadline:
			t.Errorf("%d of %d messages were settled", len(seen.bodies), publishers*messages)
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	close(stop)
	readers.Wait()
	want(t, "ready", setup.ready(q), 0)
	f.crash()
	want(t, "ready after a crash", f.client().ready(q), 0)
}

func TestClientsComeAndGoWhileOthersWork(t *testing.T) {
	t.Parallel()
	f := open(t)
	setup := f.client()
	q := setup.durable("q")
	setup.sendConfirmed(q, "a", "b", "c", "d", "e", "f")
	var group sync.WaitGroup
	for range 4 {
		user := f.user("guest", "guest")
		group.Go(func() {
			for range 25 {
				c := &client{f: f, sink: newSink(f.broker), view: f.broker.NewView()}
				var err error
				if c.Client, err = f.broker.Connect(user, "/", c.sink); err != nil {
					t.Error(err)
					return
				}
				if c.ch, err = c.OpenChannel(1); err != nil {
					t.Error(err)
					return
				}
				exclusive, err := c.DeclareQueue(broker.QueueDeclaration{Exclusive: true})
				if err != nil {
					t.Error(err)
				}
				consumer := &queue.Consumer{Tag: "c", Channel: c.ch.Channel, Limit: 2}
				if err := c.Consume(q, consumer, func() {}); err != nil {
					t.Error(err)
				}
				if _, err := c.ch.Publish(publication("", exclusive.Name, persistent, "m")); err != nil {
					t.Error(err)
				}
				if err := c.Flush(); err != nil {
					t.Error(err)
				}
				c.ch.Close()
				c.Client.Close()
			}
		})
	}
	group.Wait()
	want(t, "ready", setup.ready(q), 6)
	want(t, "messages", strings.ReplaceAll(setup.drain(q), "+", ""), "a b c d e f")
}
