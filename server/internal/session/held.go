package session

import "github.com/millrace-mq/millrace/server/amqp"

// A connection may begin a content on each of its channels, and publish into a transaction on each, and never
// come to an end. What it really has sent of all these is held in memory; it is counted here, and bounded for
// the connection as a whole.

// hold counts what the channel holds now. It returns an error if the connection holds too much.
func (c *conn) hold(ch *channel) error {
	now := 0
	if c.channels[ch.Number] == ch && !ch.closing {
		now = ch.content.size() + ch.Uncommitted() + len(ch.returns)
	}
	c.held += now - ch.held
	ch.held = now
	if c.held <= c.cfg.MaxHeld || now == 0 {
		return nil
	}
	return amqp.Errorf(amqp.ResourceError, amqp.BasicPublishID,
		"messages that are not complete and transactions that are not committed hold %d bytes, a connection may hold %d",
		c.held, c.cfg.MaxHeld)
}

// letGo counts a channel that holds nothing any more.
func (c *conn) letGo(ch *channel) {
	c.held -= ch.held
	ch.held = 0
}
