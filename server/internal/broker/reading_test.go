package broker_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// What a consumer without acknowledgements is handed has left its queue; it must not leave the log before
// the connection has sent it.
func TestDeliveriesNotSentYetKeepTheirRecords(t *testing.T) {
	t.Parallel()
	f := openWith(t, broker.Config{SegmentSize: 64 << 10})
	c := f.client()
	c.durable("q")
	c.consume("q", queue.Consumer{Tag: "c", NoAck: true})
	body := strings.Repeat("x", 1000)
	for range 300 {
		c.send("q", body)
	}
	c.sink.await(t, "deliveries", func() bool { return len(c.sink.mu.deliveries) == 300 })
	f.broker.FlushJournal()
	f.checkpoint()
	first := c.sink.take()
	if begins := f.broker.FirstInLog(); begins > first[0].LSN {
		t.Fatalf("the log begins with record %d, record %d is still to be sent", begins, first[0].LSN)
	}
	c.described(first) // says that they are sent
	f.checkpoint()
}

// A damaged record that said which queue messages belong to must not make them vanish silently: once
// nothing refers to them, the log gives them up.
func TestMessagesOfAQueueWhoseDeclarationIsDamagedAreNotGivenUp(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.client()
	c.durable("the-queue")
	for range 5 {
		c.sendConfirmed("the-queue", "kept")
	}
	data := f.copyData()
	segments, err := filepath.Glob(filepath.Join(data, "log", "0*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v: %v", segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("the-queue"))
	text[at] ^= 1
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := broker.Open(broker.Config{Data: data}); err == nil {
		b.Close()
		t.Fatal("started without five confirmed messages")
	} else if !strings.Contains(err.Error(), "--repair") || !strings.Contains(err.Error(), "5 messages") {
		t.Errorf("error %q", err)
	}
	b, err := broker.Open(broker.Config{Data: data, Repair: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
