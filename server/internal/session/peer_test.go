package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/session"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// server is a broker with the sessions that a test starts on it, or the one that MILLRACE_TEST_URL names.
type server struct {
	t        testing.TB
	external string // address of a broker that is not ours, or ""
	declared declarations
	cfg      session.Config
	broker   *broker.Broker
	stopper  session.Stopper
	running  sync.WaitGroup
	patience time.Duration // of its peers
}

// newServer opens a broker that lasts as long as the test.
func newServer(t testing.TB) *server {
	t.Helper()
	if other := externalAddress(t); other != "" {
		return externalServer(t, other)
	}
	return newServerOn(t, broker.Config{SegmentSize: 1 << 20})
}

// newOwnServer is newServer for what no other broker can be asked.
func newOwnServer(t testing.TB) *server {
	t.Helper()
	return newServerOn(t, broker.Config{SegmentSize: 1 << 20})
}

func newServerOn(t testing.TB, cfg broker.Config) *server {
	t.Helper()
	if externalAddress(t) != "" {
		t.Skip("needs a broker within the test")
	}
	cfg.Data = t.TempDir()
	b, err := broker.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, broker: b, cfg: session.Config{AuthFailureDelay: -1, Version: "0.0-test"}.WithDefaults(), patience: patience}
	t.Cleanup(func() {
		s.running.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial connects a peer that has said nothing yet. The connection ends with the test.
func (s *server) dial(t testing.TB) *peer { return s.dialFrom(t, nil) }

// dialFrom connects from an address; nil is this machine.
func (s *server) dialFrom(t testing.TB, from net.Addr) *peer {
	t.Helper()
	if s.external != "" {
		return s.dialExternal(t, from)
	}
	mine, theirs := net.Pipe()
	if from != nil {
		return s.speak(t, mine, remoteConn{theirs, from})
	}
	return s.speak(t, mine, theirs)
}

// speak serves a connection of which the test has the other end.
func (s *server) speak(t testing.TB, mine, theirs net.Conn) *peer {
	p := &peer{t: t, nc: mine, ended: make(chan struct{}), patience: s.patience}
	p.in.changed = make(chan struct{})
	go p.read()
	s.running.Go(func() {
		defer close(p.ended)
		session.Serve(s.cfg, s.broker, theirs, &s.stopper)
	})
	t.Cleanup(func() {
		mine.Close()
		if s.cfg.Alarms != nil {
			s.stopper.Stop() // a blocked session does not see the end of a pipe
		}
		<-p.ended
	})
	return p
}

// connect makes a connection with channel 1 open.
func (s *server) connect(t testing.TB) *peer {
	t.Helper()
	p := s.dial(t)
	p.handshake()
	p.openChannel(1)
	return p
}

type remoteConn struct {
	net.Conn
	from net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.from }

// peer is a client that is scripted frame by frame: it sends what it is told to, and expects.
type peer struct {
	t        testing.TB
	nc       net.Conn
	ended    chan struct{} // closed when the session has returned
	patience time.Duration
	sent     func(octets []byte) // is told of what is sent; may be nil
	external bool                // the server is not ours: it may hang up without having read everything

	in struct {
		sync.Mutex
		octets  []byte // received and not looked at yet
		err     error
		changed chan struct{} // closed at the next change
	}
	script strings.Builder // what went to and fro, in words
}

// read gathers all that the server sends, so that it is never held up by the script.
func (p *peer) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.nc.Read(buf)
		p.in.Lock()
		p.in.octets = append(p.in.octets, buf[:n]...)
		p.in.err = err
		close(p.in.changed)
		p.in.changed = make(chan struct{})
		p.in.Unlock()
		if err != nil {
			return
		}
	}
}

// raw sends octets as they are. A server that hangs up while we send is no fault of the test.
func (p *peer) raw(octets []byte) {
	if p.sent != nil {
		p.sent(octets)
	}
	p.nc.SetWriteDeadline(time.Now().Add(p.patience))
	p.nc.Write(octets)
}

// encode returns the frames of methods on one channel.
func encode(channel uint16, methods ...amqp.Method) []byte {
	var out []byte
	for _, m := range methods {
		out = amqp.AppendMethod(out, channel, m)
	}
	return out
}

