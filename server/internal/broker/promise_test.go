package broker_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/broker"
	"github.com/millrace-mq/millrace/wal"
)

// Who declares what another has declared just now is promised that it lasts, too.
func TestAnswerThatSomethingExistsWaitsForItsSync(t *testing.T) {
	t.Parallel()
	exchange := broker.ExchangeDeclaration{Name: "x", Type: "fanout", Durable: true}
	queue := broker.QueueDeclaration{Name: "q", Durable: true}
	for name, declare := range map[string]func(c *broker.Client) error{
		"exchange": func(c *broker.Client) error { return c.DeclareExchange(exchange) },
		"queue":    func(c *broker.Client) error { _, err := c.DeclareQueue(queue); return err },
		"binding":  func(c *broker.Client) error { return c.BindQueue("amq.fanout", "there", "", amqp.Table{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			syncing, fail := make(chan struct{}, 1), make(chan struct{})
			disk := wal.Disk{Datasync: func(f *os.File) error {
				if !broken.Load() {
					return f.Sync()
				}
				select {
				case syncing <- struct{}{}:
				default:
				}
				<-fail
				return errors.New("power cut")
			}}
			b, err := broker.Open(broker.Config{Data: t.TempDir(), SegmentSize: 256 << 10, Disk: disk})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close() // its log has failed
			f := &fixture{TB: t, broker: b}
			one, other := f.client(), f.client()
			one.queue(broker.QueueDeclaration{Name: "there", Durable: true})
			broken.Store(true)
			answers := make(chan error, 2)
			go func() { answers <- declare(one.Client) }()
			<-syncing
			go func() { answers <- declare(other.Client) }()
			close(fail)
			for range 2 {
				if err := <-answers; err == nil {
					t.Error("declared, and not on disk")
				}
			}
			one.close()
			other.close()
		})
	}
}
