package server_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/millrace-mq/millrace/server"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// running is a server that serves until the test ends or stops it.
type running struct {
	*server.Server
	t    testing.TB
	done chan error // what Serve returned
	once sync.Once
}

func start(t testing.TB, cfg server.Config) *running {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	if cfg.Data == "" {
		cfg.Data = t.TempDir()
	}
	cfg.SegmentSize = 1 << 20
	s, err := server.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Server: s, t: t, done: make(chan error, 1)}
	go func() { r.done <- s.Serve() }()
	t.Cleanup(r.stop)
	return r
}

// stop shuts the server down, and fails the test if that takes too long.
func (r *running) stop() {
	r.t.Helper()
	r.once.Do(func() {
		stopped := make(chan error, 1)
		go func() { stopped <- r.Shutdown() }()
		for _, wait := range []chan error{stopped, r.done} {
			select {
			case err := <-wait:
				if err != nil {
					r.t.Error(err)
				}
			case <-time.After(patience):
				r.t.Fatal("the server does not stop")
			}
		}
	})
}

func (r *running) connect() (*amqp091.Connection, *amqp091.Channel) {
	r.t.Helper()
	conn, err := amqp091.Dial("amqp://guest:guest@" + r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, ch
}

func publish(t testing.TB, ch *amqp091.Channel, queue string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		confirm, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, false, false,
			amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := confirm.WaitContext(t.Context()); !ok || err != nil {
			t.Fatalf("confirm: %v, %v", ok, err)
		}
	}
}

func TestServerKeepsWhatItConfirmedFromRunToRun(t *testing.T) {
	data := filepath.Join(t.TempDir(), "is", "created")
	for run := range 3 {
		s := start(t, server.Config{Data: data})
		if got := s.Recovery().Messages; got != run {
			t.Errorf("run %d finds %d messages", run, got)
		}
		conn, ch := s.connect()
		q, err := ch.QueueDeclare("q", true, false, false, false, nil)
		if err != nil || q.Messages != run {
			t.Errorf("run %d: %+v, %v", run, q, err)
		}
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, "q", fmt.Sprint(run))
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.stop()
	}
}

func TestShutdownTellsTheClients(t *testing.T) { // chapter 4.5
	s := start(t, server.Config{})
	var closes []chan *amqp091.Error
	for i := range 5 {
		conn, ch := s.connect()
		if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, err := ch.ConsumeWithContext(t.Context(), "q", "", true, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
		}
		closes = append(closes, conn.NotifyClose(make(chan *amqp091.Error, 1)))
	}
	idle, err := net.Dial("tcp", s.Addr().String()) // a client that never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()

	begin := time.Now()
	s.stop()
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("shutdown took %v", took)
	}
	for _, closed := range closes {
		select {
		case err := <-closed:
			if err == nil || err.Code != 320 || err.Reason != "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
				t.Errorf("told %v", err)
			}
		case <-time.After(patience):
			t.Error("a client was not told")
		}
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

func TestShutdownUnderLoadLosesNothingConfirmed(t *testing.T) { // DUR-02
	data := t.TempDir()
	s := start(t, server.Config{Data: data})
	_, setup := s.connect()
	if _, err := setup.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	var confirmed sync.Map
	var publishers sync.WaitGroup
	enough := make(chan struct{}, 1000)
	for number := range 3 {
		_, ch := s.connect()
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		publishers.Go(func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("%d.%d", number, i)
				confirm, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", "q", false, false,
					amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte(body)})
				if err != nil {
					return
				}
				if ok, err := confirm.WaitContext(t.Context()); err != nil || !ok {
					return
				}
				confirmed.Store(body, true)
				select {
				case enough <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 200 {
		<-enough
	}
	s.stop()
	publishers.Wait()

	s = start(t, server.Config{Data: data})
	_, ch := s.connect()
	for {
		m, ok, err := ch.Get("q", true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		confirmed.Delete(string(m.Body))
	}
	confirmed.Range(func(body, _ any) bool {
		t.Errorf("message %v was confirmed and is lost", body)
		return true
	})
}

func TestPortInUse(t *testing.T) {
	s := start(t, server.Config{})
	data := filepath.Join(t.TempDir(), "data")
	_, err := server.Open(server.Config{Data: data, Listen: s.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), s.Addr().String()) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("a server that cannot listen has made a data folder")
	}
}

func TestDataFolderInUse(t *testing.T) {
	data := t.TempDir()
	start(t, server.Config{Data: data})
	_, err := server.Open(server.Config{Data: data, Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "in use by another millrace") {
		t.Errorf("error %v", err)
	}
}

func TestDataFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	listen := freeAddress(t)
	if _, err := server.Open(server.Config{Data: file, Listen: listen}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
	l, err := net.Listen("tcp", listen) // the port is free again
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestShutdownBeforeServe(t *testing.T) {
	s, err := server.Open(server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(); err != nil {
		t.Error(err)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func TestSettingsReachTheClients(t *testing.T) {
	s := start(t, server.Config{MaxMessageSize: 100, Heartbeat: 7 * time.Second, Version: "9.9"})
	conn, ch := s.connect()
	if conn.Properties["broker_version"] != "9.9" || conn.Config.Heartbeat != 7*time.Second {
		t.Errorf("properties %v, heartbeat %v", conn.Properties, conn.Config.Heartbeat)
	}
	closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
	if err := ch.PublishWithContext(t.Context(), "", "q", false, false, amqp091.Publishing{Body: make([]byte, 101)}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-closed:
		if err == nil || err.Code != 406 || !strings.Contains(err.Reason, "message size 101 is larger than configured max size 100") {
			t.Errorf("told %v", err)
		}
	case <-time.After(patience):
		t.Error("not told")
	}
	conn.Close()
}
