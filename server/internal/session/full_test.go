package session_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/wal"
)

func TestFullDiskHoldsPublishersUpAndLosesNothing(t *testing.T) {
	const room = 6 // files
	s := newServerOn(t, broker.Config{
		SegmentSize: 512 << 10, CheckpointEvery: 50 * time.Millisecond,
		Disk: wal.Disk{Allocate: func(file *os.File, size int64, _ func(int64) error) error {
			files, err := os.ReadDir(filepath.Dir(file.Name()))
			if len(files) > room {
				return unix.ENOSPC
			}
			return errors.Join(err, file.Truncate(size))
		}},
	})
	publisher, transactor, consumer := s.dialTCP(t), s.dialTCP(t), s.connect(t)
	for _, p := range []*peer{publisher, transactor} {
		p.handshake()
		p.openChannel(1)
	}
	publisher.send(1, &amqp.QueueDeclare{Queue: "q", Durable: true}, &amqp.ConfirmSelect{})
	publisher.expect(1, &amqp.QueueDeclareOk{Queue: "q"}, &amqp.ConfirmSelectOk{})
	transactor.send(1, &amqp.TxSelect{})
	transactor.expect(1, &amqp.TxSelectOk{})

	// Much more than there is room for, in one go: the socket holds what the server does not read.
	const messages = 2000
	body := func(n int) string { return fmt.Sprint(n, " ", strings.Repeat("x", 3000)) }
	go func() {
		for n := range messages {
			publisher.raw(message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{DeliveryMode: 2}, body(n)))
		}
	}()
	blocked, confirmed := 0, uint64(0)
	next := func() {
		f := publisher.frame("connection.blocked or a confirm")
		m, err := amqp.DecodeMethod(f.Payload)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *amqp.BasicAck:
			confirmed = m.DeliveryTag
		case *amqp.ConnectionBlocked:
			if m.Reason != "low on disk" {
				t.Errorf("blocked because %q", m.Reason)
			}
			blocked++
		case *amqp.ConnectionUnblocked:
		default:
			t.Fatalf("server sends %s", describe(m))
		}
	}
	for blocked == 0 {
		next()
	}
	if confirmed == 0 || confirmed >= messages {
		t.Fatalf("%d messages confirmed before the disk was full", confirmed)
	}
	// A transaction waits like everybody who publishes.
	transactor.publish(1, "", "q", "in a transaction")
	transactor.send(1, &amqp.TxCommit{})
	transactor.expect(0, lowOnDisk)

	// Consumers that come now drain what there is, which makes room.
	consumer.send(1, &amqp.BasicQos{PrefetchCount: 10}, &amqp.BasicConsume{Queue: "q", ConsumerTag: "c"})
	consumer.expect(1, &amqp.BasicQosOk{}, &amqp.BasicConsumeOk{ConsumerTag: "c"})
	transacted := 0
	for n, tag := 0, uint64(1); n+transacted < messages+1; tag++ {
		got := consumer.delivery(1)
		if strings.HasSuffix(got, "in a transaction") {
			transacted++
		} else {
			if want := fmt.Sprintf("c:%d:%s", tag, body(n)); got != want {
				t.Fatalf("delivery %.20q, want %.20q", got, want)
			}
			n++
		}
		consumer.send(1, &amqp.BasicAck{DeliveryTag: tag})
	}
	for confirmed < messages {
		next()
	}
	for amqp.PeekMethod(transactor.frame("tx.commit-ok").Payload) != amqp.TxCommitOkID {
	}
	t.Logf("crash: 1 rounds, 0 cut points, 1 faults, %d looked for, 0 lost", messages+1)
}
