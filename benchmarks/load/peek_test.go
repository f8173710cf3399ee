package load

import (
	"testing"

	"github.com/millrace-mq/millrace/server/amqp"
)

func TestPeekingFindsWhatDecodingFinds(t *testing.T) {
	deliver := amqp.AppendDeliver(nil, "a consumer", 1<<40+7, true, amqp.MakeKeys("exchange", "key"))
	var decoded amqp.BasicDeliver
	if err := decoded.Decode(deliver); err != nil {
		t.Fatal(err)
	}
	if tag, err := peekDeliveryTag(deliver); err != nil || tag != decoded.DeliveryTag {
		t.Errorf("delivery tag %d, %v; decoded %d", tag, err, decoded.DeliveryTag)
	}
	header := amqp.AppendHeader(nil, 1<<33+5, &amqp.Properties{DeliveryMode: amqp.Persistent})
	if size, err := peekBodySize(header); err != nil || size != 1<<33+5 {
		t.Errorf("size %d, %v", size, err)
	}
	for n := range 12 {
		if _, err := peekDeliveryTag(deliver[:n]); err == nil {
			t.Errorf("a tag in %d octets", n)
		}
		if _, err := peekBodySize(header[:n]); err == nil {
			t.Errorf("a size in %d octets", n)
		}
	}
}
