package session_test

import (
	"net"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/alarm"
)

// alarmed gives the server alarms of its own.
func (s *server) alarmed() *alarm.Watch {
	s.cfg.Alarms = alarm.New(alarm.Config{})
	return s.cfg.Alarms
}

// dialTCP connects through a socket, of which both ends see what becomes of the other.
func (s *server) dialTCP(t testing.TB) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	mine, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return s.speak(t, mine, theirs)
}

// silence checks that the server sends nothing but heartbeats for a while of fake time, and counts these.
func (p *peer) silence(while time.Duration) (heartbeats int) {
	p.t.Helper()
	<-time.After(while) // of the bubble that the caller is in
	p.in.Lock()
	defer p.in.Unlock()
	for len(p.in.octets) > 0 {
		f, n, err := amqp.ParseFrame(p.in.octets, 0)
		if err != nil || n == 0 || f.Type != amqp.FrameHeartbeat {
			p.t.Fatalf("server sends % x (%v)", p.in.octets, err)
		}
		p.in.octets = p.in.octets[n:]
		heartbeats++
	}
	if p.in.err != nil {
		p.t.Fatalf("connection ended: %v", p.in.err)
	}
	return heartbeats
}

var lowOnDisk = &amqp.ConnectionBlocked{Reason: "low on disk"}

func TestAlarmBlocksAConnectionAtItsNextPublish(t *testing.T) { // CONN-20, CONN-21, CONN-22
	inFakeTime(t, func(t *testing.T, s *server) {
		clear := s.alarmed().Full()
		p := s.runningWith(t, 0)
		p.openChannel(1) // what does not publish is not touched
		p.expectNothing(1)
		publish := message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody")}, amqp.Properties{}, "m")
		p.raw(append(append(publish, encode(1, &amqp.AccessRequest{})...), publish...)) // in one buffer
		p.expect(0, lowOnDisk)
		// Nobody reads a pipe's other end, so writing takes as long as the alarm.
		go p.raw(append(encode(1, &amqp.AccessRequest{}), encode(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess})...))
		p.silence(time.Hour)
		clear()
		p.expect(0, &amqp.ConnectionUnblocked{})
		p.expect(1, &amqp.AccessRequestOk{Ticket: 1}, &amqp.AccessRequestOk{Ticket: 1})
		p.expect(0, &amqp.ConnectionCloseOk{})
		p.expectEnd()
	})
}

func TestEachAlarmBlocksAnew(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server) {
		watch := s.alarmed()
		p := s.runningWith(t, 0)
		p.openChannel(1)
		for range 3 {
			clear := watch.Full()
			p.expectNothing(1)
			p.publish(1, "", "nobody", "m")
			p.expect(0, lowOnDisk)
			again := watch.Full()
			clear()
			p.silence(time.Minute) // one alarm ended, and another goes on
			again()
			p.expect(0, &amqp.ConnectionUnblocked{})
			p.publish(1, "", "nobody", "m")
			p.expectNothing(1)
		}
	})
}

func TestClientThatCannotBeToldIsBlockedInSilence(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server) {
		clear := s.alarmed().Full()
		p := s.dial(t)
		startOk := plain("guest", "guest")
		startOk.ClientProperties = amqp.Table{"capabilities": amqp.Table{"connection.blocked": false}}
		p.handshakeWith(startOk, amqp.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
		p.openChannel(1)
		p.publish(1, "", "nobody", "m")
		go p.raw(encode(1, &amqp.AccessRequest{}))
		p.silence(time.Hour)
		clear()
		p.expect(1, &amqp.AccessRequestOk{Ticket: 1})
	})
}

func TestBlockedConnectionsHeartbeatIsNotWatched(t *testing.T) { // CONN-18
	inFakeTime(t, func(t *testing.T, s *server) {
		clear := s.alarmed().Full()
		p := s.runningWith(t, 10)
		p.openChannel(1)
		p.publish(1, "", "nobody", "m")
		p.expect(0, lowOnDisk)
		if n := p.silence(time.Minute); n < 10 || n > 14 {
			t.Errorf("%d heartbeats in twelve halves of the interval", n)
		}
		clear()
		for p.frame("connection.unblocked").Type == amqp.FrameHeartbeat {
		}
		start := time.Now() // it begins afresh
		p.silence(19 * time.Second)
		<-p.ended
		wantAfter(t, "dropped", start, 20*time.Second, 30*time.Second)
	})
}

