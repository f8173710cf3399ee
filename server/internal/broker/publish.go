package broker

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// Publication is a message as it came from a client. Everything is borrowed until Publish returns.
type Publication struct {
	// Keys are exchange and routing key, Header is the payload of the content header frame: both go to the
	// log as they came.
	Keys   amqp.Keys
	Header amqp.Header
	// Body is the content, in the pieces it came in.
	Body [][]byte
	// Time is when it arrived, in milliseconds since 1970.
	Time int64

	expiration int64         // what its property says, in ms; negative for none
	delay      int64         // how long an exchange holds it, in ms
	flags      segment.Flags // for the log
}

// clone copies what is borrowed.
func (p *Publication) clone() *Publication {
	c := *p
	c.Keys = slices.Clone(p.Keys)
	c.Header.Raw = slices.Clone(p.Header.Raw)
	c.Body = [][]byte{slices.Concat(p.Body...)}
	return &c
}

// stagedPublish is a message in the batch, to be pushed to its queues when the log has it.
type stagedPublish struct {
	queues  []*queue.Queue // immutable
	message queue.Message  // without its number
}

type stagedSettle struct {
	channel  *Channel
	tag      queue.Tag
	multiple bool
	outcome  queue.Outcome
	method   amqp.MethodID
}

// maxBatchBytes is how large a batch may get before it is flushed early.
const maxBatchBytes = 1 << 20

// Publish routes the message and stages it; it reaches the log with the next Flush. routed says whether
// it reached a queue. Errors are *amqp.Error. The order of the checks is PUB-02's.
func (ch *Channel) Publish(p *Publication) (routed bool, err error) {
	c := ch.client
	copies, copiesErr := c.carbonCopies(p)
	generation := c.permits.Generation()
	permitted := len(copies) == 0 && c.routes.permits(p.Keys, generation)
	if !permitted {
		if err := c.mayWrite(p.Keys); err != nil {
			return false, err
		}
	}
	route, err := c.route(p, copies)
	if err == nil {
		err = cmp.Or(ch.rewriteReplyTo(p), checkExpiration(p), copiesErr)
	}
	if err == nil && !permitted {
		if err = c.mayWriteTopics(p.Keys, copies); err == nil && !c.permits.RestrictsAnyTopics() {
			c.routes.permit(generation)
		}
	}
	if err == nil {
		err = c.checkUser(p)
	}
	if err != nil {
		return false, err
	}
	ch.number()
	if isReply(p.Keys) {
		if ch.tx != nil {
			ch.tx.reply(p)
			return c.awaitsReply(p), nil
		}
		return c.reply(p), nil
	}
	routed = route.reached()
	route = ch.admit(p, route)
	if len(route.queues) == 0 {
		return routed, nil // CONF-04a: nobody needs it; confirmed with the batch
	}
	ch.stage(p, route)
	return routed, nil
}

// stage adds a message to what the next flush or commit brings to the log.
func (ch *Channel) stage(p *Publication, r *route) {
	c := ch.client
	if ch.tx != nil {
		ch.tx.stage(c.vhost.ID, p, r)
		return
	}
	if !c.staging.stage(c.vhost.ID, p, r) {
		c.staging.batch.Durable = c.staging.batch.Durable || ch.confirming
		ch.awaits = len(c.staging.publishes)
	}
}

// number counts a publish that will be confirmed (CONF-02).
func (ch *Channel) number() {
	if !ch.confirming {
		return
	}
	ch.published++
	if !ch.touched {
		ch.touched = true
		ch.client.published = append(ch.client.published, ch)
	}
}

// Full reports whether so much is staged that it should be flushed now.
func (c *Client) Full() bool { return c.staging.batch.Len() > maxBatchBytes }

// staging gathers messages for one append.
type staging struct {
	batch     segment.Batch
	publishes []stagedPublish // one for each of the batch's first records

	loads   loads // of the first publishes, if somebody asked for them: see waiting
	counted int   // so many
}

// stage adds a message and reports whether it is transient: no restart would bring it back, so nobody
// waits for its sync (CONF-04b).
func (s *staging) stage(vhost uint32, p *Publication, route *route) (transient bool) {
	size := 0
	for _, piece := range p.Body {
		size += len(piece)
	}
	// PUB-08; what an exchange holds, or a quorum queue, is stored in any case (chapter 7.6, QQ-09).
	passing := p.Header.DeliveryMode != amqp.Persistent
	transient = passing && route.delaying == 0 && !route.quorum || !route.durable
	head := segment.PublishHead{
		Flags: p.flags, Time: p.Time, VHost: vhost, Queues: route.ids, Set: route.set,
		Keys: p.Keys, Header: p.Header.Raw, BodySize: size,
	}
	if transient {
		head.Flags |= segment.FlagTransient
	}
	s.batch.BeginPublish(head)
	for _, piece := range p.Body {
		s.batch.AppendBody(piece)
	}
	s.batch.EndPublish()
	s.publishes = append(s.publishes, stagedPublish{route.queues, queue.Message{
		Size: uint32(size), Transient: passing || transient, Time: p.Time, Expiration: p.expiration, Delay: p.delay,
		Priority: p.Header.Priority, Prioritized: p.Header.Has(amqp.PropertyPriority),
	}})
	return transient
}

