package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// peer is the broker's side of a connection, played by a test.
type peer struct {
	t    *testing.T
	conn *Conn
}

// listen serves one connection with play, and returns where.
func listen(t *testing.T, play func(*peer)) Address {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		play(&peer{t, NewConn(nc, MaxFrame, 0)})
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	a, err := ParseURL("amqp://"+listener.Addr().String(), TLS{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (p *peer) begin() {
	for range len(amqp.ProtocolHeader) {
		p.octet()
	}
	p.send(0, &amqp.ConnectionStart{VersionMinor: 9, Mechanisms: "PLAIN", Locales: "en_US", ServerProperties: amqp.Table{"product": "Fake", "version": "1.2"}})
	p.expect(amqp.ConnectionStartOkID)
}

func (p *peer) octet() {
	if p.conn.end == p.conn.start {
		_ = p.conn.Fill()
	}
	p.conn.start++
}

// logIn plays a broker up to the publisher's channel with confirms.
func (p *peer) logIn() {
	p.begin()
	p.send(0, &amqp.ConnectionTune{ChannelMax: 10, FrameMax: amqp.MinFrameMax})
	p.expect(amqp.ConnectionTuneOkID)
	p.expect(amqp.ConnectionOpenID)
	p.send(0, &amqp.ConnectionOpenOk{})
	p.expect(amqp.ChannelOpenID)
	p.send(FirstChannel, &amqp.ChannelOpenOk{})
}

func (p *peer) confirmSelect() {
	p.logIn()
	p.expect(amqp.ConfirmSelectID)
	p.send(FirstChannel, &amqp.ConfirmSelectOk{})
}

func (p *peer) send(channel uint16, m amqp.Method) { _ = p.conn.Send(channel, m) } // the other side may be gone

func (p *peer) expect(id amqp.MethodID) amqp.Method {
	m, err := p.conn.Await(id, func(f amqp.Frame) error { return nil })
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		p.t.Logf("peer waits for %v: %v", id, err)
	}
	return m
}

func (p *peer) goodbye() {
	p.expect(amqp.ConnectionCloseID)
	p.send(0, &amqp.ConnectionCloseOk{})
}

func TestDialTellsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		play func(*peer)
		want string
	}{
		"no AMQP":            {func(p *peer) {}, "nobody speaks AMQP 0-9-1 there"},
		"refused in silence": {func(p *peer) { p.begin() }, "access was refused to user guest"},
		"refused": {
			func(p *peer) {
				p.begin()
				p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.AccessRefused, ReplyText: "ACCESS_REFUSED - Login was refused"})
			},
			"connection closed by the broker: 403 ACCESS_REFUSED - Login was refused",
		},
		"no such virtual host": {
			func(p *peer) {
				p.begin()
				p.send(0, &amqp.ConnectionTune{ChannelMax: 10})
				p.expect(amqp.ConnectionOpenID)
				p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.NotAllowed, ReplyText: "NOT_ALLOWED - vhost / not found"})
			},
			"530 NOT_ALLOWED - vhost / not found",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(t.Context(), listen(t, test.play), Config{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	t.Run("no TLS there", func(t *testing.T) {
		a := listen(t, func(p *peer) { p.octet(); _ = p.conn.Write([]byte("AMQP\x00\x00\x09\x01")) })
		a.TLS = &tls.Config{ServerName: "localhost"}
		if _, err := Dial(t.Context(), a, Config{}); err == nil || !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("%v", err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		if _, err := Dial(t.Context(), Address{Host: "127.0.0.1:1"}, Config{}); err == nil || !strings.Contains(err.Error(), "connect to 127.0.0.1:1") {
			t.Errorf("%v", err)
		}
	})
}

func TestIdentityIsTheBrokersProduct(t *testing.T) {
	a := listen(t, func(p *peer) { p.logIn(); p.goodbye() })
	if name, err := Identify(t.Context(), a, Config{Product: "test"}); err != nil || name != "Fake 1.2" {
		t.Errorf("%q, %v", name, err)
	}
}

// publisher connects a publisher with a broker that is played.
func publisher(t *testing.T, config PublisherConfig, play func(*peer)) *Publisher {
	t.Helper()
	conn, err := Dial(t.Context(), listen(t, func(p *peer) { p.confirmSelect(); play(p) }), Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPublisher(conn, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.HangUp)
	return p
}

func message(body string) Publishing {
	return Publishing{Keys: amqp.MakeKeys("", "q"), Header: amqp.AppendHeader(nil, uint64(len(body)), &amqp.Properties{}), Body: []byte(body), Mandatory: true}
}

func publish(t *testing.T, p *Publisher, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := p.Publish(t.Context(), message(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMessagesArriveOctetForOctet(t *testing.T) {
	want := message(strings.Repeat("x", 10_000))
	var header, body []byte
	p := publisher(t, PublisherConfig{}, func(p *peer) {
		_, _ = p.conn.Await(amqp.ConnectionCloseID, func(f amqp.Frame) error {
			switch f.Type {
			case amqp.FrameHeader:
				header = bytes.Clone(f.Payload)
			case amqp.FrameBody:
				body = append(body, f.Payload...)
			}
			if len(body) == len(want.Body) {
				p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 1})
			}
			return nil
		})
		p.send(0, &amqp.ConnectionCloseOk{})
	})
	if tag, err := p.Publish(t.Context(), want); tag != 1 || err != nil {
		t.Fatal(tag, err)
	}
	if err := p.Wait(t.Context()); err != nil || p.Confirmed() != 1 {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(header, want.Header) || !bytes.Equal(body, want.Body) {
		t.Errorf("%d octets of header, %d of body", len(header), len(body))
	}
}

func TestNoMoreWaitThanTheWindowHas(t *testing.T) {
	release := make(chan struct{})
	p := publisher(t, PublisherConfig{Window: 2}, func(p *peer) {
		p.expect(amqp.BasicPublishID)
		p.expect(amqp.BasicPublishID)
		<-release
		p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 2, Multiple: true})
		p.expect(amqp.BasicPublishID)
		p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 3})
		p.goodbye()
	})
	publish(t, p, "one", "two")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Publish(ctx, message("three")); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v: the window is full", err)
	}
	close(release)
	publish(t, p, "three")
	if err := p.Wait(t.Context()); err != nil || p.Confirmed() != 3 {
		t.Fatalf("%v, %d confirmed", err, p.Confirmed())
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReturnsAreToldBeforeTheirConfirm(t *testing.T) {
	var returned []string
	p := publisher(t, PublisherConfig{Returned: func(keys amqp.Keys, code amqp.ReplyCode, text string) {
		returned = append(returned, string(keys.RoutingKey())+" "+text)
	}}, func(p *peer) {
		p.expect(amqp.BasicPublishID)
		m := message("one")
		back := amqp.AppendMethod(nil, FirstChannel, &amqp.BasicReturn{ReplyCode: amqp.NoRoute, ReplyText: "NO_ROUTE", Keys: m.Keys})
		_ = p.conn.Write(amqp.AppendContent(back, FirstChannel, m.Header, m.Body, amqp.MinFrameMax))
		p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 1})
		p.expect(amqp.ConnectionCloseID)
	})
	publish(t, p, "one")
	if err := p.Wait(t.Context()); err != nil || len(returned) != 1 || returned[0] != "q NO_ROUTE" {
		t.Errorf("%v, returned %q", err, returned)
	}
}

