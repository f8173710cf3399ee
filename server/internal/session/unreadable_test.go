package session_test

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/wal"
)

// A body that goes out straight from the mapping fails in the kernel, in the midst of its frame: that connection is
// lost, and the next one must not be lost to the same message.
func TestBodyThatCannotBeSentCostsItsConnectionAndWaits(t *testing.T) {
	var size atomic.Int64 // to which the file is cut after each write; 0 leaves it
	cut := func(file *os.File) error {
		if to := size.Load(); to > 0 {
			return file.Truncate(to)
		}
		return nil
	}
	var file atomic.Pointer[os.File]
	s := newServerOn(t, broker.Config{
		SegmentSize: 2 << 20, Sync: wal.SyncOS, // what is synced is read before it is sent
		Disk: wal.Disk{WriteAt: func(f *os.File, p []byte, at int64) (int, error) {
			n, err := f.WriteAt(p, at)
			if n > 100<<10 {
				file.Store(f)
			}
			return n, errors.Join(err, cut(f))
		}},
	})
	p := s.dialTCP(t)
	p.handshake()
	p.openChannel(1)
	p.send(1, &amqp.QueueDeclare{Queue: "q", Durable: true}, &amqp.ConfirmSelect{})
	p.expect(1, &amqp.QueueDeclareOk{Queue: "q"}, &amqp.ConfirmSelectOk{})
	for i, body := range []string{"first", strings.Repeat("x", 300<<10), "last"} {
		p.raw(message(1, &amqp.BasicPublish{Keys: amqp.MakeKeys("", "q")}, amqp.Properties{DeliveryMode: 2}, body))
		p.expect(1, &amqp.BasicAck{DeliveryTag: uint64(i + 1)})
	}
	if file.Load() == nil {
		t.Fatal("the large message was not written in one go")
	}
	size.Store(150 << 10) // in the midst of the body
	if err := cut(file.Load()); err != nil {
		t.Fatal(err)
	}
	if _, _, body := p.get(1, "q"); body != "first" {
		t.Fatalf("body %.20q", body)
	}
	p.send(1, &amqp.BasicGet{Queue: []byte("q")})
	<-p.ended // frames of the body may come before; what it held is back then

	again := s.connect(t)
	if _, _, body := again.get(1, "q"); body != "first" {
		t.Fatalf("body %.20q, want the one that was not acknowledged", body)
	}
	again.send(1, &amqp.BasicGet{Queue: []byte("q")}, &amqp.BasicGet{Queue: []byte("q")})
	again.expect(1, &amqp.BasicGetEmpty{}, &amqp.BasicGetEmpty{}) // the last message was behind the cut, too
	size.Store(0)
}
