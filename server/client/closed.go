package client

import (
	"fmt"

	"github.com/millrace-mq/millrace/server/amqp"
)

// Closed is the error of a channel or a connection that the broker closed, or of a consumer that it ended.
type Closed struct {
	What string         // "connection", "channel", or "consumer" and its tag
	Code amqp.ReplyCode // 0 for a consumer
	Text string         // the broker's
}

// Error tells what was closed, and why in the broker's words.
func (c *Closed) Error() string {
	if c.Code == 0 {
		return c.What + " closed by the broker"
	}
	return fmt.Sprintf("%s closed by the broker: %d %s", c.What, c.Code, c.Text)
}

// CloseOf returns an error, of type [*Closed], if the broker closes the channel or the connection with this frame, or ends
// the consumer.
func CloseOf(f amqp.Frame) error {
	if f.Type != amqp.FrameMethod {
		return nil
	}
	switch amqp.PeekMethod(f.Payload) {
	case amqp.ConnectionCloseID, amqp.ChannelCloseID, amqp.BasicCancelID:
	default:
		return nil
	}
	m, err := amqp.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *amqp.ConnectionClose:
		return &Closed{"connection", m.ReplyCode, m.ReplyText}
	case *amqp.ChannelClose:
		return &Closed{"channel", m.ReplyCode, m.ReplyText}
	case *amqp.BasicCancel:
		return &Closed{What: "consumer " + m.ConsumerTag}
	}
	return nil
}