// send sends methods on a channel in one write.
func (p *peer) send(channel uint16, methods ...amqp.Method) {
	for _, m := range methods {
		p.note("C", channel, describe(m))
	}
	p.raw(encode(channel, methods...))
}

// message is content with the method before it.
func message(channel uint16, m *amqp.BasicPublish, p amqp.Properties, body string) []byte {
	out := amqp.AppendMethod(nil, channel, m)
	return amqp.AppendContent(out, channel, amqp.AppendHeader(nil, uint64(len(body)), &p), []byte(body), 4096)
}

func (p *peer) publish(channel uint16, exchange, key, body string) {
	p.publishAs(channel, &amqp.BasicPublish{Keys: amqp.MakeKeys(exchange, key)}, amqp.Properties{}, body)
}

func (p *peer) publishAs(channel uint16, m *amqp.BasicPublish, properties amqp.Properties, body string) {
	p.note("C", channel, describe(m)+describeContent(amqp.AppendHeader(nil, uint64(len(body)), &properties), body))
	p.raw(message(channel, m, properties, body))
}

// next waits for n octets at least and gives all there are to take, which returns how many it took.
func (p *peer) next(what string, take func([]byte) int) {
	p.t.Helper()
	deadline := time.After(p.patience)
	for {
		p.in.Lock()
		n, err, changed := take(p.in.octets), p.in.err, p.in.changed
		p.in.octets = p.in.octets[n:]
		p.in.Unlock()
		if n > 0 {
			return
		}
		if err != nil {
			p.t.Fatalf("connection ended (%v), want %s\n%s", err, what, p.script.String())
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("no %s within %v\n%s", what, p.patience, p.script.String())
		}
	}
}

// frame waits for one frame.
func (p *peer) frame(what string) (f amqp.Frame) {
	p.t.Helper()
	p.next(what, func(octets []byte) int {
		frame, n, err := amqp.ParseFrame(octets, 0)
		if err != nil {
			p.t.Fatalf("server sends % x, want %s: %v", octets[:min(len(octets), 40)], what, err)
		}
		frame.Payload = bytes.Clone(frame.Payload)
		f = frame
		return n
	})
	return f
}

// method waits for a method on a channel. What is announced behind it is left for content.
func (p *peer) method(what string, channel uint16) amqp.Method {
	p.t.Helper()
	f := p.frame(what)
	if f.Type != amqp.FrameMethod || f.Channel != channel {
		p.t.Fatalf("frame of type %d on channel %d, want %s on %d", f.Type, f.Channel, what, channel)
	}
	m, err := amqp.DecodeMethod(f.Payload)
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	if !m.ID().HasContent() {
		p.note("S", channel, describe(m))
	}
	return m
}

// expect waits for methods, octet by octet the given ones.
func (p *peer) expect(channel uint16, methods ...amqp.Method) {
	p.t.Helper()
	for _, want := range methods {
		got := p.method(describe(want), channel)
		if !bytes.Equal(got.Append(nil), want.Append(nil)) {
			p.t.Fatalf("server sends %s, want %s\n%s", describe(got), describe(want), p.script.String())
		}
	}
}

// call sends a method and waits for its answer.
func (p *peer) call(channel uint16, m, answer amqp.Method) {
	p.t.Helper()
	p.send(channel, m)
	p.expect(channel, answer)
}

// content waits for the header and the body behind a method.
func (p *peer) content(channel uint16, m amqp.Method) (header amqp.Header, body string) {
	p.t.Helper()
	f := p.frame("content header")
	header, err := amqp.ParseHeader(f.Payload)
	if err != nil || f.Type != amqp.FrameHeader || f.Channel != channel {
		p.t.Fatalf("frame of type %d on channel %d (%v), want a content header", f.Type, f.Channel, err)
	}
	var octets []byte
	for uint64(len(octets)) < header.BodySize {
		f := p.frame("content body")
		if f.Type != amqp.FrameBody || f.Channel != channel {
			p.t.Fatalf("frame of type %d on channel %d, want a body", f.Type, f.Channel)
		}
		octets = append(octets, f.Payload...)
	}
	p.note("S", channel, describe(m)+describeContent(f.Payload, string(octets)))
	return header, string(octets)
}

