package load

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/client"
)

// fakeBroker is a broker with one queue that does to its messages what mischief says. It keeps what comes until a
// consumer is there, and never more than one consumer.
type fakeBroker struct {
	// mischief turns messages that came into those that are delivered; nil leaves them as they are.
	mischief func(messages []fakeMessage) []fakeMessage
	after    int  // messages to wait for before any is delivered
	refuse   bool // every tenth publish

	mu       sync.Mutex
	messages []fakeMessage
	consumer *fakeConnection
}

// fakeMessage is the HEADER payload and the body.
type fakeMessage struct{ header, body []byte }

type fakeConnection struct {
	broker   *fakeBroker
	net      net.Conn
	message  fakeMessage
	missing  uint64
	confirms uint64 // given; 0 with confirming false
	confirm  bool
	tag      uint64
}

func (b *fakeBroker) start(t *testing.T) client.Address {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				c := &fakeConnection{broker: b, net: conn}
				_ = c.serve() // the generator tells what went wrong
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	a, err := client.ParseURL("amqp://"+listener.Addr().String(), client.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c *fakeConnection) serve() error {
	if _, err := c.net.Read(make([]byte, len(amqp.ProtocolHeader))); err != nil {
		return err
	}
	if err := c.send(0, &amqp.ConnectionStart{VersionMinor: 9, Mechanisms: "PLAIN", Locales: "en_US"}); err != nil {
		return err
	}
	reader := client.NewConn(c.net, client.MaxFrame, readSize)
	for {
		f, ok, err := reader.Next()
		if err != nil {
			return err
		}
		if !ok {
			if err := reader.Fill(); err != nil {
				return err
			}
			continue
		}
		if err := c.frame(f); err != nil {
			return err
		}
	}
}

func (c *fakeConnection) send(channel uint16, m amqp.Method) error {
	_, err := c.net.Write(amqp.AppendMethod(nil, channel, m))
	return err
}

func (c *fakeConnection) frame(f amqp.Frame) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	switch f.Type {
	case amqp.FrameHeader:
		header, err := amqp.ParseHeader(f.Payload)
		if err != nil {
			return err
		}
		c.message, c.missing = fakeMessage{header: slices.Clone(f.Payload)}, header.BodySize
		return c.publishedLocked()
	case amqp.FrameBody:
		c.message.body = append(c.message.body, f.Payload...)
		c.missing -= uint64(len(f.Payload))
		return c.publishedLocked()
	}
	m, err := amqp.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	return c.methodLocked(f.Channel, m)
}

func (c *fakeConnection) methodLocked(channel uint16, m amqp.Method) error {
	switch m := m.(type) {
	case *amqp.ConnectionStartOk:
		return c.send(0, &amqp.ConnectionTune{ChannelMax: 2047, FrameMax: client.MaxFrame})
	case *amqp.ConnectionOpen:
		return c.send(0, &amqp.ConnectionOpenOk{})
	case *amqp.ConnectionClose:
		return c.send(0, &amqp.ConnectionCloseOk{})
	case *amqp.ChannelOpen:
		return c.send(channel, &amqp.ChannelOpenOk{})
	case *amqp.ChannelClose:
		return c.send(channel, &amqp.ChannelCloseOk{})
	case *amqp.QueueDelete:
		return c.send(channel, &amqp.QueueDeleteOk{})
	case *amqp.QueueDeclare:
		return c.send(channel, &amqp.QueueDeclareOk{Queue: m.Queue, MessageCount: uint32(len(c.broker.messages))})
	case *amqp.ConfirmSelect:
		c.confirm = true
		return c.send(channel, &amqp.ConfirmSelectOk{})
	case *amqp.BasicQos:
		return c.send(channel, &amqp.BasicQosOk{})
	case *amqp.BasicCancel:
		return c.send(channel, &amqp.BasicCancelOk{ConsumerTag: m.ConsumerTag})
	case *amqp.BasicConsume:
		if err := c.send(channel, &amqp.BasicConsumeOk{ConsumerTag: m.ConsumerTag}); err != nil {
			return err
		}
		c.broker.consumer = c
		return c.broker.deliverLocked()
	case *amqp.ConnectionTuneOk, *amqp.BasicPublish, *amqp.BasicAck:
		return nil
	}
	return errors.New("a method that nobody foresaw")
}

