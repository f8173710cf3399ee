package broker

import (
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// ReplyTo is the name of the pseudo queue for answers that need no queue: who consumes from it and
// publishes a request with it as reply-to gets the answer straight on the channel (REPLY-01 to REPLY-05).
const ReplyTo = "amq.rabbitmq.reply-to"

// replyPrefix begins the name that stands for one requester.
const replyPrefix = ReplyTo + "."

// replyConsumer is a channel's consumer of the pseudo queue. Guarded by the state lock.
type replyConsumer struct {
	name string // the rewritten reply-to
	tag  string
}

// ConsumeReplies starts the channel's consumer of the pseudo queue. started is called when it is
// certain. Errors are *amqp.Error.
func (ch *Channel) ConsumeReplies(consumer *queue.Consumer, started func()) error {
	const method = amqp.BasicConsumeID
	vh := ch.client.vhost
	vh.state.Lock()
	defer vh.state.Unlock()
	switch {
	case !consumer.NoAck:
		return amqp.Errorf(amqp.PreconditionFailed, method, "reply consumer cannot acknowledge")
	case ch.replies.name != "":
		return amqp.Errorf(amqp.PreconditionFailed, method, "reply consumer already set")
	}
	ch.replies = replyConsumer{name: replyPrefix + RandomName(), tag: consumer.Tag}
	if vh.state.replies == nil {
		vh.state.replies = make(map[string]*Channel)
	}
	vh.state.replies[ch.replies.name] = ch
	started()
	return nil
}

// CancelReplies ends the channel's consumer of the pseudo queue if it has this tag.
func (ch *Channel) CancelReplies(tag string) {
	ch.client.vhost.state.Lock()
	defer ch.client.vhost.state.Unlock()
	if ch.replies.tag == tag {
		ch.endRepliesLocked()
	}
}

// ConsumesReplies reports whether the channel's consumer of the pseudo queue has this tag.
func (ch *Channel) ConsumesReplies(tag string) bool {
	ch.client.vhost.state.Lock()
	defer ch.client.vhost.state.Unlock()
	return ch.replies.name != "" && ch.replies.tag == tag
}

func (ch *Channel) endRepliesLocked() {
	delete(ch.client.vhost.state.replies, ch.replies.name)
	ch.replies = replyConsumer{}
}

// rewriteReplyTo puts the requester's own name into a request (REPLY-02).
func (ch *Channel) rewriteReplyTo(p *Publication) error {
	if string(p.Header.ReplyTo()) != ReplyTo {
		return nil
	}
	if ch.replies.name == "" { // only this goroutine writes it
		return amqp.Errorf(amqp.PreconditionFailed, amqp.BasicPublishID, "fast reply consumer does not exist")
	}
	var err error
	p.Header, err = amqp.ParseHeader(p.Header.AppendWithShortstr(nil, amqp.PropertyReplyTo, ch.replies.name))
	return err
}

// isReply reports whether a message goes to a requester's channel and not to a queue (REPLY-03).
func isReply(keys amqp.Keys) bool {
	exchange, key := keys.Split()
	return len(exchange) == 0 && len(key) > len(replyPrefix) && string(key[:len(replyPrefix)]) == replyPrefix
}

// reply hands an answer to the requester's channel, at most once: it is dropped if the requester is
// gone, which counts as unroutable (REPLY-04), or does not read.
func (c *Client) reply(p *Publication) (routed bool) {
	vh := c.vhost
	vh.state.Lock()
	requester := vh.state.replies[string(p.Keys.RoutingKey())]
	room := requester != nil && requester.client.Room()
	vh.state.Unlock()
	if !room {
		return requester != nil
	}
	// A large message takes its time, which others should not wait for.
	content := requester.client.sink.Content(requester.Number, p)
	vh.state.Lock()
	defer vh.state.Unlock()
	if vh.state.replies[string(p.Keys.RoutingKey())] != requester {
		return false
	}
	requester.client.sink.Reply(requester.Number, requester.replies.tag, requester.Channel.NextTag(), p.Keys, content)
	return true
}

// awaitsReply reports whether the requester that an answer is for is still there.
func (c *Client) awaitsReply(p *Publication) bool {
	c.vhost.state.Lock()
	defer c.vhost.state.Unlock()
	return c.vhost.state.replies[string(p.Keys.RoutingKey())] != nil
}

// replyQueue answers questions about the pseudo queue and the names that stand for requesters (REPLY-05).
// known says that the name is one of these.
func (vh *VHost) replyQueue(name string) (info QueueInfo, known bool) {
	if name == ReplyTo {
		return QueueInfo{Name: name, Consumers: 1}, true
	}
	if !strings.HasPrefix(name, replyPrefix) {
		return QueueInfo{}, false
	}
	vh.state.Lock()
	defer vh.state.Unlock()
	return QueueInfo{Name: name, Consumers: 1}, vh.state.replies[name] != nil
}
