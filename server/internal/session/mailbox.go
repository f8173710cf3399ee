package session

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// mailbox is what others want of a connection that only its reader can do: it owns the channels, and it
// may be blocked in a read. So a request is noted here, and the reader is woken by a read deadline that has
// passed, as stop does; it looks here when a read has timed out.
//
// It is bounded: a close of the connection is noted once, that of a channel once for each channel that
// there is, for the broker asks once.
type mailbox struct {
	waiting atomic.Bool // something is in it, and the read deadline must stay in the past

	mu struct {
		sync.Mutex
		connection *amqp.Error
		channels   []channelRequest
	}
}

// channelRequest asks to close a channel. Its number may serve another channel by the time it is read.
type channelRequest struct {
	channel *queue.Channel
	err     *amqp.Error
}

// CloseConnection implements [broker.Sink].
func (c *conn) CloseConnection(e *amqp.Error) {
	c.mail.mu.Lock()
	if c.mail.mu.connection == nil {
		c.mail.mu.connection = e
	}
	c.mail.mu.Unlock()
	c.wakeReader()
}

// CloseChannel implements [broker.Sink].
func (c *conn) CloseChannel(ch *queue.Channel, e *amqp.Error) {
	c.mail.mu.Lock()
	c.mail.mu.channels = append(c.mail.mu.channels, channelRequest{ch, e})
	c.mail.mu.Unlock()
	c.wakeReader()
}

// wakeReader makes the reader look into the mailbox, whether it reads or waits for its replies to be sent.
func (c *conn) wakeReader() {
	c.mail.waiting.Store(true)
	c.net.SetReadDeadline(longAgo)
	signal(c.out.drained)
}

// close is the request to close the connection, nil if there is none. It stays in the mailbox.
func (m *mailbox) close() *amqp.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.connection
}

// openMail does what the mailbox asks for after a read that failed, and returns an error if reading must
// end: the read's own if nothing was asked.
func (c *conn) openMail(failed error) error {
	if c.stopping.Load() || !c.mail.waiting.Swap(false) && !c.wokenLate(failed) {
		return failed
	}
	c.setReadDeadline(c.until)
	c.mail.mu.Lock()
	connection, channels := c.mail.mu.connection, c.mail.mu.channels
	c.mail.mu.connection, c.mail.mu.channels = nil, nil
	c.mail.mu.Unlock()
	if c.state != running {
		return nil
	}
	for _, r := range channels {
		if ch := c.channels[r.channel.Number]; ch == nil || ch.Channel.Channel != r.channel {
			continue
		}
		if err := c.fail(&channelError{r.channel.Number, r.err}); err != nil {
			return err
		}
	}
	if connection == nil || c.state != running {
		return nil
	}
	return c.closeConnection(connection)
}

// wokenLate reports whether a read has timed out before its time: somebody noted a request, the reader found it
// with another one's, and only then was woken.
func (c *conn) wokenLate(failed error) bool {
	var timeout net.Error
	return errors.As(failed, &timeout) && timeout.Timeout() && (c.until.IsZero() || time.Now().Before(c.until))
}
