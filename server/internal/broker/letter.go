package broker

import (
	"maps"
	"time"

	"github.com/millrace-mq/millrace/segment"
	"github.com/millrace-mq/millrace/server/amqp"
	"github.com/millrace-mq/millrace/server/internal/queue"
)

// headerDeaths is the header that tells of a message's deaths, the newest first.
const headerDeaths = "x-death"

// deadLetter is a dead message as it is published again.
type deadLetter struct {
	publication Publication
	headers     amqp.Table
	copies      [][]byte // further routing keys, first the visible ones
	visible     int
	cause       queue.Cause
}

// newDeadLetter makes the message that one becomes which dies in a queue of that name (DLX-02 to DLX-07).
// What it says is borrowed from the dead one.
func newDeadLetter(dead *Publication, name string, cause queue.Cause, rules *queue.Rules, now time.Time) (*deadLetter, error) {
	header := dead.Header
	letter := &deadLetter{headers: amqp.Table{}, cause: cause}
	if raw, ok := header.Headers(); ok {
		var err error
		if letter.headers, err = raw.Decode(); err != nil {
			return nil, err
		}
		if letter.copies, letter.visible, err = copiesOf(&header); err != nil {
			letter.copies, letter.visible = nil, 0
		}
	}
	if dead.flags&segment.FlagDeadLettered == 0 {
		delete(letter.headers, headerDeaths) // a publisher's own means nothing (DLX-09)
	}
	letter.bury(dead.Keys, &header, name, now)
	key := string(dead.Keys.RoutingKey())
	if rules.DeadLetterKeySet {
		key = rules.DeadLetterKey
		delete(letter.headers, headerCopies) // DLX-03
		delete(letter.headers, headerBlindCopies)
		letter.copies = nil
	}
	header, err := amqp.ParseHeader(header.AppendWithHeaders(nil, letter.headers.Raw()))
	if err != nil {
		return nil, err
	}
	if header.Has(amqp.PropertyExpiration) {
		if header, err = amqp.ParseHeader(header.AppendWithout(nil, amqp.PropertyExpiration)); err != nil {
			return nil, err
		}
	}
	letter.publication = Publication{
		Keys: amqp.MakeKeys(rules.DeadLetterExchange, key), Header: header, Body: dead.Body,
		Time: now.UnixMilli(), expiration: -1, flags: segment.FlagDeadLettered | dead.flags&segment.FlagBlindCopies,
	}
	return letter, nil
}

// bury writes the death into the headers (DLX-05 to DLX-07).
func (l *deadLetter) bury(keys amqp.Keys, header *amqp.Header, name string, now time.Time) {
	cause, exchange := l.cause.String(), string(keys.Exchange())
	deaths, _ := l.headers[headerDeaths].([]any)
	entry := amqp.Table{
		"count": int64(1), "reason": cause, "queue": name, "time": amqp.Timestamp(now.Unix()), "exchange": exchange,
	}
	routing := []any{string(keys.RoutingKey())}
	for _, copied := range l.copies[:l.visible] {
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
		if _, ok := l.headers["x-first-death-"+what]; !ok || len(deaths) == 0 { // a publisher's own means nothing
			l.headers["x-first-death-"+what] = value
		}
		l.headers["x-last-death-"+what] = value
	}
}

// inCircle reports whether the message died in the queue before, without a client's rejection being part
// of the circle (DLX-08).
func (l *deadLetter) inCircle(q *queue.Queue) bool {
	if l.cause == queue.CauseRejected {
		return false
	}
	deaths, _ := l.headers[headerDeaths].([]any)
	return circle(deaths, q.Name)
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