// delivery waits for a basic.deliver and describes it: consumer, tag, body, + for redelivered.
func (p *peer) delivery(channel uint16) string {
	p.t.Helper()
	m := p.method("basic.deliver", channel)
	d, ok := m.(*amqp.BasicDeliver)
	if !ok {
		p.t.Fatalf("server sends %s, want basic.deliver\n%s", describe(m), p.script.String())
	}
	_, body := p.content(channel, m)
	mark := ""
	if d.Redelivered {
		mark = "+"
	}
	return fmt.Sprintf("%s:%d:%s%s", d.ConsumerTag, d.DeliveryTag, body, mark)
}

func (p *peer) expectDeliveries(channel uint16, want ...string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.delivery(channel); got != w {
			p.t.Fatalf("delivery %s, want %s\n%s", got, w, p.script.String())
		}
	}
}

// get takes one message.
func (p *peer) get(channel uint16, queue string) (m *amqp.BasicGetOk, header amqp.Header, body string) {
	p.t.Helper()
	p.send(channel, &amqp.BasicGet{Queue: []byte(queue)})
	got := p.method("basic.get-ok", channel)
	m, ok := got.(*amqp.BasicGetOk)
	if !ok {
		p.t.Fatalf("server sends %s, want basic.get-ok\n%s", describe(got), p.script.String())
	}
	header, body = p.content(channel, got)
	return m, header, body
}

// expectEnd waits for the server to hang up, with nothing more to say.
func (p *peer) expectEnd() {
	p.t.Helper()
	deadline := time.After(p.patience)
	for {
		p.in.Lock()
		octets, err, changed := bytes.Clone(p.in.octets), p.in.err, p.in.changed
		p.in.Unlock()
		if len(octets) > 0 {
			p.t.Fatalf("server sends % x, want it to hang up\n%s", octets[:min(len(octets), 60)], p.script.String())
		}
		if err != nil {
			if err != io.EOF && !(p.external && errors.Is(err, syscall.ECONNRESET)) {
				p.t.Fatalf("connection ended by %v", err)
			}
			p.note("S", 0, "hangs up")
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("server does not hang up\n%s", p.script.String())
		}
	}
}

// awaitEnd waits until the connection has ended, whatever comes before.
func (p *peer) awaitEnd() {
	for {
		p.in.Lock()
		ended, changed := p.in.err != nil, p.in.changed
		p.in.Unlock()
		if ended {
			return
		}
		<-changed
	}
}

// closed is what a close tells.
type closed struct {
	code   amqp.ReplyCode
	method amqp.MethodID
	text   string // without the code's name; "*" matches any
}

func (c closed) check(t testing.TB, code amqp.ReplyCode, method amqp.MethodID, text, script string) {
	t.Helper()
	want := c.code.String() + " - " + c.text
	if c.text == "*" {
		want = text
	}
	if code != c.code || method != c.method || text != want {
		t.Fatalf("closed with %d %s %q, want %d %s %q\n%s", code, method, text, c.code, c.method, want, script)
	}
}

// expectConnectionClose waits for connection.close, answers it, and waits for the server to hang up.
func (p *peer) expectConnectionClose(want closed) {
	p.t.Helper()
	m := p.method("connection.close", 0)
	got, ok := m.(*amqp.ConnectionClose)
	if !ok {
		p.t.Fatalf("server sends %s, want connection.close\n%s", describe(m), p.script.String())
	}
	want.check(p.t, got.ReplyCode, got.Method, got.ReplyText, p.script.String())
	p.send(0, &amqp.ConnectionCloseOk{})
	p.expectEnd()
}

// expectChannelClose waits for channel.close and answers it.
func (p *peer) expectChannelClose(channel uint16, want closed) {
	p.t.Helper()
	m := p.method("channel.close", channel)
	got, ok := m.(*amqp.ChannelClose)
	if !ok {
		p.t.Fatalf("server sends %s, want channel.close\n%s", describe(m), p.script.String())
	}
	want.check(p.t, got.ReplyCode, got.Method, got.ReplyText, p.script.String())
	p.send(channel, &amqp.ChannelCloseOk{})
}

