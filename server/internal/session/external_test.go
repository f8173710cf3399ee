package session_test

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// What is tested here frame by frame holds for other brokers too: with MILLRACE_TEST_URL set, as `make
// compat` does, the peers connect to the broker found there. It is shared, so tests take turns, and what
// they declared is deleted behind them.

// externalAddress is the host and port of the other broker, or "".
func externalAddress(t testing.TB) string {
	t.Helper()
	text := os.Getenv("MILLRACE_TEST_URL")
	if text == "" {
		return ""
	}
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}

// onExternal lets one test at a time use the other broker.
var onExternal = make(chan struct{}, 1)

func externalServer(t testing.TB, address string) *server {
	t.Helper()
	onExternal <- struct{}{}
	s := &server{t: t, external: address, patience: externalPatience}
	t.Cleanup(func() {
		s.tidy()
		<-onExternal
	})
	return s
}

// externalPatience is short, for a difference shows as silence. RabbitMQ hangs up three seconds after what
// went wrong in a handshake.
const externalPatience = 5 * time.Second

// dialExternal is dialFrom on the other broker.
func (s *server) dialExternal(t testing.TB, from net.Addr) *peer {
	t.Helper()
	if from != nil {
		t.Skip("connects from elsewhere")
	}
	nc, err := net.DialTimeout("tcp", s.external, s.patience)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, nc: nc, ended: make(chan struct{}), patience: s.patience, sent: s.declared.note, external: true}
	p.in.changed = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.read()
	}()
	t.Cleanup(func() {
		nc.Close()
		<-p.ended
	})
	return p
}

// declarations are how to undo what a test's peers declared.
type declarations struct {
	sync.Mutex
	undo []amqp.Method
}

// note looks for declarations in frames; anything else is no concern of it.
func (d *declarations) note(octets []byte) {
	d.Lock()
	defer d.Unlock()
	for {
		frame, n, err := amqp.ParseFrame(octets, 0)
		if err != nil || n == 0 {
			return
		}
		octets = octets[n:]
		if frame.Type != amqp.FrameMethod {
			continue
		}
		switch m, _ := amqp.DecodeMethod(frame.Payload); m := m.(type) {
		case *amqp.QueueDeclare:
			d.undo = append(d.undo, &amqp.QueueDelete{Queue: strings.Clone(m.Queue)})
		case *amqp.ExchangeDeclare:
			d.undo = append(d.undo, &amqp.ExchangeDelete{Exchange: strings.Clone(m.Exchange)})
		}
	}
}

// tidy deletes what was declared. What is refused was refused before, or belongs to a connection that is
// just going: its queues are waited for.
func (s *server) tidy() {
	s.declared.Lock()
	undo := s.declared.undo
	s.declared.Unlock()
	if len(undo) == 0 {
		return
	}
	p := s.dialExternal(s.t, nil)
	p.sent = nil
	p.handshake()
	deadline := time.Now().Add(s.patience)
	for i := 0; i < len(undo); {
		p.openChannel(1)
		p.send(1, undo[i])
		answer := p.method("answer to a deletion", 1)
		if refusal, ok := answer.(*amqp.ChannelClose); ok {
			p.send(1, &amqp.ChannelCloseOk{})
			if refusal.ReplyCode == amqp.ResourceLocked && time.Now().Before(deadline) {
				continue
			}
		} else {
			p.send(1, &amqp.ChannelClose{ReplyCode: amqp.ReplySuccess})
			p.expect(1, &amqp.ChannelCloseOk{})
		}
		i++
	}
}

var startLine = regexp.MustCompile(`connection\.start .*`)

// withoutStart is a transcript without what connection.start says of the broker.
func withoutStart(transcript string) string {
	return startLine.ReplaceAllString(transcript, "connection.start")
}