func (c *fakeConnection) publishedLocked() error {
	if c.missing > 0 {
		return nil
	}
	c.confirms++
	refused := c.broker.refuse && c.confirms%10 == 0
	if !refused {
		c.broker.messages = append(c.broker.messages, c.message)
	}
	if c.confirm {
		var answer amqp.Method = &amqp.BasicAck{DeliveryTag: c.confirms}
		if refused {
			answer = &amqp.BasicNack{DeliveryTag: c.confirms}
		}
		if err := c.send(client.FirstChannel, answer); err != nil {
			return err
		}
	}
	return c.broker.deliverLocked()
}

// deliverLocked delivers what is there, once there is enough for mischief.
func (b *fakeBroker) deliverLocked() error {
	if b.consumer == nil || len(b.messages) < b.after {
		return nil
	}
	messages := b.messages
	b.messages, b.after = nil, 0
	if b.mischief != nil {
		messages, b.mischief = b.mischief(messages), nil
	}
	for _, m := range messages {
		b.consumer.tag++
		var out []byte
		start := len(out)
		out = amqp.BeginFrame(out, amqp.FrameMethod, client.FirstChannel)
		out = amqp.AppendDeliver(out, consumerTag, b.consumer.tag, false, nil)
		out = amqp.EndFrame(out, start)
		out = amqp.AppendContent(out, client.FirstChannel, m.header, m.body, amqp.MinFrameMax)
		if _, err := b.consumer.net.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// TestFaultsOfABrokerAreFound runs whole measurements against brokers that do what they must not.
func TestFaultsOfABrokerAreFound(t *testing.T) {
	const messages = 100
	tests := []struct {
		name   string
		broker *fakeBroker
		change func(*Workload)
		want   Faults
		stalls bool // the run waits in vain
	}{
		{name: "sound", broker: &fakeBroker{}},
		{
			name: "loses two", stalls: true, want: Faults{Lost: 2},
			broker: &fakeBroker{mischief: func(m []fakeMessage) []fakeMessage { return slices.Delete(m, 3, 5) }},
		},
		{
			name: "duplicates one", want: Faults{Duplicated: 1},
			broker: &fakeBroker{mischief: func(m []fakeMessage) []fakeMessage { return slices.Insert(m, 7, m[5]) }},
		},
		{
			name: "swaps two", want: Faults{Reordered: 1},
			broker: &fakeBroker{mischief: func(m []fakeMessage) []fakeMessage {
				m[8], m[9] = m[9], m[8]
				return m
			}},
		},
		{
			name: "makes one up", want: Faults{Foreign: 1},
			broker: &fakeBroker{mischief: func(m []fakeMessage) []fakeMessage {
				body := slices.Clone(m[0].body)
				stamp{producer: 7}.put(body)
				return append(m, fakeMessage{m[0].header, body})
			}},
		},
		{name: "refuses every tenth", broker: &fakeBroker{refuse: true}, want: Faults{Refused: messages / 10}},
		{
			name: "small bodies lost", stalls: true, want: Faults{Lost: 1}, change: func(w *Workload) { w.Size = Bytes(3) },
			broker: &fakeBroker{mischief: func(m []fakeMessage) []fakeMessage { return m[1:] }},
		},
		{
			name: "drops what it may", stalls: true, change: func(w *Workload) { w.Arguments = amqp.Table{"x-max-length": int64(9)} },
			broker: &fakeBroker{mischief: func(m []fakeMessage) []fakeMessage { return m[1:] }},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := Base()
			w.Messages, w.Window, w.AckEvery = messages, 1000, 7
			if test.change != nil {
				test.change(&w)
			}
			if test.broker.mischief != nil {
				test.broker.after = messages
			}
			m := Measurement{Workload: w, Address: test.broker.start(t), Patience: 2 * time.Second}
			if !test.stalls {
				m.Patience = DefaultPatience
			}
			results, err := m.Run(t.Context())
			if stalled := err != nil && strings.Contains(err.Error(), "nothing has moved"); stalled != test.stalls || err != nil && !stalled {
				t.Fatalf("error %v", err)
			}
			if len(results) != 1 || results[0].Faults != test.want || results[0].Failed() != test.want.Any() {
				t.Errorf("results %+v", results)
			}
		})
	}
}