// expectClose waits for whichever close the code stands for. After that of a channel, the channel is
// opened again.
func (p *peer) expectClose(channel uint16, want closed) {
	p.t.Helper()
	if want.code.Connection() {
		p.expectConnectionClose(want)
		return
	}
	p.expectChannelClose(channel, want)
	p.openChannel(channel)
}

// expectNothing checks that the server has nothing to say on a channel, by asking it something.
func (p *peer) expectNothing(channel uint16) {
	p.t.Helper()
	p.send(channel, &amqp.AccessRequest{})
	p.expect(channel, &amqp.AccessRequestOk{Ticket: 1})
}

// capabilities are what every current client has.
var capabilities = amqp.Table{"capabilities": amqp.Table{
	"consumer_cancel_notify": true, "authentication_failure_close": true, "connection.blocked": true,
}}

func plain(user, password string) *amqp.ConnectionStartOk {
	return &amqp.ConnectionStartOk{
		ClientProperties: capabilities, Mechanism: "PLAIN", Response: "\x00" + user + "\x00" + password, Locale: "en_US",
	}
}

// header sends the protocol header and waits for connection.start.
func (p *peer) header() *amqp.ConnectionStart {
	p.t.Helper()
	p.note("C", 0, "protocol header")
	p.raw([]byte(amqp.ProtocolHeader))
	m, ok := p.method("connection.start", 0).(*amqp.ConnectionStart)
	if !ok {
		p.t.Fatal("want connection.start")
	}
	return m
}

// handshake does all up to connection.open-ok.
func (p *peer) handshake() {
	p.handshakeWith(plain("guest", "guest"), amqp.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072})
}

func (p *peer) handshakeWith(startOk *amqp.ConnectionStartOk, tuneOk amqp.ConnectionTuneOk) {
	p.t.Helper()
	p.header()
	p.send(0, startOk)
	p.expect(0, &amqp.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60})
	p.send(0, &tuneOk, &amqp.ConnectionOpen{VirtualHost: "/"})
	p.expect(0, &amqp.ConnectionOpenOk{})
}

func (p *peer) openChannel(number uint16) {
	p.t.Helper()
	p.send(number, &amqp.ChannelOpen{})
	p.expect(number, &amqp.ChannelOpenOk{})
}

// declare declares a queue of which nothing survives the test's connection but its name.
func (p *peer) declare(channel uint16, name string) {
	p.t.Helper()
	p.send(channel, &amqp.QueueDeclare{Queue: name})
	p.expect(channel, &amqp.QueueDeclareOk{Queue: name})
}

// expectReady checks a queue's counts. Other brokers may need a moment to get there.
func (p *peer) expectReady(channel uint16, name string, ready, consumers uint32) {
	p.t.Helper()
	ask := &amqp.QueueDeclare{Queue: name, Passive: true}
	want := &amqp.QueueDeclareOk{Queue: name, MessageCount: ready, ConsumerCount: consumers}
	before := p.script.String()
	p.send(channel, ask)
	for tries := 0; p.external && tries < 100; tries++ {
		if got, ok := p.method("queue.declare-ok", channel).(*amqp.QueueDeclareOk); ok && *got == *want {
			return
		}
		<-time.After(20 * time.Millisecond)
		p.script.Reset()
		p.script.WriteString(before)
		p.send(channel, ask)
	}
	p.expect(channel, want)
}

// note adds a line to the script.
func (p *peer) note(who string, channel uint16, what string) {
	fmt.Fprintf(&p.script, "%s %d %s\n", who, channel, what)
}

var randomNames = regexp.MustCompile(`amq\.(gen|ctag)-[A-Za-z0-9_-]{22}`)

// transcript is the script with what is random made constant.
func (p *peer) transcript() string {
	return randomNames.ReplaceAllString(p.script.String(), "amq.$1-(random)")
}

func sortedKeys(t amqp.Table) []string {
	var keys []string
	for key := range t {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
