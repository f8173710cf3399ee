package broker

import (
	"slices"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// Channel is one AMQP channel of a client: what it publishes and waits to be confirmed, and, embedded,
// what it consumes.
type Channel struct {
	*queue.Channel

	client *Client

	// Owned by the connection's reader.
	confirming bool
	published  uint64 // sequence number of the last publish (CONF-02)
	// awaits is the place in the staged batch of the last publish that must be synced, plus one; 0 is none.
	awaits  int
	touched bool     // in client.published
	refused []uint64 // staged publishes that a full queue refused (CONF-05)
	settles int      // staged settlements of this channel
	tx      *transaction

	// Guarded by the state lock; written by the connection's reader only.
	replies replyConsumer

	// Guarded by client.confirms.
	confirms struct {
		open    []pendingConfirm // oldest first
		last    uint64           // highest number confirmed
		waiting bool             // in client.confirms.waiting
		closed  bool
	}
}

// pendingConfirm: the publishes up to seq are safe when the log is synced up to lsn; or the one with that
// number was refused.
type pendingConfirm struct {
	seq     uint64
	lsn     segment.LSN
	refused bool
}

// OpenChannel adds a channel to the connection. Errors are *amqp.Error.
func (c *Client) OpenChannel(number uint16) (*Channel, error) {
	if err := c.vhost.broker.enterChannel(c); err != nil {
		return nil, err
	}
	ch := &Channel{client: c, Channel: queue.NewChannel(number, c)}
	c.vhost.state.Lock()
	c.channels = append(c.channels, ch)
	c.vhost.state.Unlock()
	return ch, nil
}

// SelectConfirms switches the channel to confirm mode (CONF-01). Errors are *amqp.Error.
func (ch *Channel) SelectConfirms() error {
	if ch.tx != nil {
		return amqp.Errorf(amqp.PreconditionFailed, amqp.ConfirmSelectID, "cannot switch from tx to confirm mode")
	}
	ch.confirming = true
	return nil
}

// Close ends the channel (ERR-05): consumers go, what is unsettled returns to its queues, nothing more is
// confirmed. What is staged must have been flushed.
func (ch *Channel) Close() {
	c := ch.client
	c.confirms.Lock()
	ch.confirms.closed = true
	ch.confirms.open = nil
	c.confirms.Unlock()

	c.vhost.state.Lock()
	ch.Channel.Close()
	ch.endRepliesLocked()
	i := slices.Index(c.channels, ch)
	if i >= 0 {
		c.channels = slices.Delete(c.channels, i, i+1)
	}
	c.vhost.unlockState()
	if i >= 0 {
		c.vhost.broker.presence.leaveChannel(c)
	}
	c.vhost.deleteOrphans()
}

// SetLimit sets the prefetch limit that all consumers of the channel share (QOS-03).
func (ch *Channel) SetLimit(limit int) {
	ch.client.vhost.state.Lock()
	ch.Channel.SetLimit(limit)
	ch.client.vhost.unlockState()
}

// Recover returns all unsettled deliveries to their queues (ACK-06). done is called before they are
// delivered again.
func (ch *Channel) Recover(done func()) {
	ch.client.vhost.state.Lock()
	ch.Channel.Recover()
	done()
	ch.client.vhost.unlockState()
}
