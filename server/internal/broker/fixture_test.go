package broker_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/index"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/access"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// fixture is a broker on a folder of its own, with the clients that a test connects to it.
type fixture struct {
	testing.TB
	cfg     broker.Config
	broker  *broker.Broker
	clients []*client
}

// open starts a broker that writes no checkpoint unless told to.
func open(t testing.TB) *fixture { return openWith(t, broker.Config{}) }

func openWith(t testing.TB, cfg broker.Config) *fixture {
	t.Helper()
	cfg.Data = t.TempDir()
	if cfg.SegmentSize == 0 {
		cfg.SegmentSize = 256 << 10
	}
	if cfg.CheckpointEvery == 0 {
		cfg.CheckpointEvery = time.Hour
	}
	f := &fixture{TB: t, cfg: cfg}
	f.start()
	t.Cleanup(func() { f.stop() })
	return f
}

func (f *fixture) start() {
	f.Helper()
	b, err := broker.Open(f.cfg)
	if err != nil {
		f.Fatalf("open %s: %v", f.cfg.Data, err)
	}
	f.broker = b
}

// stop ends the clients and the broker, and checks what they leave on disk.
func (f *fixture) stop() {
	f.Helper()
	if f.broker == nil {
		return
	}
	for _, c := range f.clients {
		c.close()
	}
	f.clients = nil
	if err := f.broker.Close(); err != nil {
		f.Errorf("close: %v", err)
	}
	f.broker = nil
	f.verify()
}

func (f *fixture) verify() {
	f.Helper()
	report, err := wal.Verify(filepath.Join(f.cfg.Data, "log"))
	if err = errors.Join(err, report.Err()); err != nil {
		f.Errorf("log: %v", err)
	}
	store, err := index.Open(index.Config{Dir: filepath.Join(f.cfg.Data, "index"), FS: f.cfg.IndexFS})
	if err != nil {
		f.Errorf("index: %v", err)
		return
	}
	for _, err := range store.Check() {
		f.Errorf("index: %v", err)
	}
	if err := store.Close(); err != nil {
		f.Errorf("index: %v", err)
	}
}

// restart is a clean end and a new start.
func (f *fixture) restart() {
	f.Helper()
	f.stop()
	f.start()
}

// crash goes on with a copy of the folder, taken while the broker ran: what kill -9 would leave. The old
// broker and its clients are ended afterwards, out of sight.
func (f *fixture) crash(harm ...func(folder string)) {
	f.Helper()
	f.broker.FlushJournal()
	copied := f.copyData()
	f.stop()
	f.cfg.Data = copied
	for _, do := range harm {
		do(copied)
	}
	f.start()
}

func (f *fixture) copyData() string {
	f.Helper()
	for {
		to, first := filepath.Join(f.TempDir(), "copy"), f.broker.FirstInLog()
		err := os.CopyFS(to, os.DirFS(f.cfg.Data))
		if err == nil && f.broker.FirstInLog() == first { // else the copied index needs what the copied log has recycled
			return to
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file was renamed meanwhile
			f.Fatalf("copy of the data folder: %v", err)
		}
	}
}

// loseIndex deletes the index.
func loseIndex(folder string) { os.RemoveAll(filepath.Join(folder, "index")) }

// client is a connection with one channel, and the sink that it is told things by.
type client struct {
	*broker.Client
	f      *fixture
	ch     *broker.Channel
	others []*broker.Channel
	sink   *sink
	view   *wal.View
}

func (f *fixture) client() *client {
	f.Helper()
	return f.clientOf(f.user("guest", "guest"), "/")
}

// user logs in from this machine.
func (f *fixture) user(name, password string) *broker.User {
	f.Helper()
	user, err := f.broker.Authenticate(access.Credentials{Name: name, Password: password}, true)
	if err != nil {
		f.Fatal(err)
	}
	return user
}

// clientOf connects a user to a virtual host.
func (f *fixture) clientOf(user *broker.User, vhost string) *client {
	f.Helper()
	c := &client{f: f, sink: newSink(f.broker), view: f.broker.NewView()}
	var err error
	if c.Client, err = f.broker.Connect(user, vhost, c.sink); err != nil {
		f.Fatal(err)
	}
	c.ch = f.openChannel(c.Client, 1)
	f.clients = append(f.clients, c)
	return c
}

func (f *fixture) openChannel(c *broker.Client, number uint16) *broker.Channel {
	f.Helper()
	ch, err := c.OpenChannel(number)
	if err != nil {
		f.Fatal(err)
	}
	return ch
}

// channel opens one more channel.
func (c *client) channel(number uint16) *broker.Channel {
	ch := c.f.openChannel(c.Client, number)
	c.others = append(c.others, ch)
	return ch
}

// close ends the connection; closed channels may be closed again.
func (c *client) close() {
	if i := slices.Index(c.f.clients, c); i >= 0 {
		c.f.clients = slices.Delete(slices.Clone(c.f.clients), i, i+1)
	}
	for _, ch := range append(c.others, c.ch) {
		ch.Close()
	}
	c.Client.Close()
	c.view.Release()
}

