package broker

import (
	"testing"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// What naming a consumer costs under the state lock. Each that settles is named once in each segment.
func BenchmarkNameTaker(b *testing.B) {
	user := &User{Name: "guest", Peer: "127.0.0.1:54321", Connection: "orders-service"}
	ch := queue.NewChannel(1, &Client{user: user})
	by := &queue.Taker{Queue: &queue.Queue{}, Channel: ch, Consumer: &queue.Consumer{Tag: "ctag-1", Channel: ch}}
	by.SetNamed(1, 1)
	names, vh := naming{broker: &Broker{}}, &VHost{}
	var batch segment.Batch
	b.ReportAllocs()
	for b.Loop() {
		names.name(&batch, vh, by, 1)
		names.reset()
		batch.Reset()
	}
}