func TestARefusedPublishIsNotPassedOver(t *testing.T) {
	p := publisher(t, PublisherConfig{}, func(p *peer) {
		for range 3 {
			p.expect(amqp.BasicPublishID)
		}
		p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 3})
		p.send(FirstChannel, &amqp.BasicNack{DeliveryTag: 2})
		p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 1})
		p.expect(amqp.ConnectionCloseID)
	})
	publish(t, p, "one", "two", "three")
	var refused *Refused
	if err := p.Wait(t.Context()); !errors.As(err, &refused) || refused.Tag != 2 {
		t.Fatalf("%v", err)
	}
	if _, err := p.Publish(t.Context(), message("four")); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	_ = p.Close()
	if p.Confirmed() != 1 {
		t.Errorf("%d confirmed", p.Confirmed())
	}
}

func TestABlockedConnectionIsHeeded(t *testing.T) {
	reasons := make(chan string, 2)
	on := make(chan struct{})
	p := publisher(t, PublisherConfig{Blocked: func(reason string) { reasons <- reason }}, func(p *peer) {
		p.send(0, &amqp.ConnectionBlocked{Reason: "low on memory"})
		<-on
		p.send(0, &amqp.ConnectionUnblocked{})
		p.expect(amqp.BasicPublishID)
		p.send(FirstChannel, &amqp.BasicAck{DeliveryTag: 1})
		p.expect(amqp.ConnectionCloseID)
	})
	if reason := <-reasons; reason != "low on memory" {
		t.Errorf("reason %q", reason)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, message("one")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	close(on)
	publish(t, p, "one")
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheBrokerSaysEndsThePublisher(t *testing.T) {
	p := publisher(t, PublisherConfig{}, func(p *peer) {
		p.expect(amqp.BasicPublishID)
		p.send(FirstChannel, &amqp.ChannelClose{ReplyCode: amqp.NotFound, ReplyText: "NOT_FOUND - no exchange 'x' in vhost '/'"})
		p.expect(amqp.ConnectionCloseID)
	})
	publish(t, p, "one")
	var closed *Closed
	if err := p.Wait(t.Context()); !errors.As(err, &closed) || closed.Code != amqp.NotFound {
		t.Fatalf("%v", err)
	}
	if _, err := p.Publish(t.Context(), message("two")); !errors.As(err, &closed) {
		t.Errorf("%v", err)
	}
}

func TestABrokerWithFramesBelowTheLeastIsRefused(t *testing.T) {
	for _, most := range []uint32{1, 8, amqp.MinFrameMax - 1} {
		a := listen(t, func(p *peer) {
			p.begin()
			p.send(0, &amqp.ConnectionTune{FrameMax: most})
			_ = p.conn.Fill() // until the client is gone
		})
		if c, err := Dial(t.Context(), a, Config{}); err == nil || !strings.Contains(err.Error(), "4096 is the least in AMQP") {
			t.Errorf("frames of %d octets: %v, %v", most, c, err)
		}
	}
}
