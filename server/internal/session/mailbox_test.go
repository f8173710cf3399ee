package session_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/session"
)

func TestConnectionIsClosedOnRequest(t *testing.T) { // 4.5
	frame := encode(1, &amqp.BasicCancel{ConsumerTag: "c"})
	for name, sent := range map[string]int{"idle": 0, "in a frame": 9} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				p := s.runningWith(t, 0)
				p.openChannel(1)
				p.raw(frame[:sent])
				synctest.Wait()
				for range 3 { // asked more than once: said once
					s.stopper.Sinks()[0].CloseConnection(session.ConnectionForced("user 'u' is deleted"))
				}
				synctest.Wait()
				if sent > 0 {
					p.raw(frame[sent:])
				}
				p.expectConnectionClose(closed{amqp.ConnectionForced, 0, "user 'u' is deleted"})
			})
		})
	}
}

func TestForcedCloseDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server) {
		p := s.runningWith(t, 0)
		synctest.Wait()
		p.nc.SetReadDeadline(time.Unix(1, 0)) // it reads nothing more
		go func() {                           // and asks for more answers than the server keeps
			for range 100_000 {
				if _, err := p.nc.Write(encode(1, &amqp.ChannelOpen{}, &amqp.ChannelClose{})); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		start := time.Now()
		s.stopper.Sinks()[0].CloseConnection(session.ConnectionForced("enough"))
		<-p.ended
		wantAfter(t, "ended", start, 0, time.Minute)
	})
}

func TestChannelIsClosedOnRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T, s *server) {
		p := s.runningWith(t, 10)
		p.openChannel(1)
		p.openChannel(2)
		synctest.Wait()
		sink := s.stopper.Sinks()[0]
		first := session.ChannelOf(sink, 1)
		late := amqp.Errorf(amqp.PreconditionFailed, 0, "too late")
		sink.CloseChannel(first, late)
		p.expectChannelClose(1, closed{amqp.PreconditionFailed, 0, "too late"})
		p.openChannel(1)
		sink.CloseChannel(first, late) // its successor is not meant
		p.expectNothing(1)
		p.expectNothing(2)

		start := time.Now() // the deadline of the heartbeats holds as before
		p.awaitEnd()
		wantAfter(t, "dropped for silence", start, 20*time.Second, 30*time.Second)
	})
}

// Two requests at once: the reader may have found the second one before its sender wakes it.
func TestWakeThatComesLateEndsNothing(t *testing.T) {
	for name, heartbeat := range map[string]uint16{"with heartbeats": 10, "without": 0} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, s *server) {
				mine, theirs := net.Pipe()
				p := s.speak(t, mine, theirs)
				p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: heartbeat})
				synctest.Wait()
				theirs.SetReadDeadline(time.Unix(1, 0))
				synctest.Wait()
				p.openChannel(1)
			})
		})
	}
}
