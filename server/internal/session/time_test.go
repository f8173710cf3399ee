package session_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/session"
)

// inFakeTime runs a test whose clock moves when everybody waits. The broker stands outside: nothing here
// may be delivered or confirmed, for its goroutines know nothing of that clock.
func inFakeTime(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	outside := newOwnServer(t)
	synctest.Test(t, func(t *testing.T) {
		test(t, &server{t: t, broker: outside.broker, cfg: session.Config{}.WithDefaults(), patience: 48 * time.Hour})
	})
}

func wantAfter(t *testing.T, what string, start time.Time, least, most time.Duration) {
	t.Helper()
	if after := time.Since(start); after < least || after > most {
		t.Errorf("%s after %v, want %v to %v", what, after, least, most)
	}
}

func TestHandshakeMustEndInTime(t *testing.T) { // HDR-05
	for name, begin := range map[string]func(*peer){
		"nothing":       func(*peer) {},
		"half a header": func(p *peer) { p.raw([]byte("AMQP")) },
		"header only":   func(p *peer) { p.header() },
		"no open": func(p *peer) {
			p.header()
			p.send(0, plain("guest", "guest"))
			p.method("connection.tune", 0)
			p.send(0, &amqp.ConnectionTuneOk{ChannelMax: 1, FrameMax: 4096, Heartbeat: 60})
		},
		"octet by octet": func(p *peer) {
			p.header()
			go func() {
				for _, octet := range encode(0, plain("guest", "guest")) {
					<-time.After(time.Second) // of the bubble that begin is called in
					p.raw([]byte{octet})
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				start := time.Now()
				p := s.dial(t)
				begin(p)
				p.expectEnd()
				wantAfter(t, "closed", start, 10*time.Second, 10*time.Second)
				time.Sleep(time.Hour) // for the one that goes on sending
			})
		})
	}
}

func TestTLSHandshakeMustEndInTime(t *testing.T) { // HDR-05
	inFakeTime(t, func(t *testing.T, s *server) {
		mine, theirs := net.Pipe()
		start, ended := time.Now(), make(chan struct{})
		go func() {
			session.Serve(s.cfg, s.broker, tls.Server(theirs, &tls.Config{}), &s.stopper)
			close(ended)
		}()
		<-ended
		wantAfter(t, "closed", start, 10*time.Second, 10*time.Second)
		mine.Close()
	})
}

func TestStopDoesNotWaitForTheAnswerToAFailedLogin(t *testing.T) { // ERR-10
	inFakeTime(t, func(t *testing.T, s *server) {
		p := s.dial(t)
		p.header()
		p.send(0, plain("guest", "wrong"))
		synctest.Wait()
		start := time.Now()
		s.stopper.Stop()
		p.method("answer", 0)
		wantAfter(t, "answered", start, 0, 0)
	})
}

func TestFailedLoginIsAnsweredLate(t *testing.T) { // ERR-10
	inFakeTime(t, func(t *testing.T, s *server) {
		for _, password := range []string{"wrong", "guest"} {
			start := time.Now()
			p := s.dial(t)
			p.header()
			p.send(0, plain("guest", password))
			m := p.method("answer", 0)
			delay := time.Duration(0)
			if m.ID() == amqp.ConnectionCloseID {
				delay = time.Second
			}
			wantAfter(t, fmt.Sprintf("answer to %q", password), start, delay, delay)
		}
	})
}

// runningWith makes a connection with the given heartbeat, in seconds.
func (s *server) runningWith(t *testing.T, heartbeat uint16) *peer {
	p := s.dial(t)
	p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: heartbeat})
	return p
}

func TestIdleServerSendsHeartbeats(t *testing.T) { // CONN-16
	inFakeTime(t, func(t *testing.T, s *server) {
		p := s.runningWith(t, 20)
		start := time.Now()
		for n := range 4 {
			if f := p.frame("heartbeat"); f.Type != amqp.FrameHeartbeat || f.Channel != 0 {
				t.Fatalf("frame of type %d on channel %d", f.Type, f.Channel)
			}
			want := time.Duration(n+1) * 10 * time.Second
			wantAfter(t, "heartbeat", start, want, want)
			p.raw(amqp.AppendHeartbeat(nil))
		}
		time.Sleep(9 * time.Second)
		p.openChannel(1) // something is written: the next heartbeat waits
		start = time.Now()
		p.frame("heartbeat")
		wantAfter(t, "heartbeat after a reply", start, 10*time.Second, 10*time.Second)
	})
}