// queue declares a queue.
func (c *client) queue(d broker.QueueDeclaration) string {
	c.f.Helper()
	info, err := c.DeclareQueue(d)
	if err != nil {
		c.f.Fatalf("declare queue %q: %v", d.Name, err)
	}
	return info.Name
}

func (c *client) durable(name string) string {
	c.f.Helper()
	return c.queue(broker.QueueDeclaration{Name: name, Durable: true})
}

// durableBound declares a durable queue and binds it.
func (c *client) durableBound(exchange, queue, key string) {
	c.f.Helper()
	c.durable(queue)
	c.bind(exchange, queue, key)
}

// refusing declares a durable queue that refuses what is more than most.
func (c *client) refusing(name string, most int32) {
	c.f.Helper()
	c.queue(broker.QueueDeclaration{Name: name, Durable: true, Arguments: amqp.Table{
		"x-max-length": most, "x-overflow": "reject-publish",
	}})
}

func (c *client) exchange(d broker.ExchangeDeclaration) {
	c.f.Helper()
	if err := c.DeclareExchange(d); err != nil {
		c.f.Fatalf("declare exchange %q: %v", d.Name, err)
	}
}

func (c *client) durableExchange(name, kind string) {
	c.f.Helper()
	c.exchange(broker.ExchangeDeclaration{Name: name, Type: kind, Durable: true})
}

func (c *client) bind(exchange, queue, key string) {
	c.f.Helper()
	if err := c.BindQueue(exchange, queue, key, nil); err != nil {
		c.f.Fatalf("bind %q to %q: %v", queue, exchange, err)
	}
}

// publication makes a message whose body is cut into the given pieces.
func publication(exchange, key string, p amqp.Properties, pieces ...string) *broker.Publication {
	out := &broker.Publication{Keys: amqp.MakeKeys(exchange, key), Time: time.Now().UnixMilli()}
	size := 0
	for _, piece := range pieces {
		size += len(piece)
		out.Body = append(out.Body, []byte(piece))
	}
	header, err := amqp.ParseHeader(amqp.AppendHeader(nil, uint64(size), &p))
	if err != nil {
		panic(err)
	}
	out.Header = header
	return out
}

var persistent = amqp.Properties{DeliveryMode: amqp.Persistent}

// stage publishes on a channel without a flush.
func (c *client) stage(ch *broker.Channel, exchange, key string, p amqp.Properties, body string) (routed bool) {
	c.f.Helper()
	routed, err := ch.Publish(publication(exchange, key, p, body))
	if err != nil {
		c.f.Fatalf("publish to %q: %v", exchange, err)
	}
	return routed
}

// send publishes persistent messages through the default exchange and flushes.
func (c *client) send(queue string, bodies ...string) {
	c.f.Helper()
	for _, body := range bodies {
		if !c.stage(c.ch, "", queue, persistent, body) {
			c.f.Fatalf("queue %q is not reached", queue)
		}
	}
	c.flush()
}

func (c *client) sendTransient(queue string, bodies ...string) {
	c.f.Helper()
	for _, body := range bodies {
		c.stage(c.ch, "", queue, amqp.Properties{}, body)
	}
	c.flush()
}

func (c *client) flush() {
	c.f.Helper()
	if err := c.Flush(); err != nil {
		c.f.Fatalf("flush: %v", err)
	}
}

// sendConfirmed publishes and waits until all is confirmed.
func (c *client) sendConfirmed(queue string, bodies ...string) {
	c.f.Helper()
	selectConfirms(c.f, c.ch)
	before := c.sink.confirmed(c.ch.Number)
	c.send(queue, bodies...)
	c.sink.await(c.f, "confirms", func() bool {
		return c.sink.confirmedLocked(c.ch.Number) >= before+uint64(len(bodies))
	})
}

func selectConfirms(t testing.TB, ch *broker.Channel) {
	t.Helper()
	if err := ch.SelectConfirms(); err != nil {
		t.Fatal(err)
	}
}

// consume starts a consumer on the client's first channel.
func (c *client) consume(queueName string, consumer queue.Consumer) *queue.Consumer {
	c.f.Helper()
	if consumer.Channel == nil {
		consumer.Channel = c.ch.Channel
	}
	if err := c.Consume(queueName, &consumer, func() {}); err != nil {
		c.f.Fatalf("consume %q: %v", queueName, err)
	}
	return &consumer
}

// ready is how many messages wait in the queue.
func (c *client) ready(name string) int {
	c.f.Helper()
	info, err := c.DeclareQueue(broker.QueueDeclaration{Name: name, Passive: true})
	if err != nil {
		c.f.Fatalf("look at %q: %v", name, err)
	}
	return info.Ready
}

func (c *client) exists(name string) bool {
	_, err := c.DeclareQueue(broker.QueueDeclaration{Name: name, Passive: true})
	return err == nil
}