// pushLocked adds the messages to their queues, under the state lock, when the log has them from first on.
// It returns the time of the last one, at which they can all still be delivered (TTL-04).
func (s *staging) pushLocked(first segment.LSN) (now int64) {
	for i := range s.publishes {
		p := &s.publishes[i]
		p.message.LSN = first + segment.LSN(i)
		for _, q := range p.queues {
			q.Push(p.message)
		}
		now = max(now, p.message.Time)
	}
	return now
}

func (s *staging) reset() {
	s.batch.Reset()
	clear(s.publishes)
	s.publishes = s.publishes[:0]
	clear(s.loads)
	s.counted = 0
	if cap(s.publishes) > keepPublishes {
		s.publishes = nil // a large transaction's
	}
}

// keepPublishes is the length of a list of staged messages that is worth keeping: a batch of small ones.
const keepPublishes = 32 << 10

// Settle stages the outcome of a delivery; it takes effect with the next Flush or FlushSettles. method is
// blamed if the tag is unknown.
func (ch *Channel) Settle(method amqp.MethodID, tag queue.Tag, multiple bool, o queue.Outcome) {
	ch.settles++
	ch.client.settles = append(ch.client.settles, stagedSettle{ch, tag, multiple, o, method})
}

// HasSettles reports whether settlements of this channel are staged. One of them may fail and close the
// channel, and then nothing that came after it may count (ERR-04): flush them before publishing.
func (ch *Channel) HasSettles() bool { return ch.settles > 0 }

// Flush brings what is staged to the log and to the queues, in one append and under one lock.
// SettleErrors say which channels settled what they do not hold; all the rest has taken effect.
// wal.ErrFull means that there is no room for the batch: it stays staged, to be flushed again or to be given
// up with [Client.Drop]. Any other error means that the log did not take the batch: none of it is stored and
// none will be confirmed.
func (c *Client) Flush() error {
	if c.staging.batch.Count() == 0 {
		err := c.FlushSettles()
		c.registerConfirms(0)
		return err
	}
	if err := c.vhost.broker.log.Append(&c.staging.batch, c.applied); err != nil {
		if c.waited = errors.Is(err, wal.ErrFull); !c.waited {
			c.Drop()
		}
		return err
	}
	// Here the state lock is held, taken by c.applied.
	now := c.staging.pushLocked(c.first)
	if c.waited { // some of it may have expired meanwhile
		now, c.waited = time.Now().UnixMilli(), false
	}
	err := c.settleLocked()
	c.vhost.unlockStateAt(now)
	c.brought(c.staging.batch.Len(), c.staging.batch.Durable, now)
	c.registerConfirms(c.first)
	c.Drop()
	return err
}

// FlushSettles applies the staged settlements.
func (c *Client) FlushSettles() error {
	if len(c.settles) == 0 {
		return nil
	}
	c.vhost.state.Lock()
	err := c.settleLocked()
	c.vhost.unlockState()
	return err
}

// SettleError is a settlement of a delivery that the channel does not hold (ACK-02).
type SettleError struct {
	Channel uint16
	Err     *amqp.Error
}

// SettleErrors are the settlements that failed in one flush, at most one a channel.
type SettleErrors []SettleError

// Error implements error.
func (e SettleErrors) Error() string { return e[0].Err.Error() }

// settleLocked applies the staged settlements in order. After one that fails, the later ones of the same
// channel are dropped, for the channel is about to be closed.
func (c *Client) settleLocked() error {
	var failed SettleErrors
	for _, s := range c.settles {
		s.channel.settles = 0
		if failed.has(s.channel.Number) {
			continue
		}
		if err := s.channel.settleLocked(&s); err != nil {
			failed = append(failed, SettleError{
				s.channel.Number, amqp.Errorf(amqp.PreconditionFailed, s.method, "unknown delivery tag %d", s.tag),
			})
		}
	}
	clear(c.settles)
	c.settles = c.settles[:0]
	if failed != nil {
		return failed
	}
	return nil
}

func (ch *Channel) settleLocked(s *stagedSettle) error {
	if ch.tx != nil {
		return ch.Channel.Reserve(s.tag, s.multiple, s.outcome)
	}
	return ch.Channel.Settle(s.tag, s.multiple, s.outcome)
}

func (e SettleErrors) has(channel uint16) bool {
	return slices.ContainsFunc(e, func(s SettleError) bool { return s.Channel == channel })
}

// Drop gives up the publishes that are staged: they are stored nowhere and will not be confirmed.
func (c *Client) Drop() {
	c.staging.reset()
	for _, ch := range c.published {
		ch.touched, ch.awaits = false, 0
	}
	clear(c.published)
	c.published = c.published[:0]
}