func TestSilentClientIsDroppedWithoutAWord(t *testing.T) { // CONN-17
	for _, heartbeat := range []uint16{1, 2, 60} {
		t.Run(fmt.Sprint(heartbeat), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				interval := time.Duration(heartbeat) * time.Second
				p := s.runningWith(t, heartbeat)
				for range 20 { // any octet counts, be it a part of a frame
					time.Sleep(interval)
					p.raw(amqp.AppendHeartbeat(nil)[:4])
					time.Sleep(interval)
					p.raw(amqp.AppendHeartbeat(nil)[4:])
				}
				start := time.Now()
				for { // nothing but heartbeats comes
					p.in.Lock()
					ended := p.in.err != nil
					if frame, n, err := amqp.ParseFrame(p.in.octets, 0); err != nil || n > 0 && frame.Type != amqp.FrameHeartbeat {
						t.Errorf("server sends % x", p.in.octets)
					}
					p.in.octets = nil
					p.in.Unlock()
					if ended {
						break
					}
					time.Sleep(interval / 20)
				}
				wantAfter(t, "dropped", start, 2*interval-interval/20, 3*interval)
			})
		})
	}
}

func TestConnectionWithoutHeartbeatsLastsForEver(t *testing.T) { // CONN-12
	inFakeTime(t, func(t *testing.T, s *server) {
		p := s.runningWith(t, 0)
		time.Sleep(24 * time.Hour)
		p.openChannel(1) // and no heartbeat has come before this answer
		time.Sleep(24 * time.Hour)
		p.expectNothing(1)
	})
}

func TestCloseWaitsForItsAnswer(t *testing.T) { // ERR-07
	for _, test := range []struct {
		heartbeat uint16
		wait      time.Duration
	}{{0, 30 * time.Second}, {60, 30 * time.Second}, {5, 5 * time.Second}} {
		t.Run(fmt.Sprint(test.heartbeat), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				p := s.runningWith(t, test.heartbeat)
				p.send(1, &amqp.BasicGet{Queue: []byte("q")})
				p.method("connection.close", 0)
				start := time.Now()
				time.Sleep(time.Second)
				p.send(1, &amqp.ChannelOpen{}, &amqp.QueueDeclare{Queue: "ignored"}) // all is ignored
				p.send(0, plain("guest", "guest"))
				p.send(0, &amqp.ConnectionClose{ReplyCode: amqp.ReplySuccess}) // but this is answered
				for {
					f := p.frame("connection.close-ok")
					if f.Type == amqp.FrameHeartbeat {
						continue
					}
					if amqp.PeekMethod(f.Payload) != amqp.ConnectionCloseOkID {
						t.Errorf("frame %+v", f)
					}
					break
				}
				p.awaitEnd()
				wantAfter(t, "hung up", start, test.wait, test.wait+100*time.Millisecond)
			})
		})
	}
}

func TestStopSpeaksToEveryoneAndWaitsForNobodyLong(t *testing.T) { // 4.5
	inFakeTime(t, func(t *testing.T, s *server) {
		var peers []*peer
		for _, heartbeat := range []uint16{0, 10} {
			p := s.runningWith(t, heartbeat)
			p.openChannel(1)
			peers = append(peers, p)
		}
		silent := s.dial(t) // has not even begun
		mine, theirs := net.Pipe()
		defer mine.Close()
		stuck := make(chan struct{})
		s.running.Go(func() { // does not read what it is told
			defer close(stuck)
			session.Serve(s.cfg, s.broker, theirs, &s.stopper)
		})
		mine.Write([]byte(amqp.ProtocolHeader))
		synctest.Wait()
		start := time.Now()
		s.stopper.Stop()
		for _, p := range slices.Concat(peers, []*peer{silent}) {
			m, ok := p.method("connection.close", 0).(*amqp.ConnectionClose)
			if !ok || m.ReplyCode != amqp.ConnectionForced || m.Method != 0 ||
				m.ReplyText != "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
				t.Errorf("close %+v", m)
			}
			p.expectEnd()
			<-p.ended
		}
		wantAfter(t, "those that listen and do not hang up ended", start, 0, time.Second)
		<-stuck
		wantAfter(t, "the one that does not ended", start, time.Second, 10*time.Second)

		start = time.Now()
		late := s.dial(t) // whoever comes now is told at once
		late.method("connection.close", 0)
		late.expectEnd()
		s.running.Wait()
		wantAfter(t, "the one that came late ended", start, 0, time.Second)
	})
}

func TestCloseForAMalformedFrameWaitsForItsAnswerToo(t *testing.T) { // ERR-07: hanging up could lose the close
	for _, answered := range []bool{true, false} {
		t.Run(fmt.Sprintf("answered %v", answered), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				p := s.runningWith(t, 0)
				p.raw([]byte{9, 0, 0, 0, 0, 0, 0, 0xCE})
				p.method("connection.close", 0)
				start := time.Now()
				wait := 30 * time.Second
				for range 10 { // where a frame begins is unknown
					time.Sleep(time.Second)
					p.raw([]byte("neither frames nor anything else, among it \x01\x00\x00\x00\x00\x00\x04\x00\x0a"))
				}
				if answered {
					wait = time.Since(start)
					for _, octet := range encode(0, &amqp.ConnectionCloseOk{}) {
						p.raw([]byte{octet})
					}
				}
				p.expectEnd()
				wantAfter(t, "hung up", start, wait, wait)
			})
		})
	}
}