// body reads a message's body from the log.
func (c *client) body(lsn segment.LSN) string {
	c.f.Helper()
	record, err := c.view.Record(lsn)
	if err != nil {
		c.f.Fatalf("record %d: %v", lsn, err)
	}
	p, err := record.Publish()
	if err != nil {
		c.f.Fatalf("record %d: %v", lsn, err)
	}
	return string(p.Body)
}

// received waits for n deliveries and describes them: body, and + for redelivered. They count as sent.
func (c *client) received(n int) string {
	c.f.Helper()
	c.sink.await(c.f, fmt.Sprintf("%d deliveries", n), func() bool { return len(c.sink.mu.deliveries) >= n })
	return c.described(c.sink.take())
}

func (c *client) described(ds []queue.Delivery) string {
	c.f.Helper()
	var words []string
	for _, d := range ds {
		word := c.body(d.LSN)
		if d.Redelivered {
			word += "+"
		}
		words = append(words, word)
		c.Sent(1, int64(d.Size))
	}
	return strings.Join(words, " ")
}

// drain gets everything that is ready, in the words of received, and leaves it unsettled.
func (c *client) drain(queueName string) string {
	c.f.Helper()
	n := 0
	for {
		found, err := c.Take(queueName, c.ch, false)
		if err != nil {
			c.f.Fatalf("get from %q: %v", queueName, err)
		}
		if !found {
			return c.received(n)
		}
		n++
	}
}

func (c *client) ack(tag queue.Tag, multiple bool) {
	c.f.Helper()
	c.ch.Settle(amqp.BasicAckID, tag, multiple, queue.Acked)
	c.flush()
}

// sink notes what the broker tells a connection.
type sink struct {
	broker *broker.Broker
	mu     struct {
		sync.Mutex
		deliveries []queue.Delivery
		confirms   []confirm
		cancels    []string
		replies    []string
		refusals   []string
		closes     []string
		changed    chan struct{} // closed at the next change
	}
}

type confirm struct {
	channel  uint16
	seq      uint64
	multiple bool
	synced   segment.LSN // the log's watermark at that moment
}

func newSink(b *broker.Broker) *sink {
	s := &sink{broker: b}
	s.mu.changed = make(chan struct{})
	return s
}

func (s *sink) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

func (s *sink) Deliver(ds []queue.Delivery) {
	s.note(func() { s.mu.deliveries = append(s.mu.deliveries, ds...) })
}

func (s *sink) Confirm(channel uint16, seq uint64, multiple bool) {
	synced := s.broker.Synced()
	s.note(func() { s.mu.confirms = append(s.mu.confirms, confirm{channel, seq, multiple, synced}) })
}

func (s *sink) Refuse(channel uint16, seq uint64) {
	s.note(func() { s.mu.refusals = append(s.mu.refusals, fmt.Sprintf("%d:%d", channel, seq)) })
}

func (s *sink) Content(_ uint16, p *broker.Publication) []byte { return slices.Concat(p.Body...) }

func (s *sink) Reply(channel uint16, consumer string, tag queue.Tag, keys amqp.Keys, _ []byte) {
	s.note(func() {
		s.mu.replies = append(s.mu.replies, fmt.Sprintf("%d:%s:%d %s", channel, consumer, tag, keys.RoutingKey()))
	})
}

func (s *sink) Cancel(channel uint16, consumer string) {
	s.note(func() { s.mu.cancels = append(s.mu.cancels, fmt.Sprintf("%d:%s", channel, consumer)) })
}

func (s *sink) CloseChannel(ch *queue.Channel, e *amqp.Error) {
	s.note(func() { s.mu.closes = append(s.mu.closes, fmt.Sprintf("%d: %s", ch.Number, e.ReplyText())) })
}

func (s *sink) CloseConnection(e *amqp.Error) {
	s.note(func() { s.mu.closes = append(s.mu.closes, e.ReplyText()) })
}

// await waits until the condition, asked with the sink's lock held, holds.
func (s *sink) await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		holds, changed := condition(), s.mu.changed
		s.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

func (s *sink) take() []queue.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.mu.deliveries
	s.mu.deliveries = nil
	return taken
}

func (s *sink) confirms() []confirm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.confirms)
}

func (s *sink) cancels() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.mu.cancels, " ")
}

func (s *sink) confirmed(channel uint16) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmedLocked(channel)
}

// confirmedLocked is the highest number confirmed on the channel.
func (s *sink) confirmedLocked(channel uint16) (seq uint64) {
	for _, c := range s.mu.confirms {
		if c.channel == channel {
			seq = max(seq, c.seq)
		}
	}
	return seq
}

func want[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// wantError checks what a client would be told.
func wantError(t testing.TB, err error, code amqp.ReplyCode, method amqp.MethodID, text string) {
	t.Helper()
	var protocol *amqp.Error
	if !errors.As(err, &protocol) {
		t.Errorf("got error %v, want %d %s", err, code, text)
		return
	}
	if protocol.Code != code || protocol.Method != method || protocol.Text != text {
		t.Errorf("got %d %s %q, want %d %s %q", protocol.Code, protocol.Method, protocol.Text, code, method, text)
	}
}
