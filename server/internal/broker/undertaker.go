package broker

import (
	"errors"
	"maps"
	"time"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
	"github.com/millrace-mq/millrace/wal"
)

// undertaker carries dead messages to their dead-letter exchanges. The message's new record and the one
// that says that it left its old queue are one batch of the log: so it is in the one place or in the
// other, also after a crash, and no transfer is lost or doubled.
type undertaker struct {
	broker *Broker
	kick   chan struct{} // capacity 1
	done   chan struct{}

	// Owned by the goroutine.
	deaths  []queue.Death
	staging staging
	carried []queue.Death // of the batch
	view    *wal.View
	scratch router.Scratch[*queue.Queue]
}

// burialBytes is about how much is carried at once.
const burialBytes = 1 << 20

func newUndertaker(b *Broker) *undertaker {
	return &undertaker{broker: b, kick: make(chan struct{}, 1), done: make(chan struct{})}
}

func (u *undertaker) wake() { signal(u.kick) }

func (u *undertaker) run(stop <-chan struct{}) {
	defer close(u.done)
	u.view = u.broker.log.NewView()
	defer u.view.Release()
	for {
		select {
		case <-stop:
			return
		case <-u.kick:
		}
		for _, vh := range u.broker.hosts() {
			vh.state.Lock()
			u.deaths = vh.state.agenda.TakeDeaths(u.deaths[:0])
			vh.state.Unlock()
			if err := u.bury(vh, stop); err != nil {
				u.broker.logger.Error("dead messages not carried to their exchange; they are dead-lettered after the next start",
					"vhost", vh.Name, "error", err)
			}
			clear(u.deaths)
		}
	}
}

// bury carries the deaths of one host, in the order in which they came (DLX-12).
func (u *undertaker) bury(vh *VHost, stop <-chan struct{}) error {
	now := time.Now()
	for i := range u.deaths {
		if err := u.stage(vh, &u.deaths[i], now); err != nil {
			return err
		}
		if u.staging.batch.Len() >= burialBytes || i == len(u.deaths)-1 {
			if err := u.flush(vh, now, stop); err != nil {
				return err
			}
		}
	}
	return nil
}

// stage prepares one message for its new queues. One that nobody wants there just leaves.
func (u *undertaker) stage(vh *VHost, d *queue.Death, now time.Time) error {
	vh.state.Lock()
	gone, rules := d.Queue.Deleted(), d.Queue.Rules()
	vh.state.Unlock()
	if gone {
		return nil
	}
	if !rules.DeadLetters { // a policy took the exchange away since
		u.drop(vh, d)
		return nil
	}
	record, err := u.view.Record(d.LSN)
	var letter *deadLetter
	if err == nil {
		letter, err = newDeadLetter(record, d, &rules, now)
	}
	if err != nil {
		u.broker.logger.Error("dead message cannot be read from the log and is given up; see 'millrace log verify'", "lsn", d.LSN, "error", err)
		u.drop(vh, d)
		return nil
	}
	queues, err := u.route(vh, letter)
	if err != nil {
		return err
	}
	if len(queues) == 0 { // no such exchange, nobody bound, or a circle (DLX-02, DLX-08)
		u.drop(vh, d)
		return nil
	}
	u.staging.stage(vh.ID, &letter.publication, vh.newRoute(queues))
	u.carried = append(u.carried, *d)
	return nil
}

func (u *undertaker) drop(vh *VHost, d *queue.Death) {
	vh.state.Lock()
	d.Drop()
	vh.unlockState()
}

func (u *undertaker) route(vh *VHost, letter *deadLetter) ([]*queue.Queue, error) {
	p := &letter.publication
	exchange, key := p.Keys.Split()
	message := router.Message{
		Exchange: exchange, Key: key, ExtraKeys: letter.copies,
		Headers: func() (map[string]any, error) { return letter.headers.Normal(), nil },
	}
	vh.topology.RLock()
	queues, _, err := vh.topology.router.Route(nil, &message, &u.scratch)
	vh.topology.RUnlock()
	var missing router.NoExchange
	if errors.As(err, &missing) {
		return nil, nil
	}
	return letter.withoutCircles(queues), err
}

// flush brings what is staged to the log, and then to the queues.
func (u *undertaker) flush(vh *VHost, now time.Time, stop <-chan struct{}) error {
	defer u.view.Release()
	defer func() {
		u.staging.reset()
		clear(u.carried)
		u.carried = u.carried[:0]
	}()
	if len(u.carried) == 0 {
		return nil
	}
	for i := range u.carried {
		if d := &u.carried[i]; d.Queue.Durable {
			u.staging.batch.AppendSettle(now.UnixMilli(), vh.ID, d.Queue.ID, segment.SettleTransfer,
				[]segment.Range{{From: d.LSN, To: d.LSN}})
		}
	}
	var first segment.LSN
	if err := u.broker.appendPatiently(&u.staging.batch, stop, func(lsn segment.LSN) {
		first = lsn
		vh.state.Lock()
	}); err != nil {
		return err
	}
	u.staging.pushLocked(first)
	for i := range u.carried {
		u.carried[i].Bury()
	}
	vh.unlockState()
	return nil
}