func TestDeliveriesToABlockedConnectionGoOn(t *testing.T) { // CONN-22
	s := newOwnServer(t)
	clear := s.alarmed().Full()
	p := s.dialTCP(t)
	p.handshake()
	p.openChannel(1)
	p.declare(1, "q")
	p.send(1, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"}, &amqp.ConfirmSelect{})
	p.expect(1, &amqp.BasicConsumeOk{ConsumerTag: "c"}, &amqp.ConfirmSelectOk{})
	p.publish(1, "", "nobody", "last")
	p.expect(1, &amqp.BasicAck{DeliveryTag: 1}) // it was taken in
	p.expect(0, lowOnDisk)

	s.cfg.Alarms = alarm.New(alarm.Config{}) // for those that come now all is well
	other := s.connect(t)
	for i, body := range []string{"one", "two"} {
		other.publish(1, "", "q", body)
		if got, want := p.delivery(1), []string{"c:1:one", "c:2:two"}[i]; got != want {
			t.Errorf("delivery %s, want %s", got, want)
		}
	}
	p.send(1, &amqp.BasicAck{DeliveryTag: 2, Multiple: true}) // waits
	other.expectReady(1, "q", 0, 1)
	p.nc.Close()
	<-p.ended
	other.expectReady(1, "q", 2, 0)
	clear()
}

func TestBlockedConnectionEndsWithTheServerAndWithItsPeer(t *testing.T) {
	for name, end := range map[string]func(s *server, p *peer){
		"server stops": func(s *server, p *peer) {
			s.stopper.Stop()
			if m, ok := p.method("connection.close", 0).(*amqp.ConnectionClose); !ok || m.ReplyCode != amqp.ConnectionForced {
				p.t.Errorf("close %+v", m)
			}
			p.expectEnd()
		},
		"peer is gone, as a heartbeat shows": func(_ *server, p *peer) { p.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				defer s.alarmed().Full()()
				p := s.runningWith(t, 10)
				p.openChannel(1)
				p.publish(1, "", "nobody", "m")
				p.expect(0, lowOnDisk)
				start := time.Now()
				end(s, p)
				<-p.ended
				wantAfter(t, name, start, 0, 6*time.Second)
			})
		})
	}
}

func TestBlockedConnectionEndsWhenItsSocketDoes(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"closed":      func(c *net.TCPConn) { c.Close() },
		"half closed": func(c *net.TCPConn) { c.CloseWrite() },
		"reset":       func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newOwnServer(t)
			defer s.alarmed().Full()()
			p := s.dialTCP(t)
			p.handshake() // without heartbeats
			p.openChannel(1)
			p.publish(1, "", "nobody", "m")
			p.expect(0, lowOnDisk)
			p.send(1, &amqp.AccessRequest{}) // unread input does not hide the end
			end(p.nc.(*net.TCPConn))
			select {
			case <-p.ended:
			case <-time.After(patience):
				t.Error("connection goes on")
			}
		})
	}
}

func TestContentInPiecesStopsWhileMemoryIsLow(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server) {
		held := make(chan uint64, 1)
		held <- 2
		s.cfg.Alarms = alarm.New(alarm.Config{Memory: alarm.Limit{Bytes: 1}, Sources: alarm.Sources{
			Held:    func() uint64 { n := <-held; held <- n; return n },
			Collect: func() {},
		}})
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { defer close(done); s.cfg.Alarms.Run(stop, nil) }()
		p := s.runningWith(t, 0)
		p.openChannel(1)
		<-time.After(time.Second) // of the bubble
		whole := message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "nobody")}, amqp.Properties{}, "a long body")
		p.raw(whole[:len(whole)-5])
		p.expect(0, &amqp.ConnectionBlocked{Reason: "low on memory"})
		go p.raw(append(whole[len(whole)-5:], encode(1, &amqp.AccessRequest{})...))
		p.silence(time.Minute)
		<-held
		held <- 0
		p.expect(0, &amqp.ConnectionUnblocked{})
		p.expectNothing(1)
		close(stop)
		<-done
	})
}
