package session_test

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Beside a publisher that is light for more than a second, one floods and hangs up. Whether it is held back depends on
// the machine; all that it has sent arrives in any case.
func TestFloodBesideALightPublisherArrives(t *testing.T) {
	t.Parallel()
	s := newOwnServer(t)
	light, flood := s.connect(t), s.dialTCP(t)
	flood.handshake()
	flood.openChannel(1)
	light.declare(1, "light")
	light.declare(1, "flood")
	round := func() {
		light.publish(1, "", "light", "m")
		light.call(1, &amqp.BasicQos{PrefetchCount: 1}, &amqp.BasicQosOk{}) // it is not faster than the broker
	}
	for began := time.Now(); time.Since(began) < 1100*time.Millisecond; {
		round()
	}
	const messages = 900
	publish := &amqp.BasicPublish{Keys: amqp.MakeKeys("", "flood")}
	octets, sent := message(1, publish, amqp.Properties{}, strings.Repeat("x", 64<<10)), make(chan struct{})
	go func() {
		defer close(sent)
		for range messages {
			flood.raw(octets)
		}
		flood.nc.Close()
	}()
	for more := true; more; {
		round()
		select {
		case <-sent:
			more = false
		default:
		}
	}
	<-flood.ended
	light.expectReady(1, "flood", messages, 0)
}