// appendPatiently appends a batch of the broker's own. A full disk is waited for: what is going on may
// stand still, but must not go on without the log knowing.
func (b *Broker) appendPatiently(batch *segment.Batch, stop <-chan struct{}, applied func(segment.LSN)) error {
	const retry = 100 * time.Millisecond
	for {
		err := b.log.Append(batch, applied)
		if !errors.Is(err, wal.ErrFull) {
			return err
		}
		select {
		case <-stop:
			return err
		case <-time.After(retry):
		}
	}
}

// headerDeaths is the header that tells of a message's deaths, the newest first.
const headerDeaths = "x-death"

// deadLetter is a dead message as it is published again.
type deadLetter struct {
	publication Publication
	headers     amqp.Table
	copies      [][]byte // further routing keys
	cause       queue.Cause
}

// newDeadLetter makes the message that a dead one becomes (DLX-02 to DLX-07).
func newDeadLetter(record segment.Record, d *queue.Death, rules *queue.Rules, now time.Time) (*deadLetter, error) {
	old, err := record.Publish()
	if err != nil {
		return nil, err
	}
	header, err := amqp.ParseHeader(old.Header)
	if err != nil {
		return nil, err
	}
	letter := &deadLetter{headers: amqp.Table{}, cause: d.Cause}
	if raw, ok := header.Headers(); ok {
		if letter.headers, err = raw.Decode(); err != nil {
			return nil, err
		}
		if letter.copies, _, err = appendCopies(nil, raw, headerCopies); err != nil {
			letter.copies = nil // a header of another type names no queue
		}
	}
	if record.Flags()&segment.FlagDeadLettered == 0 {
		delete(letter.headers, headerDeaths) // a publisher's own means nothing (DLX-09)
	}
	letter.bury(amqp.Keys(old.Keys), &header, d, now)
	key := string(amqp.Keys(old.Keys).RoutingKey())
	if rules.DeadLetterKeySet {
		key = rules.DeadLetterKey
		delete(letter.headers, headerCopies) // DLX-03
		letter.copies = nil
	}
	raw := header.AppendWithHeaders(nil, letter.headers.Raw())
	if header, err = amqp.ParseHeader(raw); err != nil {
		return nil, err
	}
	if header.Has(amqp.PropertyExpiration) {
		if header, err = amqp.ParseHeader(header.AppendWithout(nil, amqp.PropertyExpiration)); err != nil {
			return nil, err
		}
	}
	letter.publication = Publication{
		Keys: amqp.MakeKeys(rules.DeadLetterExchange, key), Header: header, Body: [][]byte{old.Body},
		Time: now.UnixMilli(), expiration: -1, flags: segment.FlagDeadLettered,
	}
	return letter, nil
}

// bury writes the death into the headers (DLX-05 to DLX-07).
func (l *deadLetter) bury(keys amqp.Keys, header *amqp.Header, d *queue.Death, now time.Time) {
	cause, name, exchange := d.Cause.String(), d.Queue.Name, string(keys.Exchange())
	deaths, _ := l.headers[headerDeaths].([]any)
	entry := amqp.Table{
		"count": int64(1), "reason": cause, "queue": name, "time": amqp.Timestamp(now.Unix()), "exchange": exchange,
	}
	routing := []any{string(keys.RoutingKey())}
	for _, copied := range l.copies {
		routing = append(routing, string(copied))
	}
	entry["routing-keys"] = routing
	if header.Has(amqp.PropertyExpiration) {
		entry["original-expiration"] = string(header.Expiration())
	}
	rest := make([]any, 0, len(deaths)+1)
	for _, one := range deaths {
		known, ok := one.(amqp.Table)
		if ok && known["queue"] == name && known["reason"] == cause {
			count, _ := amqp.Int(known["count"])
			entry = maps.Clone(known)
			entry["count"] = count + 1
			continue
		}
		rest = append(rest, one)
	}
	l.headers[headerDeaths] = append([]any{entry}, rest...)
	for what, value := range map[string]string{"reason": cause, "queue": name, "exchange": exchange} {
		if _, ok := l.headers["x-first-death-"+what]; !ok {
			l.headers["x-first-death-"+what] = value
		}
		l.headers["x-last-death-"+what] = value
	}
}

// withoutCircles leaves out the queues in which the message died before, unless a client's rejection is
// part of the circle (DLX-08).
func (l *deadLetter) withoutCircles(queues []*queue.Queue) []*queue.Queue {
	if l.cause == queue.CauseRejected {
		return queues
	}
	deaths, _ := l.headers[headerDeaths].([]any)
	open := queues[:0]
	for _, q := range queues {
		if !circle(deaths, q.Name) {
			open = append(open, q)
		}
	}
	return open
}

func circle(deaths []any, queueName string) bool {
	for _, one := range deaths {
		death, _ := one.(amqp.Table)
		if death["reason"] == queue.CauseRejected.String() {
			return false
		}
		if death["queue"] == queueName {
			return true
		}
	}
	return false
}
