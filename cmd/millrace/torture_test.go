package main_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	stock "github.com/rabbitmq/amqp091-go"

	"github.com/millrace-mq/millrace/server/amqp"
)

var tortureRounds = flag.Int("torture.rounds", 50, "how often each case of the torture test runs")

// A torture is what a hostile or broken client does, and how the broker answers. The rows stand in
// torture_cases_test.go.
type torture struct {
	name string
	// bare sends without a handshake before. The others have channel 1 open, and a queue of their own.
	bare bool
	do   func(p *rawPeer)
	want ending
	// rabbit is what RabbitMQ 3.10 does if that is something else, and why Millrace does not.
	rabbit ending
	why    string
	once   bool // is slow: only in the first round
}

// ending is how a connection goes on after a torture.
type ending struct {
	kind   endingKind
	code   int
	method amqp.MethodID // class and method; 0 if none is at fault
	text   string        // without the code's name; "" is any
}

type endingKind int

const (
	unsaid           endingKind = iota
	connectionCloses            // connection.close
	channelCloses               // channel.close, and the connection goes on
	hangsUp                     // the socket closes without a word
	headerAndHangsUp            // the protocol header, then the socket closes
	goesOn                      // nothing is wrong, and the channel answers
	weLeave                     // the test itself has ended the connection
	unreadable                  // a method that cannot be decoded
)

func connection(code int, method amqp.MethodID, text string) ending {
	return ending{connectionCloses, code, method, text}
}

func channelClose(code int, method amqp.MethodID, text string) ending {
	return ending{channelCloses, code, method, text}
}

func (e ending) String() string {
	switch e.kind {
	case connectionCloses, channelCloses:
		what := map[endingKind]string{connectionCloses: "connection", channelCloses: "channel"}[e.kind]
		return fmt.Sprintf("%s.close %d %d/%d %q", what, e.code, e.method.Class(), uint16(e.method), e.text)
	}
	return [...]string{"nothing", "", "", "hangs up", "protocol header and hangs up", "goes on", "we leave", "method that cannot be decoded"}[e.kind] + e.text
}

// matches compares what was seen with what is wanted.
func (e ending) matches(want ending) bool {
	if want.text == "" {
		e.text = ""
	}
	return e == want
}

// TestTorture runs every case beside a client that publishes with confirms and consumes and must not notice. At
// the end of all rounds the broker must hold what it held after the first two: its own memory within 64 MiB
// (256 MiB with the race detector), its file descriptors within 8, and no more than 64 goroutines.
func TestTorture(t *testing.T) {
	b := newBroker(t, "--max-message-size", "1MiB")
	cases := tortures()
	rounds := *tortureRounds
	if b.External() {
		rounds = 1
	}
	witness := startWitness(t, b)
	var before resources
	for round := range rounds {
		var running sync.WaitGroup
		slots := make(chan struct{}, 8)
		for _, c := range cases {
			if c.once && round > 0 {
				continue
			}
			running.Add(1)
			slots <- struct{}{}
			go func() {
				defer func() { <-slots; running.Done() }()
				c.run(t, b)
			}()
		}
		running.Wait()
		if t.Failed() {
			break
		}
		if round == min(1, rounds-1) && !b.External() {
			before = b.resources(t)
		}
	}
	witness.stop()
	t.Logf("%d cases, %d rounds; the witness sent and received %d messages", len(cases), rounds, witness.received)
	if b.External() || t.Failed() {
		return
	}
	allowed := resources{memory: before.memory + 64<<20, files: before.files + 8}
	if raceEnabled {
		allowed.memory += 192 << 20
	}
	var after resources
	eventually(t, fmt.Sprintf("resources within %+v", allowed), func() bool {
		after = b.resources(t)
		return after.memory <= allowed.memory && after.files <= allowed.files
	})
	goroutines := b.quitAndCount(t)
	if goroutines > 64 {
		t.Errorf("%d goroutines without a connection", goroutines)
	}
	t.Logf("before %+v, after %+v, %d goroutines", before, after, goroutines)
}

// run plays the case and compares.
func (c *torture) run(t *testing.T, b *Broker) {
	p, err := dialRaw(b)
	if err == nil && !c.bare {
		err = p.handshake()
	}
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return
	}
	defer p.nc.Close()
	c.do(p)
	want := c.want
	if b.External() && c.rabbit.kind != unsaid {
		want = c.rabbit
		t.Logf("%s: %s, in place of: %s; %s", c.name, c.rabbit, c.want, c.why)
	}
	got := ending{kind: weLeave}
	if want.kind != weLeave {
		got = p.ending(want.kind == goesOn || want != c.want)
	}
	if !got.matches(want) {
		t.Errorf("%s: %s, want %s", c.name, got, want)
	}
}

// resources is what a process holds.
type resources struct {
	memory int64 // bytes of its own: not what it has mapped of files
	files  int
}

func (b *Broker) resources(t testing.TB) resources {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/", b.cmd.Process.Pid)
	status, err := os.ReadFile(folder + "status")
	files, filesErr := os.ReadDir(folder + "fd")
	if err := errors.Join(err, filesErr); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`RssAnon:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		t.Fatalf("no RssAnon in\n%s", status)
	}
	kilobytes, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return resources{memory: kilobytes << 10, files: len(files)}
}

// quitAndCount ends the process by a signal that makes it say what each goroutine does, and counts them.
func (b *Broker) quitAndCount(t testing.TB) int {
	t.Helper()
	_ = b.cmd.Process.Signal(syscall.SIGQUIT)
	await(t, "end of the broker", b.exited)
	n := strings.Count("\n"+b.stderr.String(), "\ngoroutine ")
	if n == 0 {
		t.Error("no goroutines are told of")
	}
	return n
}

// witness is a client that minds its own business all the while.
type witness struct {
	done     chan struct{}
	ended    sync.WaitGroup
	received int
}

func startWitness(t *testing.T, b *Broker) *witness {
	c, consumer := b.connect(t), b.connect(t)
	queue := c.queue("witness", queueSpec{})
	c.confirmMode()
	deliveries, err := consumer.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{done: make(chan struct{})}
	w.ended.Go(func() {
		for {
			select {
			case <-w.done:
				return
			default:
			}
			if err := w.message(c, queue, deliveries); err != nil {
				t.Errorf("the client beside: message %d: %v", w.received, err)
				return
			}
			w.received++
		}
	})
	return w
}

// message sends one message and waits for its confirm and for the delivery.
func (w *witness) message(c *client, queue string, deliveries <-chan stock.Delivery) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	body := strconv.Itoa(w.received)
	confirm, err := c.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, stock.Publishing{Body: []byte(body)})
	if err != nil {
		return err
	}
	if acked, err := confirm.WaitContext(ctx); err != nil || !acked {
		return fmt.Errorf("confirmed %v, %w", acked, err)
	}
	select {
	case d, ok := <-deliveries:
		if !ok || string(d.Body) != body {
			return fmt.Errorf("delivery %q, want %q", d.Body, body)
		}
		return d.Ack(false)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *witness) stop() {
	close(w.done)
	w.ended.Wait()
}

// rawPeer is a connection that sends whatever it is told to. A broker that hangs up while it sends is no fault.
type rawPeer struct {
	nc       *net.TCPConn
	user     *url.URL
	received []byte
}

func dialRaw(b *Broker) (*rawPeer, error) {
	u, err := url.Parse(b.URL)
	if err != nil {
		return nil, err
	}
	nc, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(patience))
	return &rawPeer{nc: nc.(*net.TCPConn), user: u}, nil
}

func (p *rawPeer) raw(octets []byte) { _, _ = p.nc.Write(octets) }

func (p *rawPeer) frames(frames ...amqp.RawFrame) {
	var out []byte
	for _, f := range frames {
		out = f.Append(out)
	}
	p.raw(out)
}

// methods sends methods on a channel.
func (p *rawPeer) methods(channel uint16, methods ...amqp.Method) {
	var out []byte
	for _, m := range methods {
		out = amqp.AppendMethod(out, channel, m)
	}
	p.raw(out)
}

// arguments sends a method with arguments of the test's making.
func (p *rawPeer) arguments(channel uint16, id amqp.MethodID, arguments ...byte) {
	p.frames(amqp.RawFrame{
		Type: amqp.FrameMethod, Channel: channel, Payload: append(binary.BigEndian.AppendUint32(nil, uint32(id)), arguments...),
	})
}

// errHeader says that the broker sends its protocol header in place of a frame.
var errHeader = errors.New("protocol header")

func (p *rawPeer) frame() (amqp.Frame, error) {
	for {
		if string(p.received) == amqp.ProtocolHeader {
			return amqp.Frame{}, errHeader
		}
		f, n, err := amqp.ParseFrame(p.received, 0)
		if err != nil {
			return f, err
		}
		if n > 0 {
			p.received = p.received[n:]
			return f, nil
		}
		buffer := make([]byte, 4096)
		n, err = p.nc.Read(buffer)
		if n == 0 {
			return f, err
		}
		p.received = append(p.received, buffer[:n]...)
	}
}

// until reads frames up to a method.
func (p *rawPeer) until(id amqp.MethodID) error {
	for {
		f, err := p.frame()
		if err != nil {
			return fmt.Errorf("no %s: %w", id, err)
		}
		if f.Type == amqp.FrameMethod && amqp.PeekMethod(f.Payload) == id {
			return nil
		}
	}
}

func (p *rawPeer) startOk() *amqp.ConnectionStartOk {
	password, _ := p.user.User.Password()
	return &amqp.ConnectionStartOk{
		ClientProperties: amqp.Table{"capabilities": amqp.Table{
			"authentication_failure_close": true, "consumer_cancel_notify": true, "connection.blocked": true,
		}},
		Mechanism: "PLAIN", Response: "\x00" + p.user.User.Username() + "\x00" + password, Locale: "en_US",
	}
}

var tortureTune = &amqp.ConnectionTuneOk{ChannelMax: 100, FrameMax: 131072}

func (p *rawPeer) handshake() error {
	p.raw([]byte(amqp.ProtocolHeader))
	p.methods(0, p.startOk(), tortureTune, &amqp.ConnectionOpen{VirtualHost: "/"})
	p.methods(1, &amqp.ChannelOpen{}, &amqp.QueueDeclare{Exclusive: true})
	return p.until(amqp.QueueDeclareOkID)
}

// ending reads on until the broker closes something or hangs up. A client that expects nothing of the kind
// asks for an answer on channel 1.
func (p *rawPeer) ending(ask bool) ending {
	if ask {
		p.methods(1, &amqp.AccessRequest{Realm: "/data", Active: true})
	}
	for {
		f, err := p.frame()
		if errors.Is(err, errHeader) {
			_, err = p.nc.Read(make([]byte, 1))
			return p.hungUp(headerAndHangsUp, err)
		}
		if err != nil {
			return p.hungUp(hangsUp, err)
		}
		if f.Type != amqp.FrameMethod {
			continue
		}
		m, err := amqp.DecodeMethod(f.Payload)
		if err != nil {
			return ending{kind: unreadable}
		}
		switch m := m.(type) {
		case *amqp.ConnectionClose:
			p.methods(0, &amqp.ConnectionCloseOk{})
			return connection(int(m.ReplyCode), m.Method, explanation(m.ReplyText))
		case *amqp.ChannelClose:
			p.methods(f.Channel, &amqp.ChannelCloseOk{}, &amqp.ChannelOpen{})
			got := channelClose(int(m.ReplyCode), m.Method, explanation(m.ReplyText))
			if err := p.until(amqp.ChannelOpenOkID); err != nil {
				got.text += " and then " + err.Error()
			}
			return got
		case *amqp.AccessRequestOk:
			return ending{kind: goesOn}
		}
	}
}

// hungUp tells a socket that the broker has closed from one that says nothing.
func (p *rawPeer) hungUp(kind endingKind, err error) ending {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return ending{kind: kind}
	}
	return ending{text: err.Error()}
}

// explanation is a reply text without the name of its code.
func explanation(text string) string {
	_, text, _ = strings.Cut(text, " - ")
	return text
}
